"""A live process on TimescaleDB Community repairs old bars: their roll-ups do not wait for the next bar."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg
import pytest

from collectors.metrics import Metrics
from collectors.rows import Coverage, Kline
from collectors.stream_clock import ExchangeClock
from collectors.stream_database import Database
from collectors.stream_polls import Gathered
from ml.feature_store_writer import FeatureStoreWriter
from perpmart import live as living
from perpmart.build import build
from perpmart.database import Connection, connect_to
from perpmart.live import LiveMart

from .market import END, MARKET, disagreements, fill, snapshot
from .rollups import faults
from .servers import NativeServer

pytestmark = pytest.mark.proof

SYMBOL = MARKET.symbols[0]
LATE = MARKET.start + timedelta(days=1, hours=3)
"""`fill` leaves out the klines of an hour that begins in this one."""


@pytest.fixture
def connection(native: NativeServer) -> Iterator[Connection]:
    url = native.new_database()
    with connect_to(url) as opened:
        fill(opened)
        build(url)
        yield opened
        opened.rollback()


def late_klines() -> Gathered:
    rows = [
        row
        for symbol in MARKET.symbols
        for row in MARKET.rows("ohlcv", symbol)
        if isinstance(row, Kline) and LATE <= row.time < LATE + timedelta(hours=2)
    ]
    covered = [Coverage("ohlcv:5m", symbol, LATE, LATE + timedelta(hours=2)) for symbol in MARKET.symbols]
    return Gathered(END, rows=list(rows), covered=covered)


class Process:
    """A live mart without its streams."""

    def __init__(self, connection: Connection, redis_url: str, namespace: str) -> None:
        url = connection.info.dsn
        self.lines: list[str] = []
        self.database = Database(lambda: connect_to(url))
        clock = ExchangeClock(END + timedelta(minutes=1))
        self.mart = LiveMart(
            self.database,
            FeatureStoreWriter(redis_url, namespace=namespace),
            clock=clock,
            metrics=Metrics(clock.now),
            say=self.lines.append,
        )

    async def repair(self) -> bool:
        await self.mart.start()
        done = await self.mart.on_repair(late_klines(), origin="a test")
        await self.database.close()
        return done


def newest(connection: Connection) -> dict[str, datetime]:
    found: dict[str, datetime] = dict(connection.execute("select symbol, time from published").fetchall())
    connection.rollback()
    return found


def anew(connection: Connection) -> list[str]:
    """What a full refresh changes."""
    held = snapshot(connection)
    build(connection.info.dsn, full_refresh=True)
    return disagreements(held, snapshot(connection))


def test_roll_ups_of_repaired_bars_are_refreshed_with_the_repair(
    connection: Connection, redis_url: str
) -> None:
    before = newest(connection)
    process = Process(connection, redis_url, "repair")
    assert asyncio.run(process.repair())
    assert newest(connection) == before
    assert connection.execute("select count(*) from pending").fetchone() == (0,)
    assert faults(connection) == []
    assert not [line for line in process.lines if "PARITY" in line]
    assert anew(connection) == []


def test_a_bar_that_cancels_the_refresh_does_it_and_knows_why_vectors_change(
    connection: Connection, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(connection, redis_url, "cancelled")

    def cancelled(_: Connection) -> None:
        raise psycopg.errors.QueryCanceled("canceling statement due to user request")

    with monkeypatch.context() as patch:
        patch.setattr(living, "rollups_wait", cancelled)
        assert asyncio.run(process.repair())
    assert faults(connection) != []
    asyncio.run(process.mart.on_change("the next bar"))
    assert faults(connection) == []
    assert not [line for line in process.lines if "PARITY" in line]
    assert anew(connection) == []
