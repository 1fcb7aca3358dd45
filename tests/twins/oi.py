"""Open-interest features.

Readings of the definition where its words leave room
-----------------------------------------------------
- oi_percentile compares this bar's value with the values at the last 168 rows of the segment that close on
  the full hour; one of them unknown (stale) makes it NULL, as in every window.
- oi_quadrant compares exactly: open interest and p "did not move" when they are the same double as 12 bars
  ago.
- Flat windows count changes of the very series whose deviation is taken: of oi_change_1, of p's change.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .raw import HOUR, Micros, micros
from .recursions import ema
from .segments import Segment, by_segment
from .windows import Array, change, correlation, deviation, lag, mean, ratio, total, zscore

WEEK_OF_HOURS = 168


def hourly_percentile(values: Array, available_at: Micros) -> Array:
    """Rank each value among the last 168 at bars closing on the full hour, ties at half."""
    hourly = np.flatnonzero(available_at % HOUR == 0)
    out = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        window = values[hourly[hourly <= row][-WEEK_OF_HOURS:]]
        if len(window) == WEEK_OF_HOURS and not np.isnan(window).any() and not np.isnan(value):
            out[row] = ((window < value).sum() + 0.5 * (window == value).sum()) / WEEK_OF_HOURS
    return out


def _changes(bars: Segment) -> Mapping[str, Array]:
    interest = bars["open_interest"]
    velocity = change(interest, 12)
    return {
        "oi_value": bars["open_interest_value"],
        **{f"oi_change_{n}": change(interest, n) for n in (1, 5, 20)},
        "oi_velocity_1h": velocity,
        "oi_velocity_4h": change(interest, 48) / 4,
        "oi_velocity_24h": change(interest, 288) / 24,
        "oi_acceleration_1h": velocity - lag(velocity, 12),
    }


def _averages(bars: Segment) -> Mapping[str, Array]:
    interest = bars["open_interest"]
    fast, slow = ema(interest, 12), ema(interest, 26)
    signal = ema(fast - slow, 9)
    middle, spread = mean(interest, 20), 2 * deviation(interest, 20, ddof=0)
    lower = middle - spread
    return {
        "oi_sma_20": middle,
        "oi_sma_50": mean(interest, 50),
        "oi_ema_12": fast,
        "oi_ema_26": slow,
        "oi_macd": fast - slow,
        "oi_macd_signal": signal,
        "oi_macd_hist": fast - slow - signal,
        "oi_std_20": deviation(interest, 20),
        "oi_bb_upper": middle + spread,
        "oi_bb_lower": lower,
        "oi_bb_position": ratio(interest - lower, 2 * spread),
    }


def move(price: Array, n: int) -> Array:
    """Relative change of a price that is a quotient: below 1e-12 it is the division's rounding, no move."""
    moved = change(price, n)
    return np.where(np.abs(moved) < 1e-12, 0, moved)


def _divergence(interest: Array, price: Array, n: int) -> Array:
    def standardised(whole: Array, steps: Array) -> Array:
        return ratio(whole, deviation(steps, n) * np.sqrt(np.longdouble(n)))

    opened = standardised(change(interest, n), change(interest, 1))
    return opened - standardised(move(price, n), move(price, 1))


def quadrant(interest: Array, price: Array) -> Array:
    """Name the quarter in which open interest and price moved over 12 bars (0 when either did not)."""
    interest_before, price_move = lag(interest, 12), move(price, 12)
    unknown = np.isnan(interest + interest_before + price_move)
    moved = (interest != interest_before) & (price_move != 0)
    opened, rose = interest > interest_before, price_move > 0
    quarter = np.where(rose, np.where(opened, 1, 4), np.where(opened, 2, 3))
    return np.where(unknown, np.nan, np.where(moved, quarter, 0))


def _against_price(bars: Segment) -> Mapping[str, Array]:
    interest = bars["open_interest"]
    price = ratio(bars["open_interest_value"], interest)
    traded = lag(total(bars["volume"], 12), 1)
    return {
        "oi_zscore": zscore(interest, 288),
        "oi_percentile": hourly_percentile(interest, micros(bars.bars["available_at"])),
        "oi_price_divergence_20": _divergence(interest, price, 20),
        "oi_price_divergence_50": _divergence(interest, price, 50),
        "oi_price_corr_50": correlation(change(interest, 1), move(price, 1), 50),
        "oi_opening_share_12": ratio(interest - lag(interest, 12), traded),
        "oi_quadrant": quadrant(interest, price),
    }


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the open-interest group (see `price.features`)."""
    themes = (_changes, _averages, _against_price)
    return by_segment(bars, lambda bars: {name: x for theme in themes for name, x in theme(bars).items()})
