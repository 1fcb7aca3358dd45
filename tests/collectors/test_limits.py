"""The limiter, by a clock that only its own sleeps move."""

import asyncio

import pytest

from collectors.errors import BanError
from collectors.limits import (
    DEFAULT_LIMITS,
    Limit,
    Pool,
    RateLimiter,
    SlidingWindow,
    depth_weight,
    klines_weight,
)


class FakeTime:
    """Seconds that pass only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def limiter_at(time: FakeTime, *, share: float = 1.0, longest_ban: float = 600.0) -> RateLimiter:
    return RateLimiter(share=share, longest_ban=longest_ban, clock=time.clock, sleep=time.sleep)


async def spend(limiter: RateLimiter, pool: Pool, *costs: int) -> None:
    for cost in costs:
        await limiter.acquire(pool, cost)


def test_requests_within_the_capacity_do_not_wait(time: FakeTime) -> None:
    asyncio.run(spend(limiter_at(time), Pool.WEIGHT, *[2] * 1200))
    assert time.slept == []


def test_the_next_request_waits_until_the_oldest_leaves_the_window(time: FakeTime) -> None:
    limiter = limiter_at(time)

    async def run() -> None:
        await limiter.acquire(Pool.FUNDING, 1)
        time.now += 100
        await spend(limiter, Pool.FUNDING, *[1] * 499)
        await limiter.acquire(Pool.FUNDING, 1)

    asyncio.run(run())
    assert time.slept == [200.0]


@pytest.mark.parametrize("pool", list(Pool))
def test_no_window_of_any_alignment_ever_holds_more_than_the_limit(pool: Pool, time: FakeTime) -> None:
    limiter, limit = limiter_at(time), DEFAULT_LIMITS[pool]
    sent: list[tuple[float, int]] = []

    async def run() -> None:
        for n in range(3000):
            cost = 1 + n % 3
            await limiter.acquire(pool, cost)
            sent.append((time.now, cost))
            time.now += 0.01 * (n % 7)

    asyncio.run(run())
    for start, _ in sent:
        within = sum(cost for at, cost in sent if start <= at < start + limit.seconds)
        assert within <= limit.capacity


def test_pools_do_not_wait_for_each_other(time: FakeTime) -> None:
    limiter = limiter_at(time)
    asyncio.run(spend(limiter, Pool.FUNDING, *[1] * 500))
    asyncio.run(spend(limiter, Pool.STATISTICS, *[1] * 1000))
    asyncio.run(spend(limiter, Pool.WEIGHT, 2400))
    assert time.slept == []


def test_a_share_of_the_limit_is_left_to_others(time: FakeTime) -> None:
    limiter = limiter_at(time, share=0.5)
    asyncio.run(spend(limiter, Pool.FUNDING, *[1] * 251))
    assert time.slept == [300.0]


def test_weight_used_by_others_behind_the_address_counts(time: FakeTime) -> None:
    limiter = limiter_at(time)

    async def run() -> None:
        await limiter.acquire(Pool.WEIGHT, 2)
        limiter.learn_weight(2399)
        await limiter.acquire(Pool.WEIGHT, 2)

    asyncio.run(run())
    assert time.slept == [60.0]


def test_a_header_that_counts_less_than_we_did_changes_nothing(time: FakeTime) -> None:
    limiter = limiter_at(time)
    asyncio.run(spend(limiter, Pool.WEIGHT, 100))
    limiter.learn_weight(3)
    assert limiter.used(Pool.WEIGHT) == 100


def test_a_pause_holds_every_pool_until_it_ends(time: FakeTime) -> None:
    limiter = limiter_at(time)
    limiter.pause(7)
    asyncio.run(spend(limiter, Pool.STATISTICS, 1))
    asyncio.run(spend(limiter, Pool.WEIGHT, 1))
    assert time.slept == [7.0]


def test_a_shorter_pause_does_not_end_a_longer_one(time: FakeTime) -> None:
    limiter = limiter_at(time)
    limiter.pause(30)
    limiter.pause(5)
    asyncio.run(spend(limiter, Pool.WEIGHT, 1))
    assert time.slept == [30.0]


def test_a_short_ban_is_waited_out(time: FakeTime) -> None:
    limiter = limiter_at(time)
    limiter.stop(BanError("/x", "banned"), seconds=120)
    asyncio.run(spend(limiter, Pool.WEIGHT, 1))
    assert time.slept == [120.0]


def test_a_long_ban_is_raised_at_once_for_every_pool(time: FakeTime) -> None:
    limiter = limiter_at(time)
    limiter.stop(BanError("/x", "banned for days"), seconds=3 * 86400)
    for pool in Pool:
        with pytest.raises(BanError, match="banned for days"):
            asyncio.run(spend(limiter, pool, 1))
    assert time.slept == []


def test_after_a_ban_a_long_pause_is_no_ban(time: FakeTime) -> None:
    limiter = limiter_at(time)
    limiter.stop(BanError("/x", "banned"), seconds=10)
    asyncio.run(spend(limiter, Pool.WEIGHT, 1))
    limiter.pause(900)
    asyncio.run(spend(limiter, Pool.WEIGHT, 1))
    assert time.slept == [10.0, 900.0]


def test_a_cost_above_the_capacity_goes_out_alone() -> None:
    window = SlidingWindow(Limit(10, 60.0), share=1.0)
    assert window.wait_for(25, 0.0) == 0.0
    window.spend(25, 0.0)
    assert window.wait_for(1, 1.0) == 59.0


def test_weights_follow_the_limit_asked_for() -> None:
    assert [klines_weight(n) for n in (1, 99, 100, 499, 500, 1000, 1001, 1500)] == [1, 1, 2, 2, 5, 5, 10, 10]
    assert [depth_weight(n) for n in (5, 20, 50, 100, 500, 1000)] == [2, 2, 2, 5, 10, 20]
