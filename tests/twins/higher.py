"""Bars of 1 h, 4 h and 1 d made of 5-minute klines, and what the price group takes from them.

A higher bar counts when all of its klines are in raw (a filled bar is no kline); an incomplete one is no row
and its neighbours follow each other. A bar sees the last complete higher bar of its own segment, however
old that one is.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .raw import BAR, DAY, HOUR, Micros, micros
from .recursions import atr, rsi, true_range
from .segments import Segment
from .sources import newest_known, take
from .windows import Array, change, mean, ratio


def higher_bars(segment: Segment, width: int) -> pd.DataFrame:
    """Roll a segment up to complete bars of `width` microseconds, on UTC.

    Returns
    -------
    frame ordered by `end` (microseconds), the first instant at which the bar is known: open, high, low, close
    """
    rows = segment.bars[["open", "high", "low", "close"]].assign(
        start=micros(segment.bars["time"]) // width * width
    )
    klines = rows[segment["is_filled"] == 0]
    groups = klines.groupby("start")
    whole = groups.size() == width // BAR
    rolled = pd.DataFrame(
        {
            "open": groups["open"].first(),
            "high": groups["high"].max(),
            "low": groups["low"].min(),
            "close": groups["close"].last(),
        }
    )[whole]
    return rolled.assign(end=rolled.index.to_numpy(dtype=np.int64) + width).reset_index(drop=True)


def _as_of(end: Micros, values: Array, available_at: Micros) -> Array:
    positions = newest_known(end, available_at)
    return take(np.asarray(values, dtype=float), positions, positions >= 0)


def compute(segment: Segment) -> Mapping[str, Array]:
    """Compute the five higher-timeframe features of one segment."""
    available_at = micros(segment.bars["available_at"])
    hours, quarters, days = (higher_bars(segment, width) for width in (HOUR, 4 * HOUR, DAY))
    high, low, close = (hours[name].to_numpy(dtype=float) for name in ("high", "low", "close"))
    end = hours["end"].to_numpy(dtype=np.int64)
    close_4h = quarters["close"].to_numpy(dtype=float)
    end_4h, end_1d = quarters["end"].to_numpy(dtype=np.int64), days["end"].to_numpy(dtype=np.int64)
    day_high = _as_of(end_1d, days["high"].to_numpy(), available_at)
    day_low = _as_of(end_1d, days["low"].to_numpy(), available_at)
    return {
        "return_1h_htf": _as_of(end, change(close, 1), available_at),
        "rsi_14_1h": _as_of(end, rsi(close, 14), available_at),
        "atr_14_1h": _as_of(end, atr(high, low, close, 14), available_at),
        "trend_4h": _as_of(end_4h, close_4h / mean(close_4h, 20) - 1, available_at),
        "range_position_1d": ratio(segment["close"] - day_low, day_high - day_low),
    }


def highest_range_1h(segment: Segment) -> Array:
    """Give the greatest true range of the segment's hours known at each bar: the scale of atr_14_1h."""
    hours = higher_bars(segment, HOUR)
    ranges = true_range(*(hours[name].to_numpy(dtype=float) for name in ("high", "low", "close")))
    reach = np.fmax.accumulate(ranges) if len(ranges) else ranges
    return _as_of(hours["end"].to_numpy(dtype=np.int64), reach, micros(segment.bars["available_at"]))
