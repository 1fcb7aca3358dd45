"""Klines and statistics of wider periods, made from 5-minute ones."""

from __future__ import annotations

import numpy as np

from simulator.noise import Ints
from simulator.table import Table

WIDTHS_MS = {
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
#: The exchange offers no 8h statistics.
STATISTICS_PERIODS = tuple(name for name in WIDTHS_MS if name != "8h")


def widen_klines(table: Table, width_ms: int) -> Table:
    """Return bars of `width_ms` from narrower ones; a bar exists when any of its parts does."""
    starts, edges = _buckets(table.time, width_ms)
    if len(edges) == 0:
        return Table(starts, starts, table.columns)
    last = np.append(edges[1:], len(table)) - 1
    columns = {}
    for name, column in table.columns.items():
        if name == "high":
            columns[name] = np.maximum.reduceat(column, edges)
        elif name == "low":
            columns[name] = np.minimum.reduceat(column, edges)
        elif name == "open":
            columns[name] = column[edges]
        elif name in ("close", "mark_price", "index_price"):
            columns[name] = column[last]
        else:
            columns[name] = np.add.reduceat(column, edges)
    return Table(starts, table.published_at[last], columns)


def widen_snapshots(table: Table, width_ms: int) -> Table:
    """Return the snapshots stamped on multiples of `width_ms`."""
    return table.where(table.time % width_ms == 0)


def widen_taker(table: Table, width_ms: int, now_ms: int) -> Table:
    """Return taker volumes summed over periods of `width_ms` that have ended, at their start."""
    ended = table.where(table.time // width_ms * width_ms + width_ms <= now_ms)
    starts, edges = _buckets(ended.time, width_ms)
    if len(edges) == 0:
        return Table(starts, starts, ended.columns)
    buy = np.add.reduceat(ended.columns["long_account"], edges)
    sell = np.add.reduceat(ended.columns["short_account"], edges)
    last = np.append(edges[1:], len(ended)) - 1
    columns = {"long_short_ratio": np.round(buy / sell, 4), "long_account": buy, "short_account": sell}
    return Table(starts, ended.published_at[last], columns)


def _buckets(times: Ints, width_ms: int) -> tuple[Ints, Ints]:
    """Return the start of each bucket that has rows, and the position of its first row."""
    if len(times) == 0:
        return times, np.empty(0, dtype=np.int64)
    bucket = times // width_ms
    edges = np.flatnonzero(np.concatenate([[True], bucket[1:] != bucket[:-1]]))
    return bucket[edges] * width_ms, edges
