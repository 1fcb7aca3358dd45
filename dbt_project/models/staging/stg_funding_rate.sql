-- Funding settlements and the instant at which each is known.
select
    symbol,
    funding_time,
    funding_rate,
    mark_price,
    source,
    funding_time + interval '{{ var("lag_funding") }}' as known_at
from {{ source('raw', 'funding_rate') }}
