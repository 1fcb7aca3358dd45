-- Klines with the instant at which each is known: its close.
select
    symbol,
    timeframe,
    time,
    open,
    high,
    low,
    close,
    volume,
    quote_volume,
    trades,
    taker_buy_base,
    taker_buy_quote,
    source,
    time + timeframe_width(timeframe) as known_at
from {{ source('raw', 'ohlcv') }}
