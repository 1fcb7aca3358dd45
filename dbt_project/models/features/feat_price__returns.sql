-- Returns of the close, their volatility, skew and memory.
-- Range volatilities: Parkinson (1980), Garman and Klass (1980). Limit: 288 bars of warm-up for the longest.
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, open, high, low, close
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=2, bars_back=[1, 2, 3, 5, 20, 50, 100, 288]) }}
),

bars_with_returns as (
    select
        *,
        {{ row_numbers() }},
        close / {{ lag('close', 1) }} - 1 as return_1,
        close / {{ lag('close', 5) }} - 1 as return_5,
        close / {{ lag('close', 20) }} - 1 as return_20,
        close / {{ lag('close', 100) }} - 1 as return_100,
        close / {{ lag('close', 288) }} - 1 as return_288,
        ln(close / {{ lag('close', 1) }}) as log_return_1,
        ln(close / {{ lag('close', 5) }}) as log_return_5,
        abs(close - {{ lag('close', 1) }}) as path,
        abs(close - {{ lag('close', 20) }}) as distance_20,
        ln(high / low) ^ 2 as range_variance,
        0.5 * ln(high / low) ^ 2 - (2 * ln(2) - 1) * ln(close / open) ^ 2 as garman_klass_variance
    from bars
    {{ rolling_windows() }}
),

bars_with_memory as (
    select
        *,
        lag(log_return_1) over segment as log_return_before,
        {{ changed('log_return_1') }},
        (lag(log_return_1) over segment is distinct from {{ lag('log_return_1', 2) }}) as log_return_before_changed
    from bars_with_returns
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('log_return_1', powers=3) }},
        {{ day_block('log_return_before', powers=2) }},
        {{ day_block('path') }},
        {{ day_block('range_variance') }},
        {{ day_block('garman_klass_variance') }},
        {{ product_block('log_return_1', 'log_return_before') }}
    from bars_with_memory
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('log_return_1', [20, 50, 288], powers=3) }},
        {{ look_back('log_return_before', [50], powers=2) }},
        {{ look_back_products('log_return_1', 'log_return_before', [50]) }},
        {{ look_back('path', [20]) }},
        {{ look_back('range_variance', [20]) }},
        {{ look_back('garman_klass_variance', [20]) }}
    from day_blocks
    {{ rolling_windows() }}
),

volatilities as (
    select
        *,
        {{ rolling_stddev('log_return_1', 20) }} as realized_vol_20,
        {{ rolling_stddev('log_return_1', 288) }} as realized_vol_288
    from blocks_back
),

features as (
    select
        symbol,
        time,
        return_1,
        return_5,
        return_20,
        return_100,
        return_288,
        log_return_1,
        log_return_5,
        realized_vol_20,
        realized_vol_288,
        {{ safe_ratio('realized_vol_20', 'realized_vol_288') }} as vol_ratio_20_288,
        sqrt({{ rolling_sum('range_variance', 20) }} / 20 / (4 * ln(2))) as parkinson_vol_20,
        sqrt(not_negative({{ rolling_sum('garman_klass_variance', 20) }} / 20)) as garman_klass_vol_20,
        {{ safe_ratio('distance_20', rolling_sum('path', 20)) }} as efficiency_ratio_20,
        {{ rolling_corr('log_return_1', 'log_return_before', 50) }} as return_autocorr_50,
        {{ rolling_skewness('log_return_1', 288) }} as return_skew_288
        {{- kept() }}
    from volatilities
)

select * from features
