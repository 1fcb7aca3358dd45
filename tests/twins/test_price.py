"""Price features on series whose values are plain to see."""

import math

import numpy as np
import pandas as pd
import pytest

from . import price
from .bars import align_bars
from .examples import BAR, START, coverage, klines


def compute(ohlcv: pd.DataFrame, *, answered: bool = False) -> pd.DataFrame:
    raw = {"ohlcv": ohlcv}
    if answered:
        raw["coverage"] = coverage("ohlcv:5m", START, START + pd.Timedelta(days=30))
    return price.features(align_bars(raw)).reset_index(drop=True)


RISING = [100.0 + i for i in range(300)]


def test_returns() -> None:
    got = compute(klines(RISING))
    assert got["return_5"][5] == pytest.approx(5 / 100)
    assert got["return_288"][288] == pytest.approx(288 / 100)
    assert got["log_return_5"][7] == pytest.approx(math.log(107 / 102))
    assert got["return_5"].first_valid_index() == 5


def test_flat_market_has_no_volatility_and_no_scores() -> None:
    last = compute(klines([7.0] * 300, spread=0)).iloc[-1]
    assert last[["realized_vol_20", "parkinson_vol_20", "bb_width", "atr_14", "natr"]].tolist() == [0] * 5
    unknown = ["vol_ratio_20_288", "price_zscore_50", "stoch_k_14", "bb_position", "plus_di_14", "adx"]
    unknown += ["donchian_position_288", "efficiency_ratio_20", "return_autocorr_50", "return_skew_288"]
    assert last[[*unknown, "body_ratio"]].isna().all()
    assert last["rsi_14"] == 50
    assert last["drawdown_288"] == 0


def test_range_volatilities_of_equal_bars() -> None:
    last = compute(klines([100.0] * 20)).iloc[-1]
    span = math.log(101 / 99)
    assert last["parkinson_vol_20"] == pytest.approx(span / math.sqrt(4 * math.log(2)))
    assert last["garman_klass_vol_20"] == pytest.approx(span / math.sqrt(2))


def test_averages_and_bands_of_a_rising_line() -> None:
    row = compute(klines(RISING)).loc[59]  # closes 140 ... 159 in the last 20
    assert row["sma_20"] == pytest.approx(149.5)
    assert row["sma_20_slope_5"] == pytest.approx(149.5 / 144.5 - 1)
    # variance of 1 .. n: population (n^2 - 1) / 12, sample n (n + 1) / 12
    assert row["bb_width"] == pytest.approx(4 * math.sqrt(399 / 12) / 149.5)
    assert row["bb_position"] == pytest.approx(0.5 + 9.5 / (4 * math.sqrt(399 / 12)))
    assert row["price_zscore_50"] == pytest.approx(24.5 / math.sqrt(50 * 51 / 12))


def test_macd_signal_starts_with_the_ninth_macd() -> None:
    got = compute(klines(RISING))
    # an average of a line is that line, late by the mean age (n - 1) / 2: 12.5 - 5.5
    assert got["macd"].first_valid_index() == 25
    assert got["macd_signal"].first_valid_index() == 33
    assert got["macd"][60] == pytest.approx(7)
    assert got["macd_signal"][60] == pytest.approx(7)


def test_stochastic() -> None:
    row = compute(klines(RISING)).loc[20]  # close 120; lows from 106, highs to 121
    assert row["stoch_k_14"] == pytest.approx(100 * 14 / 15)
    assert row["stoch_d_3"] == pytest.approx(100 * 14 / 15)


def test_directional_movement() -> None:
    got = compute(klines([*RISING[:30], RISING[28]]))
    # every bar: range 2, true range 2, +DM 1 and -DM 0; the last falls by 1
    assert got["atr_14"][14] == 2
    assert got["plus_di_14"][14] == pytest.approx(50)
    assert got["minus_di_14"][14] == 0
    assert got["adx"].first_valid_index() == 27
    assert got["adx"][27] == pytest.approx(100)
    assert got["plus_di_14"][30] == pytest.approx(50 * 13 / 14)
    assert got["minus_di_14"][30] == pytest.approx(50 / 14)
    assert got["adx"][30] == pytest.approx((13 * 100 + 100 * 12 / 14) / 14)


