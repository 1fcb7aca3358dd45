-- Forced orders a bar, by the side that was liquidated. `time` is the bar's open less the lag after which an order is
-- known: a bar holds the orders known from its open up to its close. No row where none was heard of.
select
    symbol,
    time_bucket(interval '5 minutes', time, interval '-{{ var("lag_liquidation") }}') as time,
    coalesce(sum(price * quantity order by time, side, price, quantity) filter (where side = 'SELL'), 0) as long_liquidations,
    coalesce(sum(price * quantity order by time, side, price, quantity) filter (where side = 'BUY'), 0) as short_liquidations,
    count(*) as liquidation_count,
    max(price * quantity) as max_liquidation
from {{ source('raw', 'liquidations') }}
where {{ in_rollup_scope() }}
group by 1, 2
