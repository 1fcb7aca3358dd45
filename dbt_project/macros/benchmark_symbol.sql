{# The symbol that the cross-asset features compare with: the setting PERPMART_BENCHMARK, else the var. #}
{% macro benchmark_symbol() -%}
    {{ env_var('PERPMART_BENCHMARK', '') or var('benchmark_symbol') }}
{%- endmacro %}
