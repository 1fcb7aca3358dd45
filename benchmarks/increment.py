"""One new bar of all symbols on top of a history: seconds from raw to mart, by engine and by dbt.

Usage: python -m benchmarks.increment [--sizes 10x7 10x60 200x7] [--bars 5] [--hour 12] [--server postgresql://...]

The engine's way is what `live` does (`perpmart.engine.run_pending`): the same SQL that dbt compiled, in one
transaction. Writing the bar's rows to raw is timed apart. In a last run without a new row nothing is pending.
The first new bar is shown apart: with it the running sums of the bars before are made, from the midnight
before yesterday on, so that the hour matters: noon is the mean of a day. The others need only the newest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import psycopg

from benchmarks.frame import Section, Spent, middle, show, spent
from benchmarks.generate import WITHOUT_BOOKS, fill
from benchmarks.scratch import empty_mart
from collectors.rows import Coverage, Row
from collectors.writer import Writer
from perpmart.build import build
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from perpmart.servers.addresses import database_url
from perpmart.settings import load_settings
from simulator.market import Market
from simulator.presets import wide_market

BAR = timedelta(minutes=5)
SIZES = [(10, 7), (10, 60), (200, 7)]
NOON = 12


class Increment(NamedTuple):
    """What one new bar took, medians."""

    history: int
    write: Spent
    first: Spent
    engine: Spent
    dbt: Spent
    idle: Spent


def write_bar(connection: Connection, market: Market, start: datetime) -> None:
    """Write the bar that opens at `start`, as the collectors do."""
    rows: list[Row] = []
    for kind in WITHOUT_BOOKS:
        for symbol in market.symbols:
            # What happens in the bar, and what is stamped at its close: marks and settlements.
            shift = BAR if kind in ("mark_price", "funding_rate") else timedelta()
            rows += market.rows(kind, symbol, start + shift, start + shift + BAR)
    now = start + BAR + timedelta(seconds=1)
    covered = [
        Coverage(stream, symbol, start, start + BAR)
        for stream in ("ohlcv:5m", "liquidations")
        for symbol in market.symbols
    ]
    result = Writer(connection).write(rows, source="rest", now=now, covered=covered)
    assert result.inserted == len(rows), result


def prepare(url: str, market: Market, end: datetime) -> None:
    """Fill an empty mart with a market up to `end` and build it."""
    with connect_to(url) as connection:
        fill(connection, market, market.start, end, kinds=WITHOUT_BOOKS)
    build(url, threads=2)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("vacuum analyze")


def measure(
    url: str, market: Market, first: datetime, *, bars: int, say: Callable[[str], None] = print
) -> Increment:
    """Put bars on top of a history that ends at `first`, by the engine, then by dbt."""
    with connect_to(url) as connection:
        row = connection.execute("select count(*) from bars.bars_5m").fetchone()
        assert row is not None
        connection.commit()
        write, engine, dbt = [], [], []
        for number in range(2 * bars + 1):
            write.append(spent(url, partial(write_bar, connection, market, first + number * BAR)))
            if number <= bars:
                engine.append(spent(url, lambda: run_pending(connection)))
            else:
                dbt.append(spent(url, lambda: build(url)))
        last = first + 2 * bars * BAR
        newest = connection.execute("select count(*) from mart.latest_features where time = %s", [last])
        assert newest.fetchone() == (len(market.symbols),)
        connection.commit()
        idle = [spent(url, lambda: run_pending(connection)) for _ in range(3)]
    found = Increment(row[0], *(middle(times) for times in (write, engine[:1], engine[1:], dbt, idle)))
    say(f"  {found}")
    return found


def run(server: str, *, sizes: Sequence[tuple[int, int]], bars: int, hour: int = NOON) -> Section:
    """Measure each pair of symbols and days and give the table."""
    table, picture = [], {}
    shortest: dict[int, Increment] = {}
    for symbols, days in sizes:
        market = wide_market(symbols=symbols, days=days, restless=True)
        with empty_mart(server) as url:
            first = market.end + timedelta(hours=hour)
            prepare(url, market, first)
            found = measure(url, market, first, bars=bars)
        base = shortest.setdefault(symbols, found)
        picture[f"{symbols} symbols, {days} days"] = found.engine.wall
        times = (found.write, found.first, found.engine, found.dbt, found.idle)
        flat = f"{found.engine.wall / base.engine.wall:.2f} ({found.engine.cpu / base.engine.cpu:.2f})"
        shown = [f"{wall:.2f} ({cpu:.2f})" for wall, cpu in times]
        table.append([f"{symbols}", f"{days}", f"{found.history:,}", *shown, flat])
    what = "Everything but order books."
    note = f"Median of {bars} new bars each way, from {hour}:00 UTC: seconds (processor seconds). {what}"
    header = (
        *("symbols", "days", "bars of history", "writing raw", "engine, first bar", "engine", "dbt"),
        *("engine, nothing new", "engine, of the shortest history"),
    )
    return Section("One new bar", note, header, table, picture)


def pair(text: str) -> tuple[int, int]:
    """Read a size as it is written on the command line: symbols x days, 10x7."""
    symbols, _, days = text.partition("x")
    return int(symbols), int(days)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server")
    parser.add_argument("--sizes", type=pair, nargs="+", default=SIZES, help="symbols x days, as 10x7 10x60")
    parser.add_argument("--bars", type=int, default=5)
    parser.add_argument("--hour", type=int, default=NOON, help="UTC, of the first new bar")
    options = parser.parse_args()
    server = options.server or database_url(load_settings())
    show(run(server, sizes=options.sizes, bars=options.bars, hour=options.hour), server)


if __name__ == "__main__":
    main()
