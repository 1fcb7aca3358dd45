"""Full builds of 18 and 180 days of ten symbols, and one new bar on top: does history make a bar dearer?

Usage: python benchmarks/build_history.py postgresql://superuser@host/postgres [--days 18 180] [--symbols 10]

Makes a database of its own for each length and drops it again. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import time
from datetime import timedelta
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from collectors.rows import Coverage
from collectors.writer import Writer
from perpmart.build import build
from perpmart.database import connect_to
from perpmart.engine import run_pending
from perpmart.migrations import migrate
from simulator.market import KINDS, Market
from simulator.presets import wide_market

WITHOUT_BOOKS = tuple(kind for kind in KINDS if kind != "order_book")


def fill(url: str, market: Market) -> None:
    """Write all of a market but its last bar to raw."""
    with connect_to(url) as connection:
        migrate(connection)
    with connect_to(url) as connection:
        writer, now, last = Writer(connection), market.end, market.end - timedelta(minutes=5)
        writer.write(market.instruments(), source="rest", now=now)
        for kind in WITHOUT_BOOKS:
            for symbol in market.symbols:
                covered = [Coverage("ohlcv:5m", symbol, market.start, last)] if kind == "ohlcv" else []
                writer.write(
                    market.rows(kind, symbol, market.start, last), source="rest", now=now, covered=covered
                )


def add_last_bar(url: str, market: Market) -> float:
    """Write the last bar of all symbols and return the seconds in which it got to the mart."""
    with connect_to(url) as connection:
        writer, last = Writer(connection), market.end - timedelta(minutes=5)
        for kind in WITHOUT_BOOKS:
            for symbol in market.symbols:
                covered = [Coverage("ohlcv:5m", symbol, last, market.end)] if kind == "ohlcv" else []
                rows = market.rows(kind, symbol, last, market.end)
                writer.write(rows, source="rest", now=market.end, covered=covered)
        started = time.perf_counter()
        run_pending(connection)
        connection.commit()
        return time.perf_counter() - started


def measure(server: str, days: int, symbols: int) -> tuple[int, float, float]:
    """Return bars, seconds of a full build and seconds of one bar more."""
    name = f"benchmark_{uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            url, market = make_conninfo(server, dbname=name), wide_market(symbols=symbols, days=days)
            fill(url, market)
            started = time.perf_counter()
            build(url)
            seconds = time.perf_counter() - started
            return days * 288 * symbols, seconds, add_last_bar(url, market)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def main() -> None:
    """Measure each length and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server")
    parser.add_argument("--days", type=int, nargs="+", default=[18, 180])
    parser.add_argument("--symbols", type=int, default=10)
    options = parser.parse_args()
    print("| days | bars | full build (s) | per 100,000 bars (s) | one new bar (s) |\n|---|---|---|---|---|")
    for days in options.days:
        bars, full, bar = measure(options.server, days, options.symbols)
        print(f"| {days} | {bars:,} | {full:.1f} | {full / bars * 1e5:.2f} | {bar:.2f} |", flush=True)


if __name__ == "__main__":
    main()
