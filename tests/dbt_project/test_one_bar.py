"""Single bars, computed from what is kept of the bars before them, have the bits of a build of the whole."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from perpmart.database import Connection
from perpmart.engine import run_models

from .cuts import MARKET, Difference, compute_from, differences

BAR = timedelta(minutes=5)
LAST = MARKET.end - BAR
READ_DAYS = {"bars_5m", "feat_price__higher_timeframe"}
"""Feature models that have no SQL for one bar."""


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return MARKET.start + timedelta(days=day, hours=hour, minutes=minute)


def models_for_bars(connection: Connection) -> list[tuple[str, str]]:
    query = "select model, relation from models where one_bar_sql is not null order by depth, model"
    return connection.execute(query).fetchall()


def one_by_one(
    connection: Connection, start: datetime, bars: int, *, models: Sequence[str] = ()
) -> list[Difference]:
    """Take away what comes after some bars, compute these anew, one by one, and compare."""
    last = start + (bars - 1) * BAR
    connection.execute("delete from bars.bars_5m where time > %s", [last])
    for (relation,) in connection.execute("select relation from models where model like 'feat%'").fetchall():
        connection.execute(f"delete from {relation} where time > %s".encode(), [last])
    for model, relation in models_for_bars(connection):
        if models and model not in models:
            continue
        connection.execute(f"delete from {relation} where time >= %s".encode(), [start])
        connection.execute("select forget_sums(%s, symbols(), %s, 'infinity')", [model, start])
        found = connection.execute(
            "select add_bars(m, symbols(), %s, %s) from models as m where model = %s", [start, last, model]
        ).fetchone()
        assert found is not None
        assert found[0] > 0
    connection.execute("set local perpmart.symbols = ''")
    connection.execute("set local perpmart.from_time = ''")
    return differences(connection, cut=last + BAR, since=start, tolerance=0)


def kept(connection: Connection) -> dict[str, int]:
    query = "select model, count(*) from running_sums where time >= %s group by model"
    return dict(connection.execute(query, [LAST]).fetchall())


def replaced(connection: Connection, model: str, old: str, new: str) -> None:
    """Plant a fault in the SQL of one bar."""
    query = "select one_bar_sql from models where model = %s and strpos(one_bar_sql, %s) > 0"
    assert connection.execute(query, [model, old]).fetchone() is not None, f"not there: {old}"
    connection.execute(
        "update models set one_bar_sql = replace(one_bar_sql, %s, %s) where model = %s", [old, new, model]
    )


@pytest.mark.parametrize(
    ("start", "bars"),
    [
        pytest.param(at(10, 22, 30), 30, id="over_midnight"),
        pytest.param(at(5, 0), 6, id="day_after_a_listing"),
        pytest.param(at(9, 8, 20), 12, id="day_after_a_long_hole"),
        pytest.param(at(0, 0), 3456, id="all", marks=pytest.mark.proof),
    ],
)
def test_bars_one_by_one_have_the_bits_of_the_whole(world: Connection, start: datetime, bars: int) -> None:
    assert one_by_one(world, start, bars) == []


def test_every_model_that_reads_days_can_do_with_one_bar(world: Connection) -> None:
    features = world.execute("select model from models where model like 'feat%' or reach = 'grid'").fetchall()
    able = {model for model, _ in models_for_bars(world)}
    assert able == {model for (model,) in features} - READ_DAYS


def test_a_few_bars_are_computed_one_by_one_and_many_from_days(world: Connection) -> None:
    compute_from(world, LAST - timedelta(hours=1))
    assert kept(world) == {}
    assert differences(world, cut=MARKET.end, tolerance=0) == []

    compute_from(world, LAST - timedelta(minutes=55))
    assert set(kept(world)) == {model for model, _ in models_for_bars(world)}
    assert differences(world, cut=MARKET.end, tolerance=0) == []


@pytest.mark.parametrize(
    ("change", "first"),
    [
        pytest.param("select 1", None, id="none"),
        pytest.param("update bars.bars_5m set volume = volume + 1 where {}", LAST - BAR, id="another"),
        pytest.param("update bars.bars_5m set is_filled = '-0' where {}", LAST - BAR, id="sign_of_zero"),
        pytest.param(
            "update bars.bars_5m set close = close * (1 + 3e-16) where {}", LAST - BAR, id="last_bit"
        ),
        pytest.param("delete from bars.bars_5m where {}", LAST - BAR, id="new"),
        pytest.param(
            "insert into bars.bars_5m (symbol, time, available_at, segment_start)"
            " select symbol, time + '15m', available_at, segment_start from bars.bars_5m where {}",
            LAST + 2 * BAR,
            id="gone",
        ),
    ],
)
def test_features_are_computed_from_the_first_bar_on_that_is_another(
    world: Connection, change: str, first: datetime | None
) -> None:
    world.execute("truncate pending")
    world.execute("set local extra_float_digits = 0")  # a session that shows 15 digits
    world.execute(change.format("symbol = 'BTC/USDT' and time = %s").encode(), [LAST - BAR][: "{}" in change])
    noted = "insert into pending (model, symbol, from_time) values ('bars_5m', %s, %s)"
    for symbol in ("BTC/USDT", "ETH/USDT"):
        world.execute(noted, [symbol, LAST - 5 * BAR])
    world.execute("select run_model('bars_5m')")
    handed = world.execute(
        "select distinct symbol, from_time from pending where model = 'feat_price__trend'"
    ).fetchall()
    assert handed == ([("BTC/USDT", first)] if first else [])


@pytest.mark.parametrize("lost", ["all", "the row before", "a row between", "one symbol"])
def test_what_is_no_longer_kept_is_made_again(world: Connection, lost: str) -> None:
    """A server that crashed empties the table; a run over days takes out what it has computed."""
    compute_from(world, LAST - BAR)
    if lost == "all":
        world.execute("truncate running_sums")
    elif lost == "the row before":
        world.execute("delete from running_sums where time >= %s", [LAST - BAR])
    elif lost == "a row between":
        world.execute("delete from running_sums where time = %s", [LAST - 50 * BAR])
    else:
        world.execute("delete from running_sums where symbol = 'ETH/USDT'")
    compute_from(world, LAST)
    assert differences(world, cut=MARKET.end, tolerance=0) == []


def test_only_two_days_are_kept(world: Connection) -> None:
    compute_from(world, LAST - BAR)
    world.execute(
        "insert into running_sums select model, symbol, time - '48 hours'::interval, sums, state"
        " from running_sums where time in (%s, %s)",
        [LAST - BAR, LAST],
    )
    compute_from(world, LAST)
    found = world.execute("select min(time), max(time) from running_sums").fetchone()
    assert found == (LAST - timedelta(days=2), LAST)


def test_another_way_of_keeping_forgets_what_was_kept(world: Connection) -> None:
    compute_from(world, LAST)
    model = "feat_price__trend"
    note = "select note_ways(model, keeping_sql || %s, one_bar_sql) from models where model = %s"
    world.execute(note, ["", model])
    assert model in kept(world)
    world.execute(note, [" -- other", model])
    assert set(kept(world)) == {name for name, _ in models_for_bars(world)} - {model}


@pytest.mark.parametrize(
    ("model", "old", "new", "feature"),
    [
        ("feat_price__trend", "lag(close_sum, 3)", "lag(close_sum, 2)", "sma_20"),
        ("feat_price__trend", "{0, 1, 5, 20, 50, 200}", "{0, 1, 20, 50, 200}", "sma_20_slope_5"),
        ("feat_price__trend", "(kept_sums_yesterday[3]", "(kept_sums_yesterday[5]", "sma_200"),
        ("feat_price__returns", "day_so_far, log_return_1)", "segment, log_return_1)", "return_skew_288"),
        ("feat_price__momentum", "interval '5 minutes'", "interval '10 minutes'", "ema_12"),
        ("feat_price__range", "interval '24 hours'", "interval '23 hours'", "donchian_position_288"),
        ("feat_volume__activity", ", 2016}", "}", "volume_tod_ratio_7d"),
        ("feat_oi__interest", "generate_series(0, 167)", "generate_series(1, 168)", "oi_percentile"),
        ("feat_funding__rates", "since_funding * ", "since_funding * 2 * ", "premium_since_funding"),
        ("feat_funding__rates", "w.width - ", "w.width + '1 hour' - ", "cumulative_funding_24h"),
        ("feat_funding__rates", "carried.state[1:10]", "carried.state[2:11]", "funding_annualized"),
    ],
)
def test_a_bar_that_looks_at_the_wrong_row_is_found(
    world: Connection, model: str, old: str, new: str, feature: str
) -> None:
    replaced(world, model, old, new)
    found = one_by_one(world, at(10, 23, 30), 12, models=[model])
    assert feature in {one.column for one in found}


def test_sums_that_are_not_those_of_the_bar_before_are_found(world: Connection) -> None:
    compute_from(world, LAST - BAR)
    world.execute("update running_sums set sums[2] = sums[2] + 1 where time = %s", [LAST - BAR])
    world.execute("select take_changes()")
    world.execute("insert into pending (model, symbol, from_time) select model, '*', %s from models", [LAST])
    run_models(world)
    assert differences(world, cut=MARKET.end, tolerance=0) != []
