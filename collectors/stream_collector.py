"""Listening and polling for ever: sockets, writes, the close of each bar, polls, repairs of holes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from collectors.client import BinanceFuturesClient
from collectors.errors import UnknownSymbolError
from collectors.kinds import BAR, ceil
from collectors.metrics import Metrics
from collectors.rows import (
    Coverage,
    Instrument,
    Kline,
    MarkPrice,
    Row,
)
from collectors.stream_channels import FORCE_ORDERS, KLINES, Subscription, shards
from collectors.stream_clock import ExchangeClock
from collectors.stream_cycles import BarClosed, Cycles, Hooks
from collectors.stream_database import Database
from collectors.stream_intake import Intake, Taken
from collectors.stream_listening import DISORDER, ORDER_LAG
from collectors.stream_polls import Poller
from collectors.stream_socket import LIFE, ShardSocket, StreamCounts
from collectors.stream_writes import (
    is_late,
    write_listings,
    write_taken,
)

GRACE = timedelta(seconds=3)
"""How long a bar waits for its last symbols."""

MARK_SLOT = timedelta(seconds=10)
FLUSH_SECONDS = 5.0

_log = logging.getLogger(__name__)


class StreamCollector:
    """Keeps the raw tables up to date until cancelled.

    Parameters
    ----------
    symbols : sequence of str
        Canonical.
    stream_url : str
        Root of the streams.
    client : BinanceFuturesClient
        For what no stream carries.
    database : Database
        With the raw schema on its search path.
    clock : ExchangeClock
    hooks : Hooks
    metrics : Metrics
    grace : timedelta, optional
        How long a bar waits for its last symbols.
    life : timedelta, optional
        Age at which a connection is replaced.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        stream_url: str,
        client: BinanceFuturesClient,
        database: Database,
        clock: ExchangeClock,
        hooks: Hooks,
        metrics: Metrics,
        grace: timedelta = GRACE,
        life: timedelta = LIFE,
    ) -> None:
        self.symbols = tuple(symbols)
        self.counts = StreamCounts()
        self._client, self._database, self._clock = client, database, clock
        self._hooks, self._metrics, self._grace = hooks, metrics, grace
        self._intake = Intake(self._on_row)
        self._sockets = [
            ShardSocket(shard, stream_url, clock, self._intake, self._on_trouble, self.counts, life)
            for shard in shards(self.symbols)
        ]
        self._closed: dict[datetime, dict[str, float]] = {}
        self._marked: dict[str, datetime] = {}
        self._row_came = asyncio.Event()
        self._writing = asyncio.Lock()
        self._cycles: Cycles | None = None
        self._passed = datetime(1970, 1, 1, tzinfo=UTC)
        self._listened: dict[str, datetime] = {}

    async def run(self) -> None:
        """Collect until cancelled; what was received by then is written.

        Raises
        ------
        UnknownSymbolError
            A symbol is not listed.
        DatabaseError, psycopg.Error
            The database fails in a way that does not pass by itself.
        """
        cycles = self._cycles = Cycles(
            self.symbols,
            Poller(self._client, await self._list()),
            client=self._client,
            database=self._database,
            clock=self._clock,
            hooks=self._hooks,
            metrics=self._metrics,
        )
        await cycles.note_holes()
        jobs = [socket.run() for socket in self._sockets]
        jobs += [self._close_bars(cycles), self._flush(), cycles.poll(), cycles.repair()]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._write(self._clock.now())

    async def _list(self) -> dict[str, Instrument]:
        """Read the listings, and store those of our symbols."""
        listed = {one.symbol: one for one in await self._client.fetch_exchange_info()}
        unknown = [symbol for symbol in self.symbols if symbol not in listed]
        if unknown:
            raise UnknownSymbolError(
                self._client.base_url, f"{', '.join(unknown)}: not listed by the exchange", symbol=unknown[0]
            )
        chosen = {symbol: listed[symbol] for symbol in self.symbols}
        await self._database.insist(
            "writing listings", write_listings, list(chosen.values()), self._clock.now()
        )
        return chosen

    # -- sockets

    def _on_row(self, row: Row) -> None:
        if isinstance(row, Kline):
            self._closed.setdefault(row.time, {}).setdefault(row.symbol, time.monotonic())
        elif isinstance(row, MarkPrice):
            self._marked[row.symbol] = max(row.time, self._marked.get(row.symbol, row.time))
        self._row_came.set()

    def _on_trouble(self, subscriptions: tuple[Subscription, ...], why: str) -> None:
        for one in subscriptions:
            if self._cycles is not None:
                self._cycles.troubles[one.channel.stream, one.symbol] = why

    # -- writing

    async def _flush(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_SECONDS)
            newest = self._intake.newest
            # Near a bar's close its own write is next, and must not wait for this one.
            if timedelta(0) <= ceil(newest, BAR) - newest < timedelta(seconds=1.5):
                continue
            if await self._write(newest - DISORDER):
                await self._hooks.on_change("late messages")

    async def _write(self, books_until: datetime, *, bar: datetime | None = None) -> bool:
        """Write all that has come in, and what it covers; tells whether some of it was for earlier bars."""
        async with self._writing:
            listenings = [one for socket in self._sockets for one in socket.listenings]
            covered = [segment for one in listenings for segment in one.covered()]
            newest = {id(one): one.newest for one in listenings}
            ended = {id(one) for one in listenings if one.has_ended}
            # What is covered is written with it: a write that comes late finds books beyond its bar's end.
            taken = self._intake.take(books_until=max(books_until, self._intake.newest - DISORDER))
            if bar is not None:
                covered += self._covered_bars(bar)
            now = max(taken.newest, self._clock.now())
            if taken.lost:
                self._lose(taken)
                return False
            try:
                result = await self._database.insist("writing streams", write_taken, taken, covered, now)
            except BaseException:
                # Told to end while the database is away: the last write covers what these rows prove.
                self._intake.give_back(taken)
                raise
            for socket in self._sockets:
                for one in socket.listenings:
                    one.forget_finished(newest.get(id(one), one.opened_at))
                # One that ended while we waited for the database has more to tell than was written.
                socket.listenings = [one for one in socket.listenings if id(one) not in ended]
            self._metrics.wrote(taken, result, self.counts)
            return self._is_told_late(covered) or any(is_late(row, self._passed) for row in taken.rows)

    def _is_told_late(self, covered: list[Coverage]) -> bool:
        """Tell whether bars that were passed on count as listened to now: their liquidations are known."""
        needed, is_late = self._passed - ORDER_LAG, False
        for one in covered:
            if one.stream == FORCE_ORDERS.stream:
                known = self._listened.get(one.symbol, one.from_time)
                is_late |= max(known, one.from_time) < min(needed, one.to_time)
                self._listened[one.symbol] = max(known, one.to_time)
        return is_late

    def _covered_bars(self, until: datetime) -> list[Coverage]:
        """Cover the klines received of a bar, and of earlier ones that a pause has passed over."""
        return [
            Coverage(KLINES.stream, symbol, bar, bar + BAR)
            for bar, symbols in self._closed.items()
            if bar <= until
            for symbol in symbols
        ]

    def _lose(self, taken: Taken) -> None:
        """Give up what the database was away for too long to take; its time is a hole."""
        lost = taken.lost + len(taken.rows) + len(taken.refusals)
        _log.error("%d messages were lost: the database was away for too long", lost)
        self._closed.clear()
        for socket in self._sockets:
            for listening in socket.listenings:
                listening.start_anew()
            self._on_trouble(socket.shard.subscriptions, "the database was away for too long")

    # -- bars

    async def _close_bars(self, cycles: Cycles) -> None:
        fetching: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        fetching.set_result(None)
        bar = ceil(self._clock.now(), BAR) - BAR
        while True:
            await self._clock.sleep_until(bar + BAR)
            # After a pause only the newest bar is waited for: earlier ones are as complete as they will be.
            bar = max(bar, ceil(self._clock.now(), BAR) - 2 * BAR)
            await self._hooks.on_close()
            await self._wait_for_klines(bar)
            arrived = self._closed.get(bar, {})
            missing = tuple(symbol for symbol in self.symbols if symbol not in arrived)
            brought_late = await self._write(bar + BAR, bar=bar)
            self._passed = bar + BAR
            heard_at = max(arrived.values()) if arrived and not missing else None
            await self._hooks.on_bar(BarClosed(bar, missing, heard_at, brought_late))
            if missing and fetching.done():
                # Beside the bars: an exchange that does not answer must not hold up the next one.
                fetching = asyncio.ensure_future(cycles.fetch_missing(missing, bar))
            self._closed = {at: symbols for at, symbols in self._closed.items() if at > bar}
            bar += BAR

    async def _wait_for_klines(self, bar: datetime) -> None:
        """Wait until every symbol's bar is in, at most for the grace."""
        until = bar + BAR + self._grace
        while not self._is_complete(bar):
            left = (until - self._clock.now()).total_seconds() / self._clock.speed
            if left <= 0:
                return
            self._row_came.clear()
            try:
                await asyncio.wait_for(self._row_came.wait(), left)
            except TimeoutError:
                return

    def _is_complete(self, bar: datetime) -> bool:
        """Tell whether all klines of a bar are in, and the mark prices at its end of who has them at all."""
        marks = {symbol for symbol, at in self._marked.items() if at >= bar + BAR - MARK_SLOT}
        ready = {symbol for symbol in marks if self._marked[symbol] >= bar + BAR}
        return len(self._closed.get(bar, ())) >= len(self.symbols) and ready == marks
