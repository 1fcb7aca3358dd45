-- Level, pace and place of the open interest, and whether it moves with the price of its own snapshots.
-- The exponential means remember all of a segment; each day's last row keeps their state. Limit: 168 full hours of warm-up.
with bars as (
    select
        symbol, time, segment_start, utc_day(time) as utc_day, volume, open_interest, open_interest_value,
        {{ safe_ratio('open_interest_value', 'open_interest') }} as price
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=1, bars_back=range(1, 21) | list + [48, 50, 288]) }}
),

carried as (
    {{ last_states() }}
),

last_week as materialized (
    {{ sorted_hours('open_interest') }}
),

bars_with_changes as (
    select
        *,
        {{ row_numbers() }},
        {{ day_anchor('open_interest', 'open_interest_anchor') }},
        {{ safe_ratio('open_interest', lag('open_interest', 1)) }} - 1 as oi_change_1,
        {{ snapshot_move('price', 1) }} as price_change_1,
        {{ snapshot_move('price', 12) }} as price_change_12,
        {{ snapshot_move('price', 20) }} as price_change_20,
        {{ snapshot_move('price', 50) }} as price_change_50,
        case when count(open_interest) over last_20 = 20 then stddev_pop(open_interest) over last_20 end as deviation_20
    from bars
    {{ rolling_windows() }},
        last_20 as (partition by symbol, segment_start order by utc_day, time rows 19 preceding)
),

bars_with_flags as (
    select
        *,
        {{ changed('open_interest') }},
        {{ changed('oi_change_1') }},
        {{ changed('price_change_1') }}
    from bars_with_changes
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('open_interest', powers=2, anchor='open_interest_anchor') }},
        {{ day_block('oi_change_1', powers=2) }},
        {{ day_block('price_change_1', powers=2) }},
        {{ product_block('oi_change_1', 'price_change_1') }},
        {{ day_block('volume') }}
    from bars_with_flags
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('open_interest', [20, 50, 288], powers=2, anchor='open_interest_anchor') }},
        {{ look_back('oi_change_1', [20, 50], powers=2) }},
        {{ look_back('price_change_1', [20, 50], powers=2) }},
        {{ look_back_products('oi_change_1', 'price_change_1', [50]) }},
        {{ look_back('volume', [12]) }},
        {% for n in [5, 12, 20, 48, 50, 288] -%}
        {{ lag('open_interest', n) }} as open_interest_{{ n }}_before{{ ',' if not loop.last }}
        {% endfor %}
    from day_blocks
    {{ rolling_windows() }}
),

statistics as (
    select
        *,
        {{ rolling_mean('open_interest', 20, 'open_interest_anchor') }} as oi_sma_20,
        {{ rolling_mean('open_interest', 50, 'open_interest_anchor') }} as oi_sma_50,
        case when open_interest_flat_rows >= 20 then 0 * deviation_20 else deviation_20 * sqrt(20 / 19.0::float8) end as oi_std_20,
        case when open_interest_flat_rows >= 20 then 0 else 2 end * deviation_20 as band,
        {{ carried('oi_velocity_1h', safe_ratio('open_interest', 'open_interest_12_before') ~ ' - 1') }},
        {{ safe_ratio('open_interest', 'open_interest_20_before') }} - 1 as oi_change_20,
        {{ safe_ratio('open_interest', 'open_interest_50_before') }} - 1 as oi_change_50,
        {{ carried('volume_12', rolling_sum('volume', 12)) }}
    from blocks_back
),

averages as (
    select
        statistics.*,
        {{ lag('oi_velocity_1h', 12) }} as oi_velocity_1h_before,
        lag(volume_12) over segment as volume_12_before
    from statistics
    {{ rolling_windows() }}
),

first_pass as (
    select
        averages.*,
        {{ ema('open_interest', 12, state=1) }} as ema_12_state,
        {{ ema('open_interest', 26, state=2) }} as ema_26_state,
        carried.state
    from averages
    left join carried using (symbol, segment_start)
    where averages.time >= {{ after_last_states() }}
    {{ rolling_windows() }}
),

first_values as (
    select
        *,
        smoothed(ema_12_state, open_interest, 12) as oi_ema_12,
        smoothed(ema_26_state, open_interest, 26) as oi_ema_26,
        smoothed(ema_12_state, open_interest, 12) - smoothed(ema_26_state, open_interest, 26) as oi_macd
    from first_pass
),

second_pass as (
    select
        *,
        {{ ema('oi_macd', 9, state=3) }} as signal_state
    from first_values
    {{ rolling_windows() }}
),

features as (
    select
        bars.symbol,
        bars.time,
        open_interest_value as oi_value,
        oi_change_1,
        {{ safe_ratio('open_interest', 'open_interest_5_before') }} - 1 as oi_change_5,
        oi_change_20,
        oi_velocity_1h,
        ({{ safe_ratio('open_interest', 'open_interest_48_before') }} - 1) / 4 as oi_velocity_4h,
        ({{ safe_ratio('open_interest', 'open_interest_288_before') }} - 1) / 24 as oi_velocity_24h,
        oi_velocity_1h - oi_velocity_1h_before as oi_acceleration_1h,
        oi_sma_20,
        oi_sma_50,
        oi_ema_12,
        oi_ema_26,
        oi_macd,
        smoothed(signal_state, oi_macd, 9) as oi_macd_signal,
        oi_macd - smoothed(signal_state, oi_macd, 9) as oi_macd_hist,
        oi_std_20,
        oi_sma_20 + band as oi_bb_upper,
        oi_sma_20 - band as oi_bb_lower,
        {{ safe_ratio('(open_interest - (oi_sma_20 - band))', '(2 * band)') }} as oi_bb_position,
        {{ rolling_zscore('open_interest', 288, 'open_interest_anchor') }} as oi_zscore,
        {{ midrank('open_interest', 'last_week') }} as oi_percentile,
        {{ safe_ratio('oi_change_20', '(' ~ rolling_stddev('oi_change_1', 20) ~ ' * sqrt(20))') }}
        - {{ safe_ratio('price_change_20', '(' ~ rolling_stddev('price_change_1', 20) ~ ' * sqrt(20))') }}
            as oi_price_divergence_20,
        {{ safe_ratio('oi_change_50', '(' ~ rolling_stddev('oi_change_1', 50) ~ ' * sqrt(50))') }}
        - {{ safe_ratio('price_change_50', '(' ~ rolling_stddev('price_change_1', 50) ~ ' * sqrt(50))') }}
            as oi_price_divergence_50,
        {{ rolling_corr('oi_change_1', 'price_change_1', 50) }} as oi_price_corr_50,
        {{ safe_ratio('(open_interest - open_interest_12_before)', 'volume_12_before') }} as oi_opening_share_12,
        case
            when price_change_12 is null or open_interest is null or open_interest_12_before is null then null
            when price_change_12 = 0 or open_interest = open_interest_12_before then 0
            when price_change_12 > 0 and open_interest > open_interest_12_before then 1
            when price_change_12 < 0 and open_interest > open_interest_12_before then 2
            when price_change_12 < 0 then 3
            else 4
        end::float8 as oi_quadrant,
        {{ day_end_state(['ema_12_state', 'ema_26_state', 'signal_state']) }} as state
        {{- kept(['ema_12_state', 'ema_26_state', 'signal_state']) }}
    from second_pass as bars
    left join last_week on bars.symbol = last_week.symbol and bars.segment_start = last_week.segment_start
        and date_bin(interval '1 hour', bars.time + interval '5 minutes', timestamptz '2000-01-01 00:00:00+00') = last_week.hour
)

select * from features
