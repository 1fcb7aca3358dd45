-- Time of the UTC day and ISO week at the bar's close, as angles and sessions. Needs no past.
with bars as (
    select symbol, time, available_at, (date_part('epoch', available_at)::bigint / 60)::integer as minute
    from {{ ref('bars_5m') }}
),

bars_with_minutes as (
    -- Minute 0 of the epoch was a Thursday: four days before the first Monday.
    select symbol, time, available_at, minute % 1440 as minute_of_day, (minute - 4 * 1440) % 10080 as minute_of_week
    from bars
),

features as (
    select
        symbol,
        time,
        sin(2 * pi() * minute_of_day / 1440) as hour_sin,
        cos(2 * pi() * minute_of_day / 1440) as hour_cos,
        sin(2 * pi() * minute_of_week / 10080) as dow_sin,
        cos(2 * pi() * minute_of_week / 10080) as dow_cos,
        (minute_of_week >= 5 * 1440)::integer::float8 as is_weekend,
        (minute_of_day < 480)::integer::float8 as session_asia,
        (minute_of_day >= 420 and minute_of_day < 960)::integer::float8 as session_europe,
        (minute_of_day >= 780 and minute_of_day < 1320)::integer::float8 as session_us,
        available_at
    from bars_with_minutes
)

select * from features