def test_dx_is_zero_when_nothing_moves_in_a_range() -> None:
    assert compute(klines([100.0] * 28))["adx"][27] == 0


@pytest.mark.parametrize(
    ("closes", "structure"),
    [(RISING[:40], 1), (RISING[39::-1], -1), ([100.0] * 40, 0), ([*RISING[:20], *RISING[:20]], 0)],
)
def test_market_structure(closes: list[float], structure: int) -> None:
    got = compute(klines(closes))["market_structure"]
    assert got.first_valid_index() == 39
    assert got[39] == structure


def test_places_in_the_range_of_a_day() -> None:
    closes = [100.0] * 287 + [110.0, 105.0]
    row = compute(klines(closes)).loc[288]  # highs to 111, lows from 99
    assert row["donchian_position_288"] == pytest.approx(6 / 12)
    assert row["drawdown_288"] == pytest.approx(105 / 110 - 1)
    assert row["efficiency_ratio_20"] == pytest.approx(5 / 15)


def test_candle() -> None:
    bar = klines([100.0])
    bar[["open", "high", "low", "close"]] = [100.0, 110.0, 90.0, 104.0]
    row = compute(bar).loc[0]
    assert row[["body_ratio", "upper_wick_ratio", "lower_wick_ratio"]].tolist() == [0.2, 0.3, 0.5]


def test_hour_without_a_kline_is_no_row_and_its_neighbours_follow_each_other() -> None:
    closes: list[float | None] = [100.0] * 12 + [150.0] * 12 + [200.0] * 12 + [300.0] * 12
    closes[15] = None
    got = compute(klines(closes), answered=True)["return_1h_htf"]  # filled: still no kline
    assert got.first_valid_index() == 35  # the bar that closes at 03:00
    assert got[35] == 1.0
    assert got[46] == 1.0
    assert got[47] == 0.5


def test_higher_bars_count_only_when_they_are_over() -> None:
    closes = [100.0] * 48 * 20 + [200.0] * 47
    got = compute(klines(closes))
    assert got["trend_4h"].first_valid_index() == 48 * 20 - 1
    assert got["trend_4h"].iloc[-1] == 0
    assert got["range_position_1d"].first_valid_index() == 287
    assert got["range_position_1d"].iloc[-1] == (200 - 99) / 2


def test_rsi_and_atr_of_hours() -> None:
    closes = [100.0 + hour for hour in range(16) for _ in range(12)]
    got = compute(klines(closes))
    assert got["rsi_14_1h"].first_valid_index() == 15 * 12 - 1
    assert got["rsi_14_1h"].iloc[-1] == 100
    assert got["atr_14_1h"].iloc[-1] == 2


def test_nothing_crosses_a_segment() -> None:
    closes: list[float | None] = [100.0 + i for i in range(40)]
    got = compute(klines([*closes, *[None] * 320, *closes]))  # 30 h
    second = got.iloc[-40:].reset_index(drop=True)
    pd.testing.assert_frame_equal(second, got.iloc[:40].reset_index(drop=True))


def test_hole_of_ours_empties_its_windows_only() -> None:
    closes: list[float | None] = [*RISING[:60]]
    closes[30] = None
    got = compute(klines(closes))
    assert got["sma_20"].isna().tolist() == [i < 19 or 30 <= i <= 49 for i in range(60)]
    assert got["ema_12"].isna().tolist() == [i < 11 or i == 30 for i in range(60)]
    assert got["rsi_14"].isna().tolist() == [i < 14 or i in {30, 31} for i in range(60)]
    assert np.isnan(got["return_5"][35])
    assert got["return_5"][36] == pytest.approx(5 / 131)


def test_bars_are_in_the_order_of_symbol_and_time() -> None:
    frames = [klines([1.0, 2.0]), klines([3.0, 4.0], symbol="ADA/USDT")]
    index = price.features(align_bars({"ohlcv": pd.concat(frames)})).index
    assert index.tolist() == [(s, START + i * BAR) for s in ("ADA/USDT", "SOL/USDT") for i in (0, 1)]
