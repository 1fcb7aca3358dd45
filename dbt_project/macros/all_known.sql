{# Whether the last n rows exist and are known, from the running counts row_in_segment and known_so_far. #}
{% macro all_known(n) -%}
    row_in_segment >= {{ n }} and known_so_far - coalesce(lag(known_so_far, {{ n }}) over segment, 0) = {{ n }}
{%- endmacro %}
