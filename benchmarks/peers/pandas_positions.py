"""Features of open interest, funding, liquidations, ratios, books and the calendar with TA-Lib and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from benchmarks.peers.pandas_bars import DAY, HOUR, MINUTE
from benchmarks.peers.pandas_price import Bars, Features
from benchmarks.peers.pandas_windows import (
    Array,
    change,
    correlation,
    deviation,
    lag,
    mean,
    percentile,
    ratio,
    total,
    zscore,
)


def open_interest(b: Bars) -> Features:
    """Open interest."""
    interest, value = b["open_interest"], b["open_interest_value"]
    price, velocity = value / interest, change(interest, 12)
    fast, slow = talib.EMA(interest, 12), talib.EMA(interest, 26)
    signal = talib.EMA(fast - slow, 9)
    middle, spread = mean(interest, 20), 2 * deviation(interest, 20, ddof=0)

    def move(n: int) -> Array:
        moved = change(price, n)
        return np.where(np.abs(moved) < 1e-12, 0, moved)

    def divergence(n: int) -> Array:
        opened = change(interest, n) / (deviation(change(interest, 1), n) * np.sqrt(n))
        return np.asarray(opened - move(n) / (deviation(move(1), n) * np.sqrt(n)))

    before, moved = lag(interest, 12), move(12)
    up, rose = interest > before, moved > 0
    quarter = np.where(rose, np.where(up, 1.0, 4.0), np.where(up, 2.0, 3.0))
    still = np.where((interest == before) | (moved == 0), 0.0, quarter)
    return {
        "oi_value": value,
        **{f"oi_change_{n}": change(interest, n) for n in (1, 5, 20)},
        "oi_velocity_1h": velocity,
        "oi_velocity_4h": change(interest, 48) / 4,
        "oi_velocity_24h": change(interest, 288) / 24,
        "oi_acceleration_1h": velocity - lag(velocity, 12),
        "oi_sma_20": middle,
        "oi_sma_50": mean(interest, 50),
        "oi_ema_12": fast,
        "oi_ema_26": slow,
        "oi_macd": fast - slow,
        "oi_macd_signal": signal,
        "oi_macd_hist": fast - slow - signal,
        "oi_std_20": deviation(interest, 20),
        "oi_bb_upper": middle + spread,
        "oi_bb_lower": middle - spread,
        "oi_bb_position": ratio(interest - (middle - spread), 2 * spread),
        "oi_zscore": zscore(interest, 288),
        "oi_percentile": percentile(interest, b["time"], hour=HOUR),
        "oi_price_divergence_20": divergence(20),
        "oi_price_divergence_50": divergence(50),
        "oi_price_corr_50": correlation(change(interest, 1), move(1), 50),
        "oi_opening_share_12": ratio(interest - before, lag(total(b["volume"], 12), 1)),
        "oi_quadrant": np.where(np.isnan(moved), np.nan, still),
        "oi_volume_ratio": ratio(interest, total(b["volume"], 288)),
        "oi_volume_divergence": zscore(interest, 288) - zscore(b["volume"], 288),
    }


def funding(b: Bars) -> Features:
    """Funding, from the statistics of `pandas_bars.settlements`."""
    now, settled, hours, r8, following = b["now"], b["settled"], b["hours"], b["r8"], b["following"]
    earlier = np.where((b["earlier"] <= now) & (b["earlier"] < following), b["earlier"], np.nan)
    span = (following - np.fmax(settled, earlier)) / HOUR
    interval = np.where(span > 0, np.where(np.isin(span, (1, 2, 4, 8)), span, np.nan), hours)
    period = hours * HOUR
    derived = settled + period * ((now - settled) // period + 1) - now
    standing = b["standing"]
    premium = pd.Series(b["close"] / b["index_price"] - 1)
    groups = premium.groupby(settled)
    since = (groups.cumsum() / (groups.cumcount() + 1)).to_numpy()
    high, low = (standing >= 0.95) & (r8 > 0.000101), (standing <= 0.05) & (r8 < 0)
    return {
        "funding_rate_current": b["funding_rate"],
        "funding_rate_change": r8 - b["r8_before"],
        "funding_rate_change_24h": r8 - lag(r8, 288),
        "cumulative_funding_24h": np.where(b["first"] <= now - DAY, b["sum_1d"], np.nan),
        "cumulative_funding_7d": np.where(b["first"] <= now - 7 * DAY, b["sum_7d"], np.nan),
        "funding_zscore": np.where(b["flat"] == 0, ratio(r8 - b["r8_mean"], b["r8_std"]), np.nan),
        "funding_percentile": standing,
        "funding_extreme_positive": np.where(np.isnan(standing), np.nan, high),
        "funding_extreme_negative": np.where(np.isnan(standing), np.nan, low),
        "funding_annualized": r8 * 3 * 365,
        "minutes_to_funding": np.where(following > now, following - now, derived) / MINUTE,
        "funding_interval_hours": interval,
        "predicted_funding_8h": b["predicted_funding_rate"] * (8 / interval),
        "premium_since_funding": since,
        "mark_premium": b["close"] / b["mark_price"] - 1,
        "mark_index_premium": b["mark_price"] / b["index_price"] - 1,
        "funding_age_minutes": (now - settled) / MINUTE,
    }


def liquidations(b: Bars) -> Features:
    """Liquidations."""
    longs, shorts = b["long_liquidations"], b["short_liquidations"]
    hour, count = total(longs + shorts, 12), total(b["liquidation_count"], 12)
    net = total(longs, 12) - total(shorts, 12)
    score = np.where(deviation(hour, 288) == 0, 0, zscore(hour, 288))
    return {
        "liquidation_vol_1h": hour,
        "long_liq_vol_1h": total(longs, 12),
        "short_liq_vol_1h": total(shorts, 12),
        "net_liquidation": net,
        "liquidation_count_1h": count,
        "avg_liq_size": ratio(hour, count),
        "max_liq_size_1h": talib.MAX(b["max_liquidation"], 12),
        "liq_imbalance_1h": np.where(hour == 0, 0, ratio(net, hour)),
        "liquidation_vol_24h": total(longs + shorts, 288),
        "liq_to_volume_1h": ratio(hour, total(b["quote_volume"], 12)),
        "liq_to_oi_1h": ratio(hour, b["open_interest_value"]),
        "liq_zscore_24h": score,
        "liq_spike": np.where(np.isnan(score), np.nan, score > 3),
    }


def ratios_and_books(b: Bars) -> Features:
    """Long/short ratios and order books."""
    everyone, top = b["ls_ratio"], b["top_ratio"]
    depth = b["book_depth_bid_20"] + b["book_depth_ask_20"]
    kept = ("book_spread_bps", "book_microprice_premium", "book_imbalance_5", "book_imbalance_20")
    return {
        "ls_ratio_current": everyone,
        "ls_ratio_change_1h": change(everyone, 12),
        "ls_ratio_change_4h": change(everyone, 48),
        "ls_ratio_zscore": zscore(everyone, 288),
        "ls_ratio_percentile": percentile(everyone, b["time"], hour=HOUR),
        "ls_top_trader_ratio": top,
        "ls_top_vs_global": top / everyone - 1,
        **{name: b[name] for name in (*kept, "book_depth_bid_20", "book_depth_ask_20")},
        "book_imbalance_change_12": b["book_imbalance_20"] - lag(b["book_imbalance_20"], 12),
        "book_depth_zscore_288": zscore(depth, 288),
        "book_depth_to_turnover": ratio(depth, mean(b["quote_volume"], 288)),
    }


def calendar(b: Bars) -> Features:
    """Time of the close, and the age of the sources."""
    now = b["now"]
    minute = now // MINUTE % 1440
    weekday = (now // DAY + 3) % 7  # 1970 began on a Thursday; Monday is 0
    day_angle, week_angle = 2 * np.pi * minute / 1440, 2 * np.pi * (weekday * 1440 + minute) / 10080
    filled = np.zeros(len(now))
    return {
        "hour_sin": np.sin(day_angle),
        "hour_cos": np.cos(day_angle),
        "dow_sin": np.sin(week_angle),
        "dow_cos": np.cos(week_angle),
        "is_weekend": (weekday >= 5).astype(float),
        "session_asia": (minute < 480).astype(float),
        "session_europe": ((minute >= 420) & (minute < 960)).astype(float),
        "session_us": ((minute >= 780) & (minute < 1320)).astype(float),
        "oi_age_minutes": (now - b["oi_time"]) / MINUTE,
        "ls_age_minutes": (now - b["ls_time"]) / MINUTE,
        "is_filled": filled,
        "filled_bars_288": np.where(np.arange(len(now)) >= 287, 0.0, np.nan),
    }
