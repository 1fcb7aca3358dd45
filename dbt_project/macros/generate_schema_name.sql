{# The folder's schema as it is written, behind the prefix of this installation. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ env_var('PERPMART_SCHEMA_PREFIX', '') }}{{ (custom_schema_name or 'mart') | trim }}
{%- endmacro %}
