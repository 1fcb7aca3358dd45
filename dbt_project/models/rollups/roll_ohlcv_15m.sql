-- Bars of 15 minutes, UTC-aligned, from their 3 five-minute klines; one that lacks any of them is no row.
select
    symbol,
    time_bucket(interval '15 minutes', time) as time,
    first(open, time) as open,
    max(high) as high,
    min(low) as low,
    last(close, time) as close,
    sum(volume order by time) as volume,
    sum(quote_volume order by time) as quote_volume,
    sum(trades)::float8 as trades,
    sum(taker_buy_base order by time) as taker_buy_base,
    sum(taker_buy_quote order by time) as taker_buy_quote
from {{ source('raw', 'ohlcv') }}
where timeframe = '5m' and {{ in_rollup_scope() }}
group by 1, 2
having count(*) = 3
