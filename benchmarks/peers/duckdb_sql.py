"""DuckDB: raw tables in by ADBC, features by SQL's own window functions, one table back by ADBC.

DuckDB's postgres extension is a binary that its server hands out at run time, so it is not part of this
environment; Arrow batches are the fastest other way. What SQL cannot say with windows is left out: recursive
averages (EMA, Wilder) and all that is made of them, skewness, ranks among settlements and hours.
"""

from __future__ import annotations

import adbc_driver_postgresql.dbapi as adbc
import duckdb

from benchmarks.peers.polars_bars import QUERIES

BENCHMARK = "BTC/USDT"
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
)
select b.* replace (b.trades::double as trades), o.time as oi_time, o.open_interest, o.open_interest_value,
    r.time as ls_time, r.ls_ratio, r.top_ratio, f.funding_rate, f.funding_time, m.mark_price, m.index_price,
    coalesce(e.longs, 0) as longs, coalesce(e.shorts, 0) as shorts, coalesce(e.count, 0) as count,
    coalesce(e.greatest, 0) as greatest, k.close as benchmark
from stamped as b
asof left join open_interest as o on b.symbol = o.symbol and b.time >= o.time
asof left join ratios as r on b.symbol = r.symbol and b.time >= r.time
asof left join funding_rate as f
    on b.symbol = f.symbol and b.available_at >= f.funding_time + interval 1 minute
