"""Streams without a mart: what is written is nobody's business but the tables'."""

from __future__ import annotations

from collections.abc import Callable

from collectors.metrics import Metrics
from collectors.stream_cycles import BarClosed
from collectors.stream_database import Database
from collectors.stream_polls import Gathered, write_gathered


class OnlyCollect:
    """Hooks of a collector without a mart: repairs are written at once, the rest is nobody's business.

    Parameters
    ----------
    database : Database
    metrics : Metrics
    say : callable, optional
        Told one line a repair.
    """

    def __init__(
        self, database: Database, *, metrics: Metrics, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self._database, self._metrics, self._say = database, metrics, say

    async def on_close(self) -> None:
        """Do nothing."""

    async def on_bar(self, bar: BarClosed) -> None:
        """Say that the bar is in."""
        missing = f", without {', '.join(bar.missing)}" if bar.missing else ""
        self._say(f"{bar.time:%Y-%m-%d %H:%M} written{missing}")

    async def on_change(self, what: str) -> None:
        """Do nothing."""

    async def on_repair(self, gathered: Gathered, *, origin: str) -> bool:
        """Write what fills holes."""
        result, closed = await self._database.insist("repair", write_gathered, gathered, origin=origin)
        self._metrics.wrote_polled(result, closed)
        self._say(f"repaired {len(closed)} holes, {result.inserted} rows")
        return True
