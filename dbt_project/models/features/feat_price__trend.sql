-- Moving averages of the close and where the close stands about them.
-- Bands: Bollinger, two population deviations. Limit: 199 bars of warm-up for the longest.
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, close
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_back=[1, 5, 20, 50, 200]) }}
),

bars_with_anchors as (
    select
        *,
        {{ row_numbers() }},
        {{ changed('close') }},
        {{ day_anchor('close', 'close_anchor') }}
    from bars
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('close', powers=2, anchor='close_anchor') }}
    from bars_with_anchors
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('close', [20, 50, 200], powers=2, anchor='close_anchor') }}
    from day_blocks
    {{ rolling_windows() }}
),

averages as (
    select
        *,
        {{ carried('sma_20', rolling_mean('close', 20, 'close_anchor')) }},
        {{ rolling_mean('close', 50, 'close_anchor') }} as sma_50,
        {{ rolling_mean('close', 200, 'close_anchor') }} as sma_200,
        {{ rolling_stddev('close', 50) }} as stddev_50,
        2 * {{ rolling_stddev('close', 20, ddof=0) }} as band
    from blocks_back
),

features as (
    select
        symbol,
        time,
        sma_20,
        sma_50,
        sma_200,
        close / sma_20 - 1 as price_vs_sma20,
        close / sma_50 - 1 as price_vs_sma50,
        close / sma_200 - 1 as price_vs_sma200,
        sma_20 / {{ lag('sma_20', 5) }} - 1 as sma_20_slope_5,
        {{ safe_ratio('(close - sma_50)', 'stddev_50') }} as price_zscore_50,
        2 * band / sma_20 as bb_width,
        {{ safe_ratio('(close - (sma_20 - band))', '(2 * band)') }} as bb_position
        {{- kept() }}
    from averages
    {{ rolling_windows() }}
)

select * from features
