{# How many values are known so far, and whether the last n rows exist and are known. #}
{% macro known_so_far(series) -%}
    {{ carried(
        'known_so_far',
        'count(' ~ series ~ ') over segment',
        'coalesce(' ~ kept_before('known_so_far', 'segment') ~ ', 0) + (' ~ series ~ ' is not null)::integer'
    ) }}
{%- endmacro %}

{% macro all_known(n) -%}
    row_in_segment >= {{ n }} and known_so_far - coalesce({{ lag('known_so_far', n) }}, 0) = {{ n }}
{%- endmacro %}
