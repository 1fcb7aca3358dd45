"""Which windows are asked for, and what a reading proves."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.kinds import BAR, KINDS, absent, ceil, floor, missing_segments, windows
from collectors.rows import RATIO_TYPES

NOW = datetime(2026, 5, 1, 12, 2, 3, tzinfo=UTC)
BAR_OF_NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def at(minutes: float) -> datetime:
    return BAR_OF_NOW + timedelta(minutes=minutes)


def test_every_history_that_rest_gives_has_its_kind() -> None:
    assert set(KINDS) == {"klines", "mark_price", "open_interest", "funding_rate", *RATIO_TYPES}


@pytest.mark.parametrize(
    ("name", "minutes"), [("klines", 0), ("taker_volume", 0), ("open_interest", 5), ("mark_price", 5)]
)
def test_nothing_is_asked_that_has_not_happened(name: str, minutes: int) -> None:
    assert KINDS[name].end_of_reading(NOW) == at(minutes)


@pytest.mark.parametrize(
    ("name", "newest", "minutes"),
    [
        ("klines", None, 0),  # two minutes after its close a bar that is not there had no trade
        ("open_interest", None, 0),  # the snapshot of 12:00 may still come until 12:05
        ("open_interest", at(0), 0),  # never beyond the clock
        ("taker_volume", None, -5),  # the bar of 11:55 may still come until 12:05
        ("taker_volume", at(-5), 0),  # and when it is there, it is there
        ("mark_price", None, 0),
        ("funding_rate", None, 2),
    ],
)
def test_only_what_had_time_to_come_is_proven(name: str, newest: datetime | None, minutes: float) -> None:
    assert KINDS[name].end_of_certainty(NOW, newest) == at(minutes)


def test_a_bar_just_closed_that_did_not_come_is_not_proven_absent() -> None:
    second_after = BAR_OF_NOW + timedelta(seconds=1)
    assert KINDS["klines"].end_of_certainty(second_after, at(-10)) == at(-5)
    assert KINDS["klines"].end_of_certainty(second_after, at(-5)) == at(0)


def test_statistics_are_kept_thirty_days_and_klines_for_ever() -> None:
    assert KINDS["open_interest"].start_of_keeping(NOW) == at(5) - 30 * DAY
    assert KINDS["klines"].start_of_keeping(NOW) is None


def test_windows_hold_at_most_a_page_and_leave_nothing_out() -> None:
    kind = KINDS["klines"]
    cut = list(windows((at(0) - 10 * DAY, at(0)), kind))
    assert all(end - start <= 499 * BAR for start, end in cut)
    assert [end for _, end in cut[:-1]] == [start for start, _ in cut[1:]]
    assert (cut[0][0], cut[-1][1]) == (at(0) - 10 * DAY, at(0))


def test_points_without_a_row_are_found() -> None:
    assert absent((at(0), at(30)), BAR, {at(5), at(20), at(25)}) == [(at(0), at(5)), (at(10), at(20))]
    assert absent((at(0), at(0)), BAR, set()) == []


times = st.integers(0, 400).map(lambda n: at(5 * n))
segments = st.lists(st.tuples(times, times).map(lambda pair: (min(pair), max(pair))), max_size=6)


@given(wanted=st.tuples(times, times), covered=segments)
def test_what_is_read_and_what_is_covered_make_up_what_is_wanted(
    wanted: tuple[datetime, datetime], covered: list[tuple[datetime, datetime]]
) -> None:
    missing = missing_segments(wanted, covered)
    for point in (at(5 * n) for n in range(401)):
        asked = any(start <= point < end for start, end in missing)
        known = any(start <= point < end for start, end in covered)
        if wanted[0] <= point < wanted[1]:
            assert asked or known
        else:
            assert not asked


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_floor_and_ceil_are_the_nearest_points_of_the_grid(time: datetime) -> None:
    time = time.replace(tzinfo=UTC)
    low, high = floor(time, BAR), ceil(time, BAR)
    assert low <= time <= high
    assert high - low in (BAR, timedelta(0))
    assert low.minute % 5 == low.second == low.microsecond == 0
