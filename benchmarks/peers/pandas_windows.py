"""Windows and recursions with TA-Lib where its definition is the catalogue's, with pandas elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from benchmarks.peers.polars_windows import HOURS

Array = NDArray[np.float64]


def lag(values: Array, n: int) -> Array:
    """Values n rows earlier."""
    return np.concatenate([np.full(min(n, len(values)), np.nan), values[: max(len(values) - n, 0)]])


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN where the denominator is 0."""
    return np.asarray(numerator / np.where(denominator == 0, np.nan, denominator))


def change(values: Array, n: int) -> Array:
    """Relative change over n rows."""
    return ratio(values, lag(values, n)) - 1


def mean(values: Array, n: int) -> Array:
    """Rolling mean."""
    return np.asarray(pd.Series(values).rolling(n).mean())


def total(values: Array, n: int) -> Array:
    """Rolling sum; exactly 0 over zeros."""
    sums = np.asarray(pd.Series(values).rolling(n).sum())
    return np.where(talib.MAX(np.abs(values), n) == 0, 0.0, sums)


def deviation(values: Array, n: int, ddof: int = 1) -> Array:
    """Rolling standard deviation. TA-Lib's STDDEV loses digits: it subtracts running sums of squares."""
    return np.asarray(pd.Series(values).rolling(n).std(ddof=ddof))


def zscore(values: Array, n: int) -> Array:
    """Distance from the rolling mean in sample deviations."""
    return ratio(values - mean(values, n), deviation(values, n))


def correlation(left: Array, right: Array, n: int) -> Array:
    """Rolling correlation."""
    return np.asarray(pd.Series(left).rolling(n).corr(pd.Series(right)))


def wilder(values: Array, n: int) -> Array:
    """Wilder's average, which TA-Lib has only inside other functions."""
    start = int(np.argmax(~np.isnan(values))) + n - 1
    out = np.full(len(values), np.nan)
    if start < len(values):
        seeded = values[start:].copy()
        seeded[0] = values[start - n + 1 : start + 1].mean()
        out[start:] = pd.Series(seeded).ewm(alpha=1 / n, adjust=False).mean()
    return out


def percentile(values: Array, time: NDArray[np.int64], *, hour: int) -> Array:
    """Rank each value among the last 168 at bars that close on the full hour, ties at half."""
    out = np.full(len(values), np.nan)
    bar = hour // 12
    hourly = np.flatnonzero((time + bar) % hour == 0)
    for k in range(HOURS - 1, len(hourly)):
        window = np.sort(values[hourly[k - HOURS + 1 : k + 1]])
        if np.isnan(window[-1]):
            continue
        rows = slice(hourly[k], hourly[k + 1] if k + 1 < len(hourly) else len(values))
        below = np.searchsorted(window, values[rows], side="left")
        out[rows] = (below + np.searchsorted(window, values[rows], side="right")) / (2 * HOURS)
    return np.where(np.isnan(values), np.nan, out)
