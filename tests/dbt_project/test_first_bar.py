"""Wherever a run begins to compute, rows come out with the same bits: it reads as far back as it must."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from perpmart.database import Connection

from .cuts import MARKET, Difference, Fault, compute_from, differences, keep_reference, plant

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
        pytest.param(at(11, 0, 55), id="last_bar_of_a_first_hour", marks=pytest.mark.proof),
        pytest.param(at(11, 1), id="first_bar_of_a_second_hour"),
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


def test_a_residual_whose_beta_before_is_not_read_is_found(world: Connection) -> None:
    model = "feat_cross_asset__market"
    plant(world, Fault({model: [("scope_start() - interval '60 minutes'", "scope_start()")]}))
    found = computed_from(world, at(11, 0, 30), [model])
    assert {one.column for one in found} == {"btc_residual_return_12"}


def test_taker_ratios_of_several_periods_are_the_newest_known_from_any_bar(world: Connection) -> None:
    """Each bar searches for itself; of an equal stamp the finest period counts, though it is known sooner."""
    world.execute("select setseed(0.5)")
    world.execute(
        "delete from long_short_ratio where ratio_type = 'taker_volume' and time >= %s and random() < 0.7",
        [at(8, 0)],
    )
    world.execute(
        """
        insert into long_short_ratio
            (symbol, period, ratio_type, time, long_short_ratio, long_account, short_account, source)
        select symbol, period, 'taker_volume', time, 0.5 + random(), 10, 20, 'rest'
        from unnest(symbols()) as s (symbol)
        cross join unnest('{15m,1h,4h,1d}'::text[]) as p (period)
        cross join lateral generate_series(%s, %s, timeframe_width(period)) as g (time)
        where random() < 0.8
        """,
        [at(7, 0), MARKET.end],
    )
    compute_from(world, None, models=["bars_5m"])
    keep_reference(world)
    wrong = world.execute(
        """
        select b.symbol, b.time, b.taker_volume_ratio, newest.ratio
        from bars.bars_5m as b
        left join lateral (
            select r.long_short_ratio as ratio
            from long_short_ratio as r
            cross join lateral (
                select r.time + timeframe_width(r.period) + interval '5 minutes' as at
            ) as known
            where
                r.symbol = b.symbol and r.ratio_type = 'taker_volume'
                and r.time >= b.time - interval '50 hours'
                and known.at <= b.available_at and known.at >= b.available_at - interval '24 hours'
                and not exists (
                    select from long_short_ratio as f
                    where
                        f.symbol = r.symbol and f.ratio_type = r.ratio_type and f.time = r.time
                        and timeframe_width(f.period) < timeframe_width(r.period)
                )
            order by known.at desc, ratio desc
            limit 1
        ) as newest on true
        where b.time >= %s and b.time < %s and newest.ratio is distinct from b.taker_volume_ratio
        """,
        [at(10, 20), at(11, 6)],
    ).fetchall()
    assert wrong == []
    for start in (at(10, 3), at(10, 16, 40), at(11, 0)):
        assert computed_from(world, start, ["bars_5m"]) == []


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
