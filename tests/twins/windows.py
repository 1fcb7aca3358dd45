"""Two-pass statistics over rolling windows of rows, in extended precision.

A missing value (NULL) is NaN. A window of n rows gives a value only when it is full and none of its
rows is missing. A window whose value never changes is *flat*: its deviation is exactly 0, and what would
divide by that deviation is missing.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.floating]
Statistic = Callable[[Array], Array]
PairStatistic = Callable[[Array, Array], Array]

CHUNK = 2048  # windows taken at a time: bounds the memory of a long series


def lag(values: Array, n: int) -> Array:
    """Give each row the value n rows earlier, NaN for the first n rows."""
    head = np.full(min(n, len(values)), np.nan)
    return np.concatenate([head, values[: max(len(values) - n, 0)]])


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN where the denominator is 0."""
    safe = np.where(denominator == 0, np.nan, denominator)
    return np.asarray(numerator / safe)


def change(values: Array, n: int) -> Array:
    """Relative change over n rows: x / lag(x; n) - 1."""
    return ratio(values, lag(values, n)) - 1


def rolling(values: Array, n: int, statistic: Statistic) -> Array:
    """Apply a statistic to every full window of n rows.

    Parameters
    ----------
    values : array of shape (rows,)
    n : rows in a window
    statistic : takes windows of shape (windows, n) without NaN, gives shape (windows,)

    Returns
    -------
    longdouble array of shape (rows,), NaN where the window is short or holds a NaN
    """
    return rolling_pair(values, values, n, lambda x, _: statistic(x))


def rolling_pair(left: Array, right: Array, n: int, statistic: PairStatistic) -> Array:
    """Apply a statistic of two series to every full window of n rows (see `rolling`)."""
    out = np.full(len(left), np.nan, dtype=np.longdouble)
    if len(left) < n:
        return out
    xs = sliding_window_view(left.astype(np.longdouble), n)
    ys = sliding_window_view(right.astype(np.longdouble), n)
    for start in range(0, len(xs), CHUNK):
        x, y = xs[start : start + CHUNK], ys[start : start + CHUNK]
        whole = ~(np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1))
        rows = start + n - 1 + np.flatnonzero(whole)
        out[rows] = statistic(x[whole], y[whole])
    return out


def is_flat(windows: Array) -> npt.NDArray[np.bool_]:
    """Tell which windows, shape (windows, n), hold no change from one row to the next."""
    changes = (windows[:, 1:] != windows[:, :-1]).sum(axis=1)
    return np.asarray(changes == 0)


def _centred(windows: Array) -> Array:
    return np.asarray(windows - windows.mean(axis=1, keepdims=True))


def _deviation(windows: Array, ddof: int) -> Array:
    squares = (_centred(windows) ** 2).sum(axis=1)
    exact = np.sqrt(squares / (windows.shape[1] - ddof))
    return np.where(is_flat(windows), np.longdouble(0), exact)


def mean(values: Array, n: int) -> Array:
    """Rolling mean."""
    return rolling(values, n, lambda w: w.sum(axis=1) / w.shape[1])


def total(values: Array, n: int) -> Array:
    """Rolling sum."""
    return rolling(values, n, lambda w: w.sum(axis=1))


def highest(values: Array, n: int) -> Array:
    """Rolling maximum."""
    return rolling(values, n, lambda w: w.max(axis=1))


def lowest(values: Array, n: int) -> Array:
    """Rolling minimum."""
    return rolling(values, n, lambda w: w.min(axis=1))


def deviation(values: Array, n: int, *, ddof: int = 1) -> Array:
    """Rolling standard deviation: the sample one, or with ``ddof=0`` the population one."""
    return rolling(values, n, lambda w: _deviation(w, ddof))


def zscore(values: Array, n: int) -> Array:
    """Rolling z-score of the last row of the window by its sample deviation; NaN when flat."""
    return rolling(values, n, lambda w: ratio(_centred(w)[:, -1], _deviation(w, 1)))


def skewness(values: Array, n: int) -> Array:
    """Rolling population skewness m3 / m2^1.5; NaN when flat."""

    def statistic(windows: Array) -> Array:
        centred = _centred(windows)
        return ratio((centred**3).mean(axis=1), _deviation(windows, 0) ** 3)

    return rolling(values, n, statistic)


def correlation(left: Array, right: Array, n: int) -> Array:
    """Rolling Pearson correlation; NaN when either side is flat."""

    def statistic(x: Array, y: Array) -> Array:
        products = (_centred(x) * _centred(y)).sum(axis=1)
        return ratio(products, _deviation(x, 0) * _deviation(y, 0) * x.shape[1])

    return rolling_pair(left, right, n, statistic)


def regression_slope(values: Array, benchmark: Array, n: int) -> Array:
    """Rolling covar(values; benchmark) / var(benchmark), both sample; NaN when the benchmark is flat.

    A flat `values` has covariance 0, so a slope of exactly 0.
    """

    def statistic(x: Array, y: Array) -> Array:
        covariance = (_centred(x) * _centred(y)).sum(axis=1) / (x.shape[1] - 1)
        covariance = np.where(is_flat(x), np.longdouble(0), covariance)
        return ratio(covariance, _deviation(y, 1) ** 2)

    return rolling_pair(values, benchmark, n, statistic)
