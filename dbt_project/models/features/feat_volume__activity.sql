-- How much is traded, in what sizes, at what average price, and against the same time of earlier days.
-- Illiquidity: Amihud (2002). Limit: 2,016 bars of warm-up for the time-of-day ratio.
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, close, volume, quote_volume, trades, open_interest
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=1, bars_back=[1, 10, 20, 288]) }}
),

same_time_of_day as {{ 'materialized ' if one_bar() }}(
    select
        symbol,
        time,
        case when count(volume) over last_seven_days = 7 then avg(volume) over last_seven_days end as volume_same_time
    from {{ ref('bars_5m') }}
    where {{ same_time_of_day_in_scope(7) }}
    window last_seven_days as (
        partition by symbol, segment_start, time - utc_day(time) order by time rows between 7 preceding and 1 preceding
    )
),

bars_with_measures as (
    select
        *,
        {{ row_numbers() }},
        {{ changed('close') }},
        {{ changed('volume') }},
        {{ changed('trades') }},
        {{ changed('open_interest') }},
        {{ day_anchor('close', 'close_anchor') }},
        {{ day_anchor('open_interest', 'open_interest_anchor') }},
        {{ day_sum('case when volume is not null then quote_volume end', 'turnover_today') }} as turnover_today,
        {{ day_sum('case when quote_volume is not null then volume end', 'volume_today') }} as volume_today,
        case
            when time = segment_start then null
            when quote_volume > 0 then coalesce(abs(close / lag(close) over segment - 1) / quote_volume, 0)
            else 0
        end as illiquidity,
        case
            when time = segment_start then null
            when quote_volume > 0 and close / lag(close) over segment is not null then 1
            else 0
        end as is_traded
    from bars
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ safe_ratio('turnover_today', 'volume_today') }} as vwap,
        {{ day_block('close', powers=2, anchor='close_anchor') }},
        {{ day_block('volume', powers=2) }},
        {{ product_block('close', 'volume', x_anchor='close_anchor') }},
        {{ day_block('quote_volume') }},
        {{ day_block('trades', powers=2) }},
        {{ day_block('open_interest', powers=2, anchor='open_interest_anchor') }},
        {{ day_block('illiquidity') }},
        {{ day_block('is_traded') }}
    from bars_with_measures
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('close', [20], powers=2, anchor='close_anchor') }},
        {{ look_back('volume', [20, 288], powers=2) }},
        {{ look_back_products('close', 'volume', [20], x_anchor='close_anchor') }},
        {{ look_back('quote_volume', [288]) }},
        {{ look_back('trades', [288], powers=2) }},
        {{ look_back('open_interest', [288], powers=2, anchor='open_interest_anchor') }},
        {{ look_back('illiquidity', [20]) }},
        {{ look_back('is_traded', [20]) }},
        {{ lag('volume', 1) }} as volume_1_before,
        {{ lag('volume', 10) }} as volume_10_before
    from day_blocks
    {{ rolling_windows() }}
),

averages as (
    select
        *,
        {{ rolling_mean('volume', 20) }} as volume_sma_20,
        {{ rolling_zscore('volume', 288) }} as volume_zscore_288,
        {{ rolling_sum('volume', 288) }} as volume_24h,
        {{ safe_ratio(rolling_sum('quote_volume', 288), rolling_sum('volume', 288)) }} as vwap_24h
    from blocks_back
),

features as (
    select
        symbol,
        time,
        {{ safe_ratio('volume', 'volume_1_before') }} - 1 as volume_change,
        volume_sma_20,
        {{ safe_ratio('volume', 'volume_sma_20') }} as volume_ratio,
        {{ safe_ratio('volume', 'volume_10_before') }} - 1 as volume_roc,
        volume_zscore_288,
        {{ safe_ratio('volume', 'volume_same_time') }} as volume_tod_ratio_7d,
        {{ rolling_corr('close', 'volume', 20) }} as price_volume_corr,
        vwap,
        close / vwap - 1 as price_vs_vwap,
        vwap_24h,
        close / vwap_24h - 1 as price_vs_vwap_24h,
        {{ safe_ratio('open_interest', 'volume_24h') }} as oi_volume_ratio,
        -- As in feat_oi__interest: to read it there would take longer, and have this model wait for that one.
        {{ rolling_zscore('open_interest', 288, 'open_interest_anchor') }} - volume_zscore_288 as oi_volume_divergence,
        {{ safe_ratio('quote_volume', 'trades') }} as avg_trade_size,
        {{ rolling_zscore('trades', 288) }} as trades_zscore_288,
        {{ safe_ratio(rolling_sum('illiquidity', 20), rolling_sum('is_traded', 20)) }} as amihud_20
        {{- kept() }}
    from averages
    left join same_time_of_day using (symbol, time)
)

select * from features
