"""DuckDB: raw tables in by ADBC, features by SQL's own window functions, one table back by ADBC.

DuckDB's postgres extension is a binary that its server hands out at run time, so it is not part of this
environment; Arrow batches are the fastest other way. What windows cannot say is left out: recursive averages
(EMA, Wilder) and all that is made of them, skewness, ranks within windows, the time to the next settlement.
"""

from __future__ import annotations

import adbc_driver_postgresql.dbapi as adbc
import duckdb

from benchmarks.peers.duckdb_features import features_query
from benchmarks.peers.polars_bars import QUERIES

_BARS = """
create table bars as
with stamped as (
    select *, time + interval 5 minute as available_at from ohlcv
),
ratios as (
    select symbol, time, max(long_short_ratio) filter (where ratio_type = 'global_account') as ls_ratio,
        max(long_short_ratio) filter (where ratio_type = 'top_position') as top_ratio
    from long_short_ratio group by symbol, time
),
events as (
    select symbol, time_bucket(interval 5 minute, time + interval 2 second) as time,
        coalesce(sum(notional) filter (where side = 'SELL'), 0) as longs,
        coalesce(sum(notional) filter (where side = 'BUY'), 0) as shorts,
        count(*)::double as count, max(notional) as greatest
    from liquidations group by 1, 2
),
scaled as (
    select *, funding_time + interval 1 minute as known,
        date_diff('minute', lag(funding_time) over by_time, funding_time) / 60.0 as hours
    from funding_rate
    window by_time as (partition by symbol order by funding_time)
),
rates as (
    select *, case when hours in (1, 2, 4, 8) then funding_rate * (8 / hours) end as r8 from scaled
),
settlements as (
    select *, min(known) over (partition by symbol) as first_known,
        lag(r8) over (partition by symbol order by known) as r8_before,
        sum(funding_rate) over (partition by symbol order by known
            range between interval '86399 seconds' preceding and current row) as sum_1d,
        sum(funding_rate) over (partition by symbol order by known
            range between interval '604799 seconds' preceding and current row) as sum_7d,
        avg(r8) over month as r8_mean, stddev_samp(r8) over month as r8_std, count(r8) over month as r8_count
    from rates
    window month as (partition by symbol order by known
        range between interval '2591999 seconds' preceding and current row)
),
books as (
    select symbol, time, time_bucket(interval 5 minute, time) as slot,
        bid_price[1] as bid, ask_price[1] as ask, bid_quantity[1] as bid_first, ask_quantity[1] as ask_first,
        list_sum(bid_quantity[1:5]) as bid_5, list_sum(ask_quantity[1:5]) as ask_5,
        list_sum(bid_quantity[1:20]) as bid_20, list_sum(ask_quantity[1:20]) as ask_20,
        list_dot_product(bid_price[1:20], bid_quantity[1:20]) as bid_notional,
        list_dot_product(ask_price[1:20], ask_quantity[1:20]) as ask_notional
    from order_book
),
books_by_bar as (
    select symbol, slot as time,
        avg(1e4 * (ask - bid) / ((bid + ask) / 2)) as book_spread_bps,
        avg((bid_5 - ask_5) / (bid_5 + ask_5)) as book_imbalance_5,
        avg((bid_20 - ask_20) / (bid_20 + ask_20)) as book_imbalance_20,
        max(time) as stamp,
        arg_max((ask * bid_first + bid * ask_first) / (bid_first + ask_first) / ((bid + ask) / 2), time)
            as microprice,
        arg_max(bid_notional, time) as bid_depth, arg_max(ask_notional, time) as ask_depth
    from books where bid < ask group by symbol, slot
),
last_books as (
    select *, stamp >= time + interval 4 minute as fresh from books_by_bar
),
hours as (
    select symbol, time + interval 1 hour as known,
        close / lag(close) over (partition by symbol order by time) - 1 as return_1h_htf
    from (
        select symbol, time_bucket(interval 1 hour, time) as time, arg_max(close, time) as close
        from ohlcv group by 1, 2 having count(*) = 12
    )
),
quarters as (
    select symbol, time + interval 4 hour as known, case when count(*) over last_20 = 20
        then close / avg(close) over last_20 - 1 end as trend_4h
    from (
        select symbol, time_bucket(interval 4 hour, time) as time, arg_max(close, time) as close
        from ohlcv group by 1, 2 having count(*) = 48
    )
    window last_20 as (partition by symbol order by time rows between 19 preceding and current row)
),
days as (
    select symbol, time_bucket(interval 1 day, time) + interval 1 day as known, max(high) as day_high,
        min(low) as day_low
    from ohlcv group by 1, 2 having count(*) = 288
)
select b.* replace (b.trades::double as trades), o.time as oi_time, o.open_interest, o.open_interest_value,
    r.time as ls_time, r.ls_ratio, r.top_ratio, f.funding_rate, f.funding_time,
    f.first_known, f.r8, f.r8_before,
    f.sum_1d, f.sum_7d, f.r8_mean, f.r8_std, f.r8_count, m.mark_price, m.index_price,
    coalesce(e.longs, 0) as longs, coalesce(e.shorts, 0) as shorts, coalesce(e.count, 0) as count,
    coalesce(e.greatest, 0) as greatest, k.close as benchmark,
    l.book_spread_bps, l.book_imbalance_5, l.book_imbalance_20,
    case when l.fresh then 1e4 * (l.microprice - 1) end as book_microprice_premium,
    case when l.fresh then l.bid_depth end as book_depth_bid_20,
    case when l.fresh then l.ask_depth end as book_depth_ask_20,
    h.return_1h_htf, q.trend_4h, d.day_high, d.day_low
from stamped as b
asof left join open_interest as o on b.symbol = o.symbol and b.time >= o.time
asof left join ratios as r on b.symbol = r.symbol and b.time >= r.time
asof left join settlements as f on b.symbol = f.symbol and b.available_at >= f.known
asof left join hours as h on b.symbol = h.symbol and b.available_at >= h.known
asof left join quarters as q on b.symbol = q.symbol and b.available_at >= q.known
asof left join days as d on b.symbol = d.symbol and b.available_at >= d.known
left join mark_price as m on b.symbol = m.symbol and b.available_at = m.time
left join events as e on b.symbol = e.symbol and b.time = e.time
left join last_books as l on b.symbol = l.symbol and b.time = l.time
left join ohlcv as k on k.symbol = 'BTC/USDT' and b.time = k.time
"""


def build(url: str, table: str) -> None:
    """Do all of it; the table holds the keys and as many features as windows can say."""
    with duckdb.connect() as session, adbc.connect(url) as connection:
        session.execute("set threads = 2; set TimeZone = 'UTC'")
        with connection.cursor() as cursor:
            for name, query in QUERIES.items():
                cursor.execute(query.partition(" order by ")[0])
                batches = cursor.fetch_record_batch()
                session.execute(f"create table {name} as select * from batches")
                del batches
        session.execute(_BARS)
        result = session.sql(features_query()).to_arrow_reader()
        with connection.cursor() as cursor:
            cursor.adbc_ingest(f"{table}_0", result, mode="create")
            cursor.execute(f"create view {table} as select * from {table}_0")
        connection.commit()
