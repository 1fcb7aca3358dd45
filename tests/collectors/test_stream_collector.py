"""What the collector writes when it is late: nothing is said to be covered that is not in the tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from collectors import stream_intake
from collectors.client import BinanceFuturesClient
from collectors.metrics import Metrics
from collectors.stream_channels import shards
from collectors.stream_clock import ExchangeClock
from collectors.stream_collector import StreamCollector
from collectors.stream_database import Database
from collectors.stream_listening import Listening
from perpmart.collect_only import OnlyCollect
from perpmart.database import Connection, connect_to
from perpmart.errors import DatabaseError
from simulator.market import to_ms
from simulator.presets import demo_market
from simulator.stream_feed import StreamFeed
from simulator.stream_names import read_stream

MARKET = demo_market(days=2)
SYMBOL = "SOL/USDT"
BAR = timedelta(minutes=5)
START = MARKET.start + timedelta(days=1)
SLOT = timedelta(seconds=10)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    opened = Database(lambda: connect_to(migrated_url))
    yield opened
    asyncio.run(opened.close())


def collector_that_has_heard(database: Database, span: timedelta) -> StreamCollector:
    """Make a collector with a listening on each socket, told everything for so long; nothing is written."""
    clock = ExchangeClock(START + span)
    metrics = Metrics(clock.now)
    collector = StreamCollector(
        [SYMBOL],
        stream_url="ws://127.0.0.1:1",
        client=BinanceFuturesClient("http://127.0.0.1:1"),
        database=database,
        clock=clock,
        hooks=OnlyCollect(database, metrics=metrics),
        metrics=metrics,
    )
    for socket, shard in zip(collector._sockets, shards([SYMBOL]), strict=True):
        socket.listenings.append(Listening(shard.subscriptions, START))
    hear(collector, timedelta(0), span)
    return collector


def hear(collector: StreamCollector, since: timedelta, until: timedelta) -> None:
    """Tell each socket what its streams say between two times after the start."""
    feed = StreamFeed(MARKET, least_every_ms=10_000)
    for socket in collector._sockets:
        (listening,) = socket.listenings
        streams = [found for name in listening.subscriptions if (found := read_stream(name)) is not None]
        for event in feed.between(streams, to_ms(START + since), to_ms(START + until)):
            collector._intake.take_in(json.dumps({"stream": event.stream, "data": event.payload}), listening)


def test_a_write_that_comes_late_covers_only_the_books_that_it_writes(
    database: Database, connection: Connection
) -> None:
    collector = collector_that_has_heard(database, 2.5 * BAR)
    asyncio.run(collector._write(START + BAR, bar=START))
    slots = {slot for (slot,) in connection.execute("select slot from order_book")}
    covered = connection.execute("select from_time, to_time from coverage where stream = 'order_book'")
    ((start, end),) = covered.fetchall()
    first = start + (START - start) % SLOT
    assert end > START + 2 * BAR
    assert slots >= {first + n * SLOT for n in range((end - first) // SLOT)}


def test_klines_of_bars_that_a_pause_has_passed_over_are_covered(
    database: Database, connection: Connection
) -> None:
    collector = collector_that_has_heard(database, 3.5 * BAR)
    asyncio.run(collector._write(START + 3 * BAR, bar=START + 2 * BAR))
    bars = [bar for (bar,) in connection.execute("select time from ohlcv order by time")]
    assert bars == [START + n * BAR for n in (-1, 0, 1, 2)]
    covered = connection.execute("select from_time, to_time from coverage where stream = 'ohlcv:5m'")
    assert covered.fetchall() == [(START - BAR, START + 3 * BAR)]


def test_a_socket_that_ends_while_the_database_is_away_loses_nothing_that_it_heard(
    database: Database, connection: Connection
) -> None:
    collector = collector_that_has_heard(database, BAR)

    async def write_while_locked() -> None:
        connection.execute("lock table coverage in exclusive mode")
        writing = asyncio.ensure_future(collector._write(START + BAR))
        await asyncio.sleep(0.5)
        hear(collector, BAR, 2 * BAR)
        for socket in collector._sockets:
            socket.listenings[0].has_ended = True
        connection.rollback()
        await writing
        await collector._write(START + 2 * BAR)

    asyncio.run(write_while_locked())
    ends = connection.execute("select stream, max(to_time) from coverage group by 1 order by 1").fetchall()
    assert [stream for stream, end in ends if end > START + 1.9 * BAR] == [
        "liquidations",
        "mark_price",
        "order_book",
    ]
    assert all(not socket.listenings for socket in collector._sockets)


def test_what_waits_for_the_database_is_bounded_and_beyond_that_a_hole(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_intake, "MOST_WAITING", 100)
    collector = collector_that_has_heard(database, 5 * BAR)
    waiting = collector._intake._rows, collector._intake._refusals, collector._intake._books
    assert sum(map(len, waiting)) <= 100

    async def come_back() -> None:
        assert not await collector._write(START + 5 * BAR, bar=START + 4 * BAR)
        hear(collector, 5 * BAR, 5.5 * BAR)
        await collector._write(START + 5.5 * BAR)

    asyncio.run(come_back())
    # Nothing of the lost time is said to be covered, and what came later is there.
    covered = connection.execute(
        "select min(from_time), max(to_time) from coverage where stream = 'mark_price'"
    )
    ((first, last),) = covered.fetchall()
    assert first >= START + 5 * BAR
    assert last > START + 5.4 * BAR


def test_a_collector_that_is_told_to_end_while_the_database_is_away_writes_all_in_the_end(
    migrated_url: str, connection: Connection
) -> None:
    is_away = True

    def connect() -> Connection:
        if is_away:
            raise DatabaseError("away")
        return connect_to(migrated_url)

    database = Database(connect)
    collector = collector_that_has_heard(database, 2.5 * BAR)

    async def end_while_away() -> None:
        nonlocal is_away
        writing = asyncio.ensure_future(collector._write(START + BAR, bar=START))
        while not database.failures:
            await asyncio.sleep(0.01)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        is_away = False
        await collector._write(START + 2 * BAR)
        await database.close()

    asyncio.run(end_while_away())
    assert [bar for (bar,) in connection.execute("select time from ohlcv order by 1")] == [
        START - BAR,
        START,
        START + BAR,
    ]
    ((start, end),) = connection.execute(
        "select from_time, to_time from coverage where stream = 'mark_price'"
    ).fetchall()
    known = {at for (at,) in connection.execute("select time from mark_price")}
    assert known >= {at for n in range(100) if start <= (at := START + n * SLOT) <= end}
