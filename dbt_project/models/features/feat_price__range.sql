-- Where the close stands in past ranges, and the shape of the bar.
-- Stochastic: Lane. Day-long extremes join the day so far with the rest of the day before. Limit: 287 bars of warm-up.
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, open, high, low, close
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_back=range(1, 21) | list + [288]) }}
),

bars_with_extremes as (
    select
        *,
        {{ row_in_segment() }},
        {{ known_so_far('close') }},
        {%- if not one_bar() %}
        max(high) over day_so_far as day_high,
        min(low) over day_so_far as day_low,
        max(close) over day_so_far as day_close,
        max(high) over rest_of_day as rest_high,
        min(low) over rest_of_day as rest_low,
        max(close) over rest_of_day as rest_close,
        {%- endif %}
        max(high) over last_14 as high_14,
        min(low) over last_14 as low_14,
        max(high) over last_20 as high_20,
        min(low) over last_20 as low_20
    from bars
    {%- if one_bar() %}
    -- All of the 288 bars are in the one extreme: no rest of yesterday is left to join.
    cross join lateral (
        select
            max(d.high) as day_high, min(d.low) as day_low, max(d.close) as day_close,
            null::float8 as rest_high, null::float8 as rest_low, null::float8 as rest_close
        from {{ ref('bars_5m') }} as d
        where is_new_bar and d.symbol = bars.symbol and d.time > bars.time - interval '24 hours' and d.time <= bars.time
    ) as last_day
    {%- endif %}
    window
        segment as (partition by symbol, segment_start order by utc_day, time rows unbounded preceding),
        day_so_far as (partition by symbol, segment_start, utc_day order by time rows unbounded preceding),
        rest_of_day as (partition by symbol, segment_start, utc_day order by time desc rows unbounded preceding),
        last_14 as (partition by symbol, segment_start order by utc_day, time rows 13 preceding),
        last_20 as (partition by symbol, segment_start order by utc_day, time rows 19 preceding)
),

windows as (
    select
        *,
        case when {{ all_known(14) }} then high_14 end as highest_14,
        case when {{ all_known(14) }} then low_14 end as lowest_14,
        {{ carried('highest_20', 'case when ' ~ all_known(20) ~ ' then high_20 end') }},
        {{ carried('lowest_20', 'case when ' ~ all_known(20) ~ ' then low_20 end') }},
        case when {{ all_known(288) }} then greatest(day_high, lag(rest_high, 287) over segment) end as highest_288,
        case when {{ all_known(288) }} then least(day_low, lag(rest_low, 287) over segment) end as lowest_288,
        case when {{ all_known(288) }} then greatest(day_close, lag(rest_close, 287) over segment) end as highest_close_288
    from bars_with_extremes
    {{ rolling_windows() }}
),

oscillators as (
    select
        *,
        {{ carried('stoch_k_14', '100 * ' ~ safe_ratio('(close - lowest_14)', '(highest_14 - lowest_14)')) }}
    from windows
),

features as (
    select
        symbol,
        time,
        stoch_k_14,
        (stoch_k_14 + {{ lag('stoch_k_14', 1) }} + {{ lag('stoch_k_14', 2) }}) / 3 as stoch_d_3,
        case
            when highest_20 is null or {{ lag('highest_20', 20) }} is null then null
            when highest_20 > {{ lag('highest_20', 20) }} and lowest_20 > {{ lag('lowest_20', 20) }} then 1
            when highest_20 < {{ lag('highest_20', 20) }} and lowest_20 < {{ lag('lowest_20', 20) }} then -1
            else 0
        end::float8 as market_structure,
        {{ safe_ratio('(close - lowest_288)', '(highest_288 - lowest_288)') }} as donchian_position_288,
        close / highest_close_288 - 1 as drawdown_288,
        {{ safe_ratio('(close - open)', '(high - low)') }} as body_ratio,
        {{ safe_ratio('(high - greatest(open, close))', '(high - low)') }} as upper_wick_ratio,
        {{ safe_ratio('(least(open, close) - low)', '(high - low)') }} as lower_wick_ratio
        {{- kept() }}
    from oscillators
    {{ rolling_windows() }}
)

select * from features
