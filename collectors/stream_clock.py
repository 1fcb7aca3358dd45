"""The exchange's time on our side: its offset from the machine's, and a simulated exchange's faster pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

SHORTEST_SLEEP = 0.01


class ExchangeClock:
    """Tells the exchange's time, and sleeps in it.

    Every duration of the stream collector is a duration of the exchange's clock. With a real exchange the two
    run alike; a simulated one may run `speed` times as fast, and silences, grace and polls shrink with it.

    Parameters
    ----------
    at : datetime
        What the exchange's clock shows now (aware).
    speed : float, optional
        Exchange seconds per real second.
    monotonic : callable, optional
        Real seconds from any start.

    Raises
    ------
    ValueError
        When the time has no zone or the clock would stand.
    """

    def __init__(
        self, at: datetime, *, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if at.tzinfo is None:
            raise ValueError("the exchange's time must have a time zone")
        if speed <= 0:
            raise ValueError(f"the exchange's clock runs forward, not at {speed} times")
        self.speed = speed
        self._monotonic = monotonic
        self.set(at)

    def set(self, at: datetime) -> None:
        """Put the clock to what the exchange has just said."""
        self._at, self._began = at.astimezone(UTC), self._monotonic()

    def now(self) -> datetime:
        """Give the exchange's time (UTC)."""
        return self._at + timedelta(seconds=(self._monotonic() - self._began) * self.speed)

    def seconds(self) -> float:
        """Give exchange seconds since 1970, for rate limits."""
        return self.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        """Sleep so many exchange seconds; never so short that the event loop has no air."""
        await asyncio.sleep(max(seconds / self.speed, SHORTEST_SLEEP if seconds > 0 else 0.0))

    async def sleep_until(self, at: datetime) -> None:
        """Sleep until the exchange's clock shows an instant; not at all when it has passed."""
        while (left := (at - self.now()).total_seconds()) > 0:
            await self.sleep(left)
