-- What was known at each bar: klines on a gapless grid, and every other source as of the bar's close.
-- Grid, filling, holes and lags follow docs/decisions (time semantics). Limit: a bar in a hole of ours is null until repaired.
{% set stale = "interval '" ~ var('stale_after') ~ "'" %}

with klines as (
    select *
    from {{ ref('stg_ohlcv') }}
    where timeframe = '5m' and {{ from_scope_start(before='25 hours') }}
),

built as (
    select row_before.*
    from unnest(scope_symbols()) as s (symbol)
    cross join lateral (
        select b.symbol, b.segment_start
        from {{ this }} as b
        where b.symbol = s.symbol and b.time < scope_start()
        order by b.time desc
        limit 1
    ) as row_before
),

listings as (
    -- A listing ends where the ticker's next one begins, whether or not somebody closed it.
    select
        symbol,
        valid_from,
        least(valid_to, coalesce(lead(valid_from) over (partition by symbol order by valid_from), 'infinity')) as valid_to
    from {{ source('raw', 'instruments') }}
),

klines_with_listing as (
    select
        klines.*,
        listings.valid_from,
        least(coalesce(listings.valid_to, 'infinity'), (select last_kline()) + interval '5 minutes') as grid_end
    from klines
    left join listings
        on klines.symbol = listings.symbol and klines.time >= listings.valid_from and klines.time < listings.valid_to
),

klines_with_neighbours as (
    select
        *,
        lead(time) over by_time as next_time,
        case
            when lag(time) over by_time is null then time >= (select scope_start())
            else
                lag(time) over by_time < time - interval '24 hours 5 minutes'
                or (lag(valid_from) over by_time is distinct from valid_from)
        end as starts_segment
    from klines_with_listing
    window by_time as (partition by symbol order by time)
),

klines_in_segments as (
    select
        k.*,
        coalesce(
            max(case when k.starts_segment then k.time end) over (partition by k.symbol order by k.time rows unbounded preceding),
            built.segment_start
        ) as segment_start
    from klines_with_neighbours as k
    left join built on k.symbol = built.symbol
),

answered as (
    -- Adjacent segments of two sources cover a bar together.
    select asked.symbol, range_agg(tstzrange(c.from_time, c.to_time)) as times
    from (select distinct symbol from klines) as asked
    inner join {{ source('raw', 'coverage') }} as c on c.symbol in (asked.symbol, '*')
    where c.stream = 'ohlcv:5m' and c.source in ('rest', 'archive')
    group by asked.symbol
),

missing as (
    select
        k.symbol,
        k.segment_start,
        k.close,
        k.time as kline_time,
        grid.time,
        coalesce(answered.times @> tstzrange(grid.time, grid.time + interval '5 minutes'), false) as is_covered
    from klines_in_segments as k
    cross join lateral (
        select at.time
        from generate_series(
            k.time + interval '5 minutes',
            least(k.next_time, k.time + interval '24 hours 5 minutes', k.grid_end) - interval '5 minutes',
            interval '5 minutes'
        ) as at (time)
        order by at.time
        limit 288 -- 24 hours have no more, and without it the planner reckons with millions of rows
    ) as grid
    left join answered on k.symbol = answered.symbol
    where case when k.next_time = k.time + interval '5 minutes' then 'next' else 'hole' end = 'hole'
),

missing_with_price as (
    -- Once one bar of a hole is unknown, so is the price that the following ones stand at.
    select
        *,
        bool_and(is_covered) over (partition by symbol, kline_time order by time rows unbounded preceding) as price_is_known
    from missing
),

grid as (
    select
        symbol, time, segment_start, 0::float8 as is_filled, open, high, low, close,
        volume, quote_volume, trades::float8 as trades, taker_buy_base, taker_buy_quote
    from klines_in_segments
    union all
    select
        symbol, time, segment_start,
        case when is_covered then 1 end,
        case when price_is_known then close end,
        case when price_is_known then close end,
        case when price_is_known then close end,
        case when price_is_known then close end,
        case when is_covered then 0 end,
        case when is_covered then 0 end,
        case when is_covered then 0 end,
        case when is_covered then 0 end,
        case when is_covered then 0 end
    from missing_with_price
),

