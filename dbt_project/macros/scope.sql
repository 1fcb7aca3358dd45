{# The rows that the running model reads: its symbols, from some whole UTC days before its first bar on.
   A unit test's rows are all in scope. #}
{% macro in_scope(days_before=0, symbol='symbol', time='time') -%}
    {%- if model.resource_type == 'unit_test' -%}
        true
    {%- else -%}
        {{ symbol }} = any(scope_symbols()) and {{ time }} >= scope_days_before({{ days_before }})
    {%- endif -%}
{%- endmacro %}

{# The same, from the first bar itself on, or from an interval before it. #}
{% macro from_scope_start(before=none, symbol='symbol', time='time') -%}
    {%- if model.resource_type == 'unit_test' -%}
        true
    {%- else -%}
        {{ symbol }} = any(scope_symbols()) and {{ time }} >= scope_start()
        {%- if before %} - interval '{{ before }}'{% endif -%}
    {%- endif -%}
{%- endmacro %}

{# The range of a roll-up. The marks tell where it stands: a continuous aggregate has no such condition. `time` is the
   column by which the raw table is kept in chunks. #}
{% macro in_rollup_scope(time='time') -%}
    /* scope */ {{ from_scope_start(time=time) }} /* end of scope */
{%- endmacro %}
