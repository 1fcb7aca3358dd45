-- How old the carried values are, and how much of the grid is filled: what a reader needs to know before trusting a row.
with bars as (
    select
        symbol, time, available_at, segment_start, utc_day(time) as utc_day, is_filled,
        open_interest_time, long_short_ratio_time, funding_time
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_back=[1, 288]) }}
),

numbered as (
    select
        *,
        {{ row_numbers() }}
    from bars
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('is_filled') }}
    from numbered
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('is_filled', [288]) }}
    from day_blocks
    {{ rolling_windows() }}
),

features as (
    select
        symbol,
        time,
        (date_part('epoch', available_at - open_interest_time) / 60)::float8 as oi_age_minutes,
        (date_part('epoch', available_at - long_short_ratio_time) / 60)::float8 as ls_age_minutes,
        (date_part('epoch', available_at - funding_time) / 60)::float8 as funding_age_minutes,
        is_filled,
        {{ rolling_sum('is_filled', 288) }} as filled_bars_288
        {{- kept() }}
    from blocks_back
)

select * from features
