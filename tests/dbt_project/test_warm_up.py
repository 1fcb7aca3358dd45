"""The first value of each feature stands where the registry says."""

import re
from datetime import timedelta

from perpmart.database import Connection

from .cuts import MARKET, compute_from
from .mart import read_mart

BARS = {"5m": 1, "1h": 12, "4h": 48, "1d": 288}
SETTLEMENT = 8 * 12
"""Bars between BTC's settlements, of which the first takes place as trading begins."""

KNOWN_EARLIER = {
    "minutes_to_funding": "a mark-price row of the first bar announces the next settlement",
}


def rows_before(warm_up: str) -> int:
    """Rows before the first value of a feature of BTC, whose sources all begin at once."""
    if warm_up.isdigit():
        return int(warm_up)
    if found := re.fullmatch(r"(\d+) x (1h|4h|1d)", warm_up):
        # The bar at which the last of them closes.
        return int(found[1]) * BARS[found[2]] - 1
    if found := re.fullmatch(r"(\d+) settlements?( \+ 24 h)?", warm_up):
        return (int(found[1]) - 1) * SETTLEMENT + (288 if found[2] else 0)
    if found := re.fullmatch(r"(\d+) (h|d)", warm_up):
        # A settlement of before the window has to be known: the first of all.
        return int(found[1]) * {"h": 12, "d": 288}[found[2]]
    assert warm_up == "1 snapshot", warm_up
    return 0


def test_first_value_of_each_feature_stands_where_the_registry_says(world: Connection) -> None:
    # Trading and funding begin on day 1: what is only reported is known by then.
    world.execute("set local session_replication_role = replica")
    begin, end = MARKET.start + timedelta(days=1), MARKET.start + timedelta(days=9)
    symbols = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "LTC/USDT", "AVAX/USDT"]
    world.execute(
        "delete from ohlcv where time < %s or time >= %s or symbol <> all(%s)", [begin, end, symbols]
    )
    world.execute("delete from funding_rate where funding_time < %s", [begin])
    world.execute("set local session_replication_role = origin")
    compute_from(world, None)
    bars = read_mart(world, where="symbol = 'BTC/USDT'")
    assert bars["time"].iloc[0] == begin
    expected = {
        feature: 0 if feature in KNOWN_EARLIER else rows_before(warm_up)
        for feature, warm_up in world.execute("select feature, warmup from mart.feature_registry").fetchall()
    }
    assert {feature: bars[feature].first_valid_index() for feature in expected} == expected


def test_what_counts_from_a_listing_begins_with_it(world: Connection) -> None:
    late = read_mart(world, where="symbol = 'LINK/USDT'")
    rows = world.execute(
        "select feature, warmup::integer from mart.feature_registry"
        " where feature_group in ('price', 'volume', 'order_book', 'time') and warmup ~ '^[0-9]+$'"
        " and inputs !~ 'open_interest'"
    )
    expected = dict(rows.fetchall())
    assert len(expected) > 80
    assert {feature: late[feature].first_valid_index() for feature in expected} == expected
