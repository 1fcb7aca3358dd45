"""Load every feature of a mart into pandas: our loader, pandas.read_sql and a bare binary COPY, in turn.

Usage: python -m benchmarks.load_features postgresql://... [--repeats 3] [--symbols N]

All ways read the same rows. pandas.read_sql takes minutes and gigabytes for a mart of half a year, so a part
of the symbols can be chosen. Prints a markdown table: medians, seconds on the wall and of all processors.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping

import pandas as pd
import psycopg
from psycopg import sql

from benchmarks.frame import Spent, in_turn, machine, middle, spent
from ml.data_loader import MarketDataLoader

READ_SQL = "`pandas.read_sql` of the view, psycopg"
ALL = ("1970-01-01", "2100-01-01")


def ways(url: str, symbols: list[str]) -> Mapping[str, Callable[[], Spent]]:
    """All ways by name; each says what it took."""
    names = MarketDataLoader(url).registry().feature_set.names
    query = sql.SQL("select symbol, time, {} from mart.feature_mart where symbol = any({})").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), sql.Literal(symbols)
    )

    def load(connections: int) -> None:
        loader = MarketDataLoader(url, connections=connections)
        loader.load_features(symbols, *ALL, comparable_only=False)

    def copy() -> None:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            statement = sql.SQL("copy ({}) to stdout (format binary)").format(query)
            with cursor.copy(statement) as copied:
                for _ in copied:
                    pass

    def read_sql() -> None:
        with psycopg.connect(url) as connection, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas says that it knows SQLAlchemy better
            pd.read_sql(query.as_string(connection), connection)

    return {
        "`load_features`, 2 connections": lambda: spent(url, lambda: load(2)),
        "`load_features`, 1 connection": lambda: spent(url, lambda: load(1)),
        "bare binary COPY of the view, thrown away": lambda: spent(url, copy),
        READ_SQL: lambda: spent(url, read_sql),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--symbols", type=int, help="how many of the mart's; default all")
    options = parser.parse_args()
    loader = MarketDataLoader(options.url)
    symbols = list(loader.symbols()[: options.symbols])
    rows = len(loader.load_features(symbols, *ALL, features=["return_1"]))
    columns = len(loader.registry().features)
    before = machine(options.url)
    times = in_turn(ways(options.url, symbols), repeats=options.repeats)
    found = {name: middle(taken) for name, taken in times.items()}
    slowest = found[READ_SQL]
    print(
        f"{len(symbols)} symbols, {rows:,} rows x {columns} features; median of {options.repeats} in turn.\n"
    )
    print("| way | seconds | rows a second | as fast as read_sql | processor seconds | of read_sql's |")
    print("|---|---|---|---|---|---|")
    for name, took in found.items():
        pace = f"{rows / took.wall:,.0f} | {slowest.wall / took.wall:.1f} times"
        print(f"| {name} | {took.wall:.2f} | {pace} | {took.cpu:.2f} | {took.cpu / slowest.cpu:.2f} |")
    print(f"\nBefore: {before}\n\nAfter: {machine(options.url)}")


if __name__ == "__main__":
    main()
