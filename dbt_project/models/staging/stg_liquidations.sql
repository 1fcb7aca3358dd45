-- Forced orders with their notional; a SELL closes a long.
select
    symbol,
    time,
    side,
    price,
    quantity,
    price * quantity as notional,
    source,
    time + interval '{{ var("lag_liquidation") }}' as known_at
from {{ source('raw', 'liquidations') }}