left join mark_price as m on b.symbol = m.symbol and b.available_at = m.time
left join events as e on b.symbol = e.symbol and b.time = e.time
left join ohlcv as k on k.symbol = 'BTC/USDT' and b.time = k.time
"""


def _full(expression: str, n: int) -> str:
    """Leave out windows of fewer than n rows with a value."""
    inner = expression.partition("(")[2].rpartition(")")[0].rpartition(",")[2]
    return f"case when count({inner}) over w{n} = {n} then {expression} over w{n} end"


def _within(column: str, low: str, high: str, n: int) -> str:
    bottom, top = _full(f"min({low})", n), _full(f"max({high})", n)
    return f"({column} - {bottom}) / nullif({top} - {bottom}, 0)"


def _over(numerator: str, denominator: str, n: int) -> str:
    return f"{_full(f'sum({numerator})', n)} / nullif({_full(f'sum({denominator})', n)}, 0)"


def _zscore(column: str, n: int) -> str:
    return f"({column} - {_full(f'avg({column})', n)}) / nullif({_full(f'stddev_samp({column})', n)}, 0)"


def _change(column: str, n: int) -> str:
    return f"{column} / nullif(lag({column}, {n}) over s, 0) - 1"


_STEPS = {
    "r1": _change("close", 1),
    "log_r1": "ln(close / lag(close) over s)",
    "log_range_2": "ln(high / low) ** 2",
    "gk": "0.5 * ln(high / low) ** 2 - (2 * ln(2) - 1) * ln(close / open) ** 2",
    "delta": "2 * taker_buy_base - volume",
    "hour_long": _full("sum(longs)", 12),
    "hour_short": _full("sum(shorts)", 12),
    "hour_all": _full("sum(longs + shorts)", 12),
    "b1": _change("benchmark", 1),
    "oi_1": _change("open_interest", 1),
    "mfv": "case when high = low then 0 else volume * ((close - low) - (high - close)) / (high - low) end",
    "signed": "coalesce(sign(close - lag(close) over s), 0) * volume",
    "typical": "(high + low + close) / 3",
    "stoch_k_14": f"100 * {_within('close', 'low', 'high', 14)}",
    "velocity": _change("open_interest", 12),
}
_FEATURES = {
    **{f"return_{n}": _change("close", n) for n in (1, 5, 20, 100, 288)},
    "log_return_1": "log_r1",
    "log_return_5": "ln(close / lag(close, 5) over s)",
    **{f"realized_vol_{n}": _full("stddev_samp(log_r1)", n) for n in (20, 288)},
    "vol_ratio_20_288": f"{_full('stddev_samp(log_r1)', 20)} / {_full('stddev_samp(log_r1)', 288)}",
    "parkinson_vol_20": f"sqrt({_full('avg(log_range_2)', 20)} / (4 * ln(2)))",
    "garman_klass_vol_20": f"sqrt({_full('avg(gk)', 20)})",
    **{f"sma_{n}": _full("avg(close)", n) for n in (20, 50, 200)},
    **{f"price_vs_sma{n}": f"close / {_full('avg(close)', n)} - 1" for n in (20, 50, 200)},
    "price_zscore_50": _zscore("close", 50),
    "stoch_k_14": "stoch_k_14",
    "stoch_d_3": _full("avg(stoch_k_14)", 3),
    "bb_width": f"4 * {_full('stddev_pop(close)', 20)} / {_full('avg(close)', 20)}",
    "bb_position": (
        f"(close - {_full('avg(close)', 20)}) / nullif(4 * {_full('stddev_pop(close)', 20)}, 0) + 0.5"
    ),
    "donchian_position_288": _within("close", "low", "high", 288),
    "drawdown_288": f"close / {_full('max(close)', 288)} - 1",
    "body_ratio": "(close - open) / nullif(high - low, 0)",
    "upper_wick_ratio": "(high - greatest(open, close)) / nullif(high - low, 0)",
    "lower_wick_ratio": "(least(open, close) - low) / nullif(high - low, 0)",
    "volume_change": _change("volume", 1),
    "volume_sma_20": _full("avg(volume)", 20),
    "volume_ratio": f"volume / nullif({_full('avg(volume)', 20)}, 0)",
    "volume_roc": _change("volume", 10),
    "volume_zscore_288": _zscore("volume", 288),
    "taker_buy_ratio": "taker_buy_base / nullif(volume, 0)",
    **{
        f"taker_imbalance_{n}": f"{_full('sum(delta)', n)} / nullif({_full('sum(volume)', n)}, 0)"
        for n in (12, 288)
    },
    "cvd": "sum(delta) over s",
    "cvd_24h": _full("sum(delta)", 288),
    "obv": "sum(signed) over s",
    "cmf": _over("mfv", "volume", 20),
    "vwap_24h": _over("quote_volume", "volume", 288),
    "price_vs_vwap_24h": f"close / ({_over('quote_volume', 'volume', 288)}) - 1",
    "avg_trade_size": "quote_volume / nullif(trades, 0)",
    "trades_zscore_288": _zscore("trades", 288),
    "oi_volume_ratio": f"open_interest / nullif({_full('sum(volume)', 288)}, 0)",
    "oi_value": "open_interest_value",
    **{f"oi_change_{n}": _change("open_interest", n) for n in (1, 5, 20)},
    "oi_velocity_1h": "velocity",
    "oi_velocity_4h": f"({_change('open_interest', 48)}) / 4",
    "oi_velocity_24h": f"({_change('open_interest', 288)}) / 24",
    "oi_acceleration_1h": "velocity - lag(velocity, 12) over s",
    **{f"oi_sma_{n}": _full("avg(open_interest)", n) for n in (20, 50)},
    "oi_zscore": _zscore("open_interest", 288),
    "funding_rate_current": "funding_rate",
    "mark_premium": "close / mark_price - 1",
    "mark_index_premium": "mark_price / index_price - 1",
    "liquidation_vol_1h": "hour_all",
    "long_liq_vol_1h": "hour_long",
    "short_liq_vol_1h": "hour_short",
    "net_liquidation": "hour_long - hour_short",
    "liquidation_count_1h": _full("sum(count)", 12),
    "max_liq_size_1h": _full("max(greatest)", 12),
    "liq_imbalance_1h": "case when hour_all = 0 then 0 else (hour_long - hour_short) / hour_all end",
    "liquidation_vol_24h": _full("sum(longs + shorts)", 288),
    "liq_to_volume_1h": f"hour_all / nullif({_full('sum(quote_volume)', 12)}, 0)",
    "liq_to_oi_1h": "hour_all / nullif(open_interest_value, 0)",
    "ls_ratio_current": "ls_ratio",
    "ls_ratio_change_1h": _change("ls_ratio", 12),
    "ls_ratio_change_4h": _change("ls_ratio", 48),
    "ls_ratio_zscore": _zscore("ls_ratio", 288),
    "ls_top_trader_ratio": "top_ratio",
    "ls_top_vs_global": "top_ratio / nullif(ls_ratio, 0) - 1",
    "btc_return_1": "b1",
    "btc_return_12": _change("benchmark", 12),
    "corr_to_btc_288": "case when count(r1) over w288 = 288 then corr(r1, b1) over w288 end",
    "relative_strength_288": f"{_change('close', 288)} - ({_change('benchmark', 288)})",
    "oi_age_minutes": "date_diff('minute', oi_time, available_at)::double",
    "ls_age_minutes": "date_diff('minute', ls_time, available_at)::double",
    "funding_age_minutes": "date_diff('minute', funding_time, available_at)::double",
}
_SIZES = (3, 12, 14, 20, 50, 200, 288)


def build(url: str, table: str) -> None:
    """Do all of it; the table holds the keys and as many features as windows can say."""
    with duckdb.connect() as session, adbc.connect(url) as connection:
        session.execute("set threads = 2; set TimeZone = 'UTC'")
        with connection.cursor() as cursor:
            for name, query in QUERIES.items():
                if name not in ("order_book", "universe"):
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


def features_query() -> str:
    """Give the query over `bars`."""
    steps = ", ".join(f"{expression} as {name}" for name, expression in _STEPS.items())
    features = ", ".join(f"{expression} as {name}" for name, expression in _FEATURES.items())
    by_symbol = "partition by symbol order by time rows"
    windows = ", ".join(f"w{n} as ({by_symbol} between {n - 1} preceding and current row)" for n in _SIZES)
    windows = f"s as ({by_symbol} unbounded preceding), {windows}"
    return (
        f"with steps as (select *, {steps} from bars window {windows})"
        f" select symbol, time, {features} from steps window {windows}"
    )
