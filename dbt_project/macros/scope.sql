{# The rows that the running model reads: its symbols, from some whole UTC days before its first bar on, and from some bars
   before that midnight where the first day's own values look back. `first` is how many bars before the model's first bar
   the days are counted from. A unit test's rows are all in scope. #}
{% macro in_scope(days_before=0, bars_before=0, first=0, symbol='symbol', time='time') -%}
    {%- if model.resource_type == 'unit_test' -%}
        true
    {%- else -%}
        {{ symbol }} = any(scope_symbols()) and {{ time }} >=
        {%- if first %} utc_day(scope_start() - interval '{{ 5 * first }} minutes') - interval '{{ 24 * days_before }} hours'
        {%- else %} scope_days_before({{ days_before }})
        {%- endif -%}
        {%- if bars_before %} - interval '{{ 5 * bars_before }} minutes'{% endif -%}
    {%- endif -%}
{%- endmacro %}

{# Whether a bar has the time of day of one that the running model computes: of a few new bars, few have. #}
{% macro at_time_of_day_in_scope(time='time') -%}
    {%- if model.resource_type == 'unit_test' -%}
        true
    {%- else -%}
        case when isfinite((select scope_start())) then
            {{ time }} - date_bin(interval '1 day', {{ time }}, (select scope_start())) <= (select last_kline() - scope_start())
        else true end
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
