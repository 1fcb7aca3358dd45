-- Order-book snapshots; known at the exchange's event time.
select
    symbol,
    time,
    bid_price,
    bid_quantity,
    ask_price,
    ask_quantity,
    source,
    time as known_at
from {{ source('raw', 'order_book') }}
