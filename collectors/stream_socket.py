"""One shard's connection, kept up: opened, watched, rotated before its end, opened again with back-off."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidURI

from collectors.errors import backoff_delays
from collectors.stream_channels import Shard, Subscription
from collectors.stream_clock import ExchangeClock
from collectors.stream_intake import Intake
from collectors.stream_listening import Listening

LIFE = timedelta(hours=23)
"""Age at which a connection is replaced: the exchange cuts it at 24 hours."""

OVERLAP = timedelta(seconds=30)
"""How long a replacement may take to cover what the old connection does before that is given up anyway."""

OPEN_TIMEOUT = 10.0
CHECK_SECONDS = 1.0
LEAST_SILENCE = 0.7
"""Real seconds of silence that never alarm: a busy machine, under a clock that runs fast, is no failure."""

CALM = timedelta(hours=1)
MOST_PATIENCE = 64
LONGEST_WAIT = 60.0
_NEVER_MORE = 1_000_000
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class StreamCounts:
    """What has happened on the sockets so far."""

    connections: int = 0
    losses: int = 0
    silences: int = 0
    rotations: int = 0


@dataclass
class ShardSocket:
    """Keeps one shard connected until cancelled.

    Attributes
    ----------
    shard : Shard
        Its streams.
    stream_url : str
        Root of the streams.
    clock : ExchangeClock
    intake : Intake
        Takes every message.
    on_trouble : callable
        Told the subscriptions that were lost, and why, in words.
    counts : StreamCounts
    life : timedelta
    """

    shard: Shard
    stream_url: str
    clock: ExchangeClock
    intake: Intake
    on_trouble: Callable[[tuple[Subscription, ...], str], None]
    counts: StreamCounts
    life: timedelta = LIFE
    listenings: list[Listening] = field(default_factory=list)
    _patience: int = 1

    async def run(self) -> None:
        """Listen for ever: a connection that ends, ages or falls silent is replaced."""
        reader = await self._open()
        try:
            while True:
                why = await self._trouble(reader)
                if reader.task.done():
                    self.counts.losses += 1
                    self._tell(tuple(reader.listening.subscriptions.values()), why)
                    await self._retire(reader)
                    reader = await self._open()
                else:
                    reader = await self._replace(reader)
        finally:
            await reader.stop()

    async def _open(self) -> _Reader:
        """Connect, however often it takes; the waits grow, and differ from client to client."""
        delays = _delays()
        while True:
            try:
                websocket = await connect(
                    self.shard.url(self.stream_url),
                    open_timeout=OPEN_TIMEOUT,
                    close_timeout=1.0,
                    compression=None,
                    max_queue=256,
                )
            except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:
                self._tell(self.shard.subscriptions, f"no connection: {_words(error)}")
                await self.clock.sleep(next(delays))
                continue
            except InvalidURI as error:
                raise ValueError(f"{self.stream_url} is no address of streams: {error}") from error
            self.counts.connections += 1
            listening = Listening(self.shard.subscriptions, self.clock.now())
            self.listenings.append(listening)
            _log.info("listening", extra={"root": self.shard.root, "streams": len(self.shard.subscriptions)})
            return _Reader(websocket, listening, self.intake)

    async def _trouble(self, reader: _Reader) -> str:
        """Wait until the connection ends, is too old or is silent; give the reason."""
        least = timedelta(seconds=max(LEAST_SILENCE * self.clock.speed, 15 * (self._patience - 1)))
        while not reader.task.done():
            await self.clock.sleep(CHECK_SECONDS)
            now = self.clock.now()
            if now - reader.listening.opened_at > CALM:
                self._patience = 1
            if now - reader.listening.opened_at > self.life:
                self.counts.rotations += 1
                return "old"
            silent = reader.listening.silent(now, least=least)
            if silent and not reader.task.done():
                self.counts.silences += 1
                # One that stays silent (a contract that ended) must not make us connect for ever.
                self._patience = min(2 * self._patience, MOST_PATIENCE)
                self._tell(tuple(silent), "connected but silent")
                return "silent"
        return f"connection lost: {reader.reason}"

    async def _replace(self, old: _Reader) -> _Reader:
        """Open the new connection first, and close the old one when the new one covers all that it does."""
        new = await self._open()
        until = self.clock.now() + OVERLAP
        while not new.task.done() and self.clock.now() < until:
            if new.listening.takes_over_from(old.listening):
                break
            await self.clock.sleep(CHECK_SECONDS)
        await self._retire(old)
        return new

    async def _retire(self, reader: _Reader) -> None:
        await reader.stop()
        reader.listening.has_ended = True

    def _tell(self, subscriptions: tuple[Subscription, ...], why: str) -> None:
        extra = {"root": self.shard.root, "streams": len(subscriptions), "why": why}
        _log.warning("streams not heard: %s", why, extra=extra)
        self.on_trouble(subscriptions, why)


class _Reader:
    """Reads one connection into the intake."""

    def __init__(self, websocket: ClientConnection, listening: Listening, intake: Intake) -> None:
        self.listening = listening
        self.reason = "closed"
        self._websocket, self._intake = websocket, intake
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            async for text in self._websocket:
                self._intake.take_in(
                    text if isinstance(text, str) else text.decode("utf-8", "replace"), self.listening
                )
        except ConnectionClosed as error:
            self.reason = _words(error)

    async def stop(self) -> None:
        await self._websocket.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def _delays() -> Iterator[float]:
    return backoff_delays(retries=_NEVER_MORE, first=0.5, ceiling=LONGEST_WAIT, jitter=random.random)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
