"""Coverage that grows by the second, the holes in it, and a connection that comes back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from collectors.coverage import Connection, add_coverage, read_coverage, read_gaps
from collectors.rows import Coverage
from collectors.stream_coverage import extend_coverage, find_stream_holes, note_new_holes
from collectors.stream_database import Database, may_pass
from perpmart.database import connect_to
from perpmart.errors import DatabaseError

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=10)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def segment(start: float, end: float, stream: str = "liquidations", symbol: str = "SOL/USDT") -> Coverage:
    return Coverage(stream, symbol, at(start), at(end))


def covered(connection: Connection, stream: str = "liquidations") -> list[tuple[float, float]]:
    found = read_coverage(connection, stream, "SOL/USDT", sources=("stream",))
    return [((a - NOON).total_seconds() / 60, (b - NOON).total_seconds() / 60) for a, b in found]


@pytest.mark.parametrize(
    "steps",
    [
        [[(0, 1)], [(0, 2)], [(0, 5)]],
        [[(0, 2), (1, 5)]],
        [[(3, 5)], [(0, 1)], [(0, 4)]],
        [[(0, 5)], [(1, 2)], [(0, 5)]],
        [[(0, 1)], [(2, 3)], [(4, 5)], [(0, 5)]],
        [[(0, 1), (2, 3)], [(0, 1), (2, 3)], [(1, 2), (3, 5)]],
    ],
)
def test_growing_segments_unite_to_what_was_heard_in_any_order(
    connection: Connection, steps: list[list[tuple[float, float]]]
) -> None:
    for step in steps:
        extend_coverage(connection, [segment(*one) for one in step], now=NOW)
    assert covered(connection) == [(0, 5)]
    assert connection.execute("select count(*) from coverage").fetchone() == (1,)


def test_segments_that_do_not_touch_stay_apart_and_end_now(connection: Connection) -> None:
    extend_coverage(connection, [segment(0, 1), segment(2, 3)], now=NOW)
    extend_coverage(connection, [segment(2, 10_000)], now=NOW)
    assert covered(connection) == [(0, 1), (2, 600)]


def test_a_growth_notes_only_what_is_new_as_a_change(connection: Connection) -> None:
    extend_coverage(connection, [segment(0, 10)], now=NOW)
    connection.execute("truncate changes")
    extend_coverage(connection, [segment(0, 12)], now=NOW)
    rows = connection.execute("select stream, symbol, from_time, to_time from changes").fetchall()
    assert rows == [("liquidations", "SOL/USDT", at(10), at(12))]


def test_holes_of_listened_streams_are_final_and_those_of_others_open(connection: Connection) -> None:
    for stream in ("liquidations", "order_book", "mark_price", "ohlcv:5m"):
        extend_coverage(connection, [segment(0, 5, stream), segment(35, 60, stream)], now=NOW)
    add_coverage(connection, [segment(0, 5, "open_interest:5m")], source="rest", now=NOW)
    holes = find_stream_holes(
        connection, ["SOL/USDT"], since=NOON, cause=lambda stream, symbol: f"{stream} was cut"
    )
    assert note_new_holes(connection, holes, now=NOW) == holes
    found = {gap.stream: (gap.from_time, gap.to_time, gap.state, gap.cause) for gap in read_gaps(connection)}
    assert found == {
        stream: (at(5), at(35), state, f"{stream} was cut")
        for stream, state in (
            ("liquidations", "unrepairable"),
            ("order_book", "unrepairable"),
            ("mark_price", "open"),
            ("ohlcv:5m", "open"),
        )
    }
    assert note_new_holes(connection, holes, now=NOW) == []


def test_what_rest_has_answered_for_is_no_hole_of_a_stream_that_it_can_repair(connection: Connection) -> None:
    for stream in ("mark_price", "liquidations"):
        extend_coverage(connection, [segment(0, 5, stream), segment(35, 60, stream)], now=NOW)
        add_coverage(connection, [segment(5, 35, stream)], source="rest", now=NOW)
    holes = find_stream_holes(connection, ["SOL/USDT"], since=NOON, cause=lambda *_: "x")
    assert [one.stream for one in holes] == ["liquidations"]


# -- a connection that comes back


def test_a_connection_that_the_server_ends_is_replaced_and_the_work_done_again(migrated_url: str) -> None:
    said: list[str] = []
    attempts: list[int] = []

    def work(connection: Connection) -> int:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        attempts.append(row[0])
        if len(attempts) == 1:
            with connect_to(migrated_url, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s)", [row[0]])
        connection.execute("select 1")
        return int(row[0])

    async def run() -> int:
        database = Database(lambda: connect_to(migrated_url), on_failure=said.append)
        try:
            return await database.insist("the work", work)
        finally:
            await database.close()

    assert asyncio.run(run()) == attempts[-1] != attempts[0]
    assert said[0].startswith("the work failed, tried again: terminating connection")


def test_a_failure_that_will_not_pass_is_raised_at_once(migrated_url: str) -> None:
    async def run() -> None:
        database = Database(lambda: connect_to(migrated_url))
        try:
            await database.insist("the work", lambda connection: connection.execute("select nonsense"))
        finally:
            await database.close()

    with pytest.raises(psycopg.errors.UndefinedColumn):
        asyncio.run(run())


def test_a_statement_can_be_given_up_and_leaves_nothing_behind(migrated_url: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute("create table left_behind ()")
        connection.execute("select pg_sleep(30)")

    async def run() -> None:
        database = Database(lambda: connect_to(migrated_url))
        job = asyncio.ensure_future(database.call(work))
        await asyncio.sleep(0.3)
        while not job.done():
            await asyncio.to_thread(database.cancel)
            await asyncio.sleep(0.05)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await job
        found = await database.call(
            lambda connection: connection.execute("select to_regclass('left_behind')").fetchone()
        )
        assert found == (None,)
        await database.close()

    asyncio.run(run())


def test_which_failures_may_pass() -> None:
    assert may_pass(psycopg.errors.DiskFull())
    assert may_pass(psycopg.errors.AdminShutdown())
    assert may_pass(DatabaseError("no connection"))
    assert not may_pass(psycopg.errors.UndefinedTable())
