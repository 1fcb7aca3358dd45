"""SIGKILL of a backfill at any moment, faults of every kind: at last the tables are those of one calm run."""

import random
import signal
import time
from datetime import timedelta
from itertools import pairwise

import pytest

from perpmart.database import connect_to
from simulator.faults import FaultPlan
from simulator.presets import demo_market, odd_market
from simulator.server import Simulator, running
from simulator.synthetic import SyntheticMarket
from tests.collectors.backfill_run import assert_same_tables, backfill, raw_tables, start_backfill
from tests.conftest import NewDatabase

SYMBOLS = ["SOL/USDT", "BTC/USDT"]
SLOW_ENOUGH = FaultPlan(latency_ms=20)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return demo_market(days=4)


def kill_after(
    database_url: str, exchange: Simulator, market: SyntheticMarket, requests: int, wait: float
) -> bool:
    """Kill a backfill after some requests and a moment more; False when it had ended before."""
    process = start_backfill(database_url, exchange.url, ",".join(SYMBOLS), market.start.isoformat())
    seen = len(exchange.requests)
    deadline = time.monotonic() + 300
    while process.poll() is None and len(exchange.requests) - seen < requests:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(wait)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert killed or process.returncode == 0, errors.decode()
    return killed


def assert_kills_change_nothing(
    new_database: NewDatabase, market: SyntheticMarket, moments: list[tuple[int, float]]
) -> None:
    calm, killed = new_database(migrated=True), new_database(migrated=True)
    with running(Simulator(market, faults=SLOW_ENOUGH)) as exchange:
        backfill(calm, exchange.url, SYMBOLS, market.start)
        held: list[int] = []
        hits = 0
        for requests, wait in moments:
            hits += kill_after(killed, exchange, market, requests, wait)
            held.append(sum(len(rows) for rows in raw_tables(killed).values()))
        backfill(killed, exchange.url, SYMBOLS, market.start)
    assert hits, "every run ended before it was killed"
    assert all(before <= after for before, after in pairwise(held)), "a run lost what another had written"
    assert_same_tables(raw_tables(killed), raw_tables(calm))
    with connect_to(killed) as connection:
        repeated = connection.execute("select count(*) from revisions").fetchone()
    assert repeated == (0,)


def test_a_killed_backfill_goes_on_where_it_was(new_database: NewDatabase, market: SyntheticMarket) -> None:
    assert_kills_change_nothing(new_database, market, [(14, 0.0), (40, 0.03)])


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(4))
def test_kills_at_many_moments_change_nothing(
    new_database: NewDatabase, market: SyntheticMarket, seed: int
) -> None:
    draw = random.Random(seed)
    moments = [(draw.randint(0, 45), draw.random() * 0.3) for _ in range(8)]
    assert_kills_change_nothing(new_database, market, moments)


@pytest.mark.proof
@pytest.mark.parametrize(
    "faults",
    [
        {"rate_429": 0.05},
        {"rate_418": 0.03, "ban_seconds": 1.0},
        {"rate_5xx": 0.4},
        {"rate_reset": 0.4},
        {"rate_slow": 0.2, "slow_seconds": 4.0},
        {"rate_429": 0.02, "rate_418": 0.01, "rate_5xx": 0.15, "rate_reset": 0.15, "rate_slow": 0.05},
    ],
    ids=["429", "418", "5xx", "reset", "slow", "all"],
)
@pytest.mark.parametrize("seed", range(2))
def test_no_fault_changes_the_tables(new_database: NewDatabase, faults: dict[str, float], seed: int) -> None:
    market = odd_market(restless=False)
    symbols = ["SOL/USDT", "DOGE/USDT", "LINK/USDT"]
    start = market.start + timedelta(days=3)
    calm, stormy = new_database(migrated=True), new_database(migrated=True)
    with running(Simulator(market)) as exchange:
        backfill(calm, exchange.url, symbols, start)
    plan = FaultPlan(**faults, seed=seed)  # type: ignore[arg-type]
    with running(Simulator(market, faults=plan)) as exchange:
        result = backfill(stormy, exchange.url, symbols, start, timeout=1.5)
    assert result.retries > 0
    assert_same_tables(raw_tables(stormy), raw_tables(calm))
