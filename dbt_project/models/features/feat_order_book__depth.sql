-- Spread, imbalance and depth of the order book. The last snapshot counts when it is at most a minute old at the close.
-- Microprice: Stoikov's weighted mid, first order. Limit: 287 bars of warm-up for the depth's z-score.
with bars as (
    select symbol, time, available_at, segment_start, utc_day(time) as utc_day, quote_volume
        {{- kept_columns() }}
    from {{ bars_and_kept() }}
    where {{ in_scope(days_before=1, bars_back=[1, 12, 288]) }}
),

books as (
    select *
    from {{ ref('roll_order_book_5m') }}
    where {{ in_scope(days_before=1) }}
),

bars_with_books as (
    select
        bars.*,
        books.spread_bps,
        books.imbalance_5,
        books.imbalance_20,
        case when books.is_fresh then books.microprice_premium end as microprice_premium,
        case when books.is_fresh then books.depth_bid end as depth_bid,
        case when books.is_fresh then books.depth_ask end as depth_ask,
        case when books.is_fresh then books.depth_bid + books.depth_ask end as depth
    from bars
    left join (
        select *, last_time >= time + interval '5 minutes' - interval '{{ var("order_book_max_age") }}' as is_fresh
        from books
    ) as books using (symbol, time)
),

bars_with_anchors as (
    select
        *,
        {{ row_numbers() }},
        {{ changed('depth') }},
        {{ day_anchor('depth', 'depth_anchor') }}
    from bars_with_books
    {{ rolling_windows() }}
),

day_blocks as (
    select
        *,
        {{ day_block('depth', powers=2, anchor='depth_anchor') }},
        {{ day_block('quote_volume') }}
    from bars_with_anchors
    {{ rolling_windows() }}
),

blocks_back as (
    select
        *,
        {{ look_back('depth', [288], powers=2, anchor='depth_anchor') }},
        {{ look_back('quote_volume', [288]) }},
        {{ lag('imbalance_20', 12) }} as imbalance_20_before
    from day_blocks
    {{ rolling_windows() }}
),

features as (
    select
        symbol,
        time,
        spread_bps as book_spread_bps,
        microprice_premium as book_microprice_premium,
        imbalance_5 as book_imbalance_5,
        imbalance_20 as book_imbalance_20,
        imbalance_20 - imbalance_20_before as book_imbalance_change_12,
        depth_bid as book_depth_bid_20,
        depth_ask as book_depth_ask_20,
        {{ rolling_zscore('depth', 288, 'depth_anchor') }} as book_depth_zscore_288,
        {{ safe_ratio('depth', '(' ~ rolling_sum('quote_volume', 288) ~ ' / 288)') }} as book_depth_to_turnover
        {{- kept() }}
    from blocks_back
)

select * from features
