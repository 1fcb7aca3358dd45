"""Open-interest features worked by hand; open interest is stamped at each bar's open, known at its close."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from . import oi
from .bars import align_bars
from .examples import BAR, START, klines, table

COLUMNS = ("period", "time", "open_interest", "open_interest_value")


def compute(
    interest: Sequence[float], prices: Sequence[float] | None = None, *, bars: int = 0
) -> pd.DataFrame:
    n = max(bars, len(interest))
    prices = prices if prices is not None else [2.0] * len(interest)
    rows = [("5m", START + i * BAR, x, x * p) for i, (x, p) in enumerate(zip(interest, prices, strict=True))]
    raw = {"ohlcv": klines([10.0] * n), "open_interest": table(COLUMNS, *rows)}
    return oi.features(align_bars(raw)).reset_index(drop=True)


LINE = [100.0 + i for i in range(300)]


def test_changes_and_velocities() -> None:
    got = compute(LINE)
    assert got["oi_value"][3] == 206
    assert got["oi_change_20"][20] == pytest.approx(0.2)
    assert got["oi_velocity_1h"][12] == pytest.approx(0.12)
    assert got["oi_velocity_4h"][48] == pytest.approx(0.48 / 4)
    assert got["oi_velocity_24h"][288] == pytest.approx(2.88 / 24)
    assert got["oi_acceleration_1h"][24] == pytest.approx(12 / 112 - 12 / 100)
    assert got["oi_acceleration_1h"].first_valid_index() == 24


def test_averages_and_bands_of_a_line() -> None:
    got = compute(LINE)
    deviation = math.sqrt(399 / 12)  # population, of 20 consecutive whole numbers
    assert got["oi_sma_20"][19] == 109.5
    assert got["oi_std_20"][19] == pytest.approx(math.sqrt(20 * 21 / 12))
    assert got["oi_bb_upper"][19] == pytest.approx(109.5 + 2 * deviation)
    assert got["oi_bb_lower"][19] == pytest.approx(109.5 - 2 * deviation)
    assert got["oi_bb_position"][19] == pytest.approx(0.5 + 9.5 / (4 * deviation))
    assert got["oi_macd"][40] == pytest.approx(7)
    assert got["oi_macd_hist"][40] == pytest.approx(0, abs=1e-12)
    assert got["oi_zscore"][287] == pytest.approx(143.5 / math.sqrt(288 * 289 / 12))


def test_opening_share_takes_the_volume_known_at_the_snapshot() -> None:
    got = compute(LINE)["oi_opening_share_12"]
    assert got.first_valid_index() == 12
    assert got[12] == pytest.approx(12 / 120)


def test_percentile_counts_ties_half_over_the_last_168_full_hours() -> None:
    interest = [5.0] * (168 * 12)
    interest[11::12] = [4.0] * 84 + [5.0] * 42 + [6.0] * 42  # at the bars closing on the hour
    got = compute([*interest, 6.0])["oi_percentile"]
    assert got.first_valid_index() == 168 * 12 - 1
    assert got[168 * 12 - 1] == pytest.approx((126 + 21) / 168)  # 6 itself: 126 below, 42 equal
    assert got[168 * 12] == pytest.approx((126 + 21) / 168)


def test_stale_open_interest_empties_everything_made_of_it() -> None:
    got = compute([100.0 + i for i in range(30)], bars=30 + 289)
    assert not got["oi_sma_20"].isna()[30 + 286]
    assert got.iloc[-1].isna().all()


@pytest.mark.parametrize(
    ("interest", "price", "quarter"),
    [(120.0, 3.0, 1), (120.0, 1.0, 2), (80.0, 1.0, 3), (80.0, 3.0, 4), (100.0, 3.0, 0), (120.0, 2.0, 0)],
)
def test_quadrant(interest: float, price: float, quarter: int) -> None:
    got = compute([*[100.0] * 12, interest], [*[2.0] * 12, price])["oi_quadrant"]
    assert got.first_valid_index() == 12
    assert got[12] == quarter


def test_divergence_is_open_interest_against_its_own_price() -> None:
    rng = np.random.default_rng(3)
    interest = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 60)))
    price = 2 * np.exp(np.cumsum(rng.normal(0, 0.01, 60)))
    got = compute(interest.tolist(), price.tolist())
    steps = [pd.Series(x).pct_change().iloc[-20:].std() for x in (interest, price)]
    moves = [x[-1] / x[-21] - 1 for x in (interest, price)]
    expected = moves[0] / (steps[0] * math.sqrt(20)) - moves[1] / (steps[1] * math.sqrt(20))
    assert got["oi_price_divergence_20"].iloc[-1] == pytest.approx(expected)
    changes = [pd.Series(x).pct_change().iloc[-50:] for x in (interest, price)]
    assert got["oi_price_corr_50"].iloc[-1] == pytest.approx(changes[0].corr(changes[1]))
    assert got["oi_price_divergence_20"].first_valid_index() == 20


def test_divergence_from_a_price_that_never_moves_is_unknown() -> None:
    got = compute(LINE)
    assert got[["oi_price_divergence_20", "oi_price_divergence_50", "oi_price_corr_50"]].isna().all().all()
