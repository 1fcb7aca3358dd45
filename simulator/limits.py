"""The exchange's request limits: pools that fill, 429 when full, a ban for those who go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Pool: TypeAlias = Literal["weight", "funding", "statistics", "none"]


@dataclass(frozen=True)
class RateLimits:
    """Limits per IP; the defaults are Binance's.

    Attributes
    ----------
    weight_per_minute : int
        Of the `/fapi` endpoints.
    funding_per_5m, statistics_per_5m : int
        Requests to `fundingRate` and `fundingInfo` together, and to `/futures/data`.
    patience : int
        Refusals with 429 in one window before the address is banned.
    ban_seconds : float
        How long a ban lasts.
    minute_seconds : float
        How long a "minute" lasts; less makes tests short.
    """

    weight_per_minute: int = 2400
    funding_per_5m: int = 500
    statistics_per_5m: int = 1000
    patience: int = 10
    ban_seconds: float = 120.0
    minute_seconds: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """What the limiter says to one request.

    Attributes
    ----------
    status : int
        200, 429 or 418.
    headers : dict
        Used weight, and Retry-After where refused.
    message : str
        Text of the refusal.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""


class Limiter:
    """Counts what one client uses.

    Windows and bans run on real time, as a client's waits do; where the exchange's clock runs fast, on that
    one, as those of a client that lives by it do.

    Parameters
    ----------
    limits : RateLimits
        Sizes of the pools.
    exchange_ms : callable
        The exchange's clock; the end of a ban is told by it.
    wall_clock : callable, optional
        Seconds since the epoch by which windows are counted; default the machine's.
    """

    def __init__(
        self,
        limits: RateLimits,
        *,
        exchange_ms: Callable[[], int],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        self._exchange_ms = exchange_ms
        self._wall_clock = wall_clock
        self._used: dict[Pool, int] = {}
        self._window: dict[Pool, int] = {}
        self._refused = 0
        self._banned_until = 0.0

    @property
    def used_weight(self) -> int:
        """Weight used in the current minute."""
        self._roll("weight")
        return self._used["weight"]

    def ban(self, seconds: float) -> Verdict:
        """Ban the client for some seconds and return the answer to the request that caused it."""
        self._banned_until = max(self._banned_until, self._wall_clock() + seconds)
        return self._banned()

    def charge(self, pool: Pool, weight: int) -> Verdict:
        """Count one request and say whether it may go on."""
        if self._wall_clock() < self._banned_until:
            return self._banned()
        self._roll(pool)
        self._used[pool] += weight
        headers = {"x-mbx-used-weight-1m": str(self.used_weight)} if pool in ("weight", "funding") else {}
        if self._used[pool] <= self._capacity(pool):
            return Verdict(200, headers)
        self._refused += 1
        if self._refused > self.limits.patience:
            return self.ban(self.limits.ban_seconds)
        left = self._span(pool) - self._wall_clock() % self._span(pool)
        return Verdict(429, headers | {"Retry-After": str(max(1, round(left)))}, "Too many requests.")

    def _banned(self) -> Verdict:
        left = max(0.0, self._banned_until - self._wall_clock())
        until = self._exchange_ms() + int(left * 1000)
        message = (
            f"Way too many requests; IP(127.0.0.1) banned until {until}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return Verdict(418, {"Retry-After": str(max(1, round(left)))}, message)

    def _roll(self, pool: Pool) -> None:
        window = int(self._wall_clock() // self._span(pool))
        if self._window.get(pool) != window:
            self._window[pool] = window
            self._used[pool] = 0
            self._refused = 0

    def _span(self, pool: Pool) -> float:
        return self.limits.minute_seconds * (5 if pool in ("funding", "statistics") else 1)

    def _capacity(self, pool: Pool) -> float:
        capacities: dict[Pool, float] = {
            "weight": self.limits.weight_per_minute,
            "funding": self.limits.funding_per_5m,
            "statistics": self.limits.statistics_per_5m,
        }
        return capacities.get(pool, float("inf"))


def kline_weight(limit: int) -> int:
    """Return what a page of klines costs."""
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def depth_weight(limit: int) -> int:
    """Return what an order book costs."""
    return {100: 5, 500: 10, 1000: 20}.get(limit, 2)
