-- The crowd's long/short ratio, its pace and place, and how top traders differ from it. Limit: 168 full hours of warm-up.
with bars as (
    select
        symbol, time, segment_start, utc_day(time) as utc_day,
        long_short_ratio as ratio, top_position_ratio
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_before=1, bars_back=[1, 12, 48, 288]) }}
),

last_week as materialized (
    {{ sorted_hours('long_short_ratio') }}
),

bars_with_anchors as (
    select
        *,
        {{ row_numbers() }},
        {{ changed('ratio') }},
        {{ day_anchor('ratio', 'ratio_anchor') }}
    from bars
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('ratio', powers=2, anchor='ratio_anchor') }}
    from bars_with_anchors
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('ratio', [288], powers=2, anchor='ratio_anchor') }},
        {{ lag('ratio', 12) }} as ratio_12_before,
        {{ lag('ratio', 48) }} as ratio_48_before
    from day_blocks
    {{ rolling_windows() }}
),

features as (
    select
        bars.symbol,
        bars.time,
        ratio as ls_ratio_current,
        {{ safe_ratio('ratio', 'ratio_12_before') }} - 1 as ls_ratio_change_1h,
        {{ safe_ratio('ratio', 'ratio_48_before') }} - 1 as ls_ratio_change_4h,
        {{ rolling_zscore('ratio', 288, 'ratio_anchor') }} as ls_ratio_zscore,
        {{ midrank('ratio', 'last_week') }} as ls_ratio_percentile,
        top_position_ratio as ls_top_trader_ratio,
        {{ safe_ratio('top_position_ratio', 'ratio') }} - 1 as ls_top_vs_global
        {{- kept() }}
    from blocks_back as bars
    left join last_week on bars.symbol = last_week.symbol and bars.segment_start = last_week.segment_start
        and date_bin(interval '1 hour', bars.time + interval '5 minutes', timestamptz '2000-01-01 00:00:00+00') = last_week.hour
)

select * from features
