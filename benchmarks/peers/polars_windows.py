"""Expressions that polars does not have as they are."""

from __future__ import annotations

import numpy as np
import polars as pl

HOURS = 168


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Divide; null where the denominator is 0."""
    return pl.when(denominator != 0).then(numerator / denominator)


def change(values: pl.Expr, n: int) -> pl.Expr:
    """Relative change over n rows."""
    return ratio(values, values.shift(n)) - 1


def zscore(values: pl.Expr, n: int) -> pl.Expr:
    """Distance of the last value of n from their mean, in sample deviations."""
    return ratio(values - values.rolling_mean(n), values.rolling_std(n))


def smooth(values: pl.Expr, n: int, alpha: float) -> pl.Expr:
    """Exponential average that starts at the n-th value with the mean of the first n, as TA-Lib's do."""
    seen = values.is_not_null().cum_sum()
    started = pl.when(seen == n).then(values.rolling_mean(n)).when(seen > n).then(values)
    return started.ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True)


def ema(values: pl.Expr, n: int) -> pl.Expr:
    """Exponential moving average."""
    return smooth(values, n, 2 / (n + 1))


def wilder(values: pl.Expr, n: int) -> pl.Expr:
    """Wilder's moving average."""
    return smooth(values, n, 1 / n)


def rsi(gains: pl.Expr, losses: pl.Expr, n: int) -> pl.Expr:
    """Relative strength index of gains and losses, both positive."""
    gain, loss = wilder(gains, n), wilder(losses, n)
    still = pl.when(gain > 0).then(100.0).otherwise(50.0)
    return pl.when(loss == 0).then(still).otherwise(100 - 100 / (1 + gain / loss))


def true_range(high: pl.Expr, low: pl.Expr, close: pl.Expr) -> pl.Expr:
    """Range of the bar and of its way from the previous close; null without one."""
    before = close.shift(1)
    reach = pl.max_horizontal(high - low, (high - before).abs(), (low - before).abs())
    return pl.when(before.is_not_null()).then(reach)


def hourly_percentile(values: pl.Expr, time: pl.Expr) -> pl.Expr:
    """Rank of each value among the last 168 at bars that close on the full hour, ties at half."""
    return pl.map_batches([values, time.dt.minute()], _percentiles, return_dtype=pl.Float64)


def _percentiles(columns: list[pl.Series]) -> pl.Series:
    values = columns[0].to_numpy()
    hourly = np.flatnonzero(columns[1].to_numpy() == 55)
    out = np.full(len(values), np.nan)
    if len(hourly) >= HOURS:
        windows = np.lib.stride_tricks.sliding_window_view(values[hourly], HOURS)
        last = np.searchsorted(hourly, np.arange(len(values)), side="right") - HOURS
        # Twelve bars share a window: one sort of it, two binary searches a bar.
        for k in range(len(windows)):
            low = hourly[k + HOURS - 1]
            high = hourly[k + HOURS] if k + HOURS < len(hourly) else len(values)
            window = np.sort(windows[k])
            below = np.searchsorted(window, values[low:high], side="left")
            up_to = np.searchsorted(window, values[low:high], side="right")
            out[low:high] = np.where(np.isnan(window[-1]), np.nan, (below + up_to) / (2 * HOURS))
        out[(last < 0) | np.isnan(values)] = np.nan
    return pl.Series(out, nan_to_null=True)
