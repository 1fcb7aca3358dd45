-- The funding rate as paid, brought to eight hours by the interval really in force, its place among the last month's
-- settlements, and what the next one will be. Statistics change only when a settlement becomes known or leaves a
-- window: they are computed there and carried. Limit: 11 settlements of warm-up for the rank.
with bars as (
    select
        symbol, time, available_at, segment_start, utc_day(time) as utc_day, close, mark_price, index_price,
        funding_rate, funding_time, predicted_funding_rate, next_funding_time
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=2, bars_back=[1]) }}
),

listings as (
    -- A listing ends where the ticker's next one begins, whether or not somebody closed it.
    select
        symbol,
        valid_from,
        least(valid_to, coalesce(lead(valid_from) over (partition by symbol order by valid_from), 'infinity')) as valid_to
    from {{ source('raw', 'instruments') }}
),

changes as (
    -- Bars at which a settlement becomes known, leaves one of the windows or is too old for yesterday's; and where a
    -- stretch, or the range, begins.
    select s.symbol, bar_open(s.known_at + w.width - interval '1 microsecond') as time
    from unnest(scope_symbols()) as asked (symbol)
    cross join (
        values
        (interval '0'), (interval '24 hours'), (interval '168 hours'), (interval '720 hours'), (interval '936 hours'),
        (interval '24 hours 0.000001 seconds' + interval '{{ var("stale_after") }}' - interval '{{ var("lag_funding") }}')
    ) as w (width)
    inner join {{ ref('stg_funding_rate') }} as s on
        asked.symbol = s.symbol
        and s.funding_time > (select scope_start()) - w.width - interval '{{ var("lag_funding") }}'
        {%- if one_bar() %}
        and s.funding_time <= (select scope_start()) + interval '5 minutes' - w.width - interval '{{ var("lag_funding") }}'
        {%- endif %}
    union
    select symbol, min(time)
    from bars
    where time >= (select scope_start()){{ ' and time = segment_start' if one_bar() }}
    group by symbol, segment_start
),

bars_that_change as (
    select bars.symbol, bars.time, bars.available_at, {{ listed_from('bars.symbol', 'bars.time') }} as listed_from
    from changes
    inner join bars on changes.symbol = bars.symbol and changes.time = bars.time
    where bars.time >= (select scope_start())
),

settlements as (
    select
        s.symbol,
        coalesce(l.valid_from, '-infinity') as listed_from,
        s.funding_time,
        s.known_at,
        s.funding_rate as rate
    from {{ ref('stg_funding_rate') }} as s
    left join listings as l on s.symbol = l.symbol and s.funding_time >= l.valid_from and s.funding_time < l.valid_to
    where {{ from_scope_start(before='960 hours', symbol='s.symbol', time='s.funding_time') }}
        {{- ' and s.symbol in (select symbol from bars_that_change)' if one_bar() }}
),

settlements_with_hours as (
    select
        *,
        date_part('epoch', funding_time - lag(funding_time) over by_time) / 3600 as hours
    from settlements
    window by_time as (partition by symbol, listed_from order by funding_time)
),

rates as (
    select
        *,
        case when hours in (1, 2, 4, 8) then hours end as interval_hours,
        case when hours in (1, 2, 4, 8) then rate * 8 / hours end as rate_8h
    from settlements_with_hours
),

settlements_and_bars as (
    -- On one time line: a settlement stands where it becomes known, a bar where it closes.
    select
        symbol, listed_from, known_at as at, known_at, rate, rate_8h, interval_hours,
        lag(rate_8h) over (partition by symbol, listed_from order by funding_time) as rate_8h_before,
        null::timestamptz as time
    from rates
    union all
    select symbol, listed_from, available_at, null, null, null, null, null, time
    from bars_that_change
),

