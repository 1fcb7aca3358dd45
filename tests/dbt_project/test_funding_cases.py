"""Funding worked by hand: intervals of eight and four hours, a change between them, a missing settlement."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending

from .by_hand import BAR, add_klines, add_settlements, announce, at, features
from .mart import Databases

EIGHT, FOUR, CHANGED, SILENT, LOST, UNHEARD, PAUSED, BELATED = (f"{name}/USDT" for name in "ABCDEFGH")
RATE = 0.0001
DAYS = 9


def every(hours: int, *, days: float = DAYS, missing: tuple[datetime, ...] = ()) -> dict[datetime, float]:
    """Settlements each so many hours; the rate of number i is i basis points."""
    times = [at(0, hours * number) for number in range(int(days * 24 / hours))]
    return {time: RATE * number for number, time in enumerate(times) if time not in missing}


@pytest.fixture(scope="module")
def settled(databases: Databases) -> Iterator[Connection]:
    """Mart of the cases, one a symbol."""
    changed = {at(0): RATE, at(0, 8): 2 * RATE, at(0, 16): 3 * RATE, at(0, 20): 4 * RATE, at(1): 5 * RATE}
    with databases.lent() as url, connect_to(url) as connection:
        for symbol in (EIGHT, FOUR, CHANGED, SILENT, LOST, UNHEARD, PAUSED, BELATED):
            add_klines(connection, symbol, until=at(DAYS), close="88")
        add_settlements(connection, EIGHT, every(8))
        add_settlements(connection, FOUR, every(4))
        add_settlements(connection, CHANGED, changed)
        add_settlements(connection, SILENT, changed)
        announce(connection, CHANGED, since=at(0, 8), until=at(0, 16), settles=at(0, 16), rate=RATE)
        announce(connection, CHANGED, since=at(0, 16), until=at(0, 20), settles=at(0, 20), rate=RATE)
        announce(connection, CHANGED, since=at(0, 20), until=at(1), settles=at(1), rate=RATE)
        add_settlements(connection, LOST, every(4, days=1, missing=(at(0, 12),)))
        for hour in (8, 12, 16):
            announce(
                connection, LOST, since=at(0, hour), until=at(0, hour + 4), settles=at(0, hour + 4), rate=RATE
            )
        add_settlements(connection, UNHEARD, every(8, days=2, missing=(at(0, 16),)))
        hours = (0, 8, 44, 52, 60)
        rates = (1, 2, 3, 5, 6)
        paused = {at(0, hour): rate * RATE for hour, rate in zip(hours, rates, strict=True)}
        add_settlements(connection, PAUSED, paused)
        add_settlements(connection, BELATED, every(8, days=1))
        announce(connection, BELATED, since=at(0, 8), until=at(0, 12, 35), settles=at(0, 16), rate=RATE)
        announce(connection, BELATED, since=at(0, 12, 35), until=at(0, 12, 40), settles=at(0, 12), rate=RATE)
        announce(connection, BELATED, since=at(0, 12, 40), until=at(0, 16), settles=at(0, 16), rate=RATE)
        run_pending(connection)
        yield connection
        connection.rollback()


def test_settlement_is_known_one_minute_after_it(settled: Connection) -> None:
    assert features(settled, EIGHT, at(1, 7, 50), "funding_rate_current") == (RATE * 3,)
    assert features(settled, EIGHT, at(1, 7, 55), "funding_rate_current") == (RATE * 3,)
    assert features(settled, EIGHT, at(1, 8), "funding_rate_current") == (pytest.approx(RATE * 4),)


def test_settlements_each_eight_hours(settled: Connection) -> None:
    # Number 22, 176 h after the start, is the newest; a day before it was number 19.
    bar = at(7, 8)
    assert features(
        settled,
        EIGHT,
        bar,
        "funding_rate_change",
        "funding_rate_change_24h",
        "cumulative_funding_24h",
        "cumulative_funding_7d",
        "funding_annualized",
        "funding_interval_hours",
        "minutes_to_funding",
    ) == tuple(
        pytest.approx(value)
        for value in (
            RATE,
            3 * RATE,
            (20 + 21 + 22) * RATE,
            sum(range(2, 23)) * RATE,
            22 * RATE * 3 * 365,
            8,
            475,
        )
    )
    assert features(settled, EIGHT, bar - BAR, "minutes_to_funding") == (480,)
    assert features(settled, EIGHT, bar - 2 * BAR, "minutes_to_funding") == (5,)


def test_rates_of_four_hours_are_doubled_and_their_sums_are_not(settled: Connection) -> None:
    # Number 44 is the newest; a day before it was number 38.
    assert features(
        settled,
        FOUR,
        at(7, 8),
        "funding_rate_current",
        "funding_rate_change",
        "funding_rate_change_24h",
        "cumulative_funding_24h",
        "cumulative_funding_7d",
        "funding_annualized",
        "funding_interval_hours",
        "minutes_to_funding",
    ) == tuple(
        pytest.approx(value)
        for value in (
            44 * RATE,
            2 * RATE,
            12 * RATE,
            sum(range(39, 45)) * RATE,
            sum(range(3, 45)) * RATE,
            88 * RATE * 3 * 365,
            4,
            235,
        )
    )


def test_sums_are_unknown_until_a_settlement_of_before_their_window_is_known(settled: Connection) -> None:
    names = ("cumulative_funding_24h", "cumulative_funding_7d", "funding_rate_change_24h")
    assert features(settled, EIGHT, at(0, 23, 55), *names) == (None, None, None)
    # The first settlement became known a day and a minute ago; its own interval nobody knows.
    assert features(settled, EIGHT, at(1), *names) == (pytest.approx(6 * RATE), None, None)
    assert features(settled, EIGHT, at(1, 8), *names) == (
        pytest.approx(9 * RATE),
        None,
        pytest.approx(3 * RATE),
    )
    assert features(settled, EIGHT, at(6, 23, 55), names[1]) == (None,)
    assert features(settled, EIGHT, at(7), names[1]) == (pytest.approx(sum(range(1, 22)) * RATE),)


def test_a_new_interval_counts_from_its_announcement_on(settled: Connection) -> None:
    names = ("minutes_to_funding", "funding_interval_hours", "predicted_funding_8h", "funding_annualized")
    before, after, later = at(0, 15, 45), at(0, 16), at(0, 20)
    assert features(settled, CHANGED, before, *names) == (10, 8, RATE, pytest.approx(2 * RATE * 1095))
    # What was settled at 16:00 was for eight hours; the next comes after four.
    assert features(settled, CHANGED, after, *names) == (235, 4, 2 * RATE, pytest.approx(3 * RATE * 1095))
    assert features(settled, CHANGED, later, *names) == (235, 4, 2 * RATE, pytest.approx(8 * RATE * 1095))
    assert features(settled, CHANGED, later, "funding_rate_change") == (pytest.approx(5 * RATE),)


def test_a_new_interval_that_is_not_announced_counts_from_its_first_settlement_on(
    settled: Connection,
) -> None:
    names = ("minutes_to_funding", "funding_interval_hours", "predicted_funding_8h")
    assert features(settled, SILENT, at(0, 16), *names) == (475, 8, None)
    assert features(settled, SILENT, at(0, 20), *names) == (235, 4, None)


def test_settlement_that_was_announced_but_is_missing(settled: Connection) -> None:
    names = ("funding_rate_current", "minutes_to_funding", "funding_interval_hours", "funding_rate_change")
    # At 12:05 that of 08:00, number 2, is still the newest; the announcements go on each four hours.
    assert features(settled, LOST, at(0, 12), *names) == (2 * RATE, 235, 4, pytest.approx(2 * RATE))
    # That of 16:00 stands eight hours after the one before, so it counts as one of eight.
    assert features(settled, LOST, at(0, 16), *names) == (4 * RATE, 235, 4, pytest.approx(0, abs=1e-18))


def test_settlement_after_sixteen_hours_has_no_interval(settled: Connection) -> None:
    names = ("funding_annualized", "minutes_to_funding", "funding_interval_hours", "funding_rate_change")
    assert features(settled, UNHEARD, at(1), "funding_rate_current") == (3 * RATE,)
    assert features(settled, UNHEARD, at(1), *names) == (None, None, None, None)
    # Until then the rule of eight hours was taken to go on.
    assert features(settled, UNHEARD, at(0, 16), "minutes_to_funding") == (475,)
    assert features(settled, UNHEARD, at(1, 8), *names) == (pytest.approx(4 * RATE * 1095), 475, 8, None)


def test_a_rate_older_than_a_day_is_unknown_and_its_age_goes_on(settled: Connection) -> None:
    last = at(1, 16)
    names = ("funding_rate_current", "cumulative_funding_24h", "funding_annualized", "minutes_to_funding")
    known = features(settled, UNHEARD, last + 287 * BAR, *names, "funding_age_minutes")
    assert None not in known
    assert known[-1] == 1440
    stale = features(settled, UNHEARD, last + 288 * BAR, *names, "funding_age_minutes")
    assert stale == (None, None, None, None, 1445)


def test_yesterdays_rate_can_grow_too_old_between_two_settlements(settled: Connection) -> None:
    # A day before 08:00 of the third day, that of 08:00 of the first was the newest, and a day old.
    at_last, after, settlement = at(2, 7, 55), at(2, 8), at(2, 12)
    assert features(settled, PAUSED, at_last, "funding_rate_change_24h") == (pytest.approx(3 * RATE),)
    assert features(settled, PAUSED, after, "funding_rate_change_24h") == (None,)
    assert features(settled, PAUSED, after, "funding_rate_change") == (None,)
    assert features(settled, PAUSED, settlement, "funding_rate_change_24h") == (None,)


def test_a_settlement_that_is_announced_after_it_is_over_changes_no_bar_before(settled: Connection) -> None:
    # Only at 12:35 a mark price speaks of one at 12:00.
    assert features(settled, BELATED, at(0, 11, 55), "funding_interval_hours") == (8,)
    assert features(settled, BELATED, at(0, 12, 20), "funding_interval_hours") == (8,)
    assert features(settled, BELATED, at(0, 12, 35), "funding_interval_hours") == (4,)


def test_premium_since_funding_is_the_mean_over_the_bars_since_then(settled: Connection) -> None:
    # The close is 88, the index 80 at each bar that has a mark price.
    assert features(
        settled, CHANGED, at(0, 17), "premium_since_funding", "mark_premium", "mark_index_premium"
    ) == (
        pytest.approx(0.1),
        pytest.approx(-0.12),
        pytest.approx(0.25),
    )
