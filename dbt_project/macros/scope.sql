{# The rows that the running model reads: its symbols, from some whole UTC days before its first bar on, and from some bars
   before that midnight where the first day's own values look back. `first` is how many bars before the model's first bar
   the days are counted from. Where only one bar is computed: that bar and those `bars_back` bars before it, for a model
   whose windows look no further and that keeps its sums (macros of one_bar.sql). A unit test's rows are all in scope. #}
{% macro in_scope(days_before=0, bars_before=0, first=0, bars_back=none, symbol='symbol', time='time') -%}
    {%- if bars_back is not none -%}
        {%- if 1 not in bars_back -%}
            {{ exceptions.raise_compiler_error(model.name ~ ': bars_back lacks 1, the bar from which sums are carried on') }}
        {%- endif -%}
        {%- do model.update({'bars_back': bars_back}) -%}
    {%- endif -%}
    {%- if model.resource_type == 'unit_test' -%}
        true
    {%- elif one_bar() -%}
        {{ symbol }} = any(scope_symbols()) and {{ time }} = any(bars_before_scope('{ {{- ([0] + model['bars_back']) | join(', ') -}} }'))
    {%- else -%}
        {{ symbol }} = any(scope_symbols()) and {{ time }} >=
        {%- if first %} utc_day(scope_start() - interval '{{ 5 * first }} minutes') - interval '{{ 24 * days_before }} hours'
        {%- else %} scope_days_before({{ days_before }})
        {%- endif -%}
        {%- if bars_before %} - interval '{{ 5 * bars_before }} minutes'{% endif -%}
    {%- endif -%}
{%- endmacro %}

{# The rows of the bars that the running model computes and those at the same time of day, as far as some days back. Of a
   few new bars, few have a given time of day. #}
{% macro same_time_of_day_in_scope(days) -%}
    {%- if model.resource_type == 'unit_test' -%}
        true
    {%- elif one_bar() -%}
        symbol = any(scope_symbols()) and time = any(bars_before_scope('{ {{- range(0, 288 * days + 1, 288) | join(', ') -}} }'))
    {%- else -%}
        {{ in_scope(days_before=days + 1) }} and
        case when isfinite((select scope_start())) then
            time - date_bin(interval '1 day', time, (select scope_start())) <= (select last_kline() - scope_start())
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

{# Of a table that is joined by symbol and time: one range of it is read at once; for a single bar, row by row. #}
{% macro joined_in_scope(table) -%}
    {{ 'true' if one_bar() else from_scope_start(symbol=table ~ '.symbol', time=table ~ '.time') }}
{%- endmacro %}

{# The range of a roll-up. The marks tell where it stands: a continuous aggregate has no such condition. `time` is the
   column by which the raw table is kept in chunks. #}
{% macro in_rollup_scope(time='time') -%}
    /* scope */ {{ from_scope_start(time=time) }} /* end of scope */
{%- endmacro %}
