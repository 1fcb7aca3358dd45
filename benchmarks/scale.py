"""Full builds of longer and longer histories: seconds a million bars, and memory.

Usage: python -m benchmarks.scale [--days 18 90] [--symbols 10] [--server postgresql://...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from benchmarks.frame import MemoryWatch, Section, show, spent
from benchmarks.generate import WITHOUT_BOOKS, fill
from benchmarks.scratch import empty_mart
from perpmart.build import build
from perpmart.database import connect_to
from perpmart.servers.addresses import database_url
from perpmart.settings import load_settings
from simulator.presets import wide_market


class Build(NamedTuple):
    """One full build: bars, seconds, memory in MiB and the database's size in MiB."""

    bars: int
    seconds: float
    cpu: float
    sessions: float
    python: float
    disk: float


def measure(url: str, *, days: int, symbols: int, say: Callable[[str], None] = print) -> Build:
    """Fill an empty mart and build all of it through dbt."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as another:
        # So that the memory of this process is that of the build.
        another.submit(_fill, url, days=days, symbols=symbols).result()
    with MemoryWatch(url) as memory:
        wall, cpu = spent(url, lambda: build(url, threads=2))
    with connect_to(url) as connection:
        row = connection.execute(
            "select (select count(*) from bars.bars_5m), pg_database_size(current_database()) / 1048576.0"
        ).fetchone()
    assert row is not None
    assert row[0] == symbols * days * 288
    found = Build(row[0], wall, cpu, memory.sessions, memory.python, float(row[1]))
    say(f"  {found}")
    return found


def _fill(url: str, *, days: int, symbols: int) -> None:
    market = wide_market(symbols=symbols, days=days, restless=True)
    with connect_to(url) as connection:
        fill(connection, market, market.start, market.end, kinds=WITHOUT_BOOKS)


def run(server: str, *, days: list[int], symbols: int) -> Section:
    """Measure each length and give the table."""
    table, picture = [], {}
    for length in days:
        with empty_mart(server) as url:
            found = measure(url, days=length, symbols=symbols)
        pace = found.seconds / found.bars * 1e6
        picture[f"{found.bars:,} bars"] = pace
        sizes = (pace, found.cpu / found.bars * 1e6, found.sessions, found.python, found.disk)
        table.append([f"{found.bars:,}", f"{found.seconds:.1f}", *(f"{size:,.0f}" for size in sizes)])
    note = (
        f"{symbols} symbols, one full build each through dbt with 2 threads, no order books. Memory of"
        " the database: private memory of all sessions together, shared buffers not counted."
    )
    header = (
        *("bars", "seconds", "seconds a million bars", "processor seconds a million bars"),
        *("database, MiB at most", "Python, MiB at most", "database on disk, MiB"),
    )
    return Section("Scale", note, header, table, picture, "seconds a million bars")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server")
    parser.add_argument("--days", type=int, nargs="+", default=[18, 90])
    parser.add_argument("--symbols", type=int, default=10)
    options = parser.parse_args()
    server = options.server or database_url(load_settings())
    show(run(server, days=options.days, symbols=options.symbols), server)


if __name__ == "__main__":
    main()
