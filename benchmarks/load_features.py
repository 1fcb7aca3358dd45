"""Load every feature of a mart into pandas: our loader beside pandas.read_sql and a bare binary COPY.

Usage: python benchmarks/load_features.py postgresql://... [--read-sql-symbols N]

pandas.read_sql takes minutes for a whole mart, so it reads a few symbols only and the rates are compared.
"""

from __future__ import annotations

import argparse
import time
import warnings

import pandas as pd
import psycopg

from ml.data_loader import MarketDataLoader

ALL = ("1970-01-01", "2100-01-01")


def timed_loader(url: str, connections: int) -> tuple[int, int, float]:
    """Rows, columns and seconds of our loader."""
    started = time.perf_counter()
    loader = MarketDataLoader(url, connections=connections)
    frame = loader.load_features(None, *ALL, comparable_only=False)
    return len(frame), frame.shape[1], time.perf_counter() - started


def timed_copy(url: str, names: str, symbols: tuple[str, ...]) -> tuple[int, float]:
    """Bytes and seconds of binary COPY thrown away as it comes: the server's own speed."""
    received, started = 0, time.perf_counter()
    with psycopg.connect(url) as connection:
        for symbol in symbols:
            query = f"select time, {names} from mart.feature_mart where symbol = '{symbol}' order by time"
            with connection.cursor().copy(f"copy ({query}) to stdout (format binary)") as copy:
                received += sum(map(len, copy))
    return received, time.perf_counter() - started


def timed_read_sql(url: str, names: str, symbols: tuple[str, ...]) -> tuple[int, float]:
    """Rows and seconds of pandas.read_sql."""
    rows, started = 0, time.perf_counter()
    with psycopg.connect(url) as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for symbol in symbols:
            query = f"select time, {names} from mart.feature_mart where symbol = '{symbol}' order by time"
            rows += len(pd.read_sql(query, connection))
    return rows, time.perf_counter() - started


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--read-sql-symbols", type=int, default=1)
    options = parser.parse_args()
    loader = MarketDataLoader(options.url)
    names = ", ".join(loader.registry().feature_set.names)
    symbols = loader.symbols()
    for connections in (1, 2):
        rows, columns, seconds = timed_loader(options.url, connections)
        what = f"load_features, {connections} connection(s): {rows:,} x {columns}"
        print(f"{what} in {seconds:.2f} s, {rows / seconds:,.0f} rows/s")
    received, seconds = timed_copy(options.url, names, symbols)
    print(f"bare binary COPY: {received / 1e6:,.0f} MB in {seconds:.2f} s, {rows / seconds:,.0f} rows/s")
    some, seconds = timed_read_sql(options.url, names, symbols[: options.read_sql_symbols])
    print(f"pandas.read_sql: {some:,} x {columns} in {seconds:.2f} s, {some / seconds:,.0f} rows/s")


if __name__ == "__main__":
    main()
