"""A full build in the shape by which Qlib compares stores: 14 features, 800 stocks, daily from 2007 to 2020.

Usage: python -m benchmarks.qlib_shape [--symbols 800] [--bars 3400] [--server postgresql://...]

Ours is 3,400 generated klines of five minutes each for 800 symbols, and the groups trend and range, which
have more than 14 features. One session works, as one processor did there; dbt's own seconds are in it. The
hardware and the formulas are others: this tells the order of magnitude, not who is faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from math import ceil

import numpy as np
import pandas as pd
import psycopg

from benchmarks.frame import Section, Spent, show, spent
from benchmarks.generate import fill
from benchmarks.scratch import empty_mart
from perpmart.build import build
from perpmart.database import connect_to
from perpmart.servers.addresses import database_url
from perpmart.settings import load_settings
from simulator.presets import wide_market

BAR = timedelta(minutes=5)
BARS_OF_A_DAY = 288
MODELS = ("bars_5m", "feat_price__trend", "feat_price__range")
PUBLISHED = (("Qlib without its caches, as published", 147.0), ("MySQL, as published", 365.0))
"""Seconds on one processor, of Qlib's own comparison."""


def measure(url: str, *, symbols: int, bars: int) -> Spent:
    """Fill an empty mart with klines, build the two groups, and check one of their features.

    Raises
    ------
    AssertionError
        A bar is absent, or a mean is not that of pandas.
    """
    market = wide_market(symbols=symbols, days=ceil(bars / BARS_OF_A_DAY), restless=True)
    with connect_to(url) as connection:
        fill(connection, market, market.end - bars * BAR, market.end, kinds=("ohlcv",))
    took = spent(url, lambda: build(url, select=" ".join(MODELS), threads=1))
    with psycopg.connect(url) as connection:
        found = pd.DataFrame(
            connection.execute(
                "select b.symbol, b.close, t.sma_20, r.time is not null from bars.bars_5m as b"
                " join features.feat_price__trend as t using (symbol, time)"
                " left join features.feat_price__range as r using (symbol, time) order by b.symbol, b.time"
            ).fetchall(),
            columns=["symbol", "close", "sma_20", "has_range"],
        )
    assert len(found) == symbols * bars
    assert found["has_range"].all()
    means = found.groupby("symbol")["close"].rolling(20).mean().to_numpy()
    np.testing.assert_allclose(found["sma_20"].to_numpy(float), means, rtol=1e-9)
    return took


def count_features(url: str) -> int:
    """Count the features of the two groups."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select sum(cardinality(columns) - 2) from build.models where model = any(%s)", [list(MODELS[1:])]
        ).fetchone()
    assert row is not None
    return int(row[0])


def run(server: str, *, symbols: int, bars: int, say: Callable[[str], None] = print) -> Section:
    """Measure and give the table."""
    with empty_mart(server) as url:
        took = measure(url, symbols=symbols, bars=bars)
        features = count_features(url)
    say(f"  {took}")
    ours = f"perpmart, one session: {features} features, written to PostgreSQL"
    table = [[ours, f"{took.wall:.0f}", f"{took.cpu:.0f}"]]
    table += [[name, f"{seconds:.0f}", ""] for name, seconds in PUBLISHED]
    note = f"{symbols} symbols x {bars:,} bars = {symbols * bars:,}, generated. Order of magnitude only."
    return Section("Qlib's shape", note, ("way", "seconds", "processor seconds"), table, {})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server")
    parser.add_argument("--symbols", type=int, default=800)
    parser.add_argument("--bars", type=int, default=3400)
    options = parser.parse_args()
    server = options.server or database_url(load_settings())
    show(run(server, symbols=options.symbols, bars=options.bars), server)


if __name__ == "__main__":
    main()
