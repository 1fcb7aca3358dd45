"""The simulated exchange as a server on loopback: limits, faults, a log, and the endpoints of `routes`."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from simulator.clock import AcceleratedClock, Clock, StandingClock
from simulator.errors import ExchangeError
from simulator.faults import Fault, FaultInjector, FaultPlan, plan_from
from simulator.limits import Limiter, RateLimits
from simulator.market import Market, to_time
from simulator.replies import Reply, RequestRecord, broken_reply, json_reply, plain_record
from simulator.routes import ENDPOINTS
from simulator.stream_plan import StreamPlan
from simulator.stream_server import StreamServer

HOST = "127.0.0.1"
LOG_LENGTH = 200_000
_log = logging.getLogger(__name__)


class Simulator:
    """The exchange; use as ``async with Simulator(market) as exchange: exchange.url``.

    Parameters
    ----------
    market : Market
        Where the data come from.
    clock : Clock, optional
        The exchange's time; default one that stands at the market's end.
    port : int
        0 takes a free one.
    limits : RateLimits, optional
        Default Binance's.
    faults : FaultPlan, optional
        Default none.
    streams : StreamPlan, optional
        Cadence and failures of the streams; default full cadence without failures.
    """

    def __init__(
        self,
        market: Market,
        *,
        clock: Clock | None = None,
        port: int = 0,
        limits: RateLimits | None = None,
        faults: FaultPlan | None = None,
        streams: StreamPlan | None = None,
    ) -> None:
        self.market = market
        self.clock: Clock = clock or StandingClock(market.end)
        is_fast = isinstance(self.clock, AcceleratedClock)
        self.limiter = Limiter(
            limits or RateLimits(),
            exchange_ms=self.clock.now_ms,
            wall_clock=(lambda: self.clock.now_ms() / 1000) if is_fast else time.time,
        )
        self.requests: deque[RequestRecord] = deque(maxlen=LOG_LENGTH)
        self.streams = StreamServer(market, self.clock, streams)
        self._injector = FaultInjector(faults or FaultPlan())
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Root of the REST endpoints, without a slash at its end."""
        return f"http://{HOST}:{self._port}"

    @property
    def stream_url(self) -> str:
        """Root of the streams, without a slash at its end."""
        return f"ws://{HOST}:{self._port}"

    @property
    def faults(self) -> FaultPlan:
        """The plan of faults in force."""
        return self._injector.plan

    @faults.setter
    def faults(self, plan: FaultPlan) -> None:
        self._injector = FaultInjector(plan)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the port. An OSError says when it is taken."""
        app = web.Application()
        app.router.add_route("*", "/_sim/{what}", self._control)
        for path in ("/stream", "/ws", "/{root}/stream", "/{root}/ws"):
            app.router.add_get(path, self.streams.serve)
        app.router.add_route("*", "/{path:.*}", self._exchange)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self.streams.close()
            await self._runner.cleanup()
            self._runner = None

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a client and note it."""
        arrived, exchange_time = datetime.now(UTC), to_time(self.clock.now_ms())
        name = request.path_qs
        if self.streams.plan.is_out(self.clock.now_ms()):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        fault = self._injector.next_fault(name)
        await asyncio.sleep(self._injector.next_latency(name))
        reply = self._reply(request, fault)
        self.requests.append(
            RequestRecord(
                at=arrived,
                exchange_time=exchange_time,
                method=request.method,
                path=request.path,
                query=dict(request.query),
                status=0 if reply.fault == "reset" else reply.status,
                fault=reply.fault,
                weight=reply.weight,
            )
        )
        if reply.fault in ("reset", "slow"):
            return await self._spoil(request, reply)
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    def _reply(self, request: web.Request, fault: Fault | None) -> Reply:
        endpoint = ENDPOINTS.get(request.path)
        if endpoint is None or request.method != "GET":
            body = {"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"}
            return json_reply(404, body, {})
        weight = endpoint.weight(request.query)
        verdict = self.limiter.charge(endpoint.pool, weight)
        if verdict.status != 200:
            return json_reply(verdict.status, {"code": -1003, "msg": verdict.message}, verdict.headers)
        if fault == "418":
            ban = self.limiter.ban(self.faults.ban_seconds)
            return json_reply(418, {"code": -1003, "msg": ban.message}, ban.headers, fault, weight)
        if fault == "429":
            headers = verdict.headers | {"Retry-After": "1"}
            return json_reply(429, {"code": -1003, "msg": "Too many requests."}, headers, fault, weight)
        if fault == "5xx":
            return broken_reply(len(self.requests), verdict.headers, weight)
        try:
            body = endpoint.answer(self.market, request.query, self.clock.now_ms())
        except ExchangeError as error:
            return json_reply(error.status, error.body, verdict.headers, None, weight)
        return json_reply(200, body, verdict.headers, fault, weight)

    async def _spoil(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send a body slowly, or half of it and then nothing more."""
        headers = reply.headers | {"Content-Length": str(len(reply.body))}
        response = web.StreamResponse(status=reply.status, headers=headers)
        await response.prepare(request)
        half = len(reply.body) // 2
        await response.write(reply.body[:half])
        if reply.fault == "reset":
            if request.transport is not None:
                request.transport.abort()
            return response
        await asyncio.sleep(self.faults.slow_seconds)
        await response.write(reply.body[half:])
        await response.write_eof()
        return response

    async def _control(self, request: web.Request) -> web.Response:
        """Answer `/_sim/...`: faults, requests, clock. Not part of the exchange, never spoilt."""
        what = request.match_info["what"]
        try:
            if what == "faults":
                if request.method == "POST":
                    self.faults = plan_from(await request.json())
                return web.json_response(self.faults.as_dict())
            if what == "requests":
                return web.json_response([plain_record(record) for record in self.requests])
            if what == "clock":
                return web.json_response(
                    self._move_clock(await request.json() if request.can_read_body else {})
                )
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"error": f"there is no /_sim/{what}"}, status=404)

    def _move_clock(self, order: dict[str, Any]) -> dict[str, Any]:
        if order:
            if not isinstance(self.clock, StandingClock) or set(order) - {"advance_seconds", "now"}:
                raise ValueError("only a standing clock moves, by advance_seconds or to now")
            if "now" in order:
                self.clock.set(datetime.fromisoformat(str(order["now"])))
            self.clock.advance(timedelta(seconds=float(order.get("advance_seconds", 0.0))))
        return {"now": to_time(self.clock.now_ms()).isoformat()}


def serve(
    market: Market,
    *,
    port: int = 0,
    clock: Clock | None = None,
    limits: RateLimits | None = None,
    faults: FaultPlan | None = None,
    streams: StreamPlan | None = None,
) -> None:
    """Print the URLs and serve until the process is told to end (SIGINT, SIGTERM)."""
    asyncio.run(
        _serve(Simulator(market, clock=clock, port=port, limits=limits, faults=faults, streams=streams))
    )


@contextmanager
def running(simulator: Simulator) -> Iterator[Simulator]:
    """Run a simulator in a thread of its own, for callers without an event loop (tests, the demo)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.start(), loop).result()
        yield simulator
    finally:
        asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(simulator: Simulator) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with simulator:
        speed = getattr(simulator.clock, "speed", None)
        _log.info("simulator started", extra={"url": simulator.url, "speed": speed})
        print(f"simulator: {simulator.url}", flush=True)
        print(f"streams: {simulator.stream_url}", flush=True)
        await ended.wait()


def make_clock(market: Market, *, speed: float) -> Clock:
    """Return a clock that starts at the market's end: standing for speed 0, else running."""
    return StandingClock(market.end) if speed == 0 else AcceleratedClock(market.end, speed=speed)
