"""The reference on a simulated market: it never looks ahead, and reads what the collectors wrote."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import psycopg
import pytest

from collectors.rows import Coverage
from collectors.writer import Writer
from simulator.market import FIVE_MINUTES
from simulator.presets import wide_market
from simulator.synthetic import SyntheticMarket

from .markets import KINDS, raw_of
from .raw import read_raw
from .twin import compute_features

END = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    """Make three symbols x 3 days that change at every bar."""
    return wide_market(symbols=3, days=3, end=END, restless=True)


@pytest.fixture(scope="module")
def features(market: SyntheticMarket) -> pd.DataFrame:
    """Compute the features of the whole market."""
    return compute_features(raw_of(market))


@pytest.mark.parametrize("before_end", [timedelta(hours=8), timedelta(hours=15, minutes=55)])
def test_values_are_the_same_without_the_future(
    market: SyntheticMarket, features: pd.DataFrame, before_end: timedelta
) -> None:
    cut = END - before_end
    final = cut - 2 * FIVE_MINUTES  # a kline is corrected at most 100 s after its close
    known = compute_features(raw_of(market, as_of=cut))
    past = features[features.index.get_level_values("time") <= cut - FIVE_MINUTES]
    assert known.index.equals(past.index)
    old = known.index.get_level_values("time") < final
    pd.testing.assert_frame_equal(known[old], past[old], check_exact=True)


def test_tables_that_the_writer_filled_give_the_same_features(connection: psycopg.Connection) -> None:
    market = wide_market(symbols=1, days=1, end=END)
    rows = [row for kind in KINDS for row in market.rows(kind, market.symbols[0])]
    covered = [
        Coverage("ohlcv:5m", market.symbols[0], market.start, market.end),
        Coverage("liquidations", market.symbols[0], market.start, market.end),
    ]
    Writer(connection).write([*rows, *market.instruments()], source="rest", now=END, covered=covered)
    stored = read_raw(connection)
    assert {name: len(frame) for name, frame in stored.items() if name != "coverage"} == {
        name: len(frame) for name, frame in raw_of(market).items() if name != "coverage"
    }
    pd.testing.assert_frame_equal(compute_features(stored), compute_features(raw_of(market)))
