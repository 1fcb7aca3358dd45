{% set states = [
    'ema_12_state', 'ema_26_state', 'gain_14_state', 'loss_14_state', 'gain_50_state', 'loss_50_state',
    'range_14_state', 'up_14_state', 'down_14_state', 'signal_state', 'dx_state'
] %}
-- Smoothed averages and oscillators, after Appel (MACD) and Wilder (RSI, ATR, DI, ADX), seeded as TA-Lib does.
-- They remember all of a segment: each day's last row keeps their state, and a run carries on from the day before.
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, high, low, close
    from {{ ref('bars_5m') }}
    where {{ in_scope(days_before=1, bars_back=[1]) }}
),

carried as (
    {{ last_states() }}
),

bars_with_moves as (
    select
        *,
        close - lag(close) over segment as change,
        high - lag(high) over segment as rise,
        lag(low) over segment - low as fall,
        greatest(high - low, abs(high - lag(close) over segment), abs(low - lag(close) over segment)) as widest_range,
        lag(close) over segment as close_before
    from bars
    {{ rolling_windows() }}
),

inputs as (
    select
        moves.*,
        case when change > 0 then change when change is not null then 0 end as gain,
        case when change < 0 then -change when change is not null then 0 end as loss,
        case when rise > fall and rise > 0 then rise when rise is not null and fall is not null then 0 end as up_move,
        case when fall > rise and fall > 0 then fall when rise is not null and fall is not null then 0 end as down_move,
        case when close_before is not null then widest_range end as true_range,
        carried.state
    from bars_with_moves as moves
    left join carried using (symbol, segment_start)
    where moves.time >= {{ after_last_states() }}
),

first_pass as (
    select
        *,
        {{ ema('close', 12, state=1) }} as ema_12_state,
        {{ ema('close', 26, state=2) }} as ema_26_state,
        {{ wilder('gain', 14, state=3) }} as gain_14_state,
        {{ wilder('loss', 14, state=4) }} as loss_14_state,
        {{ wilder('gain', 50, state=5) }} as gain_50_state,
        {{ wilder('loss', 50, state=6) }} as loss_50_state,
        {{ wilder('true_range', 14, state=7) }} as range_14_state,
        {{ wilder('up_move', 14, state=8) }} as up_14_state,
        {{ wilder('down_move', 14, state=9) }} as down_14_state,
        smoothed({{ ema('close', 12, state=1) }}, close, 12) as ema_12,
        smoothed({{ ema('close', 26, state=2) }}, close, 26) as ema_26,
        smoothed({{ wilder('true_range', 14, state=7) }}, true_range, 14) as atr_14,
        smoothed({{ wilder('up_move', 14, state=8) }}, up_move, 14) as up_14,
        smoothed({{ wilder('down_move', 14, state=9) }}, down_move, 14) as down_14
    from inputs
    {{ rolling_windows() }}
),

first_values as (
    select
        *,
        ema_12 - ema_26 as macd,
        100 * {{ safe_ratio('up_14', 'atr_14') }} as plus_di_14,
        100 * {{ safe_ratio('down_14', 'atr_14') }} as minus_di_14
    from first_pass
),

second_inputs as (
    select
        *,
        case
            when plus_di_14 + minus_di_14 = 0 then 0
            else 100 * abs(plus_di_14 - minus_di_14) / (plus_di_14 + minus_di_14)
        end as dx
    from first_values
),

second_pass as (
    select
        *,
        {{ ema('macd', 9, state=10) }} as signal_state,
        {{ wilder('dx', 14, state=11) }} as dx_state
    from second_inputs
    {{ rolling_windows() }}
),

features as (
    select
        symbol,
        time,
        ema_12,
        ema_26,
        macd,
        smoothed(signal_state, macd, 9) as macd_signal,
        macd - smoothed(signal_state, macd, 9) as macd_histogram,
        {{ relative_strength('smoothed(gain_14_state, gain, 14)', 'smoothed(loss_14_state, loss, 14)') }} as rsi_14,
        {{ relative_strength('smoothed(gain_50_state, gain, 50)', 'smoothed(loss_50_state, loss, 50)') }} as rsi_50,
        atr_14,
        100 * atr_14 / close as natr,
        plus_di_14,
        minus_di_14,
        smoothed(dx_state, dx, 14) as adx,
        {{ day_end_state(states) }} as state
        {{- kept(states) }}
    from second_pass
)

select * from features
