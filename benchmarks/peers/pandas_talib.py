"""pandas with TA-Lib: raw tables out by COPY, 170 features, one wide table in by binary COPY."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import LiteralString

import numpy as np
import pandas as pd
import psycopg

from benchmarks.peers import pandas_positions, pandas_price
from benchmarks.peers.numpy_copy import copy_symbol, create_table
from benchmarks.peers.pandas_bars import align, read
from benchmarks.peers.pandas_windows import Array, change, correlation, lag

BENCHMARK = "BTC/USDT"
THEMES = (
    *(pandas_price.returns, pandas_price.trend, pandas_price.momentum, pandas_price.structure),
    *(pandas_price.higher_bars, pandas_price.activity, pandas_price.flow),
    *(pandas_positions.open_interest, pandas_positions.funding, pandas_positions.liquidations),
    *(pandas_positions.ratios_and_books, pandas_positions.calendar),
)
RANKED = {
    "xs_rank_return_288": "return_288",
    "xs_rank_volume_ratio": "volume_ratio",
    "xs_rank_oi_change_20": "oi_change_20",
    "xs_rank_funding": "funding_annualized",
}


def compute_symbol(url: str, symbol: str) -> tuple[str, pd.DataFrame]:
    """Read one symbol and compute what needs no other; columns time, close and features."""
    aligned = align(read(url, symbol))
    whole = {name: np.int64 if name in ("time", "now") else np.float64 for name in aligned}
    bars = {name: column.to_numpy(dtype=whole[name]) for name, column in aligned.items()}
    features: dict[str, Array] = {"time": bars["time"], "close": bars["close"]}
    with np.errstate(invalid="ignore", divide="ignore"):
        for theme in THEMES:
            features |= theme(bars)
    return symbol, pd.DataFrame(features)


def _across(frames: dict[str, pd.DataFrame], universe: Sequence[str]) -> None:
    """Add what compares a symbol with the benchmark and with the others."""
    benchmark = frames[BENCHMARK].set_index("time")["close"]
    for symbol, frame in frames.items():
        close = frame["close"].to_numpy()
        other = benchmark.reindex(frame["time"]).to_numpy()
        own, theirs = change(close, 1), change(other, 1)
        joint = pd.Series(own).rolling(288).cov(pd.Series(theirs)).to_numpy()
        beta = joint / pd.Series(theirs).rolling(288).var().to_numpy()
        found = {
            "btc_return_1": theirs,
            "btc_return_12": change(other, 12),
            "beta_to_btc_288": beta,
            "corr_to_btc_288": correlation(own, theirs, 288),
            "relative_strength_288": change(close, 288) - change(other, 288),
            "btc_residual_return_12": change(close, 12) - lag(beta, 12) * change(other, 12),
        }
        frames[symbol] = pd.concat([frame, pd.DataFrame(found)], axis=1)
    _rank(frames, [symbol for symbol in frames if symbol in universe])


def _rank(frames: dict[str, pd.DataFrame], members: Sequence[str]) -> None:
    def wide(name: str, rows_before: int = 0) -> pd.DataFrame:
        return pd.DataFrame({s: frames[s].set_index("time")[name].shift(rows_before) for s in members})

    close, before = wide("close"), wide("close", 12)
    both = close.notna() & before.notna()
    breadth = ((close > before) & both).sum(axis=1) / both.sum(axis=1)
    breadth = breadth.where(both.sum(axis=1) >= 5)
    ranks = {}
    for name, ranked in RANKED.items():
        values = wide(ranked)
        count = values.notna().sum(axis=1)
        ranks[name] = (values.rank(axis=1) - 1).div((count - 1).where(count >= 2), axis=0)
    for symbol, frame in frames.items():
        for name, rank in ranks.items():
            frame[name] = rank[symbol].to_numpy() if symbol in members else np.nan
        frame["xs_breadth_12"] = breadth.reindex(frame["time"]).to_numpy()


def build(url: str, table: str, workers: Executor) -> None:
    """Do all of it in the database.

    Parameters
    ----------
    workers : processes that compute symbols, already started
    """
    with psycopg.connect(url) as connection:
        symbols = [
            symbol for (symbol,) in connection.execute("select distinct symbol from raw.ohlcv order by 1")
        ]
        universe = [
            s for (s,) in connection.execute("select symbol from seeds.universe where valid_to is null")
        ]
    frames = dict(workers.map(partial(compute_symbol, url), symbols))
    _across(frames, universe)
    halves = symbols[: len(symbols) // 2], symbols[len(symbols) // 2 :]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: _write(url, f"{table}_{part[0]}", part[1], frames), enumerate(halves)))
    with psycopg.connect(url) as connection:
        connection.execute(
            f"create view {table} as select * from {table}_0 union all select * from {table}_1".encode()
        )


def _names(connection: psycopg.Connection, query: LiteralString) -> list[str]:
    return [name for (name,) in connection.execute(query)]


def _write(url: str, table: str, symbols: Sequence[str], frames: dict[str, pd.DataFrame]) -> None:
    names = [name for name in frames[BENCHMARK].columns if name not in ("time", "close")]
    with psycopg.connect(url) as connection:
        create_table(connection, table, names)
        for symbol in symbols:
            frame = frames[symbol]
            values = np.ascontiguousarray(frame[names].to_numpy(dtype=float))
            copy_symbol(connection, table, symbol, frame["time"].to_numpy(), values)


def warm_up() -> None:
    """Do nothing: a process that calls this has imported all it needs."""
