{# A model that reads whole days for each new bar repeats the same sums all day long. So its SQL is written in three ways,
   from one text:
   - of days: as dbt compiles it. It reads from a midnight on, and all that a table holds can be computed by it;
   - keeping: the same, with two columns more: the running sums at each row and the states of its recursions. The engine
     puts them beside the features, in running_sums;
   - of one bar: the row of scope_start() alone. It reads that row, those that its windows look back on (`bars_back`) and
     what is kept of them.
   Its values are those of the first way, bit for bit: the additions are the same ones in the same order.

   A model that calls in_scope(bars_back=[...]) and kept() has all three; the macros of rolling.sql and recursive.sql know
   them. `bars_back` must name every length of a window and every lag; what a lag itself is made of must be kept, or near
   enough for its own lags to be among `bars_back`. #}

{% macro one_bar() -%}
    {{ return(model.get('way') == 'one_bar') }}
{%- endmacro %}

{# Renders the model in another way; none if it does not know it. The list of what is kept begins anew. #}
{% macro in_way(way) -%}
    {%- do model.update({'way': way, 'kept': [], 'bars_back': none}) -%}
    {%- set text = render(model.raw_code) -%}
    {%- set is_known = model['bars_back'] is not none -%}
    {%- do model.update({'way': none, 'kept': [], 'bars_back': none}) -%}
    {{ return(text if is_known else none) }}
{%- endmacro %}

{# A value of which later bars need this one's, so that it is kept: how it is computed where days are read, and of one bar,
   where that of the bar before is kept_before(name, window), null where `window` has none. #}
{% macro carried(name, of_days, of_one_bar=none) -%}
    {{ carried_value(name, of_days, of_one_bar) }} as {{ name }}
{%- endmacro %}

{% macro carried_value(name, of_days, of_one_bar=none) -%}
    {%- if one_bar() -%}
    case when is_new_bar then {{ of_one_bar or of_days }} else kept_sums[{{ kept_place(name) }}] end
    {%- else -%}
    {%- do kept_place(name) -%}
    {{ of_days }}
    {%- endif -%}
{%- endmacro %}

{% macro kept_before(name, window) -%}
    lag(kept_sums[{{ kept_place(name) }}]) over {{ window }}
{%- endmacro %}

{# The place of a value among those that are kept: in the order in which the model first speaks of them. #}
{% macro kept_place(name) -%}
    {%- if not model.get('way') -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if name not in model['kept'] -%}
        {%- do model['kept'].append(name) -%}
    {%- endif -%}
    {{ return(model['kept'].index(name) + 1) }}
{%- endmacro %}

{# The bars, with what is kept of each and of yesterday's last row; and the columns of the first CTE that hold it. #}
{% macro bars_and_kept() -%}
    {%- if not one_bar() -%}
    {{ ref('bars_5m') }}
    {%- else -%}
    (
        select b.*, b.time = scope_start() as is_new_bar, here.sums as kept_sums, yesterday.sums as kept_sums_yesterday
        from {{ ref('bars_5m') }} as b
        left join running_sums as here
            on here.model = '{{ model.name }}' and b.symbol = here.symbol and b.time = here.time
        left join running_sums as yesterday
            on yesterday.model = '{{ model.name }}' and b.symbol = yesterday.symbol and b.time = scope_start()
            and yesterday.time = scope_days_before(0) - interval '5 minutes' and yesterday.time >= b.segment_start
    ) as bars_5m
    {%- endif -%}
{%- endmacro %}

{% macro kept_columns() -%}
    {%- if one_bar() -%}
        , is_new_bar, kept_sums, kept_sums_yesterday
    {%- endif -%}
{%- endmacro %}

{# What makes no sense at the other rows, whose neighbours are not read. #}
{% macro of_new_bar(expression) -%}
    {{ 'case when is_new_bar then ' ~ expression ~ ' end' if one_bar() else expression }}
{%- endmacro %}

{# The last columns of a model: its running sums and states, for the engine. #}
{% macro kept(states=[]) -%}
    {%- if model.get('way') %},
        array[{{ model['kept'] | join(', ') }}]::float8[] as sums,
        {{ '(' ~ states | join(' || ') ~ ')' if states else 'null' }}::float8[] as carried_state
    {%- endif -%}
{%- endmacro %}

{# How many of the rows read lie between a row and the one n bars before it, which is read too. #}
{% macro rows_back(n) -%}
    {%- if not one_bar() -%}
        {{ return(n) }}
    {%- endif -%}
    {%- if n not in model['bars_back'] -%}
        {{ exceptions.raise_compiler_error(model.name ~ ': a lag of ' ~ n ~ ' bars, which are not among its bars_back') }}
    {%- endif -%}
    {{ return(model['bars_back'] | select('le', n) | list | length) }}
{%- endmacro %}

{# The value n bars before. #}
{% macro lag(expression, n) -%}
    lag({{ expression }}, {{ rows_back(n) }}) over segment
{%- endmacro %}
