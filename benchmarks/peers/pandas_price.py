"""Price and volume features with TA-Lib and pandas: arrays of one symbol."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from benchmarks.peers.pandas_bars import BAR, DAY, HOUR
from benchmarks.peers.pandas_windows import (
    Array,
    change,
    correlation,
    deviation,
    lag,
    mean,
    ratio,
    total,
    wilder,
    zscore,
)

Bars = dict[str, Array]
Features = dict[str, Array]


def returns(b: Bars) -> Features:
    """Returns and volatility."""
    close = b["close"]
    log_return = np.log(close / lag(close, 1))
    vol_20, vol_288 = deviation(log_return, 20), deviation(log_return, 288)
    log_range, log_body = np.log(b["high"] / b["low"]), np.log(close / b["open"])
    garman_klass = 0.5 * log_range**2 - (2 * np.log(2) - 1) * log_body**2
    skew = np.asarray(pd.Series(log_return).rolling(288).skew())
    return {
        **{f"return_{n}": change(close, n) for n in (1, 5, 20, 100, 288)},
        "log_return_1": log_return,
        "log_return_5": np.log(close / lag(close, 5)),
        "realized_vol_20": vol_20,
        "realized_vol_288": vol_288,
        "vol_ratio_20_288": ratio(vol_20, vol_288),
        "parkinson_vol_20": np.sqrt(mean(log_range**2, 20) / (4 * np.log(2))),
        "garman_klass_vol_20": np.sqrt(mean(garman_klass, 20)),
        "return_autocorr_50": correlation(log_return, lag(log_return, 1), 50),
        # pandas gives the sample skewness; this undoes its correction.
        "return_skew_288": skew * 286 / np.sqrt(288 * 287),
    }


def trend(b: Bars) -> Features:
    """Averages. TA-Lib's MACD starts its fast average late, so it is made of two EMAs."""
    close = b["close"]
    sma = {n: mean(close, n) for n in (20, 50, 200)}
    fast, slow = talib.EMA(close, 12), talib.EMA(close, 26)
    signal = talib.EMA(fast - slow, 9)
    return {
        **{f"sma_{n}": sma[n] for n in sma},
        "ema_12": fast,
        "ema_26": slow,
        **{f"price_vs_sma{n}": close / sma[n] - 1 for n in sma},
        "sma_20_slope_5": change(sma[20], 5),
        "price_zscore_50": zscore(close, 50),
        "macd": fast - slow,
        "macd_signal": signal,
        "macd_histogram": fast - slow - signal,
    }


def momentum(b: Bars) -> Features:
    """Oscillators, bands and directional movement. TA-Lib's DI and ADX start with other sums."""
    close, high, low = b["close"], b["high"], b["low"]
    bottom, top = talib.MIN(low, 14), talib.MAX(high, 14)
    stochastic = 100 * ratio(close - bottom, top - bottom)
    middle, spread = mean(close, 20), 2 * deviation(close, 20, ddof=0)
    up, down = high - lag(high, 1), lag(low, 1) - low
    plus = np.where(np.isnan(up), np.nan, np.where((up > down) & (up > 0), up, 0))
    minus = np.where(np.isnan(up), np.nan, np.where((down > up) & (down > 0), down, 0))
    average_range = talib.ATR(high, low, close, 14)
    plus_di, minus_di = (100 * ratio(wilder(moved, 14), average_range) for moved in (plus, minus))
    both = plus_di + minus_di
    return {
        "rsi_14": talib.RSI(close, 14),
        "rsi_50": talib.RSI(close, 50),
        "stoch_k_14": stochastic,
        "stoch_d_3": mean(stochastic, 3),
        "atr_14": average_range,
        "natr": 100 * average_range / close,
        "bb_width": 2 * spread / middle,
        "bb_position": ratio(close - (middle - spread), 2 * spread),
        "plus_di_14": plus_di,
        "minus_di_14": minus_di,
        "adx": wilder(np.where(both == 0, 0, 100 * np.abs(plus_di - minus_di) / both), 14),
    }


def structure(b: Bars) -> Features:
    """Ranges and candles."""
    opened, close, high, low = b["open"], b["close"], b["high"], b["low"]
    top, bottom = talib.MAX(high, 20), talib.MIN(low, 20)
    top_before, bottom_before = lag(top, 20), lag(bottom, 20)
    rising = (top > top_before) & (bottom > bottom_before)
    falling = (top < top_before) & (bottom < bottom_before)
    day_top, day_bottom = talib.MAX(high, 288), talib.MIN(low, 288)
    steps = np.abs(close - lag(close, 1))
    return {
        "market_structure": np.where(np.isnan(top_before), np.nan, rising.astype(float) - falling),
        "donchian_position_288": ratio(close - day_bottom, day_top - day_bottom),
        "drawdown_288": close / talib.MAX(close, 288) - 1,
        "efficiency_ratio_20": ratio(np.abs(close - lag(close, 20)), total(steps, 20)),
        "body_ratio": ratio(close - opened, high - low),
        "upper_wick_ratio": ratio(high - np.maximum(opened, close), high - low),
        "lower_wick_ratio": ratio(np.minimum(opened, close) - low, high - low),
    }


