"""How close two builds must come: the scale s of each value, and values a threshold leaves open.

Two numbers are equal when |a - b| <= 1e-9 max(|a|, |b|, s). For bounded and ratio features s = 1. For
the rest it is the largest absolute addend of the value's window:

- averages and bands: the greatest input of the window;
- recursions and cumulative sums: the greatest input (step) since the segment's start;
- macd and its like: the greatest input of the averages they subtract;
- a deviation: the greatest distance from the window's mean;
- what neither adds nor subtracts, or only adds amounts of one sign and divides them: 0, so a purely
  relative error.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .cross_asset import RANKED
from .higher import highest_range_1h
from .raw import micros
from .recursions import cumulative, true_range
from .segments import Segment, by_segment
from .windows import Array, highest, lag, ratio, rolling

TOLERANCE = 1e-9
RELATIVE = (
    *("vwap", "vwap_24h", "avg_trade_size", "amihud_20", "oi_value"),
    *("avg_liq_size", "max_liq_size_1h", "book_depth_bid_20", "book_depth_ask_20"),
)


def _so_far(values: Array) -> Array:
    return np.asarray(np.fmax.accumulate(np.abs(values)))


def _of_prices(bars: Segment) -> Mapping[str, Array]:
    close = bars["close"]
    reach = _so_far(close)
    return {
        **{f"sma_{n}": highest(close, n) for n in (20, 50, 200)},
        **dict.fromkeys(("ema_12", "ema_26", "macd", "macd_signal", "macd_histogram"), reach),
        "atr_14": _so_far(true_range(bars["high"], bars["low"], close)),
        "atr_14_1h": highest_range_1h(bars),
    }


def _of_volumes(bars: Segment) -> Mapping[str, Array]:
    volume = bars["volume"]
    delta = np.abs(2 * bars["taker_buy_base"] - volume)
    balance = np.abs(cumulative(np.sign(bars["close"] - lag(bars["close"], 1)) * volume))
    return {
        "volume_sma_20": highest(volume, 20),
        "cvd": _so_far(delta),
        "cvd_24h": highest(delta, 288),
        "obv": _so_far(volume),
        "obv_sma_20": np.fmax(highest(balance, 20), _so_far(volume)),
    }


def _of_interest(bars: Segment) -> Mapping[str, Array]:
    interest = bars["open_interest"]
    reach = _so_far(interest)
    recursive = ("oi_ema_12", "oi_ema_26", "oi_macd", "oi_macd_signal", "oi_macd_hist")
    distance = rolling(interest, 20, lambda w: np.abs(w - w.mean(axis=1, keepdims=True)).max(axis=1))
    return {
        "oi_sma_20": highest(interest, 20),
        "oi_sma_50": highest(interest, 50),
        **dict.fromkeys(recursive, reach),
        "oi_std_20": distance,
        "oi_bb_upper": highest(interest, 20),
        "oi_bb_lower": highest(interest, 20),
    }


def _of_liquidations(bars: Segment) -> Mapping[str, Array]:
    longs, shorts = bars["long_liquidations"], bars["short_liquidations"]
    return {
        "liquidation_vol_1h": highest(longs + shorts, 12),
        "long_liq_vol_1h": highest(longs, 12),
        "short_liq_vol_1h": highest(shorts, 12),
        "net_liquidation": highest(np.maximum(longs, shorts), 12),
        "liquidation_vol_24h": highest(longs + shorts, 288),
    }


def scales(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute s for every value of the features that are not compared at s = 1.

    Parameters
    ----------
    bars : as from `align_bars`

    Returns
    -------
    float64 frame indexed by (symbol, time), one column per such feature, without NaN
    """
    themes = (_of_prices, _of_volumes, _of_interest, _of_liquidations)
    found = by_segment(bars, lambda bars: {name: x for theme in themes for name, x in theme(bars).items()})
    return found.fillna(0.0).assign(**dict.fromkeys(RELATIVE, 0.0))


def _near(values: Array, threshold: float) -> np.ndarray:
    return np.asarray(np.abs(values - threshold) <= TOLERANCE * np.maximum(np.abs(values), 1))


def _price_hardly_moved(bars: Segment) -> Mapping[str, Array]:
    price = ratio(bars["open_interest_value"], bars["open_interest"])
    before = lag(price, 12)
    close = np.abs(price - before) <= TOLERANCE * np.maximum(np.abs(price), np.abs(before))
    return {"near": close & (price != before)}


def _nearly_tied(values: Array) -> np.ndarray:
    distance = np.abs(values[None, :] - values[:, None])
    reach = TOLERANCE * np.maximum(np.maximum(np.abs(values)[None, :], np.abs(values)[:, None]), 1)
    return np.asarray(((distance <= reach) & (distance > 0)).any(axis=1))


def undecided(bars: pd.DataFrame, features: pd.DataFrame, counted: np.ndarray) -> pd.DataFrame:
    """Mark the values of thresholded features whose input lies within 1e-9 of the threshold.

    Decided stay: what both sides compare as the very same doubles (prices, equal open interest or ranked
    values), and percentiles, quotients of whole numbers that round alike. There a difference is an error.

    Parameters
    ----------
    bars, features : rows in the same order
    counted : rows that take part in the cross-section (see `cross_asset.membership`)
    """
    marks = pd.DataFrame(index=features.index)
    r8 = features["funding_annualized"].to_numpy() / (3 * 365)
    marks["liq_spike"] = _near(features["liq_zscore_24h"].to_numpy(), 3)
    marks["funding_extreme_positive"] = np.abs(r8 - 0.000101) <= TOLERANCE * 0.000101
    marks["oi_quadrant"] = by_segment(bars, _price_hardly_moved)["near"].to_numpy() == 1
    rows_at = list(pd.Series(micros(bars["time"])).groupby(micros(bars["time"])).indices.values())
    for name, ranked in RANKED.items():
        values, near = features[ranked].to_numpy(), np.zeros(len(bars), dtype=bool)
        for rows in rows_at:
            use = rows[counted[rows] & ~np.isnan(values[rows])]
            near[use] = _nearly_tied(values[use])
        marks[name] = near
    return marks