counted as (
    select
        *,
        count(known_at) over until_yesterday as count_until_yesterday,
        count(known_at) over until_last_week as count_until_last_week,
        sum(rate) over last_day as sum_24h,
        sum(rate) over last_week as sum_7d,
        count(rate_8h) over last_month as count_30d,
        avg(rate_8h) over last_month as mean_30d,
        case when min(rate_8h) over last_month = max(rate_8h) over last_month then 0 else stddev_samp(rate_8h) over last_month end
            as stddev_30d,
        array_agg(rate_8h) over last_month as rates_30d,
        max(array[date_part('epoch', known_at), interval_hours, rate_8h, rate_8h_before])
            filter (where known_at is not null) over last_month as newest,
        max(array[date_part('epoch', known_at), rate_8h])
            filter (where known_at is not null) over until_yesterday as newest_yesterday
    from settlements_and_bars
    window
        by_time as (partition by symbol, listed_from order by at),
        -- Open at their beginning, which RANGE frames are not.
        last_day as (by_time range between interval '23:59:59.999999' preceding and current row),
        last_week as (by_time range between interval '167:59:59.999999' preceding and current row),
        last_month as (by_time range between interval '719:59:59.999999' preceding and current row),
        until_yesterday as (by_time range between interval '936 hours' preceding and interval '24 hours' preceding),
        until_last_week as (by_time range between interval '936 hours' preceding and interval '168 hours' preceding)
),

statistics as (
    select
        symbol,
        time,
        array[
            date_part('epoch', time), newest[2], newest[3], newest[4],
            case
                when newest_yesterday[1] >= date_part(
                    'epoch', at - interval '24 hours' - interval '{{ var("stale_after") }}' + interval '{{ var("lag_funding") }}'
                ) then newest_yesterday[2]
            end,
            case when count_until_yesterday > 0 then sum_24h end,
            case when count_until_last_week > 0 then sum_7d end,
            case when count_30d >= 10 then mean_30d end,
            case when count_30d >= 10 then stddev_30d end,
            case when count_30d >= 10 then (
                select count(*) filter (where v < newest[3]) + 0.5 * count(*) filter (where v = newest[3])
                from unnest(rates_30d) as v
            ) / count_30d end
        ]::float8[] as known
    from counted
    where time is not null
),

{% if one_bar() -%}
at_the_bar_before as (
    -- The statistics, the newest announced settlement that is over, and those announced that are to come.
    {{ last_states() }}
),

announced as (
    select
        bars.symbol,
        bars.time,
        to_timestamp(max(a.settles) filter (where a.settles <= date_part('epoch', bars.available_at))) as next_funding_time,
        array_agg(a.settles order by a.settles) filter (where a.settles > date_part('epoch', bars.available_at)) as to_come
    from bars
    left join at_the_bar_before as carried using (symbol, segment_start)
    cross join lateral (
        select unnest(carried.state[11:])
        union
        select date_part('epoch', bars.next_funding_time)
    ) as a (settles)
    where bars.is_new_bar
    group by bars.symbol, bars.time
),
{%- else -%}
announced as (
    -- Settlements that a mark-price row had announced, by the first bar that knows so and closes at or after them.
    select
        symbol,
        segment_start,
        next_funding_time,
        min(time) as announced_by,
        greatest(min(time), bar_open(next_funding_time - interval '1 microsecond')) as time
    from bars
    where next_funding_time is not null
    group by symbol, segment_start, next_funding_time
),
{%- if model.get('way') %}

to_come as (
    select bars.symbol, bars.time, array_agg(date_part('epoch', a.next_funding_time)) as to_come
    from bars
    inner join announced as a on
        bars.symbol = a.symbol and bars.segment_start = a.segment_start
        and bars.time >= a.announced_by and bars.available_at < a.next_funding_time
    group by bars.symbol, bars.time
),
{%- endif %}
{%- endif %}

