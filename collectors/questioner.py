"""`Questioner`: asks the exchange until it answers, inside its limits, and reads the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

from collectors.endpoints import Endpoint, Params
from collectors.errors import (
    BanError,
    ExchangeError,
    MalformedError,
    RateLimitError,
    backoff_delays,
    is_retryable,
)
from collectors.limits import RateLimiter
from collectors.pages import BrokenPage
from collectors.rows import Refusal
from collectors.transport import Transport

T = TypeVar("T")

BASE_URL = "https://fapi.binance.com"

TIMEOUT = 20.0
"""Seconds for a whole answer."""

ATTEMPTS = 8
"""Tries of one request before its error is raised: about a minute of outage is ridden out."""

MOST_BROKEN = 100
"""Pages that could not be read and wait to be stored; further ones are only named in the log."""

QUIET = 60.0
"""Seconds of silence after a 429 that does not say how long."""

_log = logging.getLogger(__name__)


class Questioner:
    """Sends requests, again after what may pass; keeps the pages that could not be read.

    Parameters
    ----------
    base_url : str
        Root of the exchange, or of a simulator.
    limiter : RateLimiter, optional
        Share one between clients behind the same address.
    timeout : float
        Seconds for a whole answer.
    attempts : int
        Tries of one request in all.
    connections : int
        Requests in flight at once.
    first_delay : float
        Seconds before the second try; it doubles from then on.
    sleep : callable
        Sleeps so many seconds; tests pass one that does not.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        limiter: RateLimiter | None = None,
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        connections: int = 16,
        first_delay: float = 0.5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.base_url = base_url
        self.limiter = limiter or RateLimiter()
        self.requests = 0
        self.retries = 0
        self._attempts = attempts
        self._first_delay = first_delay
        self._sleep = sleep
        self._offset = timedelta(0)
        self._broken: list[Refusal] = []
        self._in_flight = asyncio.Semaphore(connections)
        self._transport = Transport(base_url, timeout=timeout, on_used_weight=self.limiter.learn_weight)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.close()

    def now(self) -> datetime:
        """Give the exchange's clock (UTC), as far as the last `server_time` told it."""
        return datetime.now(UTC) + self._offset

    def take_broken(self) -> list[Refusal]:
        """Give the pages that could not be read since the last call, for ``raw.rejects``."""
        taken, self._broken = self._broken, []
        return taken

    async def _ask(
        self,
        endpoint: Endpoint,
        params: Params,
        read: Callable[[object], T],
        *,
        cost: int = 1,
        attempts: int | None = None,
    ) -> T:
        """Send a request and read its answer; one that cannot be read is kept for `take_broken`."""
        asked_at, text = self.now(), ""
        try:
            payload, text = await self._request(endpoint, params, cost=cost, attempts=attempts)
            return read(payload)
        except MalformedError as error:
            text = text or getattr(error, "body", "")
            # A body that was cut off holds nothing to keep.
            if text and len(self._broken) < MOST_BROKEN:
                self._broken.append(BrokenPage(endpoint.path, params, asked_at, str(error), text).refusal())
            elif text:
                _log.error("page not kept, too many are: %s", error)
            raise

    async def _request(
        self, endpoint: Endpoint, params: Params, *, cost: int = 1, attempts: int | None = None
    ) -> tuple[object, str]:
        """Send a request until it is answered, at most ``attempts`` times."""
        tries = attempts or self._attempts
        delays = backoff_delays(retries=tries - 1, first=self._first_delay)
        while True:
            await self.limiter.acquire(endpoint.pool, cost)
            try:
                async with self._in_flight:
                    self.requests += 1
                    return await self._transport.get(endpoint, params)
            except ExchangeError as error:
                self._keep_quiet(error)
                delay = next(delays, None)
                if delay is None or not is_retryable(error):
                    raise
                self.retries += 1
                _log.info("asking again", extra={"endpoint": endpoint.path, "error": str(error)})
            await self._sleep(delay)

    def _keep_quiet(self, error: ExchangeError) -> None:
        """Close the limiter's gate for as long as the answer says."""
        if isinstance(error, BanError):
            self.limiter.stop(error, seconds=error.retry_after or QUIET)
        elif isinstance(error, RateLimitError):
            self.limiter.pause(QUIET if error.retry_after is None else error.retry_after)
