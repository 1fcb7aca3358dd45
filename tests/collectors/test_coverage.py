"""Coverage and gaps: against sets of minutes, where no segment can go wrong."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.coverage import (
    Gap,
    Segment,
    add_coverage,
    close_gaps,
    find_holes,
    merge_segments,
    note_gaps,
    read_coverage,
    read_gaps,
    subtract_segments,
    withdraw_coverage,
)
from collectors.rows import Coverage, Source
from perpmart.database import Connection
from tests.collectors.samples import NOW, SOL, at

ORDERS = "liquidations"
minute = st.integers(0, 30)
segments = st.lists(
    st.tuples(minute, minute)
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: (at(pair[0]), at(pair[1]))),
    max_size=8,
)


def minutes(pieces: list[Segment]) -> set[int]:
    """Give the minutes that the segments hold."""
    return {n for n in range(40) if any(start <= at(n) < end for start, end in pieces)}


def are_apart(pieces: list[Segment]) -> bool:
    return all(left[1] < right[0] for left, right in pairwise(pieces))


def cover(connection: Connection, *pieces: Segment, source: Source = "rest", stream: str = ORDERS) -> None:
    add_coverage(
        connection, [Coverage(stream, SOL, start, end) for start, end in pieces], source=source, now=NOW
    )


def noted(connection: Connection) -> list[Segment]:
    rows = connection.execute("select from_time, to_time from changes order by from_time").fetchall()
    connection.execute("delete from changes")
    return rows


@given(segments)
def test_merged_segments_hold_the_same_minutes_and_never_touch(pieces: list[Segment]) -> None:
    merged = merge_segments(pieces)
    assert minutes(merged) == minutes(pieces)
    assert are_apart(merged)


@given(segments, segments)
def test_subtracting_leaves_the_wanted_minutes_that_are_not_present(
    wanted: list[Segment], present: list[Segment]
) -> None:
    left = subtract_segments(wanted, present)
    assert minutes(left) == minutes(wanted) - minutes(present)
    assert are_apart(left)


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "withdraw"]), st.sampled_from(["rest", "archive"]), minute, minute
    ).filter(lambda step: step[2] < step[3]),
    max_size=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_coverage_in_the_database_is_a_set_of_minutes_a_source_and_notes_what_enters_or_leaves(
    connection: Connection, steps: list[tuple[str, Source, int, int]]
) -> None:
    connection.execute("truncate coverage")
    connection.execute("delete from changes")
    known: dict[Source, set[int]] = {"rest": set(), "archive": set()}
    for act, source, start, end in steps:
        before = known["rest"] | known["archive"]
        span = set(range(start, end))
        if act == "add":
            cover(connection, (at(start), at(end)), source=source)
            known[source] |= span
        else:
            withdraw_coverage(connection, Coverage(ORDERS, SOL, at(start), at(end)), source=source)
            known[source] -= span
        after = known["rest"] | known["archive"]
        assert minutes(noted(connection)) == after ^ before
    for source, wanted in known.items():
        stored = connection.execute(
            "select from_time, to_time from coverage where source = %s order by from_time", [source]
        ).fetchall()
        assert minutes(stored) == wanted
        assert are_apart(stored)


def test_a_listener_counts_apart_from_those_who_answer(connection: Connection) -> None:
    cover(connection, (at(0), at(10)), source="stream")
    assert noted(connection) == [(at(0), at(10))]
    cover(connection, (at(0), at(10)), source="rest")
    assert noted(connection) == [(at(0), at(10))]
    cover(connection, (at(0), at(20)), source="archive")
    assert noted(connection) == [(at(10), at(20))]


def test_a_change_of_coverage_is_noted_under_its_table(connection: Connection) -> None:
    cover(connection, (at(0), at(10)), stream="ohlcv:5m")
    assert connection.execute("select stream, symbol from changes").fetchall() == [("ohlcv", SOL)]


@pytest.mark.parametrize(
    "stream", ["long_short_ratio:global_account:5m", "open_interest:5m", "funding_rate", "order_book"]
)
def test_coverage_changes_nothing_where_no_row_means_unknown_either_way(
    connection: Connection, stream: str
) -> None:
    cover(connection, (at(0), at(10)), stream=stream)
    assert noted(connection) == []


def test_psql_may_write_coverage_too(connection: Connection) -> None:
    connection.execute(
        "insert into coverage values ('liquidations', 'SOL/USDT', %s, %s, 'rest')", [at(0), at(5)]
    )
    assert noted(connection) == [(at(0), at(5))]
    connection.execute("delete from coverage")
    assert noted(connection) == [(at(0), at(5))]
    connection.execute("truncate coverage")
    assert connection.execute("select count(*), min(symbol) from changes").fetchone() == (2, "*")


def test_what_lies_ahead_of_the_clock_is_no_coverage(connection: Connection) -> None:
    piece = Coverage(ORDERS, SOL, at(0), at(10))
    add_coverage(connection, [piece], source="rest", now=at(4))
    assert read_coverage(connection, ORDERS, SOL) == [(at(0), at(4))]
    add_coverage(connection, [piece], source="archive", now=at(-1))
    assert read_coverage(connection, ORDERS, SOL, sources=["archive"]) == []


@pytest.mark.parametrize("stream", ["ohlcv:5m", "long_short_ratio:taker_volume:5m"])
def test_a_bar_half_covered_twice_is_not_covered(connection: Connection, stream: str) -> None:
    for start, end in ((0, 12), (12, 22)):
        add_coverage(connection, [Coverage(stream, SOL, at(start), at(end))], source="rest", now=NOW)
    assert read_coverage(connection, stream, SOL) == [(at(0), at(10)), (at(15), at(20))]


def test_coverage_that_ends_before_it_begins_is_refused(connection: Connection) -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        cover(connection, (at(5), at(4)))


def test_holes_are_what_no_source_covers_and_coverage_of_all_symbols_counts(connection: Connection) -> None:
    cover(connection, (at(0), at(10)))
    add_coverage(connection, [Coverage(ORDERS, "*", at(15), at(20))], source="archive", now=NOW)
    wanted = Coverage(ORDERS, SOL, at(5), at(25))
    assert find_holes(connection, wanted) == [
        Coverage(ORDERS, SOL, at(10), at(15)),
        Coverage(ORDERS, SOL, at(20), at(25)),
    ]
    assert find_holes(connection, wanted, sources=["stream"]) == [wanted]


def test_a_hole_is_noted_once_and_closed_by_whoever_fills_it(connection: Connection) -> None:
    by_rest = Gap(ORDERS, SOL, at(0), at(5), "connection lost")
    by_archive = Gap(ORDERS, SOL, at(10), at(15), "connection lost")
    half = Gap(ORDERS, SOL, at(20), at(25), "connection lost")
    note_gaps(connection, [by_rest, by_archive, half, by_rest], now=NOW)
    cover(connection, (at(0), at(12)), (at(20), at(22)))
    cover(connection, (at(12), at(15)), source="archive")
    closed = close_gaps(connection, now=NOW + timedelta(hours=1))
    assert [(gap.from_time, gap.state) for gap in closed] == [
        (at(0), "repaired_rest"),
        (at(10), "repaired_archive"),
    ]
    assert read_gaps(connection, state="open") == [half]
    resolved = connection.execute("select noted_at, resolved_at from gaps where state <> 'open'").fetchall()
    assert resolved == [(NOW, NOW + timedelta(hours=1))] * 2
    note_gaps(connection, [half._replace(state="unrepairable", cause="older than 30 days")], now=NOW)
    assert read_gaps(connection, state="open") == []
    assert len(read_gaps(connection, symbol=SOL)) == 3
