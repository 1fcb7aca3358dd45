"""The writer: who wins, what is counted, what is refused and remembered."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from collectors.rows import SOURCES, Coverage, Kline, Refusal, Row, Source, table_of
from collectors.writer import Writer, WriteResult
from perpmart.database import Connection, connect_to
from tests.collectors.samples import (
    BOOK,
    FUNDING,
    KLINE,
    LIQUIDATION,
    MARK,
    NOW,
    ONE_OF_EACH,
    OPEN_INTEREST,
    RATIO,
    SOL,
    START,
    at,
    klines,
)

NAN = float("nan")
with_database = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def writer(connection: Connection) -> Writer:
    return Writer(connection)


def write(writer: Writer, *rows: Row, source: Source = "rest", now: datetime = NOW) -> WriteResult:
    return writer.write(rows, source=source, now=now)


def ask(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def counted(**counts: int) -> WriteResult:
    return WriteResult(received=sum(counts.values()), **counts)


@pytest.mark.parametrize("row", ONE_OF_EACH, ids=lambda row: type(row).__name__)
def test_every_kind_of_row_is_stored_as_it_is_and_again_changes_nothing(
    writer: Writer, connection: Connection, row: Row
) -> None:
    assert write(writer, row) == counted(inserted=1)
    connection.execute("delete from changes")
    assert write(writer, row) == counted(unchanged=1)
    stored = ask(connection, f"select {', '.join(row._fields)}, source from {table_of(type(row))}")
    assert stored == [(*row, "rest")]
    assert ask(connection, "select count(*) from changes") == [(0,)]
    assert ask(connection, "select count(*) from revisions") == [(0,)]


def test_rows_of_all_kinds_go_in_together(writer: Writer) -> None:
    assert write(writer, *ONE_OF_EACH) == counted(inserted=8)


def test_an_empty_write_is_no_error(writer: Writer) -> None:
    assert write(writer) == WriteResult()


def test_a_newer_version_of_the_same_source_replaces_the_older(
    writer: Writer, connection: Connection
) -> None:
    write(writer, KLINE)
    (first,) = ask(connection, "select ingested_at from ohlcv")
    assert write(writer, KLINE._replace(close=106.0)) == counted(updated=1)
    assert ask(connection, "select close from ohlcv") == [(106.0,)]
    ((old, source, begin, end, second),) = ask(
        connection,
        "select (old ->> 'close')::float8, old_source, valid_from, valid_to, ingested_at"
        " from revisions, ohlcv",
    )
    assert (old, source, begin, end) == (105.0, "rest", first[0], second)
    assert end > begin


def test_archive_beats_rest_beats_stream(writer: Writer, connection: Connection) -> None:
    assert write(writer, KLINE._replace(close=101.0), source="stream") == counted(inserted=1)
    assert write(writer, KLINE._replace(close=102.0), source="rest") == counted(updated=1)
    assert write(writer, KLINE._replace(close=103.0), source="archive") == counted(updated=1)
    assert write(writer, KLINE._replace(close=104.0), source="rest") == counted(superseded=1)
    assert write(writer, KLINE._replace(close=105.0), source="stream") == counted(superseded=1)
    assert ask(connection, "select close, source from ohlcv") == [(103.0, "archive")]
    assert ask(
        connection,
        "select (old ->> 'close')::float8, old_source, valid_from = valid_to from revisions order by 1",
    ) == [
        (101.0, "stream", False),
        (102.0, "rest", False),
        (104.0, "rest", True),
        (105.0, "stream", True),
    ]


def test_a_loser_that_comes_again_is_remembered_once(writer: Writer, connection: Connection) -> None:
    write(writer, KLINE, source="archive")
    for _ in range(3):
        assert write(writer, KLINE._replace(close=104.0)) == counted(superseded=1)
    assert ask(connection, "select count(*) from revisions") == [(1,)]


def test_what_a_stronger_source_confirmed_a_weaker_cannot_replace(
    writer: Writer, connection: Connection
) -> None:
    write(writer, KLINE, source="rest")
    connection.execute("delete from changes")
    assert write(writer, KLINE, source="archive") == counted(unchanged=1)
    assert ask(connection, "select count(*) from changes") == [(0,)]
    assert write(writer, KLINE._replace(close=104.0), source="rest") == counted(superseded=1)
    assert ask(connection, "select close, source from ohlcv") == [(105.0, "archive")]


def test_what_a_stronger_source_leaves_unknown_is_not_forgotten(
    writer: Writer, connection: Connection
) -> None:
    bare = KLINE._replace(quote_volume=None, trades=None, taker_buy_base=None, taker_buy_quote=None)
    write(writer, KLINE, source="rest")
    assert write(writer, bare._replace(close=106.0), source="archive") == counted(updated=1)
    assert ask(connection, "select close, quote_volume, trades, source, borrowed from ohlcv") == [
        (
            106.0,
            100500.0,
            42,
            "archive",
            dict.fromkeys(("quote_volume", "trades", "taker_buy_base", "taker_buy_quote"), "rest"),
        )
    ]
    # A weaker one may not touch what REST lent, REST itself may.
    assert write(writer, KLINE._replace(close=106.0, trades=41), source="stream") == counted(superseded=1)
    assert write(writer, KLINE._replace(close=106.0, trades=43), source="rest") == counted(updated=1)
    assert ask(connection, "select trades from ohlcv") == [(43,)]


def test_a_weaker_source_fills_what_is_unknown_and_nothing_else(
    writer: Writer, connection: Connection
) -> None:
    write(writer, FUNDING._replace(mark_price=None), source="archive")
    assert write(writer, FUNDING._replace(funding_rate=0.5), source="rest") == counted(updated=1)
    assert ask(connection, "select funding_rate, mark_price, source, borrowed from funding_rate") == [
        (0.0001, 105.0, "archive", {"mark_price": "rest"})
    ]
    assert ask(connection, "select count(*) from revisions where (old ->> 'funding_rate')::float8 = 0.5") == [
        (1,)
    ]


def test_amount_and_value_of_open_interest_may_come_from_two_files(
    writer: Writer, connection: Connection
) -> None:
    write(writer, OPEN_INTEREST._replace(open_interest=None))
    assert write(writer, OPEN_INTEREST._replace(open_interest_value=None)) == counted(updated=1)
    assert ask(connection, "select open_interest, open_interest_value, borrowed from open_interest") == [
        (5000.0, 525000.0, None)
    ]


def test_of_a_slot_the_newest_snapshot_stays_whatever_came_last(
    writer: Writer, connection: Connection
) -> None:
    later = BOOK._replace(time=BOOK.time + timedelta(seconds=2), last_update_id=78)
    write(writer, later, source="stream")
    assert write(writer, BOOK, source="stream") == counted(superseded=1)
    assert ask(connection, "select time, slot, last_update_id from order_book") == [(later.time, at(0), 78)]
    next_slot = BOOK._replace(time=BOOK.time + timedelta(seconds=4))
    assert write(writer, next_slot, source="stream") == counted(inserted=1)


def test_of_a_batch_the_newest_snapshot_of_a_slot_stays(writer: Writer, connection: Connection) -> None:
    later = BOOK._replace(time=BOOK.time + timedelta(seconds=2))
    assert write(writer, later, BOOK, source="stream") == counted(inserted=1, superseded=1)
    assert ask(connection, "select time from order_book") == [(later.time,)]


def test_mark_and_index_klines_of_one_instant_make_one_row(writer: Writer, connection: Connection) -> None:
    mark = MARK._replace(time=at(5), index_price=None, predicted_funding_rate=None, next_funding_time=None)
    index = mark._replace(mark_price=None, index_price=100.25)
    write(writer, mark)
    assert write(writer, index) == counted(updated=1)
    together = [mark._replace(time=at(10)), index._replace(time=at(10))]
    assert write(writer, *together) == counted(inserted=1, unchanged=1)
    assert ask(connection, "select mark_price, index_price from mark_price order by time") == [
        (100.5, 100.25),
        (100.5, 100.25),
    ]


def test_two_instants_of_a_slot_are_not_mixed(writer: Writer, connection: Connection) -> None:
    kline = MARK._replace(time=at(5), predicted_funding_rate=None, next_funding_time=None)
    message = MARK._replace(time=at(5) + timedelta(seconds=3), mark_price=101.0)
    for first, second in itertools.permutations([(kline, "rest"), (message, "stream")]):
        connection.execute("truncate mark_price")
        for row, source in (first, second):
            write(writer, row, source=source)
        assert ask(connection, "select time, mark_price, predicted_funding_rate from mark_price") == [
            (at(5), 100.5, None)
        ]


def test_prices_by_rest_keep_the_predicted_rate_that_the_stream_told_at_that_instant(
    writer: Writer, connection: Connection
) -> None:
    kline = MARK._replace(time=at(5), predicted_funding_rate=None, next_funding_time=None)
    message = MARK._replace(time=at(5), mark_price=101.0)
    for first, second in itertools.permutations([(kline, "rest"), (message, "stream")]):
        connection.execute("truncate mark_price")
        for row, source in (first, second, first):
            write(writer, row, source=source)
        assert ask(
            connection, "select mark_price, predicted_funding_rate, next_funding_time, source from mark_price"
        ) == [(100.5, MARK.predicted_funding_rate, MARK.next_funding_time, "rest")]


def test_of_equal_rows_in_a_batch_one_goes_in(writer: Writer) -> None:
    assert write(writer, KLINE, KLINE, KLINE) == counted(inserted=1, unchanged=2)


def test_of_differing_rows_in_a_batch_the_last_wins(writer: Writer, connection: Connection) -> None:
    rows = [KLINE._replace(close=close) for close in (101.0, 102.0, 103.0)]
    assert write(writer, *rows) == counted(inserted=1, superseded=2)
    assert ask(connection, "select close from ohlcv") == [(103.0,)]
    assert ask(
        connection, "select (old ->> 'close')::float8, valid_from = valid_to from revisions order by 1"
    ) == [(101.0, True), (102.0, True)]


def test_bars_not_closed_and_rows_of_the_future_are_refused(writer: Writer, connection: Connection) -> None:
    closed, forming = klines(2)
    taker = RATIO._replace(ratio_type="taker_volume", long_account=5.0, short_account=4.0)
    now = at(9)
    assert write(writer, closed, forming, now=now) == counted(inserted=1, rejected=1)
    assert write(writer, forming, now=at(10)) == counted(inserted=1)
    ahead = [
        OPEN_INTEREST._replace(time=at(10)),
        FUNDING._replace(funding_time=at(9), funding_time_raw=at(9) + timedelta(milliseconds=1)),
        LIQUIDATION._replace(time=now + timedelta(milliseconds=1)),
        BOOK._replace(time=now + timedelta(seconds=1)),
        MARK._replace(time=now + timedelta(seconds=1)),
        taker._replace(time=at(5)),
    ]
    assert write(writer, *ahead, now=now) == counted(rejected=6)
    assert write(writer, taker, RATIO._replace(time=at(5)), now=now) == counted(inserted=2)
    reasons = {reason for (reason,) in ask(connection, "select reason from rejects")}
    assert reasons == {"bar still forming by the exchange's clock", "in the future by the exchange's clock"}


def test_an_announced_listing_is_no_row_of_the_future(writer: Writer) -> None:
    listing = ONE_OF_EACH[-1]._replace(valid_from=NOW + timedelta(days=2))
    assert write(writer, listing) == counted(inserted=1)


def test_a_refused_row_says_where_and_why_and_the_rest_goes_in(
    writer: Writer, connection: Connection
) -> None:
    good, bad = klines(2)
    result = writer.write(
        [good, bad._replace(high=1.0)],
        source="archive",
        now=NOW,
        origins=["a.csv:1", "a.csv:2"],
        refusals=[Refusal("ohlcv:5m", "a.csv:3", "4 fields instead of 12", "1,2,3,\0")],
    )
    assert result == counted(inserted=1, rejected=2)
    assert ask(connection, "select stream, source, origin, reason from rejects order by origin") == [
        ("ohlcv:5m", "archive", "a.csv:2", "open or close outside low..high"),
        ("ohlcv:5m", "archive", "a.csv:3", "4 fields instead of 12"),
    ]
    payloads = [payload for (payload,) in ask(connection, "select payload from rejects order by origin")]
    assert '"high": 1' in payloads[0]
    assert payloads[1] == "1,2,3,\\x00"


def test_what_is_refused_again_is_noted_once(writer: Writer, connection: Connection) -> None:
    for _ in range(2):
        assert write(writer, KLINE._replace(volume=-1.0)) == counted(rejected=1)
    assert ask(connection, "select count(*) from rejects") == [(1,)]


@pytest.mark.parametrize(
    "row",
    [KLINE._replace(symbol="SO\0L/USDT"), KLINE._replace(trades=2**70), KLINE._replace(symbol="\ud800/USDT")],
    ids=["zero byte", "huge number", "half a character"],
)
def test_what_the_database_cannot_hold_is_refused_alone(
    writer: Writer, connection: Connection, row: Kline
) -> None:
    assert write(writer, *klines(2), row) == counted(inserted=2, rejected=1)
    assert ask(connection, "select reason from rejects") == [
        ("text or number that the database cannot hold",)
    ]


def test_missing_measures_are_refused_by_name(writer: Writer, connection: Connection) -> None:
    broken = KLINE._replace(close=None)  # type: ignore[arg-type]
    assert write(writer, broken) == counted(rejected=1)
    assert ask(connection, "select reason from rejects") == [("close is missing",)]


odd = st.sampled_from([0.0, -1.0, 1.0, 99.0, 100.0, 101.0, 1e300, NAN, float("inf"), float("-inf")])
strange_klines = st.builds(
    Kline,
    st.sampled_from([SOL, "", "SOLUSDT", "A/B:C"]),
    st.sampled_from(["5m", "1h", "7m", ""]),
    st.sampled_from([START, at(1), at(5), at(10**7), datetime(1970, 1, 1, tzinfo=START.tzinfo)]),
    *([odd] * 5),
    st.none() | odd,
    st.none() | st.sampled_from([-1, 0, 1, 2**62]),
    st.none() | odd,
    st.none() | odd,
)


@with_database
@given(st.lists(strange_klines, max_size=5))
def test_no_row_whatever_can_make_a_write_fail(connection: Connection, rows: list[Kline]) -> None:
    result = write(Writer(connection), *rows)
    assert result.received == len(rows)
    assert (
        result.inserted + result.updated + result.unchanged + result.superseded + result.rejected
        == result.received
    )


def test_writing_is_refused_without_a_time_zone_or_with_origins_missing(writer: Writer) -> None:
    with pytest.raises(ValueError, match="time zone"):
        write(writer, KLINE, now=NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="1 origins for 2 rows"):
        writer.write(klines(2), source="rest", now=NOW, origins=["x"])


def test_rows_and_coverage_are_committed_together_or_not_at_all(
    writer: Writer, connection: Connection, migrated_url: str
) -> None:
    bad = Coverage("ohlcv:5m", SOL, at(5), at(0))
    with pytest.raises(ValueError, match="ends before"):
        writer.write([KLINE], source="rest", now=NOW, covered=[bad])
    good = Coverage("ohlcv:5m", SOL, at(0), at(5))
    with connect_to(migrated_url) as other:
        assert ask(other, "select count(*) from ohlcv") == [(0,)]
        other.rollback()
        # A query before leaves a transaction open; the write commits all the same.
        ask(connection, "select 1")
        writer.write([KLINE], source="rest", now=NOW, covered=[good])
        assert ask(other, "select from_time, to_time, c.source from coverage as c, ohlcv") == [
            (at(0), at(5), "rest")
        ]


class Version:
    """What one source said: oracle of the precedence, a measure at a time."""

    def __init__(self, versions: list[tuple[Source, Kline]]) -> None:
        self.ranked = sorted(
            enumerate(versions), key=lambda item: (SOURCES.index(item[1][0]), item[0]), reverse=True
        )

    def says(self, measure: str, *, block: bool) -> object:
        said = [getattr(row, measure) for _, (_, row) in self.ranked]
        return said[0] if block else next((value for value in said if value is not None), None)


versions = st.tuples(
    st.sampled_from(SOURCES),
    st.builds(
        lambda close, trades, quote: KLINE._replace(close=close, trades=trades, quote_volume=quote),
        st.sampled_from([101.0, 102.0, 103.0]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 100400.0, 100500.0]),
    ),
)
STANDING = "select close, trades, quote_volume, source from ohlcv"


def expected(said: list[tuple[Source, Kline]]) -> list[tuple[Any, ...]]:
    oracle = Version(said)
    strongest = max((source for source, _ in said), key=SOURCES.index)
    return [
        (
            oracle.says("close", block=True),
            oracle.says("trades", block=False),
            oracle.says("quote_volume", block=False),
            strongest,
        )
    ]


@with_database
@given(st.lists(versions, min_size=1, max_size=6))
def test_the_table_holds_what_the_strongest_and_then_newest_said(
    connection: Connection, said: list[tuple[Source, Kline]]
) -> None:
    connection.execute("truncate ohlcv")
    writer = Writer(connection)
    for source, row in said:
        write(writer, row, source=source)
    assert ask(connection, STANDING) == expected(said)


@with_database
@given(st.lists(versions, min_size=1, max_size=3, unique_by=lambda version: version[0]))
def test_the_order_of_arrival_of_the_sources_does_not_matter(
    connection: Connection, said: list[tuple[Source, Kline]]
) -> None:
    writer, tables = Writer(connection), []
    for order in itertools.permutations(said):
        connection.execute("truncate ohlcv")
        for source, row in order:
            write(writer, row, source=source)
        tables.append(ask(connection, f"{STANDING.replace('source', 'source, borrowed')}"))
    assert all(table == tables[0] for table in tables)


@with_database
@given(st.lists(versions, min_size=2, max_size=6))
def test_a_batch_is_worth_its_rows_one_by_one(
    connection: Connection, said: list[tuple[Source, Kline]]
) -> None:
    source = said[0][0]
    rows = [row for _, row in said]
    assume(len(set(rows)) > 1)
    writer, tables = Writer(connection), []
    for batches in ([rows], [[row] for row in rows]):
        connection.execute("truncate ohlcv")
        write(writer, KLINE._replace(close=104.0, trades=None), source="rest")
        for batch in batches:
            write(writer, *batch, source=source)
        tables.append(ask(connection, f"{STANDING.replace('source', 'source, borrowed')}"))
    assert tables[0] == tables[1]


def test_big_batches_count_exactly(writer: Writer, connection: Connection) -> None:
    first = [*klines(3000), *klines(3000, symbol="BTC/USDT")]
    assert write(writer, *first) == counted(inserted=6000)
    second = [row._replace(close=106.0) if n % 3 == 0 else row for n, row in enumerate(klines(3500))]
    second[1] = second[1]._replace(volume=NAN)
    second.append(second[2])
    assert write(writer, *second) == counted(inserted=500, updated=1000, unchanged=2000, rejected=1)
    assert ask(connection, "select count(*), count(distinct symbol) from ohlcv") == [(6500, 2)]


def test_writers_of_overlapping_symbols_do_not_block_each_other_for_good(migrated_url: str) -> None:
    errors: list[psycopg.Error] = []
    symbols = [f"S{n}/USDT" for n in range(12)]

    def work(offset: int) -> None:
        with connect_to(migrated_url) as own:
            writer = Writer(own)
            try:
                for turn in range(8):
                    ordered = symbols[offset:] + symbols[:offset]
                    rows = [row for s in ordered for row in klines(3, symbol=s, first=turn)]
                    rows = [row._replace(close=100.0 + offset) for row in rows]
                    covered = [Coverage("ohlcv:5m", s, at(0), at(5 * turn + 15)) for s in ordered]
                    writer.write(
                        [*rows, *(FUNDING._replace(symbol=s) for s in reversed(ordered))],
                        source="rest",
                        now=NOW,
                        covered=covered,
                    )
            except psycopg.Error as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=[offset]) for offset in (0, 4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    with connect_to(migrated_url) as own:
        assert ask(own, "select count(*) from ohlcv") == [(12 * 10,)]
        assert ask(own, "select count(*), min(to_time), max(to_time) from coverage") == [(12, at(50), at(50))]


def test_a_weaker_writer_at_the_same_moment_does_not_overwrite_what_it_has_not_seen(
    writer: Writer, migrated_url: str
) -> None:
    write(writer, KLINE)
    about_to_commit, go_on = threading.Event(), threading.Event()

    class Slow(Writer):
        def _put(self, *args: Any) -> WriteResult:
            result = super()._put(*args)
            about_to_commit.set()
            go_on.wait(30)
            return result

    def write_archive() -> None:
        with connect_to(migrated_url) as own:
            write(Slow(own), KLINE._replace(close=103.0), source="archive")

    results: list[WriteResult] = []
    archive = threading.Thread(target=write_archive)
    rest = threading.Thread(target=lambda: results.append(write(writer, KLINE._replace(close=104.0))))
    archive.start()
    assert about_to_commit.wait(30)
    rest.start()
    rest.join(0.5)
    go_on.set()
    archive.join(30)
    rest.join(30)
    assert results == [counted(superseded=1)]


def test_rows_that_appear_between_look_and_write_are_not_lost(
    migrated_url: str, connection: Connection
) -> None:
    """psql, which takes no lock of ours, inserts the row while the writer is about to."""
    inserted = threading.Event()

    class Interrupted(Writer):
        def _insert_all(self, *args: Any) -> bool:
            with connect_to(migrated_url) as psql:
                names = ", ".join(KLINE._fields)
                marks = ", ".join(["%s"] * len(KLINE))
                psql.execute(
                    f"insert into ohlcv ({names}, source) values ({marks}, 'rest')".encode(),
                    KLINE._replace(close=101.0),
                )
            inserted.set()
            return super()._insert_all(*args)

    assert write(Interrupted(connection), *klines(3)) == counted(inserted=2, updated=1)
    assert inserted.is_set()
    assert ask(connection, "select close from ohlcv order by time limit 1") == [(105.0,)]


SCRIPT = """
import sys
from datetime import timedelta
from collectors.rows import Coverage
from collectors.writer import Writer
from perpmart.database import connect_to
from tests.collectors.samples import NOW, SOL, at, klines
with connect_to(sys.argv[1]) as connection:
    writer = Writer(connection)
    for turn in range(60):
        rows = klines(200, first=150 * turn)
        rows[0] = rows[0]._replace(close=101.0 + turn % 3)
        rows[60] = rows[60]._replace(high=0.0)
        covered = Coverage("ohlcv:5m", SOL, rows[0].time, rows[-1].time + timedelta(minutes=5))
        writer.write(rows, source="rest", now=NOW, covered=[covered], origin=f"turn {turn}")
        print(turn, flush=True)
"""


def test_killed_at_any_point_and_run_again_gives_the_same_tables(new_database: Any) -> None:
    states = []
    for kills in ((), (1, 13, 27)):
        url = new_database(migrated=True, label="kill")
        for turns in kills:
            process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(SCRIPT), url],
                stdout=subprocess.PIPE,
                text=True,
                cwd=os.getcwd(),
            )
            assert process.stdout is not None
            for _ in range(turns):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            process.stdout.close()
            with connect_to(url) as connection:
                # Whatever is covered is there, whatever is there is covered.
                ((rows, covered),) = ask(
                    connection,
                    "select (select count(*) from ohlcv) + (select count(*) from rejects),"
                    " (select extract(epoch from sum(to_time - from_time)) / 300 from coverage)",
                )
                assert rows == covered
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), url], check=True, stdout=subprocess.DEVNULL
        )
        with connect_to(url) as connection:
            columns = ", ".join(KLINE._fields)
            states.append(
                [
                    ask(connection, f"select {columns}, source from ohlcv order by time"),
                    ask(connection, "select from_time, to_time, source from coverage"),
                    ask(connection, "select origin, reason, payload from rejects order by origin, payload"),
                ]
            )
    assert states[0] == states[1]
    assert len(states[0][0]) > 8000