grid_in_scope as (
    select
        *,
        time + interval '5 minutes' as available_at,
        time = segment_start or lag(time) over (partition by symbol, segment_start order by time) is null as is_first
    from grid
    where time >= (select scope_start())
),

first_bars as (
    select symbol, time, available_at from grid_in_scope where is_first
),

mark_by_bar as (
    select
        symbol,
        bar_open(time - interval '1 microsecond') as time,
        max(array[date_part('epoch', time), mark_price, index_price]::float8[]) filter (
            where bar_open(time - interval '1 microsecond') + interval '5 minutes' - time < interval '{{ var("mark_price_max_age") }}'
        ) as price,
        max(array[date_part('epoch', time), predicted_funding_rate, date_part('epoch', next_funding_time)]::float8[]) filter (
            where next_funding_time is not null
        ) as prediction
    from {{ ref('stg_mark_price') }}
    where {{ from_scope_start(before='11 minutes', time='slot') }}
    group by 1, 2
),

watch_segments as (
    select s.symbol, unnest(range_agg(tstzrange(c.from_time, c.to_time))) as watched
    from unnest(scope_symbols()) as s (symbol)
    inner join {{ source('raw', 'coverage') }} as c
        on c.stream = 'liquidations' and c.symbol in (s.symbol, '*') and c.to_time > scope_start()
    group by s.symbol
),

becoming_known as (
    -- Each row says one thing, under the bar in which it became known.
    {%- set taker %}
    -- Its lag depends on the period, so the newest stamp need not be the newest known.
    select
        symbol,
        bar_open(known_at - interval '1 microsecond') as time,
        array[date_part('epoch', known_at), long_short_ratio]::float8[] as newest
    from {{ ref('stg_long_short_ratio') }}
    where ratio_type = 'taker_volume' and {{ from_scope_start(before='24 hours 10 minutes') }}
    union all
    select b.symbol, b.time, array[date_part('epoch', v.known_at), v.long_short_ratio]::float8[]
    from first_bars as b
    inner join {{ ref('stg_long_short_ratio') }} as v
        on b.symbol = v.symbol and b.available_at >= v.known_at and b.available_at - {{ stale }} <= v.known_at
    where v.ratio_type = 'taker_volume' and {{ from_scope_start(before='49 hours 10 minutes', symbol='v.symbol', time='v.time') }}
    {%- endset %}
    {%- set sources = {
        'open_interest_snapshot': rows_by_bar(ref('stg_open_interest'), source('raw', 'open_interest'), has_periods=true,
            measures=['open_interest', 'open_interest_value'], lag=var('lag_open_interest')),
        'settlement': rows_by_bar(ref('stg_funding_rate'), source('raw', 'funding_rate'),
            stamp='funding_time', measures=['funding_rate'], lag=var('lag_funding')),
        'global_ratio': rows_by_bar(ref('stg_long_short_ratio'), source('raw', 'long_short_ratio'), has_periods=true,
            measures=['long_short_ratio'], lag=var('lag_long_short_ratio'), kind="ratio_type = 'global_account'"),
        'top_position': rows_by_bar(ref('stg_long_short_ratio'), source('raw', 'long_short_ratio'), has_periods=true,
            measures=['long_short_ratio'], lag=var('lag_long_short_ratio'), kind="ratio_type = 'top_position'"),
        'top_account': rows_by_bar(ref('stg_long_short_ratio'), source('raw', 'long_short_ratio'), has_periods=true,
            measures=['long_short_ratio'], lag=var('lag_long_short_ratio'), kind="ratio_type = 'top_account'"),
        'taker_ratio': taker,
        'mark': "select symbol, time, price as newest from mark_by_bar",
        'prediction': "select symbol, time, prediction as newest from mark_by_bar",
        'earlier_prediction': "select symbol, time + interval '5 minutes' as time, prediction as newest from mark_by_bar",
        'liquidations': "select symbol, time + interval '" ~ var('lag_liquidation') ~ "' as time, "
            ~ "array[long_liquidations, short_liquidations, liquidation_count, max_liquidation]::float8[] as newest from "
            ~ ref('roll_liquidations_5m') ~ " where " ~ from_scope_start(before='5 minutes'),
    } %}
    {%- for name, rows in sources.items() %}
    select
        symbol,
        time,
        {%- for one in sources %}
        {{ 'newest' if one == name else 'null::float8[]' }} as {{ one }},
        {%- endfor %}
        null::float8 as watched_seconds
    from ({{ rows }}) as {{ name }}_rows
    union all
    {%- endfor %}
    select
        w.symbol,
        bar.time,
        {%- for one in sources %}
        null::float8[],
        {%- endfor %}
        date_part('epoch', least(upper(w.watched), bar.time + interval '5 minutes') - greatest(lower(w.watched), bar.time))
    from watch_segments as w
    cross join lateral generate_series(
        greatest(bar_open(lower(w.watched)), scope_start()), upper(w.watched), interval '5 minutes'
    ) as bar (time)
),

