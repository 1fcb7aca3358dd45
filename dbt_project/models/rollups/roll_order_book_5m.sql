-- Spread, depth and imbalance of the book, from the snapshots taken within five minutes. A snapshot with an empty or
-- crossed side is left out. Depth counts the best 20 levels.
select
    symbol,
    time_bucket(interval '5 minutes', slot) as time,
    count(*) as snapshots,
    avg(book_spread_bps(bid_price, ask_price) order by time) as spread_bps,
    avg(book_imbalance(book_quantity_5(bid_quantity), book_quantity_5(ask_quantity)) order by time) as imbalance_5,
    avg(book_imbalance(book_quantity_20(bid_quantity), book_quantity_20(ask_quantity)) order by time) as imbalance_20,
    max(time) as last_time,
    last(book_microprice_premium(bid_price, bid_quantity, ask_price, ask_quantity), time) as microprice_premium,
    last(book_notional_20(bid_price, bid_quantity), time) as depth_bid,
    last(book_notional_20(ask_price, ask_quantity), time) as depth_ask
from {{ source('raw', 'order_book') }}
where bid_price[1] < ask_price[1] and {{ in_rollup_scope(time='slot') }}
group by 1, 2
