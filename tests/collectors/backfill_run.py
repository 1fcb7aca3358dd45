"""Backfills in this process or in one that can be killed, and what they leave in the raw tables."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from collectors.backfill import HistoricalDataCollector, OptimizedDataCollector
from collectors.client import BinanceFuturesClient
from collectors.collection import CollectionResult
from collectors.kinds import KINDS
from perpmart.database import connect_to

KEYS = {
    "ohlcv": "symbol, timeframe, time",
    "open_interest": "symbol, period, time",
    "funding_rate": "symbol, funding_time",
    "long_short_ratio": "symbol, period, ratio_type, time",
    "order_book": "symbol, slot",
    "mark_price": "symbol, slot",
    "instruments": "symbol, valid_from",
    "coverage": "stream, symbol, source, from_time",
    "gaps": "stream, symbol, from_time",
    "rejects": "stream, origin, reason, payload",
}
IGNORED = {"id", "ingested_at", "noted_at", "resolved_at", "received_at", "origin", "changed_at"}

Tables = dict[str, list[tuple[Any, ...]]]


def backfill(
    database_url: str,
    url: str,
    symbols: str | Sequence[str],
    start: Any,
    end: Any = None,
    *,
    one_by_one: bool = False,
    timeout: float = 5.0,
    **options: Any,
) -> CollectionResult:
    """Run one backfill against a simulator."""

    async def run() -> CollectionResult:
        with connect_to(database_url) as connection:
            async with BinanceFuturesClient(url, timeout=timeout, first_delay=0.02) as client:
                if one_by_one:
                    plain = HistoricalDataCollector(client, connection, **options)
                    return await plain.collect_all_data(symbols, start, end)
                quick = OptimizedDataCollector(client, connection, **options)
                return await quick.collect_all_data_concurrent(symbols, start, end)

    return asyncio.run(run())


def raw_tables(database_url: str) -> Tables:
    """Read every raw table that a backfill fills, without numbers and clocks of the database itself."""
    found: Tables = {}
    with connect_to(database_url) as connection:
        for table, key in KEYS.items():
            names = [
                name
                for (name,) in connection.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
                    " and not attisdropped order by attnum",
                    [table],
                )
                if name not in IGNORED
            ]
            query = f"select {', '.join(names)} from {table} order by {key}"
            found[table] = connection.execute(query.encode()).fetchall()
    return found


def assert_same_tables(one: Tables, other: Tables) -> None:
    """Compare table by table, so that a failure names the first row that differs."""
    for table in KEYS:
        pairs = zip(one[table], other[table], strict=False)
        differing = [pair for pair in pairs if pair[0] != pair[1]]
        assert not differing, f"{table}: {differing[0]}"
        assert len(one[table]) == len(other[table]), table


def start_backfill(database_url: str, url: str, symbols: str, start: str) -> subprocess.Popen[bytes]:
    """Start a backfill in a process of its own; it is told everything by its arguments."""
    return subprocess.Popen(
        [sys.executable, __file__, database_url, url, symbols, start],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


if __name__ == "__main__":
    backfill(
        sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4], kinds=tuple(KINDS), pages_per_write=1
    )
