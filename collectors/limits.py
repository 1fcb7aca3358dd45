"""How fast the exchange may be asked: a sliding window for each pool of requests, one gate over all.

The exchange counts per address, in three pools: *weight* (2400 a minute, a request costs 1 to 20),
*statistics* (open interest history and ratios, 1000 requests in 5 minutes) and *funding* (rates and intervals
together, 500 in 5 minutes). Its windows stand on the minute of its own clock; ours slide, and a sliding
window that keeps a limit keeps it wherever the exchange's window begins. Others behind the same address are
seen through the ``x-mbx-used-weight-1m`` header.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from collectors.errors import BanError

KLINES_PAGE = 499
"""Rows a page of klines: weight 2, the most rows for a unit of weight."""

LONGEST_BAN = 600.0
"""Seconds of a ban that are waited out; a longer one is raised, so that nobody stares at a silent program."""


class Pool(enum.Enum):
    """What a request is counted under."""

    WEIGHT = "weight"
    STATISTICS = "statistics"
    FUNDING = "funding"


@dataclass(frozen=True, slots=True)
class Limit:
    """So much in so many seconds.

    Attributes
    ----------
    capacity : int
        Weight or requests allowed in one window.
    seconds : float
        Length of the window.
    """

    capacity: int
    seconds: float


DEFAULT_LIMITS: Mapping[Pool, Limit] = {
    Pool.WEIGHT: Limit(2400, 60.0),
    Pool.STATISTICS: Limit(1000, 300.0),
    Pool.FUNDING: Limit(500, 300.0),
}


def klines_weight(limit: int) -> int:
    """Give what a page of klines costs.

    Parameters
    ----------
    limit : int
        Rows asked for.

    Returns
    -------
    int
        Weight: 1 below 100 rows, 2 below 500, 5 up to 1000, 10 above.
    """
    if limit <= 99:
        return 1
    if limit <= KLINES_PAGE:
        return 2
    return 5 if limit <= 1000 else 10


def depth_weight(limit: int) -> int:
    """Give what an order book of so many levels costs."""
    if limit <= 50:
        return 2
    if limit <= 100:
        return 5
    return 10 if limit <= 500 else 20


class SlidingWindow:
    """What was spent in the last seconds, and how long until more may be.

    Parameters
    ----------
    limit : Limit
        The exchange's limit.
    share : float
        Part of the capacity to use: a request sent now arrives a little later, maybe in the next window.
    """

    def __init__(self, limit: Limit, *, share: float = 0.9) -> None:
        self.limit = limit
        self.capacity = max(1, int(limit.capacity * share))
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """Give what was spent in the window that ends now."""
        while self._spent and self._spent[0][0] <= now - self.limit.seconds:
            self._used -= self._spent.popleft()[1]
        return self._used

    def wait_for(self, cost: int, now: float) -> float:
        """Give the seconds until ``cost`` fits; 0 when it fits now.

        A cost above the capacity fits an empty window.
        """
        excess = self.used(now) + min(cost, self.capacity) - self.capacity
        for at, spent in self._spent:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return at + self.limit.seconds - now
        return 0.0

    def spend(self, cost: int, now: float) -> None:
        """Note a request that goes out now."""
        self._spent.append((now, cost))
        self._used += cost

    def learn(self, used: int, now: float) -> None:
        """Believe the exchange when it has counted more than we have: the rest was others'."""
        unseen = used - self.used(now)
        if unseen > 0:
            self.spend(unseen, now)


class RateLimiter:
    """Lets requests through as fast as the exchange allows, in the order in which they came.

    Parameters
    ----------
    limits : mapping of Pool to Limit
        The exchange's limits.
    share : float
        Part of each limit that is used.
    longest_ban : float
        Seconds; a ban that lasts longer is raised by `acquire` instead of waited for.
    clock : callable
        Gives monotonic seconds.
    sleep : callable
        Sleeps so many seconds; tests pass one that moves their clock.

    Notes
    -----
    429 and 418 close the gate for all pools: the exchange counts by address, and to go on elsewhere while it
    asks for quiet is what turns a pause into a ban.
    """

    def __init__(
        self,
        limits: Mapping[Pool, Limit] = DEFAULT_LIMITS,
        *,
        share: float = 0.9,
        longest_ban: float = LONGEST_BAN,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._windows = {pool: SlidingWindow(limit, share=share) for pool, limit in limits.items()}
        self._turns = {pool: asyncio.Lock() for pool in limits}
        self._longest_ban = longest_ban
        self._clock = clock
        self._sleep = sleep
        self._closed_until = float("-inf")
        self._ban: BanError | None = None
        self.pauses = 0
        self.bans = 0

    async def acquire(self, pool: Pool, cost: int = 1) -> None:
        """Wait until a request may go out, and count it.

        Parameters
        ----------
        pool : Pool
            What the request is counted under.
        cost : int
            Its weight.

        Raises
        ------
        BanError
            When the address is banned for longer than ``longest_ban``.
        """
        window = self._windows[pool]
        async with self._turns[pool]:
            while (wait := self._wait(window, cost)) > 0:
                await self._sleep(wait)
            window.spend(cost, self._clock())

    def _wait(self, window: SlidingWindow, cost: int) -> float:
        now = self._clock()
        closed = self._closed_until - now
        if self._ban is not None:
            if closed > self._longest_ban:
                raise self._ban
            if closed <= 0:
                self._ban = None
        return max(closed, window.wait_for(cost, now))

    def learn_weight(self, used: int) -> None:
        """Take in the ``x-mbx-used-weight-1m`` header of an answer."""
        self._windows[Pool.WEIGHT].learn(used, self._clock())

    def pause(self, seconds: float) -> None:
        """Let nothing through for so many seconds (HTTP 429)."""
        self.pauses += 1
        self._close(seconds)

    def _close(self, seconds: float) -> None:
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def stop(self, ban: BanError, *, seconds: float) -> None:
        """Let nothing through until a ban ends (HTTP 418).

        Parameters
        ----------
        ban : BanError
            The answer; raised by `acquire` when the ban is too long to wait for.
        seconds : float
            From now to the end of the ban.
        """
        self.bans += 1
        self._close(seconds)
        self._ban = ban

    def used(self, pool: Pool) -> int:
        """Give what is spent in the pool's current window."""
        return self._windows[pool].used(self._clock())