known_by_bar as (
    -- One pass over all of them: a join for each source would take longer than the rest of this model.
    select
        symbol,
        time,
        {% for one in sources %}max({{ one }}) as {{ one }},
        {% endfor %}sum(watched_seconds) as watched_seconds
    from becoming_known
    group by symbol, time
),

carried as (
    select
        grid.*,
        {% for one in ['open_interest_snapshot', 'settlement', 'global_ratio', 'top_position', 'top_account', 'taker_ratio'] -%}
        max(known.{{ one }}) over so_far as {{ one }},
        {% endfor -%}
        known.mark,
        coalesce(known.prediction, known.earlier_prediction) as prediction,
        known.liquidations,
        known.watched_seconds >= {{ var('watched_seconds') }} as is_watched
    from grid_in_scope as grid
    left join known_by_bar as known using (symbol, time)
    window so_far as (partition by grid.symbol, grid.segment_start order by grid.time rows unbounded preceding)
),

stamped as (
    select
        *,
        to_timestamp(open_interest_snapshot[1]) as open_interest_time,
        to_timestamp(settlement[1]) as funding_time,
        to_timestamp(global_ratio[1]) as long_short_ratio_time
    from carried
),

bars as (
    select
        symbol,
        time,
        available_at,
        segment_start,
        is_filled,
        open,
        high,
        low,
        close,
        volume,
        quote_volume,
        trades,
        taker_buy_base,
        taker_buy_quote,
        case when available_at - open_interest_time <= {{ stale }} then open_interest_snapshot[2] end as open_interest,
        case when available_at - open_interest_time <= {{ stale }} then open_interest_snapshot[3] end as open_interest_value,
        open_interest_time,
        case when available_at - funding_time <= {{ stale }} then settlement[2] end as funding_rate,
        funding_time,
        case when available_at - long_short_ratio_time <= {{ stale }} then global_ratio[2] end as long_short_ratio,
        long_short_ratio_time,
        case when available_at - to_timestamp(top_position[1]) <= {{ stale }} then top_position[2] end as top_position_ratio,
        case when available_at - to_timestamp(top_account[1]) <= {{ stale }} then top_account[2] end as top_account_ratio,
        case when available_at - to_timestamp(taker_ratio[1]) <= {{ stale }} then taker_ratio[2] end as taker_volume_ratio,
        case when is_watched then coalesce(liquidations[1], 0) end as long_liquidations,
        case when is_watched then coalesce(liquidations[2], 0) end as short_liquidations,
        case when is_watched then coalesce(liquidations[3], 0) end as liquidation_count,
        case when is_watched then coalesce(liquidations[4], 0) end as max_liquidation,
        mark[2] as mark_price,
        mark[3] as index_price,
        prediction[2] as predicted_funding_rate,
        to_timestamp(prediction[3]) as next_funding_time
    from stamped
)

select * from bars
