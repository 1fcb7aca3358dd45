"""Rolling statistics on windows worked by hand."""

import math

import numpy as np
import pytest

from . import windows

NAN = math.nan


def test_window_with_a_missing_row_has_no_value() -> None:
    got = windows.mean(np.array([1.0, 2.0, NAN, 4.0, 6.0, 8.0]), 2)
    np.testing.assert_array_equal(got.astype(float), [NAN, 1.5, NAN, NAN, 5, 7])


def test_window_longer_than_the_series_has_no_value() -> None:
    assert np.isnan(windows.total(np.array([1.0, 2.0]), 3)).all()


def test_sample_and_population_deviation() -> None:
    values = np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])  # mean 5, squares sum to 32
    assert windows.deviation(values, 8, ddof=0)[-1] == 2
    assert windows.deviation(values, 8)[-1] == pytest.approx(math.sqrt(32 / 7), rel=1e-15)
    assert windows.zscore(values, 8)[-1] == pytest.approx(4 / math.sqrt(32 / 7), rel=1e-15)


def test_flat_window_has_deviation_zero_and_no_score() -> None:
    values = np.full(90, 0.0001)  # its floating mean is not 0.0001
    assert windows.deviation(values, 90)[-1] == 0
    assert np.isnan(windows.zscore(values, 90)[-1])
    assert np.isnan(windows.skewness(values, 90)[-1])
    assert np.isnan(windows.correlation(values, np.arange(90.0), 90)[-1])
    assert np.isnan(windows.regression_slope(np.arange(90.0), values, 90)[-1])
    assert windows.regression_slope(values, np.arange(90.0), 90)[-1] == 0


def test_skewness_of_three_values() -> None:
    # 0, 0, 3: mean 1, m2 = (1 + 1 + 4) / 3 = 2, m3 = (-1 - 1 + 8) / 3 = 2
    assert windows.skewness(np.array([0.0, 0.0, 3.0]), 3)[-1] == pytest.approx(2 / 2**1.5, rel=1e-15)


def test_correlation_and_slope_of_three_pairs() -> None:
    # x centred -1 0 1, y centred -1 1 0: products sum to 1, squares to 2 and 2
    x, y = np.array([1.0, 2.0, 3.0]), np.array([10.0, 12.0, 11.0])
    assert windows.correlation(x, y, 3)[-1] == pytest.approx(0.5, rel=1e-15)
    assert windows.regression_slope(x, 2 * y, 3)[-1] == pytest.approx(0.25, rel=1e-15)


def test_ratio_by_zero_is_missing() -> None:
    np.testing.assert_array_equal(windows.ratio(np.array([1.0, 0.0]), np.array([0.0, 2.0])), [NAN, 0])


def test_chunks_do_not_show() -> None:
    values = np.random.default_rng(1).normal(size=windows.CHUNK + 100)
    got = windows.total(values, 7).astype(float)
    expected = [math.fsum(values[i - 6 : i + 1]) for i in range(6, len(values))]
    np.testing.assert_allclose(got[6:], expected, rtol=1e-12, atol=1e-15)