def higher_bars(b: Bars) -> Features:
    """What the last complete bars of 1h, 4h and 1d give."""
    close = b["close"]
    found: Features = {}

    def roll(width: int) -> tuple[pd.DataFrame, Array]:
        slot = b["time"] // width
        frame = pd.DataFrame({name: b[name] for name in ("high", "low", "close")})
        groups = frame.groupby(slot)
        rolled = groups.agg({"high": "max", "low": "min", "close": "last"})[groups.size() == width // BAR]
        last = np.searchsorted((rolled.index.to_numpy() + 1) * width, b["now"], side="right") - 1
        return rolled, last

    def take(values: Array, last: Array) -> Array:
        return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)

    hours, last = roll(HOUR)
    high, low, hourly = (hours[name].to_numpy() for name in ("high", "low", "close"))
    found["return_1h_htf"] = take(change(hourly, 1), last)
    found["rsi_14_1h"] = take(talib.RSI(hourly, 14), last)
    found["atr_14_1h"] = take(talib.ATR(high, low, hourly, 14), last)
    quarters, last = roll(4 * HOUR)
    close_4h = quarters["close"].to_numpy()
    found["trend_4h"] = take(close_4h / mean(close_4h, 20) - 1, last)
    days, last = roll(DAY)
    top, bottom = (take(days[name].to_numpy(), last) for name in ("high", "low"))
    found["range_position_1d"] = ratio(close - bottom, top - bottom)
    return found


def activity(b: Bars) -> Features:
    """Volume: how much."""
    volume, quote = b["volume"], b["quote_volume"]
    same_time = sum(lag(volume, 288 * day) for day in range(1, 8)) / 7
    impact = np.abs(change(b["close"], 1)) / np.where(quote > 0, quote, np.nan)
    impact_20 = pd.Series(impact).rolling(20, min_periods=1).mean()
    return {
        "volume_change": change(volume, 1),
        "volume_sma_20": mean(volume, 20),
        "volume_ratio": ratio(volume, mean(volume, 20)),
        "volume_roc": change(volume, 10),
        "volume_zscore_288": zscore(volume, 288),
        "volume_tod_ratio_7d": ratio(volume, same_time),
        "avg_trade_size": ratio(quote, b["trades"]),
        "trades_zscore_288": zscore(b["trades"], 288),
        "amihud_20": np.where(np.arange(len(impact)) < 20, np.nan, impact_20),
    }


def flow(b: Bars) -> Features:
    """Volume: in which direction, and at what price."""
    close, high, low, volume, quote = b["close"], b["high"], b["low"], b["volume"], b["quote_volume"]
    delta = 2 * b["taker_buy_base"] - volume
    obv = talib.OBV(close, volume) - volume[0]
    accumulated = np.where(high == low, 0, volume * ((close - low) - (high - close)) / (high - low))
    typical = (high + low + close) / 3
    before, money = lag(typical, 1), typical * volume
    gained = total(np.where(np.isnan(before), np.nan, np.where(typical > before, money, 0)), 14)
    lost = total(np.where(np.isnan(before), np.nan, np.where(typical < before, money, 0)), 14)
    index = 100 - 100 / (1 + ratio(gained, lost))
    day = b["time"] // DAY
    vwap = ratio(*(pd.Series(values).groupby(day).cumsum().to_numpy() for values in (quote, volume)))
    vwap_24h = ratio(total(quote, 288), total(volume, 288))
    return {
        "taker_buy_ratio": ratio(b["taker_buy_base"], volume),
        "taker_imbalance_12": ratio(total(delta, 12), total(volume, 12)),
        "taker_imbalance_288": ratio(total(delta, 288), total(volume, 288)),
        "cvd": delta.cumsum(),
        "cvd_24h": total(delta, 288),
        "price_volume_corr": correlation(close, volume, 20),
        "obv": obv,
        "obv_sma_20": mean(obv, 20),
        "cmf": ratio(total(accumulated, 20), total(volume, 20)),
        "mfi": np.where(lost == 0, np.where(gained > 0, 100.0, 50.0), index),
        "vwap": vwap,
        "price_vs_vwap": close / vwap - 1,
        "vwap_24h": vwap_24h,
        "price_vs_vwap_24h": close / vwap_24h - 1,
    }
