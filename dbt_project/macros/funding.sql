{# First day of the listing that holds an instant; -infinity where none is noted. #}
{% macro listed_from(symbol, time) -%}
    coalesce((
                select l.valid_from from listings as l
                where l.symbol = {{ symbol }} and {{ time }} >= l.valid_from and {{ time }} < l.valid_to
            ), '-infinity')
{%- endmacro %}