bars_with_premiums as (
    select
        bars.*,
        {{ row_numbers() }},
        close / nullif(index_price, 0) - 1 as premium,
        (date_part('epoch', bars.time - greatest(
            bar_open(funding_time + interval '5 minutes' - interval '1 microsecond'), bars.segment_start
        )) / 300 + 1)::bigint as bars_since_funding,
        {% if one_bar() -%}
        coalesce(statistics.known, carried.state[1:10]) as known,
        announced.next_funding_time as announced_time,
        announced.to_come
    from bars
    left join at_the_bar_before as carried using (symbol, segment_start)
    left join announced using (symbol, time)
        {%- else -%}
        max(statistics.known) over segment as known,
        max(announced.next_funding_time) over segment as announced_time
        {{- ', to_come.to_come' if model.get('way') }}
    from bars
    left join announced using (symbol, segment_start, time)
        {{- ' left join to_come using (symbol, time)' if model.get('way') }}
        {%- endif %}
    left join statistics using (symbol, time)
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('premium') }}
    from bars_with_premiums
    {{ rolling_windows() }}
),

intervals as (
    select
        *,
        {{ lag_by('premium_sum', 'bars_since_funding', 'day_blocks') }} as premium_sum_back,
        {{ total_at_yesterdays_end('premium_sum') }} as premium_sum_yesterday,
        case when funding_rate is not null then known[2] end as interval_hours,
        case when funding_rate is not null then known[3] end as rate_8h,
        case when funding_rate is not null then known[4] end as rate_8h_before,
        case when funding_rate is not null then known[5] end as rate_8h_day_before,
        case when funding_rate is not null then known[6] end as sum_24h,
        case when funding_rate is not null then known[7] end as sum_7d,
        case when funding_rate is not null then known[8] end as mean_30d,
        case when funding_rate is not null then known[9] end as stddev_30d,
        case when funding_rate is not null then known[10] end as percentile_30d,
        date_part('epoch', next_funding_time - greatest(funding_time, announced_time)) / 3600 as announced_hours
    from day_blocks
    {{ rolling_windows() }}
),

intervals_in_force as (
    select
        *,
        case when percentile_30d is not null and rate_8h is not null then percentile_30d end as percentile,
        case
            when next_funding_time > greatest(funding_time, announced_time)
                then case when announced_hours in (1, 2, 4, 8) then announced_hours::float8 end
            else interval_hours
        end as hours_in_force
    from intervals
),

features as (
    select
        symbol,
        time,
        funding_rate as funding_rate_current,
        rate_8h - rate_8h_before as funding_rate_change,
        rate_8h - rate_8h_day_before as funding_rate_change_24h,
        sum_24h as cumulative_funding_24h,
        sum_7d as cumulative_funding_7d,
        {{ safe_ratio('(rate_8h - mean_30d)', 'stddev_30d') }} as funding_zscore,
        percentile as funding_percentile,
        case when percentile >= 0.95 and rate_8h > 0.000101 then 1 when percentile is not null then 0 end::float8
            as funding_extreme_positive,
        case when percentile <= 0.05 and rate_8h < 0 then 1 when percentile is not null then 0 end::float8
            as funding_extreme_negative,
        rate_8h * 3 * 365 as funding_annualized,
        case
            when next_funding_time > available_at then date_part('epoch', next_funding_time - available_at) / 60
            else date_part('epoch', funding_time
                + make_interval(hours => interval_hours::integer)
                * (floor(date_part('epoch', available_at - funding_time) / 3600 / interval_hours) + 1) - available_at
            ) / 60
        end::float8 as minutes_to_funding,
        hours_in_force as funding_interval_hours,
        predicted_funding_rate * 8 / hours_in_force as predicted_funding_8h,
        case when funding_rate is not null and premium_known_rows >= bars_since_funding and bars_since_funding > 0 then
            window_sum(rows_today, premium_sum, premium_sum_back, premium_sum_yesterday, 0, bars_since_funding) / bars_since_funding
        end as premium_since_funding,
        close / nullif(mark_price, 0) - 1 as mark_premium,
        mark_price / nullif(index_price, 0) - 1 as mark_index_premium
        {{- kept(['known', "array[date_part('epoch', announced_time)]", "coalesce(to_come, '{}')"]) }}
    from intervals_in_force
)

select * from features
