{# For each bar the newest row of a source that became known since the bar before, as array[stamp, measures...];
   a bar that is the first of its scope or segment gets the newest row known at all. A running max() over these
   arrays, whose first element is the stamp, carries them as of. #}
{% macro newest_by_bar(view, table, measures, lag, stamp='time', kind='true') -%}
    select symbol, time, max(newest) as newest
    from (
        select
            symbol,
            bar_open(known_at - interval '1 microsecond') as time,
            array[extract(epoch from {{ stamp }}), {{ measures | join(', ') }}]::float8[] as newest
        from {{ view }}
        where {{ kind }} and {{ from_scope_start(before=lag, time=stamp) }}
        union all
        select
            b.symbol,
            b.time,
            array[extract(epoch from v.{{ stamp }}), v.{{ measures | join(', v.') }}]::float8[]
        from (
            select
                symbol,
                time,
                (
                    select max(t.{{ stamp }})
                    from {{ table }} as t
                    where t.symbol = first_bars.symbol and {{ kind }} and t.{{ stamp }} <= first_bars.available_at - interval '{{ lag }}'
                ) as newest_stamp
            from first_bars
            offset 0 -- keeps the look-up out of the join, where it would run for every row of the source
        ) as b
        inner join {{ view }} as v on b.symbol = v.symbol and b.newest_stamp = v.{{ stamp }} and {{ kind }}
    ) as known
    group by symbol, time
{%- endmacro %}
