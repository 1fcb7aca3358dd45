"""What is done again and again beside listening: polls on a fixed grid, holes noted, holes repaired."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from collectors.client import BinanceFuturesClient
from collectors.coverage import Gap
from collectors.errors import ExchangeError
from collectors.kinds import BAR, ceil, floor
from collectors.metrics import Metrics
from collectors.stream_channels import KLINES
from collectors.stream_clock import ExchangeClock
from collectors.stream_database import Database
from collectors.stream_polls import Gathered, Poller
from collectors.stream_writes import counts_from, note_given, note_holes, open_gaps, write_polled

KLINES_AT = timedelta(seconds=105)
"""When closed bars are read again: the exchange revises some within 100 s."""

STATISTICS_AT = timedelta(seconds=250)
"""When statistics are read: they come up to 4 min after the bar's open, and count from its close."""

_log = logging.getLogger(__name__)


class BarClosed(NamedTuple):
    """A bar whose klines are in the database, or were waited for in vain.

    ``heard_at`` is the monotonic time of its last kline, None when a symbol is missing; ``brought_late``
    tells that rows of earlier bars came with it.
    """

    time: datetime
    missing: tuple[str, ...]
    heard_at: float | None
    brought_late: bool


class Hooks(Protocol):
    """Who wants to know what the collector has done."""

    async def on_close(self) -> None:
        """Make way: a bar has ended, and its rows are about to be written."""

    async def on_bar(self, bar: BarClosed) -> None:
        """Take notice of a bar that has closed; its rows are committed."""

    async def on_change(self, what: str) -> None:
        """Take notice of rows that change what was known of closed bars; they are committed."""

    async def on_repair(self, gathered: Gathered, *, origin: str) -> bool:
        """Write what repairs holes; False when it has to be tried again."""


class Cycles:
    """Polls and repairs of one collector.

    Parameters
    ----------
    symbols : sequence of str
    poller : Poller
    client : BinanceFuturesClient
    database : Database
    clock : ExchangeClock
    hooks : Hooks
    metrics : Metrics

    Attributes
    ----------
    troubles : dict
        Why a stream of a symbol was last not heard, in words: the cause of the hole that follows.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        poller: Poller,
        *,
        client: BinanceFuturesClient,
        database: Database,
        clock: ExchangeClock,
        hooks: Hooks,
        metrics: Metrics,
    ) -> None:
        self._symbols, self._poller, self._client = tuple(symbols), poller, client
        self._database, self._clock, self._hooks, self._metrics = database, clock, hooks, metrics
        self.troubles: dict[tuple[str, str], str] = {}

    async def fetch_missing(self, missing: Sequence[str], bar: datetime) -> None:
        """Note bars that no stream brought as holes, and ask REST: it may have them, or nothing traded."""
        cause = self.troubles.get((KLINES.stream, missing[0]), "no stream brought the bar")
        holes = [Gap(KLINES.stream, symbol, bar, bar + BAR, cause) for symbol in missing]
        self._metrics.found(await self._database.insist("noting holes", note_given, holes, self._clock.now()))
        gathered = await self._poller.poll_klines(self._clock.now(), symbols=missing)
        if await self._write_polled(gathered, "missing bars", since=bar + BAR):
            await self._hooks.on_change("missing bars")

    async def poll(self) -> None:
        """Poll for ever."""
        bar = ceil(self._clock.now(), BAR) - BAR
        while True:
            if self._clock.now() < bar + STATISTICS_AT:
                await self._clock.sleep_until(bar + KLINES_AT)
                await self.note_holes()
                if await self._write_polled(
                    await self._poller.poll_klines(self._clock.now()), "klines", since=bar
                ):
                    await self._hooks.on_change("revised bars")
            else:
                await self.note_holes()
            await self._clock.sleep_until(bar + STATISTICS_AT)
            gathered = await self._poller.poll_statistics(self._clock.now())
            if await self._write_polled(gathered, "statistics", since=bar):
                await self._hooks.on_change("late statistics")
            bar = max(bar + BAR, ceil(self._clock.now(), BAR) - BAR)

    async def _write_polled(self, gathered: Gathered, what: str, *, since: datetime) -> bool:
        """Write a poll; tells whether it changes bars that have closed, by now or before `since`."""
        for error in gathered.errors:
            _log.warning("poll of %s: %s", what, error)
        self._metrics.polled(gathered, self._client)
        since = max(since, floor(self._clock.now(), BAR))
        polled = await self._database.insist(
            f"writing {what}",
            write_polled,
            gathered,
            origin=f"{self._client.base_url} {what}",
            since=since,
        )
        self._metrics.wrote_polled(polled.result, polled.closed)
        # A poll that waited for the database is late for bars that have closed meanwhile.
        passed = floor(self._clock.now(), BAR)
        overtaken = any(since <= counts_from(row) < passed for row in gathered.rows)
        return polled.changes_closed or (overtaken and polled.result.inserted > 0)

    async def repair(self) -> None:
        """Fill open holes from REST, slice by slice."""
        failed: set[Gap] = set()
        while True:
            await self._clock.sleep(20)
            gaps = await self._database.insist("reading holes", open_gaps, self._symbols)
            waiting = [gap for gap in gaps if gap not in failed]
            if not waiting:
                failed = set() if not gaps else failed
                await self._clock.sleep(60)
                failed.clear()
                continue
            try:
                gathered, chosen = await self._poller.read_slice(waiting, self._clock.now())
            except ExchangeError as error:
                _log.warning("holes stay open: %s", error)
                await self._clock.sleep(60)
                continue
            if not await self._hooks.on_repair(gathered, origin=f"{self._client.base_url} repair"):
                continue
            # What REST did not fill is asked for again later, not at once.
            failed |= set(chosen)

    async def note_holes(self) -> None:
        """Note the holes in what was heard, as far as they are new."""
        noted = await self._database.insist(
            "noting holes", note_holes, self._symbols, self._clock.now(), dict(self.troubles)
        )
        for gap in noted:
            _log.warning("hole in %s of %s: %s", gap.stream, gap.symbol, gap.cause)
        self._metrics.found(noted)
