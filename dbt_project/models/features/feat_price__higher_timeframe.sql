-- Features of the last complete hour, four hours and day, as of the bar's close. An incomplete higher bar is no row; its
-- neighbours follow each other. Hourly recursions carry on from the state that each day's last row keeps.
-- Limit: 20 four-hour bars of warm-up.
with bars as (
    select symbol, time, segment_start, utc_day(time) as utc_day, close
    from {{ ref('bars_5m') }}
    where {{ in_scope() }}
),

carried as (
    {{ last_states() }}
),

hours as (
    {{ higher_bars('roll_ohlcv_1h', '1 hour', rows_before=1) }}
),

hours_with_moves as (
    select
        *,
        close / lag(close) over by_hour - 1 as return_1h,
        close - lag(close) over by_hour as change,
        case when lag(close) over by_hour is not null then greatest(
            high - low, abs(high - lag(close) over by_hour), abs(low - lag(close) over by_hour)
        ) end as true_range
    from hours
    window by_hour as (partition by symbol, segment_start order by time)
),

hours_in_scope as (
    select
        h.*,
        case when change > 0 then change when change is not null then 0 end as gain,
        case when change < 0 then -change when change is not null then 0 end as loss,
        carried.state
    from hours_with_moves as h
    left join carried using (symbol, segment_start)
    where h.time >= (select scope_days_before(0))
),

hours_smoothed as (
    select
        *,
        smooth(gain, 14, 1.0 / 14, {{ carried_state(1) }}) over by_hour as gain_state,
        smooth(loss, 14, 1.0 / 14, {{ carried_state(2) }}) over by_hour as loss_state,
        smooth(true_range, 14, 1.0 / 14, {{ carried_state(3) }}) over by_hour as range_state
    from hours_in_scope
    window by_hour as (partition by symbol, segment_start order by time rows unbounded preceding)
),

hour_values as (
    select
        symbol,
        segment_start,
        last_bar as time,
        array[
            date_part('epoch', time), return_1h,
            {{ relative_strength('smoothed(gain_state, gain, 14)', 'smoothed(loss_state, loss, 14)') }},
            smoothed(range_state, true_range, 14)
        ]::float8[] || gain_state || loss_state || range_state as hour
    from hours_smoothed
),

four_hours as (
    {{ higher_bars('roll_ohlcv_4h', '4 hours', rows_before=19) }}
),

four_hour_values as (
    select
        symbol,
        segment_start,
        last_bar as time,
        array[
            date_part('epoch', time),
            case when count(close) over last_20 = 20 then close / (sum(close) over last_20 / 20) - 1 end
        ]::float8[] as four_hour
    from four_hours
    window last_20 as (partition by symbol, segment_start order by time rows 19 preceding)
),

days as (
    {{ higher_bars('roll_ohlcv_1d', '24 hours', rows_before=0) }}
),

day_values as (
    select
        symbol,
        segment_start,
        last_bar as time,
        array[date_part('epoch', time), low, high - low]::float8[] as day
    from days
),

carried_forward as (
    -- Values of before the first day in scope come with the state.
    select
        bars.*,
        coalesce(
            max(hour_values.hour) over segment,
            carried.state[10:13] || carried.state[1:9]
        ) as hour,
        coalesce(max(four_hour_values.four_hour) over segment, carried.state[14:15]) as four_hour,
        coalesce(max(day_values.day) over segment, carried.state[16:18]) as day
    from bars
    left join hour_values using (symbol, segment_start, time)
    left join four_hour_values using (symbol, segment_start, time)
    left join day_values using (symbol, segment_start, time)
    left join carried using (symbol, segment_start)
    {{ rolling_windows() }}
),

features as (
    select
        symbol,
        time,
        hour[2] as return_1h_htf,
        hour[3] as rsi_14_1h,
        hour[4] as atr_14_1h,
        four_hour[2] as trend_4h,
        (close - day[2]) / nullif(day[3], 0) as range_position_1d,
        case
            when time = utc_day + interval '23 hours 55 minutes' then
                coalesce(hour[5:13], array_fill(0::float8, array[9]))
                || coalesce(hour[1:4], array_fill(null::float8, array[4]))
                || coalesce(four_hour, array_fill(null::float8, array[2]))
                || coalesce(day, array_fill(null::float8, array[3]))
        end as state
    from carried_forward
)

select * from features
