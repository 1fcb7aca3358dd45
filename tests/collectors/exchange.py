"""A tiny HTTP server that answers what a test tells it to; the whole exchange is `simulator`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from collectors.client import BinanceFuturesClient
from collectors.limits import RateLimiter


@dataclass
class Answer:
    """One answer: status, body (text as it is, the rest as JSON), headers, and how it is delivered."""

    status: int = 200
    body: Any = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    how: str = "whole"

    async def send(self, request: web.Request) -> web.StreamResponse:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        if self.how == "whole":
            return web.Response(status=self.status, text=text, headers=self.headers)
        if self.how == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        response = web.StreamResponse(status=self.status, headers={"Content-Length": str(len(text))})
        await response.prepare(request)
        await response.write(text[: len(text) // 2].encode())
        if self.how == "slow":
            await asyncio.sleep(5)
        assert request.transport is not None
        request.transport.abort()
        return response


class Scripted:
    """Gives its answers one by one, then the last one for ever; keeps what it was asked."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = list(answers)
        self.asked: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return await answer.send(request)


@asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[Scripted]:
    """Serve some answers on loopback."""
    exchange = Scripted(answers)
    app = web.Application()
    app.router.add_get("/{path:.*}", exchange.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    exchange.url = f"http://{host}:{port}"
    try:
        yield exchange
    finally:
        await runner.cleanup()


class Quick:
    """Sleeps that take no time, but are noted, and move the limiter's clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def client(self, url: str, **options: Any) -> BinanceFuturesClient:
        limiter = RateLimiter(clock=lambda: self.now, sleep=self.sleep)
        options = {"timeout": 2.0, **options}
        return BinanceFuturesClient(url, limiter=limiter, sleep=self.sleep, **options)


def ask(
    call: Callable[[BinanceFuturesClient], Any], *answers: Answer, quick: Quick | None = None, **options: Any
) -> tuple[Any, Scripted]:
    """Let a client ask a scripted exchange once; gives the result and what the exchange saw."""

    async def run() -> tuple[Any, Scripted]:
        clock = quick or Quick()
        async with scripted(*answers) as exchange, clock.client(exchange.url, **options) as client:
            return await call(client), exchange

    return asyncio.run(run())
