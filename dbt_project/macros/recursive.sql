{# Recursions carry on from the state that the last row of each UTC day keeps (engine, 050_recursive.sql). A model reads
   from a midnight on, and joins the states of the rows just before it, of the same segment. #}

{# The state at the last row before the first day read, per symbol and segment. #}
{% macro last_states(days_before=0) -%}
    {%- if model.resource_type == 'unit_test' -%}
        select null::text as symbol, null::timestamptz as segment_start, null::float8[] as state where false
    {%- elif one_bar() -%}
        select b.symbol, b.segment_start, k.state
        from {{ ref('bars_5m') }} as b
        inner join running_sums as k on k.model = '{{ model.name }}' and b.symbol = k.symbol and b.time = k.time
        where b.symbol = any(scope_symbols()) and b.time = scope_start() - interval '5 minutes'
    {%- else -%}
        select b.symbol, b.segment_start, f.state
        from {{ ref('bars_5m') }} as b
        inner join {{ this }} as f on b.symbol = f.symbol and b.time = f.time
        where b.symbol = any(scope_symbols()) and b.time = scope_days_before({{ days_before }}) - interval '5 minutes'
    {%- endif -%}
{%- endmacro %}

{# From where on recursions are computed: the first row after the states. #}
{% macro after_last_states(days_before=0) -%}
    {{ '(select scope_start())' if one_bar() else '(select scope_days_before(' ~ days_before ~ '))' }}
{%- endmacro %}

{# Exponential moving average of n, and Wilder's smoothing of n: the state after each row. `state` is the place of
   the recursion in the carried states. #}
{% macro ema(series, n, state) -%}
    smooth({{ series }}, {{ n }}, 2.0 / {{ n + 1 }}, {{ carried_state(state) }}) over segment
{%- endmacro %}

{% macro wilder(series, n, state) -%}
    smooth({{ series }}, {{ n }}, 1.0 / {{ n }}, {{ carried_state(state) }}) over segment
{%- endmacro %}

{% macro carried_state(place) -%}
    state[{{ 3 * place - 2 }}:{{ 3 * place }}]
{%- endmacro %}

{# A cumulative sum, carried on from a state of one number. #}
{% macro accumulated(series, name, state) -%}
    {{ carried(
        name,
        'accumulate(' ~ series ~ ', carried.state[' ~ state ~ ']) over segment',
        'coalesce(' ~ kept_before(name, 'segment') ~ ', 0) + coalesce(' ~ series ~ ', 0)'
    ) }}
{%- endmacro %}

{# States to keep: all of them, one after the other, on the last row of each UTC day. #}
{% macro day_end_state(states) -%}
    case when time = utc_day + interval '23 hours 55 minutes' then {{ states | join(' || ') }} end
{%- endmacro %}

{# 100 - 100 / (1 + gain / loss): 100 without losses, 50 without either. #}
{% macro relative_strength(gain, loss) -%}
    case
            when {{ gain }} is null or {{ loss }} is null then null
            when {{ gain }} = 0 and {{ loss }} = 0 then 50
            when {{ loss }} = 0 then 100
            else 100 - 100 / (1 + {{ gain }} / {{ loss }})
        end
{%- endmacro %}
