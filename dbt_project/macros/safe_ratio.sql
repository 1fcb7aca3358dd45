{# a / b, null where b is 0. #}
{% macro safe_ratio(numerator, denominator) -%}
    {{ numerator }} / nullif({{ denominator }}, 0)
{%- endmacro %}
