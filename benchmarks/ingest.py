"""Rows a second into raw: the collectors' writer beside COPY alone (the floor) and executemany.

Usage: python -m benchmarks.ingest [--rows 100000] [--repeats 3] [--server postgresql://...]

The writer refuses impossible rows, merges by precedence, keeps what it replaces, notes coverage and changes; COPY
and executemany only put the rows into the same table, with its key, checks and triggers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from benchmarks.frame import Section, arguments, in_turn, median, seconds, show
from benchmarks.generate import TOO_MANY_DAYS
from benchmarks.scratch import raw_only
from collectors.rows import Row, table_of
from collectors.writer import Writer
from perpmart.database import Connection, connect_to
from simulator.market import Kind
from simulator.presets import wide_market

KINDS: tuple[Kind, ...] = ("ohlcv", "liquidations")
FEW = 5
"""executemany gets only every fifth of the rows: it would take minutes."""


def rows_of(kind: Kind, count: int) -> tuple[Sequence[Row], object]:
    """Give so many rows of one symbol, and the clock after them."""
    days = 1
    while days < TOO_MANY_DAYS:
        market = wide_market(symbols=1, days=days, restless=True)
        rows = market.rows(kind, market.symbols[0])
        if len(rows) >= count:
            break
        days *= 2
    return list(islice(rows, count)), market.end
