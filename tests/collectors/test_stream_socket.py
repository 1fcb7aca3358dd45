"""A socket that is kept up: rotation with overlap, losses, silence, against the simulated exchange."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from collectors.coverage import merge_segments
from collectors.rows import MarkPrice, Row
from collectors.stream_channels import Subscription, shards
from collectors.stream_clock import ExchangeClock
from collectors.stream_intake import Intake
from collectors.stream_socket import ShardSocket, StreamCounts
from simulator.clock import AcceleratedClock
from simulator.presets import demo_market
from simulator.server import Simulator
from simulator.stream_plan import StreamPlan

MARKET = demo_market(days=2)
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
SPEED = 90.0


class Run:
    """What a socket did within a few seconds."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.troubles: list[tuple[tuple[Subscription, ...], str]] = []
        self.counts = StreamCounts()
        self.covered: list[tuple[datetime, datetime]] = []
        self.most_connections = 0


def listen(plan: StreamPlan, *, minutes: float, life: timedelta = timedelta(days=1), shard: int = 0) -> Run:
    """Listen to SOL's market streams, or (shard 1) to its books, for some minutes of the exchange."""
    done = Run()

    async def run() -> None:
        clock = AcceleratedClock(NOON, speed=SPEED)
        async with Simulator(MARKET, clock=clock, streams=plan) as exchange:
            socket = ShardSocket(
                shards(["SOL/USDT"])[shard],
                exchange.stream_url,
                ExchangeClock(NOON, speed=SPEED),
                Intake(done.rows.append),
                lambda subscriptions, why: done.troubles.append((subscriptions, why)),
                done.counts,
                life,
            )
            task = asyncio.ensure_future(socket.run())
            await asyncio.wait([task], timeout=minutes * 60 / SPEED)
            done.most_connections = exchange.streams.most_connections
            segments = [
                (one.from_time, one.to_time)
                for listening in socket.listenings
                for one in listening.covered()
                if one.stream == "mark_price"
            ]
            done.covered = merge_segments(segments)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    return done


def instants(run: Run) -> list[datetime]:
    return sorted({row.time for row in run.rows if isinstance(row, MarkPrice)})


def test_a_rotation_loses_nothing_and_for_a_while_there_are_two_connections() -> None:
    run = listen(StreamPlan(), minutes=4, life=timedelta(minutes=1))
    assert run.counts.rotations >= 2
    assert run.most_connections == 2
    assert len(run.covered) == 1
    times = instants(run)
    assert times == [times[0] + n * timedelta(seconds=10) for n in range(len(times))]
    assert run.troubles == []


def test_a_connection_that_is_cut_is_opened_again_and_the_hole_shows() -> None:
    run = listen(StreamPlan(drops_per_hour=60, seed=4), minutes=4)
    assert run.counts.losses >= 1
    assert run.counts.losses <= run.counts.connections <= run.counts.losses + 1  # the run may end in between
    assert "connection lost" in run.troubles[0][1]
    assert len(run.covered) >= 1


def test_a_connection_that_stands_and_is_silent_is_replaced() -> None:
    run = listen(StreamPlan(silences_per_hour=600, silence_seconds=100_000, seed=2), minutes=5, shard=1)
    assert run.counts.silences >= 1
    assert run.counts.connections >= 2
    assert any(why == "connected but silent" for _, why in run.troubles)


def test_an_exchange_that_is_out_is_asked_again_until_it_answers() -> None:
    outage = (NOON + timedelta(seconds=30), NOON + timedelta(seconds=120))
    run = listen(StreamPlan(outages=(outage,)), minutes=4)
    assert any(why.startswith("no connection") for _, why in run.troubles)
    (before, after) = run.covered
    assert before[1] <= outage[0] < outage[1] <= after[0]
