"""One new bar of all symbols on top of a history: seconds from raw to mart, by engine and by dbt.

Usage: python -m benchmarks.increment [--symbols 10 200] [--days 7 60] [--bars 5] [--server postgresql://...]

The engine's way is what `live` does (`perpmart.engine.run_pending`): the same SQL that dbt compiled, in one
transaction. Writing the bar's rows to raw is timed apart. In a last run without a new row nothing is pending.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import psycopg

from benchmarks.frame import Section, median, seconds, show
from benchmarks.generate import fill
from benchmarks.scratch import empty_mart
from collectors.rows import Coverage, Row
from collectors.writer import Writer
from perpmart.build import build
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from perpmart.servers.addresses import database_url
from perpmart.settings import load_settings
from simulator.market import Kind, Market
from simulator.presets import wide_market

BAR = timedelta(minutes=5)
KINDS: tuple[Kind, ...] = ("ohlcv", "open_interest", "long_short_ratio", "funding_rate", "mark_price")
"""Books and liquidations come from streams; here they stay away, so that 200 symbols fit."""


class Increment(NamedTuple):
    """Median seconds of one new bar."""

    history: int
    write: float
    engine: float
    dbt: float
    idle: float


def write_bar(connection: Connection, market: Market, number: int) -> None:
    """Write the bar that opens so many bars after the prepared end, as the collectors do."""
    start = market.end + number * BAR
    rows: list[Row] = []
    for kind in KINDS:
        for symbol in market.symbols:
            # What happens in the bar, and what is stamped at its close: marks and settlements.
            shift = BAR if kind in ("mark_price", "funding_rate") else timedelta()
            rows += market.rows(kind, symbol, start + shift, start + shift + BAR)
    now = start + BAR + timedelta(seconds=1)
    covered = [Coverage("ohlcv:5m", symbol, start, start + BAR) for symbol in market.symbols]
    result = Writer(connection).write(rows, source="rest", now=now, covered=covered)
    assert result.inserted == len(rows), result


def measure(url: str, *, days: int, symbols: int, bars: int, say: Callable[[str], None] = print) -> Increment:
    """Fill an empty mart with a history and put bars on top of it, first by the engine, then by dbt."""
    market = wide_market(symbols=symbols, days=days, restless=True)
    with connect_to(url) as connection:
        fill(connection, market, market.start, market.end, kinds=KINDS)
        spent = seconds(lambda: run_pending(connection))
        say(f"  {symbols} symbols x {days} days: built in {spent:.1f} s")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("vacuum analyze")
        write, engine, dbt = [], [], []
        for number in range(2 * bars):
            write.append(seconds(partial(write_bar, connection, market, number)))
            if number < bars:
                engine.append(seconds(lambda: run_pending(connection)))
            else:
                dbt.append(seconds(lambda: build(url)))
        last = market.end + (2 * bars - 1) * BAR
        newest = connection.execute("select count(*) from mart.latest_features where time = %s", [last])
        assert newest.fetchone() == (symbols,)
        connection.commit()
        idle = [seconds(lambda: run_pending(connection)) for _ in range(3)]
    found = Increment(symbols * days * 288, *(median(times) for times in (write, engine, dbt, idle)))
    say(f"  {found}")
    return found


def run(server: str, *, symbols: list[int], days: list[int], bars: int) -> Section:
    """Measure every pair of sizes and give the table."""
    table, picture = [], {}
    for count in symbols:
        shortest = None
        for length in days:
            with empty_mart(server) as url:
                found = measure(url, days=length, symbols=count, bars=bars)
            shortest = shortest or found
            picture[f"{count} symbols, {length} days"] = found.engine
            times = (found.write, found.engine, found.engine / shortest.engine, found.dbt, found.idle)
            table.append([f"{count}", f"{length}", f"{found.history:,}", *(f"{time:.2f}" for time in times)])
    what = "Klines, open interest, ratios, funding and mark prices."
    note = f"Median of {bars} new bars each way; seconds. {what}"
    header = (
        *("symbols", "days", "bars of history", "writing raw", "engine"),
        *("of the shortest", "dbt", "engine, nothing new"),
    )
    return Section("One new bar", note, header, table, picture)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server")
    parser.add_argument("--symbols", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--days", type=int, nargs="+", default=[7, 60])
    parser.add_argument("--bars", type=int, default=5)
    options = parser.parse_args()
    server = options.server or database_url(load_settings())
    show(run(server, symbols=options.symbols, days=options.days, bars=options.bars), server)


if __name__ == "__main__":
    main()
