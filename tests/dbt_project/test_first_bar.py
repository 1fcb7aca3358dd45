"""Wherever a run begins to compute, rows come out with the same bits: it reads as far back as it must."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from perpmart.database import Connection

from .cuts import MARKET, Difference, Fault, compute_from, differences, plant

END = MARKET.end + timedelta(days=1)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return MARKET.start + timedelta(days=day, hours=hour, minutes=minute)


def computed_from(
    connection: Connection, start: datetime, models: Sequence[str] | None = None
) -> list[Difference]:
    compute_from(connection, start, models=models)
    return differences(connection, cut=END, since=start, tolerance=0)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(at(11, 0), id="first_bar_of_a_day"),
        pytest.param(at(11, 22, 10), id="a_few_bars"),
        pytest.param(at(11, 0, 5), id="second_bar_of_a_day", marks=pytest.mark.proof),
        pytest.param(at(10, 23, 55), id="last_bar_of_a_day", marks=pytest.mark.proof),
        pytest.param(at(5, 0), id="day_after_a_listing", marks=pytest.mark.proof),
        pytest.param(at(9, 8, 20), id="day_after_a_long_hole"),
    ],
)
def test_a_run_from_any_bar_gives_the_bits_of_the_whole(world: Connection, start: datetime) -> None:
    assert computed_from(world, start) == []


def test_symbols_computed_in_many_parts_come_out_with_the_bits_of_one(world: Connection) -> None:
    world.execute("set local perpmart.bars_in_part = 3000")
    parts = world.execute(
        "select count(*) from models as m, symbols_in_parts(m, symbols(), '-infinity') where m.reach = 'grid'"
    ).fetchone()
    assert parts is not None
    assert parts[0] > 2
    assert computed_from(world, at(9, 8, 20)) == []


@pytest.mark.parametrize(
    ("model", "margin", "feature"),
    [
        ("feat_price__returns", "10 minutes", "realized_vol_288"),
        ("feat_volume__activity", "5 minutes", "amihud_20"),
        ("feat_volume__flow", "5 minutes", "obv"),
        ("feat_oi__interest", "5 minutes", "oi_price_corr_50"),
        ("feat_liquidations__pressure", "60 minutes", "liq_zscore_24h"),
        ("feat_cross_asset__market", "5 minutes", "btc_residual_return_12"),
    ],
)
def test_a_run_that_reads_no_bar_before_its_first_midnight_is_found(
    world: Connection, model: str, margin: str, feature: str
) -> None:
    plant(world, Fault({model: [(f" - interval '{margin}'", "")]}))
    found = computed_from(world, at(11, 0), [model])
    assert feature in {one.column for one in found}


def test_a_time_of_day_that_is_left_out_is_found(world: Connection) -> None:
    model = "feat_volume__activity"
    plant(world, Fault({model: [("<= (select last_kline()", "< (select last_kline()")]}))
    found = computed_from(world, at(11, 22, 10), [model])
    assert {one.column for one in found} == {"volume_tod_ratio_7d"}


def test_settlements_that_are_not_counted_at_the_first_bar_are_found(world: Connection) -> None:
    model = "feat_funding__rates"
    first = "select symbol, min(time)\n    from bars\n    where time >= (select scope_start())"
    plant(world, Fault({model: [(first, f"{first} + interval '1 hour'")]}))
    found = computed_from(world, at(11, 22, 10), [model])
    assert "cumulative_funding_7d" in {one.column for one in found}
