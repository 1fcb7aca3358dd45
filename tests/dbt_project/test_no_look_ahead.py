"""The value at a bar is the same whether or not later data exist.

The cut is the exchange's own: what it had published by an instant, in first versions. Lags and other settings
of ours take no part in it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from perpmart.database import Connection, connect_to
from perpmart.engine import run_models

from .cuts import MARKET, Difference, compute_from, differences, forget, keep_reference, plant, show
from .mart import Databases
from .plants import PLANTS, Plant

BAR = timedelta(minutes=5)
A_WHILE = timedelta(hours=3, minutes=10)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return MARKET.start + timedelta(days=day, hours=hour, minutes=minute)


MOMENTS = {
    "within_an_hour": at(9, 14, 35),
    "end_of_an_hour": at(9, 14),
    "end_of_four_hours": at(9, 16),
    "end_of_a_day": at(9, 0),
    "bar_before_a_settlement": at(8, 7, 55),
    "settlement": at(8, 8),
    "bar_after_a_settlement": at(8, 8, 5),
    "settlement_that_is_missing": at(8, 12),
    "bar_after_the_missing_settlement": at(8, 12, 5),
    "begin_of_a_hole": at(6, 4),
    "first_bar_of_a_hole": at(6, 4, 5),
    "within_a_hole": at(6, 5, 30),
    "end_of_a_hole": at(6, 7),
    "first_bar_after_a_hole": at(6, 7, 5),
    "within_a_short_hole": at(3, 10, 15),
    "within_a_long_hole": at(7, 20),
    "before_a_long_hole_ends_the_segment": at(8, 3),
    "after_a_long_hole_has_ended_the_segment": at(8, 3, 5),
    "end_of_a_long_hole": at(8, 9),
    "first_bar_after_a_long_hole": at(8, 9, 5),
    "bar_before_a_listing": at(4, 9, 35),
    "first_bar_of_a_listing": at(4, 9, 40),
    "second_bar_of_a_listing": at(4, 9, 45),
    "last_bar_but_one_of_a_delisted": at(10, 5, 55),
    "delisting": at(10, 6),
    "bar_after_a_delisting": at(10, 6, 5),
    "change_of_interval": at(5, 16),
    "bar_after_a_change_of_interval": at(5, 16, 5),
    "first_settlement_of_the_new_interval": at(5, 20),
    "change_of_the_universe": at(11, 6),
}
QUICK = ("within_a_hole", "after_a_long_hole_has_ended_the_segment", "first_bar_of_a_listing", "delisting")
UP_TO_BARS = (
    *("roll_ohlcv_1h", "roll_ohlcv_4h", "roll_ohlcv_1d", "roll_liquidations_5m", "roll_order_book_5m"),
    "bars_5m",
)
EVERY_BAR_OF_A_DAY = [at(8, 0) + BAR * number for number in range(1, 289)]


def after_a_cut(connection: Connection, cut: datetime, since: datetime | None) -> list[Difference]:
    """Forget what came later, compute the rows from `since` on anew, and compare those up to the cut."""
    forget(connection, MARKET, after=cut)
    compute_from(connection, since)
    beyond = connection.execute(
        "select count(*) from mart.feature_mart where available_at > %s", [cut]
    ).fetchone()
    assert beyond == (0,)
    return differences(connection, cut=cut, since=since)


def sampled(moments: dict[str, datetime], quick: Sequence[str]) -> list[object]:
    return [
        pytest.param(cut, id=name, marks=[] if name in quick else [pytest.mark.proof])
        for name, cut in moments.items()
    ]


@pytest.mark.parametrize("cut", sampled(MOMENTS, QUICK))
def test_rows_computed_without_the_future_are_those_computed_with_it(
    world: Connection, cut: datetime
) -> None:
    assert after_a_cut(world, cut, cut - A_WHILE) == []


@pytest.mark.parametrize("cut", sampled(MOMENTS, ["within_a_long_hole"]), ids=lambda cut: f"{cut:%d_%H%M}")
def test_a_full_build_without_the_future_gives_the_rows_of_one_with_it(
    world: Connection, cut: datetime
) -> None:
    assert after_a_cut(world, cut, None) == []


@pytest.mark.proof
@pytest.mark.parametrize("cut", EVERY_BAR_OF_A_DAY[::12], ids=lambda cut: f"{cut:%H%M}")
def test_no_bar_of_a_day_looks_ahead(world: Connection, cut: datetime) -> None:
    for one in range(12):
        moment = cut + BAR * one
        assert after_a_cut(world, moment, moment - BAR) == [], moment
        world.rollback()


@pytest.mark.parametrize(
    ("begin", "bars"),
    [
        pytest.param(at(11, 7, 50), 4, id="over_a_settlement_and_an_hour"),
        pytest.param(at(8, 0), 288, id="over_a_day", marks=pytest.mark.proof),
        pytest.param(at(6, 3, 50), 42, id="over_a_hole", marks=pytest.mark.proof),
        pytest.param(at(4, 9, 25), 18, id="over_a_listing", marks=pytest.mark.proof),
        pytest.param(at(10, 5, 45), 8, id="over_a_delisting", marks=pytest.mark.proof),
        pytest.param(at(5, 15, 50), 54, id="over_a_change_of_interval", marks=pytest.mark.proof),
    ],
)
def test_each_run_after_a_bar_gives_the_rows_of_the_complete_build(
    databases: Databases, world_url: str, begin: datetime, bars: int
) -> None:
    with databases.lent(of=world_url) as url, connect_to(url) as connection:
        forget(connection, MARKET, after=begin)
        compute_from(connection, begin - BAR)
        connection.commit()
        for number in range(bars):
            cut = begin + BAR * (number + 1)
            show(connection, MARKET, since=cut - BAR, until=cut)
            run_models(connection)
            connection.commit()
            assert differences(connection, cut=cut, since=begin - A_WHILE) == [], cut
        assert differences(connection, cut=cut) == []


def test_runs_over_corrections_end_where_a_build_of_the_corrected_data_does(
    databases: Databases, world_url: str
) -> None:
    since = at(11, 0)
    with databases.lent(of=world_url) as url, connect_to(url) as connection:
        corrected = connection.execute(
            "select count(*) from world.ohlcv where version = 2 and published_at > %s", [since]
        ).fetchone()
        assert corrected is not None
        assert corrected[0] > 5
        show(connection, MARKET, since=since, until=MARKET.end + timedelta(days=1), version=2)
        run_models(connection)
        assert differences(connection, cut=MARKET.end, since=since) != []
        keep_reference(connection, since=since - A_WHILE)
        compute_from(connection, since - A_WHILE)
        assert differences(connection, cut=MARKET.end, since=since - A_WHILE) == []


def test_every_input_of_the_market_changes_at_every_bar(world: Connection) -> None:
    inputs = [
        *(
            "close",
            "volume",
            "quote_volume",
            "trades",
            "taker_buy_base",
            "open_interest",
            "open_interest_value",
        ),
        *("long_short_ratio", "top_position_ratio", "top_account_ratio", "taker_volume_ratio", "mark_price"),
        *("index_price", "long_liquidations + short_liquidations"),
    ]
    for one in inputs:
        still = world.execute(
            f"""
            select count(*) from (
                select is_filled + lag(is_filled) over w as filled, {one} = lag({one}) over w as is_same
                from bars.bars_5m window w as (partition by symbol, segment_start order by time)
            ) as pairs
            where filled = 0 and is_same
            """.encode()
        ).fetchone()
        assert still == (0,), one


@pytest.mark.parametrize("one", [pytest.param(one, id=name) for name, one in PLANTS.items()])
def test_a_planted_look_ahead_is_found(world: Connection, one: Plant) -> None:
    cut = MARKET.start + one.at
    since = cut - timedelta(hours=1)
    models = [*UP_TO_BARS, *one.models]
    compute_from(world, since, models=models)
    assert differences(world, cut=MARKET.end, since=since) == []
    plant(world, one.fault)
    compute_from(world, since, models=models)
    keep_reference(world, since=since)
    forget(world, MARKET, after=cut)
    compute_from(world, since, models=models)
    columns = {found.column for found in differences(world, cut=cut, since=since)}
    assert set(one.shows_in) <= columns
