-- Mark and index price at an instant; known at that instant.
select
    symbol,
    time,
    slot,
    mark_price,
    index_price,
    predicted_funding_rate,
    next_funding_time,
    source,
    time as known_at
from {{ source('raw', 'mark_price') }}
