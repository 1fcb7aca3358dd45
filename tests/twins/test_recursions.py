"""Recursive averages: against TA-Lib where its convention is ours, and by hand where values are missing."""

import math

import numpy as np
import pytest
import talib

from .recursions import atr, cumulative, ema, rsi, wilder

NAN = math.nan
RNG = np.random.default_rng(7)
CLOSE = 100 * np.exp(np.cumsum(RNG.normal(0, 0.01, 600)))
HIGH, LOW = CLOSE * (1 + RNG.uniform(0, 0.01, 600)), CLOSE * (1 - RNG.uniform(0, 0.01, 600))


@pytest.mark.parametrize("n", [9, 12, 26])
def test_ema_equals_talib_from_its_first_row(n: int) -> None:
    np.testing.assert_allclose(ema(CLOSE, n).astype(float), talib.EMA(CLOSE, n), rtol=1e-12)


@pytest.mark.parametrize("n", [14, 50])
def test_rsi_equals_talib_from_its_first_row(n: int) -> None:
    np.testing.assert_allclose(rsi(CLOSE, n).astype(float), talib.RSI(CLOSE, n), rtol=1e-11)


def test_atr_equals_talib_from_its_first_row() -> None:
    np.testing.assert_allclose(
        atr(HIGH, LOW, CLOSE, 14).astype(float), talib.ATR(HIGH, LOW, CLOSE, 14), rtol=1e-12
    )


def test_flat_and_one_sided_rsi() -> None:
    assert rsi(np.full(20, 5.0), 14)[-1] == 50
    assert rsi(np.arange(20.0), 14)[-1] == 100
    assert rsi(-np.arange(20.0), 14)[-1] == 0


def test_rsi_by_hand() -> None:
    close = np.array([*range(1, 16), 14.0])  # 14 gains of 1, then a loss of 1: 13/14 against 1/14
    assert rsi(close, 14)[-1] == pytest.approx(100 - 100 / 14, rel=1e-15)


def test_missing_input_gives_no_value_and_leaves_the_state() -> None:
    values = np.array([1.0, 3.0, NAN, NAN, 5.0])  # weight 2/3: 2, then 2 + 2/3 x 3
    np.testing.assert_allclose(ema(values, 2).astype(float), [NAN, 2, NAN, NAN, 4], rtol=1e-15)


def test_more_than_n_missing_inputs_in_a_row_start_anew() -> None:
    values = np.array([1.0, 3.0, NAN, NAN, NAN, 5.0, 9.0])
    np.testing.assert_allclose(ema(values, 2).astype(float), [NAN, 2, NAN, NAN, NAN, NAN, 7], rtol=1e-15)


def test_missing_inputs_while_the_first_values_are_gathered() -> None:
    np.testing.assert_array_equal(wilder(np.array([NAN, 1, NAN, 3.0]), 2).astype(float), [NAN, NAN, NAN, 2])
    lost = np.array([1, NAN, NAN, NAN, 3.0, 5.0])
    np.testing.assert_array_equal(wilder(lost, 2).astype(float), [NAN, NAN, NAN, NAN, NAN, 4])


def test_cumulative_sum_goes_on_behind_a_missing_value() -> None:
    np.testing.assert_array_equal(cumulative(np.array([1, NAN, 2.0])).astype(float), [1, NAN, 3])
