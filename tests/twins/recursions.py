"""Recursive and cumulative series, one row after the other.

Convention of TA-Lib for the start: the first value of an average of n is the mean of the first n values.
A missing input (NaN) gives a missing output and leaves the state; more than n missing inputs in a row
clear it, and the average starts anew with the next n values.

The same holds while the first n values are being gathered: up to n missing ones are passed over, more
of them in a row throw away what was gathered.
"""

from collections.abc import Callable

import numpy as np

from .windows import Array, lag, ratio

Step = Callable[[np.longdouble, np.longdouble], np.longdouble]


def _recurse(values: Array, n: int, step: Step) -> Array:
    out = np.full(len(values), np.nan, dtype=np.longdouble)
    state: np.longdouble | None = None
    gathered: list[np.longdouble] = []
    missing = 0
    for row, value in enumerate(values.astype(np.longdouble)):
        if np.isnan(value):
            missing += 1
            if missing > n:
                state, gathered = None, []
            continue
        missing = 0
        if state is not None:
            state = step(state, value)
        else:
            gathered.append(value)
            if len(gathered) == n:
                state = sum(gathered, start=np.longdouble(0)) / n
        if state is not None:
            out[row] = state
    return out


def ema(values: Array, n: int) -> Array:
    """Exponential moving average with weight 2 / (n + 1)."""
    weight = np.longdouble(2) / (n + 1)
    return _recurse(values, n, lambda state, value: state + weight * (value - state))


def wilder(values: Array, n: int) -> Array:
    """Wilder's moving average with weight 1 / n."""
    return _recurse(values, n, lambda state, value: (state * (n - 1) + value) / n)


def cumulative(values: Array) -> Array:
    """Running sum; a missing input gives a missing output and leaves the sum."""
    out = np.full(len(values), np.nan, dtype=np.longdouble)
    state = np.longdouble(0)
    for row, value in enumerate(values.astype(np.longdouble)):
        if not np.isnan(value):
            state = state + value
            out[row] = state
    return out


def rsi(close: Array, n: int) -> Array:
    """Relative strength index: 100 when nothing was lost, 50 when nothing moved."""
    move = close - lag(close, 1)
    gain = wilder(np.where(np.isnan(move), np.nan, np.maximum(move, 0)), n)
    loss = wilder(np.where(np.isnan(move), np.nan, np.maximum(-move, 0)), n)
    index = 100 - 100 / (1 + ratio(gain, loss))
    without_loss = np.where(gain > 0, 100.0, 50.0)
    return np.where(loss == 0, without_loss, index)


def true_range(high: Array, low: Array, close: Array) -> Array:
    """Greatest of the bar's range and its reach from the previous close; NaN without one."""
    previous = lag(close, 1)
    reach = np.maximum(np.abs(high - previous), np.abs(low - previous))
    return np.asarray(np.maximum(high - low, reach))


def atr(high: Array, low: Array, close: Array, n: int) -> Array:
    """Average true range by Wilder's average."""
    return wilder(true_range(high, low, close), n)
