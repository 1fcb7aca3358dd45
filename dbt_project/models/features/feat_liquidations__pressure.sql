-- Forced orders of the last hour and day, which side they hit, and how unusual they are. The exchange publishes only the
-- latest order a second, so all are lower bounds; null where nobody listened. Limit: 298 bars of warm-up for the z-score.
with bars as (
    select
        symbol, time, segment_start, utc_day(time) as utc_day, quote_volume, open_interest_value,
        long_liquidations, short_liquidations, long_liquidations + short_liquidations as liquidations,
        liquidation_count, max_liquidation
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=12, bars_back=range(1, 13) | list + [288]) }}
),

last_hours as (
    select
        *,
        {{ row_numbers() }},
        case when count(liquidations) over last_12 = 12 then sum(long_liquidations) over last_12 end as long_liq_vol_1h,
        case when count(liquidations) over last_12 = 12 then sum(short_liquidations) over last_12 end as short_liq_vol_1h,
        case when count(liquidations) over last_12 = 12 then sum(liquidations) over last_12 end as liquidation_vol_1h,
        case when count(liquidations) over last_12 = 12 then sum(liquidation_count) over last_12 end as liquidation_count_1h,
        case when count(liquidations) over last_12 = 12 then max(max_liquidation) over last_12 end as max_liq_size_1h,
        case when count(quote_volume) over last_12 = 12 then sum(quote_volume) over last_12 end as quote_volume_1h
    from bars
    {{ rolling_windows() }},
        last_12 as (partition by symbol, segment_start order by utc_day, time rows 11 preceding)
),

last_hours_with_anchors as (
    select
        *,
        {{ changed('liquidation_vol_1h') }},
        {{ day_anchor('liquidation_vol_1h', 'hour_anchor') }}
    from last_hours
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('liquidations') }},
        {{ day_block('liquidation_vol_1h', powers=2, anchor='hour_anchor') }}
    from last_hours_with_anchors
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('liquidations', [288]) }},
        {{ look_back('liquidation_vol_1h', [288], powers=2, anchor='hour_anchor') }}
    from day_blocks
    {{ rolling_windows() }}
),

statistics as (
    select
        *,
        {{ rolling_mean('liquidation_vol_1h', 288, 'hour_anchor') }} as mean_288,
        {{ rolling_stddev('liquidation_vol_1h', 288) }} as stddev_288
    from blocks_back
),

scores as (
    select
        *,
        case when stddev_288 = 0 then 0 else (liquidation_vol_1h - mean_288) / stddev_288 end as liq_zscore_24h
    from statistics
),

features as (
    select
        symbol,
        time,
        liquidation_vol_1h,
        long_liq_vol_1h,
        short_liq_vol_1h,
        long_liq_vol_1h - short_liq_vol_1h as net_liquidation,
        liquidation_count_1h,
        {{ safe_ratio('liquidation_vol_1h', 'liquidation_count_1h') }} as avg_liq_size,
        max_liq_size_1h,
        case
            when liquidation_vol_1h = 0 then 0
            else (long_liq_vol_1h - short_liq_vol_1h) / liquidation_vol_1h
        end as liq_imbalance_1h,
        {{ rolling_sum('liquidations', 288) }} as liquidation_vol_24h,
        {{ safe_ratio('liquidation_vol_1h', 'quote_volume_1h') }} as liq_to_volume_1h,
        {{ safe_ratio('liquidation_vol_1h', 'open_interest_value') }} as liq_to_oi_1h,
        liq_zscore_24h,
        case when liq_zscore_24h > 3 then 1 when liq_zscore_24h is not null then 0 end::float8 as liq_spike
        {{- kept() }}
    from scores
)

select * from features
