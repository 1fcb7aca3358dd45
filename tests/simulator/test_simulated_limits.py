"""The exchange's limits: what requests cost, refusals, bans."""

import re

import pytest

from simulator.clock import AcceleratedClock
from simulator.limits import Limiter, RateLimits, depth_weight, kline_weight
from simulator.market import to_time
from simulator.presets import demo_market
from simulator.routes import ENDPOINTS
from simulator.server import Simulator

EXCHANGE_MS = 1_780_000_000_000


class Wall:
    """A wall clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 6_000_000.0

    def __call__(self) -> float:
        return self.seconds


class HandClock(AcceleratedClock):
    """A clock that is said to run fast, and that tests move."""

    passed_ms = 0

    def now_ms(self) -> int:
        return self._start_ms + self.passed_ms


@pytest.fixture
def wall() -> Wall:
    return Wall()


def limiter(wall: Wall, **sizes: float) -> Limiter:
    limits = RateLimits(**sizes)  # type: ignore[arg-type]
    return Limiter(limits, exchange_ms=lambda: EXCHANGE_MS, wall_clock=wall)


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_klines_cost_by_their_limit(limit: int, weight: int) -> None:
    assert kline_weight(limit) == weight
    assert ENDPOINTS["/fapi/v1/klines"].weight({"limit": str(limit)}) == weight


def test_other_weights() -> None:
    assert [depth_weight(limit) for limit in (5, 20, 50, 100, 500, 1000)] == [2, 2, 2, 5, 10, 20]
    assert ENDPOINTS["/fapi/v1/klines"].weight({}) == 5
    assert ENDPOINTS["/fapi/v1/premiumIndex"].weight({}) == 10
    assert ENDPOINTS["/fapi/v1/premiumIndex"].weight({"symbol": "SOLUSDT"}) == 1


def test_pools_are_the_exchanges() -> None:
    pools = {path: endpoint.pool for path, endpoint in ENDPOINTS.items()}
    assert {path for path, pool in pools.items() if pool == "funding"} == {
        "/fapi/v1/fundingRate",
        "/fapi/v1/fundingInfo",
    }
    assert all((pool == "statistics") == path.startswith("/futures/data/") for path, pool in pools.items())


def test_used_weight_is_told_and_forgotten_after_the_minute(wall: Wall) -> None:
    one = limiter(wall)
    assert one.charge("weight", 5).headers == {"x-mbx-used-weight-1m": "5"}
    assert one.charge("weight", 10).headers == {"x-mbx-used-weight-1m": "15"}
    assert one.charge("statistics", 1).headers == {}
    wall.seconds += 60
    assert one.charge("weight", 1).headers == {"x-mbx-used-weight-1m": "1"}


def test_a_full_pool_refuses_until_its_window_ends(wall: Wall) -> None:
    one = limiter(wall, weight_per_minute=20)
    wall.seconds += 42
    assert [one.charge("weight", 10).status for _ in range(3)] == [200, 200, 429]
    verdict = one.charge("weight", 1)
    assert (verdict.status, verdict.headers["Retry-After"]) == (429, "18")
    assert one.charge("funding", 1).status == 200
    wall.seconds += 18
    assert one.charge("weight", 1).status == 200


def test_five_minute_pools(wall: Wall) -> None:
    one = limiter(wall, statistics_per_5m=3, funding_per_5m=2)
    assert [one.charge("statistics", 1).status for _ in range(4)] == [200, 200, 200, 429]
    assert [one.charge("funding", 1).status for _ in range(3)] == [200, 200, 429]
    wall.seconds += 299
    assert one.charge("statistics", 1).status == 429
    wall.seconds += 1
    assert one.charge("statistics", 1).status == 200


def test_going_on_after_refusals_leads_to_a_ban(wall: Wall) -> None:
    one = limiter(wall, weight_per_minute=1, patience=2, ban_seconds=120)
    assert [one.charge("weight", 1).status for _ in range(4)] == [200, 429, 429, 418]
    wall.seconds += 60
    verdict = one.charge("funding", 1)
    assert verdict.status == 418
    assert verdict.headers["Retry-After"] == "60"
    until = re.search(r"banned until (\d+)", verdict.message)
    assert until is not None
    assert int(until[1]) == EXCHANGE_MS + 60_000
    wall.seconds += 60
    assert one.charge("weight", 1).status == 200


def test_a_fast_exchange_counts_its_limits_by_its_own_clock() -> None:
    clock = HandClock(to_time(EXCHANGE_MS // 60_000 * 60_000), speed=60)
    limiter = Simulator(demo_market(days=2), clock=clock, limits=RateLimits(weight_per_minute=3)).limiter
    assert limiter.charge("weight", 3).status == 200
    assert limiter.charge("weight", 1).status == 429
    clock.passed_ms = 60_000
    assert limiter.charge("weight", 3).status == 200
