{# Complete higher bars, in the segment of the grid that holds them: those that end within the days in scope, and as many
   rows before them as the caller looks back on, however far apart they lie. `last_bar` is the bar at whose close the
   higher one is complete. #}
{% macro higher_bars(rollup, width, rows_before) -%}
    select r.symbol, r.time, r.high, r.low, r.close, b.time as last_bar, b.segment_start
    from {{ ref(rollup) }} as r
    inner join {{ ref('bars_5m') }} as b
        on r.symbol = b.symbol and r.time + interval '{{ width }}' - interval '5 minutes' = b.time
    {%- if model.resource_type != 'unit_test' %}
    inner join (
        select
            s.symbol,
            {%- if rows_before == 0 %}
            scope_days_before(0) as time
            {%- else %}
            coalesce((
                select min(before.time)
                from (
                    select r.time
                    from {{ ref(rollup) }} as r
                    where r.symbol = s.symbol and r.time < scope_days_before(0)
                    order by r.time desc
                    limit {{ rows_before }}
                ) as before
            ), '-infinity') as time
            {%- endif %}
        from unnest(scope_symbols()) as s (symbol)
    ) as start on r.symbol = start.symbol and r.time >= start.time
    {%- endif %}
{%- endmacro %}
