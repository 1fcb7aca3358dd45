"""Price features.

Readings of the definition where its words leave room
-----------------------------------------------------
- +DI and -DI are missing while the smoothed true range is 0; dx is then missing as well.
- "The last complete higher bar" is the last one of the segment, however old (see `higher`).
- Comparisons (market structure, highs and lows) are exact: they compare prices as given.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from . import higher
from .recursions import atr, ema, rsi, true_range, wilder
from .segments import Segment, by_segment
from .windows import (
    Array,
    change,
    correlation,
    deviation,
    highest,
    lag,
    lowest,
    mean,
    ratio,
    skewness,
    total,
    zscore,
)


def _returns_and_volatility(bars: Segment) -> Mapping[str, Array]:
    close, high, low = bars["close"], bars["high"], bars["low"]
    log_return = np.log(ratio(close, lag(close, 1)))
    vol_20, vol_288 = deviation(log_return, 20), deviation(log_return, 288)
    log_range = np.log(ratio(high, low))
    log_body = np.log(ratio(close, bars["open"]))
    garman_klass = 0.5 * log_range**2 - (2 * np.log(2) - 1) * log_body**2
    return {
        **{f"return_{n}": change(close, n) for n in (1, 5, 20, 100, 288)},
        "log_return_1": log_return,
        "log_return_5": np.log(ratio(close, lag(close, 5))),
        "realized_vol_20": vol_20,
        "realized_vol_288": vol_288,
        "vol_ratio_20_288": ratio(vol_20, vol_288),
        "parkinson_vol_20": np.sqrt(mean(log_range**2, 20) / (4 * np.log(2))),
        "garman_klass_vol_20": np.sqrt(mean(garman_klass, 20)),
    }


def _averages(bars: Segment) -> Mapping[str, Array]:
    close = bars["close"]
    sma = {n: mean(close, n) for n in (20, 50, 200)}
    return {
        **{f"sma_{n}": sma[n] for n in sma},
        "ema_12": ema(close, 12),
        "ema_26": ema(close, 26),
        **{f"price_vs_sma{n}": ratio(close, sma[n]) - 1 for n in sma},
        "sma_20_slope_5": change(sma[20], 5),
        "price_zscore_50": zscore(close, 50),
    }


def _oscillators(bars: Segment) -> Mapping[str, Array]:
    close, high, low = bars["close"], bars["high"], bars["low"]
    bottom, top = lowest(low, 14), highest(high, 14)
    stochastic = 100 * ratio(close - bottom, top - bottom)
    macd = ema(close, 12) - ema(close, 26)
    signal = ema(macd, 9)
    average_range = atr(high, low, close, 14)
    return {
        "rsi_14": rsi(close, 14),
        "rsi_50": rsi(close, 50),
        "stoch_k_14": stochastic,
        "stoch_d_3": mean(stochastic, 3),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": macd - signal,
        "atr_14": average_range,
        "natr": 100 * ratio(average_range, close),
    }


def _bands(bars: Segment) -> Mapping[str, Array]:
    close = bars["close"]
    middle, spread = mean(close, 20), 2 * deviation(close, 20, ddof=0)
    upper, lower = middle + spread, middle - spread
    position = ratio(close - lower, np.where(spread == 0, 0, upper - lower))
    return {"bb_width": ratio(2 * spread, middle), "bb_position": position}


def _directional_movement(bars: Segment) -> Mapping[str, Array]:
    close, high, low = bars["close"], bars["high"], bars["low"]
    up, down = high - lag(high, 1), lag(low, 1) - low
    unknown = np.isnan(up) | np.isnan(down)
    plus = np.where(unknown, np.nan, np.where((up > down) & (up > 0), up, 0))
    minus = np.where(unknown, np.nan, np.where((down > up) & (down > 0), down, 0))
    smoothed_range = wilder(true_range(high, low, close), 14)
    plus_di = 100 * ratio(wilder(plus, 14), smoothed_range)
    minus_di = 100 * ratio(wilder(minus, 14), smoothed_range)
    both = plus_di + minus_di
    dx = np.where(both == 0, 0, 100 * ratio(np.abs(plus_di - minus_di), both))
    return {"plus_di_14": plus_di, "minus_di_14": minus_di, "adx": wilder(dx, 14)}


def _structure(bars: Segment) -> Mapping[str, Array]:
    close, high, low = bars["close"], bars["high"], bars["low"]
    top, bottom = highest(high, 20), lowest(low, 20)
    top_before, bottom_before = lag(top, 20), lag(bottom, 20)
    rising = (top > top_before) & (bottom > bottom_before)
    falling = (top < top_before) & (bottom < bottom_before)
    unknown = np.isnan(top + bottom + top_before + bottom_before)
    structure = np.where(unknown, np.nan, np.where(rising, 1, np.where(falling, -1, 0)))
    day_top, day_bottom = highest(high, 288), lowest(low, 288)
    steps = np.abs(close - lag(close, 1))
    log_return = np.log(ratio(close, lag(close, 1)))
    return {
        "market_structure": structure,
        "donchian_position_288": ratio(close - day_bottom, day_top - day_bottom),
        "drawdown_288": ratio(close, highest(close, 288)) - 1,
        "efficiency_ratio_20": ratio(np.abs(close - lag(close, 20)), total(steps, 20)),
        "return_autocorr_50": correlation(log_return, lag(log_return, 1), 50),
        "return_skew_288": skewness(log_return, 288),
    }


def _candle(bars: Segment) -> Mapping[str, Array]:
    opened, close, high, low = bars["open"], bars["close"], bars["high"], bars["low"]
    return {
        "body_ratio": ratio(close - opened, high - low),
        "upper_wick_ratio": ratio(high - np.maximum(opened, close), high - low),
        "lower_wick_ratio": ratio(np.minimum(opened, close) - low, high - low),
    }


THEMES = (
    _returns_and_volatility,
    _averages,
    _oscillators,
    _bands,
    _directional_movement,
    _structure,
    _candle,
    higher.compute,
)


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the price group.

    Parameters
    ----------
    bars : as from `align_bars`

    Returns
    -------
    float64 frame indexed by (symbol, time), NaN for NULL, columns in the catalogue's order
    """
    return by_segment(bars, lambda bars: {name: x for theme in THEMES for name, x in theme(bars).items()})
