"""The simulated streams on their sockets: split roots, combined addresses, failures on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import WSMsgType, web

from simulator.clock import Clock
from simulator.market import Market
from simulator.stream_feed import Event, StreamFeed
from simulator.stream_names import Stream, read_stream
from simulator.stream_plan import Failure, StreamPlan

ROOTS = {"market": "market", "public": "public", "": "public"}
"""First part of an address, and whose streams speak there: under the old bare one only the public ones do."""

MOST_STREAMS = 1024
PING_SECONDS = 180.0
TICK_SECONDS = 0.02
MESSAGES_A_SECOND = 10


@dataclass
class Connection:
    """One client's socket: what it asked for, what waits to be sent, and what goes wrong on it."""

    number: int
    root: str
    socket: web.WebSocketResponse
    streams: dict[str, Stream]
    opened_ms: int
    sent_until_ms: int
    waiting: list[tuple[int, int, Event]] = field(default_factory=list)
    drop_ms: int | None = None
    silence: Failure | None = None
    silence_is_noted: bool = False

    @property
    def speaking(self) -> list[Stream]:
        """Streams that this root carries."""
        return [stream for stream in self.streams.values() if stream.root == self.root]


class StreamServer:
    """Serves the streams of a market to websocket clients.

    Parameters
    ----------
    market : Market
    clock : Clock
        The exchange's time.
    plan : StreamPlan, optional
        Cadence and failures; default a well-behaved exchange at full cadence.
    """

    def __init__(self, market: Market, clock: Clock, plan: StreamPlan | None = None) -> None:
        self.plan = plan or StreamPlan()
        self.failures: deque[Failure] = deque(maxlen=100_000)
        self.connections: dict[int, Connection] = {}
        self.most_connections = 0
        self._clock = clock
        self._feed = StreamFeed(market, least_every_ms=self.plan.least_every_ms)
        self._numbers, self._order = count(1), count()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Hold one connection until either side ends it; addresses are ``/<root>/stream?streams=a/b``."""
        parts = [part for part in request.path.split("/") if part]
        root = ROOTS.get("/".join(parts[:-1]))
        if root is None or parts[-1] not in ("stream", "ws"):
            return web.Response(status=404)
        if self.plan.is_out(self._clock.now_ms()):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        names = [name for name in request.query.get("streams", "").split("/") if name]
        if len(names) > MOST_STREAMS:
            return web.Response(status=400, text="too many streams")
        socket = web.WebSocketResponse(heartbeat=PING_SECONDS, compress=False)
        await socket.prepare(request)
        connection = self._open(root, socket, names)
        speaker = asyncio.ensure_future(self._speak(connection, request))
        try:
            await self._listen(connection)
        finally:
            self.connections.pop(connection.number, None)
            speaker.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await speaker
        return socket

    async def close(self) -> None:
        """Close all connections."""
        for connection in list(self.connections.values()):
            await connection.socket.close()

    def _open(self, root: str, socket: web.WebSocketResponse, names: Iterable[str]) -> Connection:
        now, number = self._clock.now_ms(), next(self._numbers)
        connection = Connection(number, root, socket, _streams(names), now, now)
        connection.drop_ms = self.plan.next_failure_ms("drop", self.plan.drops_per_hour, number, now)
        self._plan_silence(connection, now)
        self.connections[number] = connection
        self.most_connections = max(self.most_connections, len(self.connections))
        return connection

    async def _listen(self, connection: Connection) -> None:
        """Take subscriptions until the client goes; one that talks too much is cut off."""
        loop, spoken = asyncio.get_running_loop(), deque[float](maxlen=MESSAGES_A_SECOND)
        async for message in connection.socket:
            if message.type != WSMsgType.TEXT:
                continue
            if len(spoken) == MESSAGES_A_SECOND and loop.time() - spoken[0] < 1.0:
                await connection.socket.close(code=1008, message=b"Too many requests")
                return
            spoken.append(loop.time())
            await connection.socket.send_json(_answer(connection, message.data))

    async def _speak(self, connection: Connection, request: web.Request) -> None:
        """Send what has happened since the last look, until the connection's end comes."""
        loop = asyncio.get_running_loop()
        while not connection.socket.closed:
            began, now = loop.time(), self._clock.now_ms()
            if (ending := self._ending(connection, now)) is not None:
                self.failures.append(ending)
                if ending.kind == "end of life":
                    await connection.socket.close(code=1001)
                elif request.transport is not None:
                    request.transport.abort()
                return
            for event in self._due(connection, now):
                text = json.dumps({"stream": event.stream, "data": event.payload}, separators=(",", ":"))
                await connection.socket.send_str(text)
            # With hundreds of streams a look takes long: at least half of the time is others'.
            await asyncio.sleep(max(TICK_SECONDS, loop.time() - began))

    def _ending(self, connection: Connection, now: int) -> Failure | None:
        names = tuple(connection.streams)
        if self.plan.is_out(now):
            return Failure("outage", now, 0, names)
        if connection.drop_ms is not None and now >= connection.drop_ms:
            return Failure("drop", now, 0, names)
        if now - connection.opened_ms >= self.plan.life_seconds * 1000:
            return Failure("end of life", now, 0, names)
        return None

    def _due(self, connection: Connection, now: int) -> list[Event]:
        """Give the messages whose turn has come, spoilt as the plan says."""
        for event in self._feed.between(connection.speaking, connection.sent_until_ms, now):
            if self._is_silent(connection, event):
                continue
            heapq.heappush(connection.waiting, (self._send_at(event), next(self._order), event))
            if self._hits("duplicate", event, self.plan.duplicate_share):
                heapq.heappush(connection.waiting, (self._send_at(event) + 50, next(self._order), event))
        connection.sent_until_ms = max(connection.sent_until_ms, now)
        due = []
        while connection.waiting and connection.waiting[0][0] <= now:
            due.append(heapq.heappop(connection.waiting)[2])
        if connection.silence is not None and now >= connection.silence.to_ms:
            self._plan_silence(connection, now)
        return due

    def _send_at(self, event: Event) -> int:
        if not self._hits("disorder", event, self.plan.disorder_share):
            return event.at_ms
        return event.at_ms + int(self.plan.draw(f"late/{event.stream}", event.at_ms) * self.plan.disorder_ms)

    def _hits(self, what: str, event: Event, share: float) -> bool:
        return share > 0 and self.plan.draw(f"{what}/{event.stream}", event.at_ms) < share

    def _plan_silence(self, connection: Connection, now: int) -> None:
        """Choose when the connection falls silent next: wholly, or one stream of it that always speaks."""
        start = self.plan.next_failure_ms("silence", self.plan.silences_per_hour, connection.number, now)
        names = [stream.name for stream in connection.speaking]
        if start is None or not names:
            connection.silence = None
            return
        steady = [stream.name for stream in connection.speaking if stream.every_ms]
        draw = self.plan.draw("silent stream", start)
        chosen = names if draw < 0.5 or not steady else [steady[int(draw * 1000) % len(steady)]]
        end = start + int(self.plan.silence_seconds * 1000)
        connection.silence = Failure("silence", start, end, tuple(chosen))
        connection.silence_is_noted = False

    def _is_silent(self, connection: Connection, event: Event) -> bool:
        silence = connection.silence
        if silence is None or not silence.from_ms <= event.at_ms < silence.to_ms:
            return False
        if event.stream not in silence.streams:
            return False
        if not connection.silence_is_noted:
            connection.silence_is_noted = True
            self.failures.append(silence)
        return True


def _streams(names: Iterable[str]) -> dict[str, Stream]:
    """Give the streams that the exchange knows; unknown names are taken in silence, as it does."""
    found = (read_stream(name) for name in names)
    return {stream.name: stream for stream in found if stream is not None}


def _answer(connection: Connection, text: str) -> dict[str, Any]:
    """Obey SUBSCRIBE and UNSUBSCRIBE; give the answer to send."""
    try:
        order = json.loads(text)
        method, names, identity = order["method"], order.get("params", []), order.get("id")
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"error": {"code": 3, "msg": "Invalid JSON"}}
    if method == "SUBSCRIBE":
        connection.streams.update(_streams(names))
    elif method == "UNSUBSCRIBE":
        for name in names:
            connection.streams.pop(name, None)
    elif method == "LIST_SUBSCRIPTIONS":
        return {"result": list(connection.streams), "id": identity}
    else:
        return {"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": identity}
    return {"result": None, "id": identity}
