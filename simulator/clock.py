"""The exchange's clock: standing, real, or faster than real."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Protocol

from simulator.market import to_ms


class Clock(Protocol):
    """Anything that tells the exchange's time."""

    def now_ms(self) -> int:
        """Return the exchange's time, epoch milliseconds."""


class StandingClock:
    """A clock that moves only when told to.

    Parameters
    ----------
    at : datetime
        Where it stands (aware).
    """

    def __init__(self, at: datetime) -> None:
        self._now_ms = to_ms(at)

    def now_ms(self) -> int:
        """Return the instant at which the clock stands."""
        return self._now_ms

    def advance(self, by: timedelta) -> None:
        """Move the clock forward."""
        if by < timedelta(0):
            raise ValueError("an exchange's clock does not go back")
        self._now_ms += by // timedelta(milliseconds=1)

    def set(self, at: datetime) -> None:
        """Put the clock to an instant, also an earlier one."""
        self._now_ms = to_ms(at)


class RealClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the machine's time."""
        return time.time_ns() // 1_000_000


class AcceleratedClock:
    """A clock that starts at an instant and runs `speed` times as fast as the machine's.

    Parameters
    ----------
    start : datetime
        What it shows when made (aware).
    speed : float
        Exchange seconds per real second.
    """

    def __init__(self, start: datetime, *, speed: float) -> None:
        if speed <= 0:
            raise ValueError(f"a clock runs forward, not at {speed} times")
        self.speed = speed
        self._start_ms = to_ms(start)
        self._began = time.monotonic()

    def now_ms(self) -> int:
        """Return the accelerated time."""
        return self._start_ms + int((time.monotonic() - self._began) * 1000 * self.speed)
