{# The rows of a source under the bar in which they became known, as array[stamp, measures...]; a bar that is the first of
   its scope or segment gets the newest row known at all. A max() over a bar's arrays, whose first element is the stamp,
   is the newest; a running max() carries it as of. #}
{% macro rows_by_bar(view, table, measures, lag, stamp='time', kind='true', has_periods=false) -%}
    select
        symbol,
        bar_open(known_at - interval '1 microsecond') as time,
        array[date_part('epoch', {{ stamp }}), {{ measures | join(', ') }}]::float8[] as newest
    from {{ view }}
    where {{ kind }} and {{ from_scope_start(before=lag, time=stamp) }}
    union all
    select
        b.symbol,
        b.time,
        array[date_part('epoch', v.{{ stamp }}), v.{{ measures | join(', v.') }}]::float8[]
    from first_bars as b
    cross join lateral (
        {%- if has_periods %}
        -- The newest row of each period, found by the index: that costs the same whatever lies before it.
        select candidates.*
        from unnest(periods()) as p (period)
        cross join lateral (
            select * from {{ table }} as t
            where
                t.symbol = b.symbol and t.period = p.period and {{ kind }}
                and t.{{ stamp }} <= b.available_at - interval '{{ lag }}'
            order by t.{{ stamp }} desc
            limit 1
        ) as candidates
        order by candidates.{{ stamp }} desc, timeframe_width(candidates.period)
        limit 1
        {%- else %}
        select * from {{ table }} as t
        where t.symbol = b.symbol and {{ kind }} and t.{{ stamp }} <= b.available_at - interval '{{ lag }}'
        order by t.{{ stamp }} desc
        limit 1
        {%- endif %}
    ) as v
{%- endmacro %}
