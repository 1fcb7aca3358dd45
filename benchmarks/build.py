"""Raw tables in PostgreSQL to 170 features readable in PostgreSQL: perpmart and its alternatives.

Usage: python -m benchmarks.build [--days 30] [--symbols 10] [--repeats 3] [--server postgresql://...]
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg

from benchmarks.equal import Comparison, compare
from benchmarks.frame import Section, Spent, arguments, in_turn, middle, show, spent
from benchmarks.generate import fill
from benchmarks.peers import duckdb_sql, pandas_talib, polars_adbc
from benchmarks.scratch import empty_mart
from perpmart.build import build
from perpmart.database import connect_to
from simulator.presets import wide_market

OURS = "perpmart, full refresh (dbt, 2 threads)"
FLOOR = "floor: create table as select of the finished mart"
_TABLE = "peer"


@contextmanager
def process_pool() -> Iterator[Executor]:
    """Two processes that have their imports behind them."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawning, initializer=pandas_talib.warm_up) as pool:
        for done in [pool.submit(time.sleep, 1.0) for _ in range(2)]:
            done.result()
        yield pool


def drop_peer(url: str) -> None:
    """Remove what a peer wrote, and let the server come to rest."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"drop view if exists {_TABLE}".encode())
        names = ", ".join(f"{_TABLE}_{k}" for k in range(3))
        connection.execute(f"drop table if exists {names}, copied".encode())
        connection.execute("checkpoint")


def copy_mart(url: str) -> None:
    """Write the finished mart once more, as PostgreSQL does by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table copied as select * from mart.feature_mart")


def measure(
    url: str, workers: Executor, *, repeats: int, say: Callable[[str], None] = print
) -> tuple[dict[str, list[Spent]], dict[str, Comparison]]:
    """Time all ways on a filled database in which dbt has built the models; check each peer once.

    Raises
    ------
    NotEqualError
        A peer that does not give the mart's numbers.
    """
    peers: dict[str, Callable[[], object]] = {
        "polars + ADBC": lambda: polars_adbc.build(url, _TABLE),
        "pandas + TA-Lib, COPY": lambda: pandas_talib.build(url, _TABLE, workers),
        "DuckDB SQL + ADBC": lambda: duckdb_sql.build(url, _TABLE),
    }
    checked: dict[str, Comparison] = {}

    def timed(name: str, work: Callable[[], object]) -> Spent:
        drop_peer(url)
        took = spent(url, work)
        if name in peers and name not in checked:
            checked[name] = compare(url, _TABLE)
        return took

    everything: dict[str, Callable[[], object]] = {
        OURS: lambda: build(url, full_refresh=True, threads=2),
        **peers,
        FLOOR: lambda: copy_mart(url),
    }
    ways = {name: partial(timed, name, work) for name, work in everything.items()}
    found = in_turn(ways, repeats=repeats, say=say)
    drop_peer(url)
    return found, checked


def run(server: str, *, days: int, symbols: int, repeats: int) -> Section:
    """Measure and give the table."""
    market = wide_market(symbols=symbols, days=days, restless=True)
    with empty_mart(server) as url, process_pool() as workers:
        with connect_to(url) as connection:
            rows = fill(connection, market, market.start, market.end)
        found, checked = measure(url, workers, repeats=repeats)
    ours = middle(found[OURS])
    table = []
    for name, times in found.items():
        wall, cpu = middle(times)
        equal = checked[name].text if name in checked else ""
        walls = [one.wall for one in times]
        figures = (f"{wall:.1f}", f"{min(walls):.1f} to {max(walls):.1f}", f"{wall / ours.wall:.2f}")
        table.append([name, *figures, f"{cpu:.1f}", f"{cpu / ours.cpu:.2f}", equal])
    absent = [
        f"{name} leaves out {len(one.missing)}: {', '.join(one.missing)}."
        for name, one in checked.items()
        if one.missing
    ]
    size = f"{symbols} symbols x {days} days = {symbols * days * 288:,} bars, {rows:,} raw rows"
    rules = (
        f"median of {repeats} in turn; two cores and two connections for everyone; our tables have primary"
        " keys, the peers' have none"
    )
    return Section(
        "Build",
        " ".join([f"{size}; {rules}.", *absent]),
        (
            *("way", "seconds", "from, to", "of ours", "processor seconds", "of ours"),
            "features equal to the mart's",
        ),
        table,
        {name: middle(times).wall for name, times in found.items()},
        others=[name for name in found if name != OURS],
    )


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, days=30, symbols=10, repeats=3)
    section = run(options.server, days=options.days, symbols=options.symbols, repeats=options.repeats)
    show(section, options.server)


if __name__ == "__main__":
    main()
