"""Volume features.

Readings of the definition where its words leave room
-----------------------------------------------------
- cvd and obv: a bar whose addend is unknown has no value and leaves the sum, which goes on behind it. obv's
  first bar of a segment adds 0; the first bar behind a hole of ours has no previous close, so no addend.
- vwap sums the bars of the segment that opened since 00:00 UTC and whose volume and quote volume are both
  known, this bar's or not: a part window on purpose.
- amihud_20 needs 20 bars behind the segment's first; of these it averages the ones whose return and quote
  volume are known and whose quote volume is not 0.
- mfi compares typical prices computed as (high + low + close) / 3, in that order, in doubles.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .raw import DAY, micros
from .recursions import cumulative
from .segments import Segment, by_segment
from .windows import Array, change, correlation, lag, mean, ratio, total, zscore


def _activity(bars: Segment) -> Mapping[str, Array]:
    volume = bars["volume"]
    same_time = sum(lag(volume, 288 * day) for day in range(1, 8)) / 7
    return {
        "volume_change": change(volume, 1),
        "volume_sma_20": mean(volume, 20),
        "volume_ratio": ratio(volume, mean(volume, 20)),
        "volume_roc": change(volume, 10),
        "volume_zscore_288": zscore(volume, 288),
        "volume_tod_ratio_7d": ratio(volume, same_time),
    }


def _flow(bars: Segment) -> Mapping[str, Array]:
    close, volume = bars["close"], bars["volume"]
    delta = 2 * bars["taker_buy_base"] - volume
    signed = np.sign(close - lag(close, 1)) * volume
    signed[0] = 0 * close[0] * volume[0]  # NaN stays NaN
    balance = cumulative(signed).astype(float)
    return {
        "taker_buy_ratio": ratio(bars["taker_buy_base"], volume),
        "taker_imbalance_12": ratio(total(delta, 12), total(volume, 12)),
        "taker_imbalance_288": ratio(total(delta, 288), total(volume, 288)),
        "cvd": cumulative(delta),
        "cvd_24h": total(delta, 288),
        "price_volume_corr": correlation(close, volume, 20),
        "obv": balance,
        "obv_sma_20": mean(balance, 20),
    }


def _money_flow(bars: Segment) -> Mapping[str, Array]:
    close, high, low, volume = bars["close"], bars["high"], bars["low"], bars["volume"]
    multiplier = ratio((close - low) - (high - close), high - low)
    flow_volume = volume * np.where(high == low, 0, multiplier)
    typical = (high + low + close) / 3
    before = lag(typical, 1)
    flow = typical * volume
    unknown = np.isnan(before + flow)
    gained = total(np.where(unknown, np.nan, np.where(typical > before, flow, 0)), 14)
    lost = total(np.where(unknown, np.nan, np.where(typical < before, flow, 0)), 14)
    index = 100 - 100 / (1 + ratio(gained, lost))
    return {
        "cmf": ratio(total(flow_volume, 20), total(volume, 20)),
        "mfi": np.where(lost == 0, np.where(gained > 0, 100.0, 50.0), index),
    }


def _day_vwap(bars: Segment) -> Array:
    day = micros(bars.bars["time"]) // DAY
    volume, turnover = bars["volume"], bars["quote_volume"]
    out = np.full(len(bars), np.nan)
    for row in range(len(bars)):
        since = slice(int(np.searchsorted(day, day[row])), row + 1)
        known = ~np.isnan(volume[since] + turnover[since])
        traded = volume[since][known].sum()
        out[row] = turnover[since][known].sum() / traded if traded > 0 else np.nan
    return out


def _average_prices(bars: Segment) -> Mapping[str, Array]:
    close = bars["close"]
    vwap = _day_vwap(bars)
    vwap_24h = ratio(total(bars["quote_volume"], 288), total(bars["volume"], 288))
    return {
        "vwap": vwap,
        "price_vs_vwap": ratio(close, vwap) - 1,
        "vwap_24h": vwap_24h,
        "price_vs_vwap_24h": ratio(close, vwap_24h) - 1,
    }


def _illiquidity(bars: Segment) -> Array:
    impact = ratio(np.abs(change(bars["close"], 1)), bars["quote_volume"])
    out = np.full(len(bars), np.nan)
    for row in range(20, len(bars)):
        known = impact[row - 19 : row + 1]
        known = known[~np.isnan(known)]
        out[row] = known.mean() if len(known) else np.nan
    return out


def _relations(bars: Segment) -> Mapping[str, Array]:
    interest, volume = bars["open_interest"], bars["volume"]
    return {
        "oi_volume_ratio": ratio(interest, total(volume, 288)),
        "oi_volume_divergence": zscore(interest, 288) - zscore(volume, 288),
        "avg_trade_size": ratio(bars["quote_volume"], bars["trades"]),
        "trades_zscore_288": zscore(bars["trades"], 288),
        "amihud_20": _illiquidity(bars),
    }


THEMES = (_activity, _flow, _money_flow, _average_prices, _relations)


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the volume group (see `price.features`)."""
    return by_segment(bars, lambda bars: {name: x for theme in THEMES for name, x in theme(bars).items()})
