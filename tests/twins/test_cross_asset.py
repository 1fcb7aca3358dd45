"""Cross-asset features worked by hand."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from .cross_asset import average_rank
from .examples import BAR, START, coverage, klines
from .twin import compute_features

RNG = np.random.default_rng(11)
BENCHMARK = (100 * np.exp(np.cumsum(RNG.normal(0, 0.001, 310)))).tolist()


def compute(
    closes: Mapping[str, Sequence[float | None]], universe: pd.DataFrame | None = None
) -> pd.DataFrame:
    frames = [klines(values, symbol=f"{name}/USDT", spread=0.1) for name, values in closes.items()]
    answered = coverage("ohlcv:5m", START, START + 10000 * BAR, symbol="*")
    return compute_features({"ohlcv": pd.concat(frames), "coverage": answered}, universe=universe)


def test_twice_the_benchmark_has_beta_two() -> None:
    returns = np.diff(BENCHMARK) / BENCHMARK[:-1]
    double = 50 * np.cumprod([1, *(1 + 2 * returns)])
    got = compute({"BTC": BENCHMARK, "SOL": double.tolist()}).xs("SOL/USDT").reset_index(drop=True)
    assert got["btc_return_1"][1] == pytest.approx(returns[0])
    assert got["beta_to_btc_288"].first_valid_index() == 288
    assert got["beta_to_btc_288"][288] == pytest.approx(2)
    assert got["corr_to_btc_288"][288] == pytest.approx(1)
    assert got["relative_strength_288"][288] == pytest.approx(
        double[288] / 50 - BENCHMARK[288] / BENCHMARK[0]
    )
    assert got["btc_residual_return_12"].first_valid_index() == 300
    residual = double[300] / double[288] - 1 - 2 * (BENCHMARK[300] / BENCHMARK[288] - 1)
    assert got["btc_residual_return_12"][300] == pytest.approx(residual)


def test_benchmark_is_its_own() -> None:
    got = compute({"BTC": BENCHMARK}).iloc[300]
    assert got["beta_to_btc_288"] == pytest.approx(1)
    assert got["btc_residual_return_12"] == pytest.approx(0, abs=1e-15)


def test_flat_symbol_has_beta_zero_and_no_correlation() -> None:
    got = compute({"BTC": BENCHMARK, "SOL": [5.0] * 310}).xs("SOL/USDT").iloc[300]
    assert got["beta_to_btc_288"] == 0
    assert math.isnan(got["corr_to_btc_288"])


def test_bars_without_the_benchmark() -> None:
    got = compute({"BTC": BENCHMARK[:20], "SOL": BENCHMARK}).xs("SOL/USDT").reset_index(drop=True)
    assert got["btc_return_1"].isna().tolist()[308:] == [
        True,
        True,
    ]  # 24 h after its last kline it has no rows
    assert compute({"SOL": BENCHMARK})["btc_return_1"].isna().all()


def test_ties_share_the_average_rank() -> None:
    assert average_rank(np.array([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [0.75, 0, 0.75, 0.25, 0.75]
    assert np.isnan(average_rank(np.array([1.0]))).all()


def rising(step: float, n: int = 20) -> list[float | None]:
    return [100 + step * i for i in range(n)]


FIVE = {name: rising(step) for name, step in zip("ABCDE", (1, 2, -1, 3, 0), strict=True)}


def test_breadth_is_the_share_of_risen_symbols() -> None:
    got = compute(FIVE)["xs_breadth_12"].unstack("symbol")
    assert got.first_valid_index() == START + 12 * BAR
    assert (got.iloc[12:] == 3 / 5).all().all()


def test_breadth_needs_five_unfilled_symbols() -> None:
    closes = {name: list(values) for name, values in FIVE.items()}
    closes["E"][15] = None  # filled
    got = compute(closes)["xs_breadth_12"].unstack("symbol").reset_index(drop=True)
    assert got.loc[15].isna().all()
    assert got.loc[16].notna().all()


def test_universe_has_dates() -> None:
    universe = pd.DataFrame(
        {
            "symbol": [f"{name}/USDT" for name in "ABCD"],
            "valid_from": [START, START, START, START + 15 * BAR],
            "valid_to": [None, None, START + 16 * BAR, None],
        }
    )
    volumes = dict(zip("ABCDE", (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    frames = [
        klines(FIVE[name], symbol=f"{name}/USDT", volume=[10.0] * 14 + [10.0 + volume] * 6)
        for name, volume in volumes.items()
    ]
    ranks = compute_features({"ohlcv": pd.concat(frames)}, universe=universe)["xs_rank_volume_ratio"]
    ranks = ranks.unstack("symbol").reset_index(drop=True)
    assert ranks[:19].isna().all().all()
    assert ranks.loc[19].tolist()[:2] == [0, 0.5]  # C is gone, D has come, E was never in
    assert math.isnan(ranks.loc[19, "C/USDT"])
    assert ranks.loc[19, "D/USDT"] == 1
    assert math.isnan(ranks.loc[19, "E/USDT"])
