"""Volume features worked by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from . import volume
from .bars import align_bars
from .examples import START, klines


def compute(ohlcv: pd.DataFrame) -> pd.DataFrame:
    return volume.features(align_bars({"ohlcv": ohlcv})).reset_index(drop=True)


def test_changes_and_ratios() -> None:
    got = compute(klines([10.0] * 20, volume=[0.0, 4.0, *[2.0] * 18]))
    assert math.isnan(got["volume_change"][1])  # from nothing
    assert got["volume_change"][2] == -0.5
    assert got["volume_ratio"][19] == pytest.approx(2 / 2)
    assert math.isnan(got["taker_buy_ratio"][0])
    assert got["taker_buy_ratio"][1] == 0.25
    assert got["taker_imbalance_12"][19] == -0.5


def test_same_time_of_the_last_seven_days() -> None:
    volumes = [1.0] * 2017
    for day in range(7):
        volumes[288 * day] = float(day + 1)  # 1 .. 7, mean 4
    volumes[2016] = 8.0
    got = compute(klines([10.0] * 2017, volume=volumes))["volume_tod_ratio_7d"]
    assert got.first_valid_index() == 2016
    assert got[2016] == 2


def test_cumulative_flows() -> None:
    got = compute(klines([10.0, 11.0, 11.0, 9.0], volume=[4.0, 8.0, 1.0, 2.0]))
    assert got["cvd"].tolist() == [-2, -6, -6.5, -7.5]
    assert got["obv"].tolist() == [0, 8, 8, 6]


def test_cumulative_flows_pass_over_a_hole_of_ours() -> None:
    got = compute(klines([10.0, None, 11.0, 12.0], volume=4.0))
    np.testing.assert_array_equal(got["cvd"], [-2, math.nan, -4, -6])
    np.testing.assert_array_equal(got["obv"], [0, math.nan, math.nan, 4])


def test_money_flow_index() -> None:
    # flows 11 x 10 up seven times and 10 x 10 down seven times
    got = compute(klines([10.0, *[11.0, 10.0] * 7]))["mfi"]
    assert got.first_valid_index() == 14
    assert got[14] == pytest.approx(100 - 100 / (1 + 770 / 700))
    assert compute(klines([float(i + 5) for i in range(15)]))["mfi"][14] == 100
    assert compute(klines([float(50 - i) for i in range(15)]))["mfi"][14] == 0
    assert compute(klines([5.0] * 15))["mfi"][14] == 50


def test_chaikin_money_flow() -> None:
    bars = klines([10.0] * 20)
    bars["high"] = 13.0  # (1 - 3) / 4
    assert compute(bars)["cmf"][19] == pytest.approx(-0.5)
    assert compute(klines([10.0] * 20, spread=0))["cmf"][19] == 0


def test_vwap_begins_with_the_utc_day() -> None:
    late = klines([10.0, 20.0, 40.0], start=START - 2 * pd.Timedelta(minutes=5), volume=[1.0, 3.0, 5.0])
    got = compute(late)
    assert got["vwap"].tolist() == [10, 17.5, 40]
    assert got["price_vs_vwap"][1] == pytest.approx(20 / 17.5 - 1)


def test_vwap_of_a_day_without_volume_is_unknown() -> None:
    assert compute(klines([10.0, 11.0], volume=0.0))["vwap"].isna().all()


def test_vwap_24h() -> None:
    got = compute(klines([10.0] * 144 + [20.0] * 144))
    assert got["vwap_24h"][287] == pytest.approx(15)
    assert got["price_vs_vwap_24h"][287] == pytest.approx(1 / 3)


def test_illiquidity_leaves_out_bars_without_volume() -> None:
    closes = [10.0] * 18 + [11.0, 11.0, 22.0]
    volumes = [*[10.0] * 17, 0.0, 10.0, 10.0, 10.0]
    got = compute(klines(closes, volume=volumes))["amihud_20"]
    assert got.first_valid_index() == 20
    # 17 of the 19 averaged bars did not move; 10% on 110 and 100% on 220 of quote volume
    assert got[20] == pytest.approx((0.1 / 110 + 1 / 220) / 19)


def test_size_of_trades() -> None:
    assert compute(klines([10.0], volume=3.0))["avg_trade_size"][0] == 6


def test_correlation_of_levels() -> None:
    closes = [float(10 + i % 4) for i in range(20)]
    got = compute(klines(closes, volume=[2 * close for close in closes]))
    assert got["price_volume_corr"][19] == pytest.approx(1)
    assert math.isnan(compute(klines(closes))["price_volume_corr"][19])
