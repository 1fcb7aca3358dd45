{# Whether a settlement is one of the last 30 days as of the bar. #}
{% macro in_month() -%}
    r.known_at > bars.available_at - interval '30 days'
{%- endmacro %}

{# First day of the listing that holds an instant; -infinity where none is noted. #}
{% macro listed_from(symbol, time) -%}
    coalesce((
                select l.valid_from from listings as l
                where l.symbol = {{ symbol }} and {{ time }} >= l.valid_from and {{ time }} < l.valid_to
            ), '-infinity')
{%- endmacro %}
