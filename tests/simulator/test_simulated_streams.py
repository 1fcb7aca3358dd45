"""The simulated streams: what REST says later, on the right root, with failures on purpose."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from collectors.parse_stream import (
    parse_force_order,
    parse_kline_event,
    parse_mark_price_update,
    parse_partial_depth,
)
from simulator.clock import StandingClock
from simulator.market import to_ms
from simulator.presets import demo_market
from simulator.server import Simulator
from simulator.stream_names import read_stream
from simulator.stream_plan import StreamPlan, parse_stream_plan

MARKET = demo_market(days=2, restless=True)
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
MARKET_STREAMS = "solusdt@kline_5m/solusdt@markPrice@1s/solusdt@forceOrder"
PATIENCE = 3.0


async def collect(socket: ClientConnection, quiet: float = 0.25) -> list[dict[str, Any]]:
    """Read until nothing has come for a moment."""
    found = []
    while True:
        try:
            found.append(json.loads(await asyncio.wait_for(socket.recv(), quiet)))
        except TimeoutError:
            return found


def listen(path: str, *, minutes: int, plan: StreamPlan | None = None) -> list[dict[str, Any]]:
    """Connect at noon, let time pass, and give what was said."""

    async def run() -> list[dict[str, Any]]:
        clock = StandingClock(NOON)
        async with (
            Simulator(MARKET, clock=clock, streams=plan) as exchange,
            connect(exchange.stream_url + path) as socket,
        ):
            await asyncio.sleep(0.05)
            clock.advance(timedelta(minutes=minutes))
            return await collect(socket)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def ten_minutes() -> list[dict[str, Any]]:
    return listen(f"/market/stream?streams={MARKET_STREAMS}", minutes=11)


def of(messages: list[dict[str, Any]], stream: str) -> list[dict[str, Any]]:
    return [one for one in messages if one["stream"] == stream]


def test_closed_bars_are_those_that_rest_shows_first(ten_minutes: list[dict[str, Any]]) -> None:
    told = [parse_kline_event(one) for one in of(ten_minutes, "solusdt@kline_5m")]
    closed = [row for row in told if row is not None]
    shown = MARKET.publications(
        "ohlcv", "SOL/USDT", NOON - timedelta(minutes=5), NOON + timedelta(minutes=10)
    )
    assert closed == [one.row for one in shown if one.version == 1]
    assert len(told) > 1000  # the forming bar, four times a second


def test_forced_orders_are_all_those_of_the_market(ten_minutes: list[dict[str, Any]]) -> None:
    rows = [parse_force_order(one) for one in of(ten_minutes, "solusdt@forceOrder")]
    known = MARKET.publications("liquidations", "SOL/USDT", NOON - timedelta(minutes=1))
    span = (NOON, NOON + timedelta(minutes=11))
    assert rows
    assert rows == [one.row for one in known if span[0] < one.published_at <= span[1]]


def test_mark_prices_come_each_second_with_the_prices_of_their_instant(
    ten_minutes: list[dict[str, Any]],
) -> None:
    rows = [parse_mark_price_update(one) for one in of(ten_minutes, "solusdt@markPrice@1s")]
    assert [row.time for row in rows if row] == [NOON + timedelta(seconds=n) for n in range(1, 661)]
    five = next(row for row in rows if row and row.time == NOON + timedelta(minutes=5))
    (kline,) = MARKET.rows("mark_price_klines", "SOL/USDT", NOON, NOON + timedelta(minutes=5))
    assert (five.mark_price, five.index_price) == (kline.mark_price, kline.index_price)  # type: ignore[union-attr]


def test_books_are_those_of_rest_at_their_instants() -> None:
    told = listen("/public/stream?streams=solusdt@depth20@500ms", minutes=1)
    rows = [parse_partial_depth(one) for one in told]
    assert len(rows) == 120
    table = MARKET.book("SOL/USDT", to_ms(rows[0].time))  # type: ignore[union-attr]
    assert rows[0].bid_price == table.columns["bid_price"][0].tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["/stream", "/public/stream"])
def test_market_streams_are_silent_under_the_old_and_the_wrong_root(path: str) -> None:
    assert listen(f"{path}?streams={MARKET_STREAMS}", minutes=11) == []


def test_duplicates_and_disorder_lose_nothing() -> None:
    plan = StreamPlan(duplicate_share=0.2, disorder_share=0.3, disorder_ms=5000)
    clean = listen("/market/stream?streams=solusdt@markPrice@1s", minutes=5)
    spoilt = listen("/market/stream?streams=solusdt@markPrice@1s", minutes=5, plan=plan)
    stamps = [one["data"]["E"] for one in spoilt]
    assert len(stamps) > len(set(stamps))
    assert stamps != sorted(stamps)
    late = {one["data"]["E"] for one in clean[-6:]}  # still held back when the reading ended
    assert set(stamps) | late == {one["data"]["E"] for one in clean}


def test_a_silent_connection_stays_open_and_is_noted() -> None:
    async def run() -> None:
        clock = StandingClock(NOON)
        plan = StreamPlan(silences_per_hour=600, silence_seconds=1200, seed=3)
        async with Simulator(MARKET, clock=clock, streams=plan) as exchange:
            address = f"{exchange.stream_url}/market/stream?streams=solusdt@markPrice@1s"
            async with connect(address) as socket:
                await asyncio.sleep(0.05)
                clock.advance(timedelta(minutes=10))
                heard = await collect(socket)
                (silence,) = exchange.streams.failures
                assert silence.kind == "silence"
                assert max(one["data"]["E"] for one in heard) < silence.from_ms
                await asyncio.wait_for(await socket.ping(), PATIENCE)

    asyncio.run(run())


@pytest.mark.parametrize(
    "plan",
    [
        StreamPlan(drops_per_hour=3600),
        StreamPlan(outages=((NOON + timedelta(minutes=1), NOON + timedelta(minutes=30)),)),
        StreamPlan(life_seconds=60),
    ],
    ids=["drop", "outage", "end of life"],
)
def test_connections_end(plan: StreamPlan, request: pytest.FixtureRequest) -> None:
    async def run() -> None:
        clock = StandingClock(NOON)
        async with Simulator(MARKET, clock=clock, streams=plan) as exchange:
            address = f"{exchange.stream_url}/market/stream?streams={MARKET_STREAMS}"
            async with connect(address) as socket:
                await asyncio.sleep(0.05)
                clock.advance(timedelta(minutes=5))
                with pytest.raises(ConnectionClosed):
                    await collect(socket, quiet=PATIENCE)
                assert exchange.streams.failures[-1].kind == request.node.callspec.id
            if plan.outages:
                with pytest.raises((OSError, InvalidHandshake, InvalidMessage)):
                    await connect(address, open_timeout=PATIENCE)

    asyncio.run(run())


def test_streams_are_subscribed_to_and_left_on_an_open_connection() -> None:
    async def run() -> None:
        clock = StandingClock(NOON)
        async with (
            Simulator(MARKET, clock=clock) as exchange,
            connect(f"{exchange.stream_url}/market/ws") as socket,
        ):
            await socket.send('{"method": "SUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 7}')
            assert json.loads(await socket.recv()) == {"result": None, "id": 7}
            clock.advance(timedelta(seconds=30))
            assert len(await collect(socket)) == 10
            await socket.send('{"method": "UNSUBSCRIBE", "params": ["btcusdt@markPrice"], "id": 8}')
            await socket.recv()
            clock.advance(timedelta(seconds=30))
            assert await collect(socket) == []

    asyncio.run(run())


def test_names_and_plans_that_make_no_sense_are_refused() -> None:
    assert read_stream("btcusdt@kline_7m") is None
    assert parse_stream_plan("drops_per_hour=2,disorder_ms=500").disorder_ms == 500
    with pytest.raises(ValueError, match="unknown failure of streams 'drop'"):
        parse_stream_plan("drop=2")
    with pytest.raises(ValueError, match="between 0 and 1"):
        StreamPlan(duplicate_share=2)
