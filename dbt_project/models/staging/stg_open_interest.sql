-- Open-interest snapshots as one series: of equal stamps the finest period counts.
select distinct on (symbol, time)
    symbol,
    time,
    period,
    open_interest,
    open_interest_value,
    source,
    time + interval '{{ var("lag_open_interest") }}' as known_at
from {{ source('raw', 'open_interest') }}
where period = any(periods())
order by symbol, time, timeframe_width(period)
