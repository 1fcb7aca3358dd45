"""Features of open interest, funding, liquidations, ratios, books and the calendar in polars."""

from __future__ import annotations

import math

import polars as pl

from benchmarks.peers.polars_price import CLOSE, QUOTE, VOLUME, Features
from benchmarks.peers.polars_windows import change, ema, hourly_percentile, ratio, zscore

OI, OI_VALUE, TIME, NOW = (
    pl.col(name) for name in ("open_interest", "open_interest_value", "time", "available_at")
)


def open_interest() -> Features:
    """Open interest."""
    price = OI_VALUE / OI
    velocity = change(OI, 12)
    middle, spread = OI.rolling_mean(20), 2 * OI.rolling_std(20, ddof=0)
    macd = pl.col("oi_macd")

    def move(n: int) -> pl.Expr:
        moved = change(price, n)
        return pl.when(moved.abs() < 1e-12).then(0.0).otherwise(moved)

    def divergence(n: int) -> pl.Expr:
        opened = change(OI, n) / (change(OI, 1).rolling_std(n) * math.sqrt(n))
        return opened - move(n) / (move(1).rolling_std(n) * math.sqrt(n))

    before, moved = OI.shift(12), move(12)
    up, rose = before < OI, moved > 0
    quarter = pl.when(rose & up).then(1.0).when(rose).then(4.0).when(up).then(2.0).otherwise(3.0)
    still = pl.when((before == OI) | (moved == 0)).then(0.0).otherwise(quarter)
    return {
        "oi_value": OI_VALUE,
        **{f"oi_change_{n}": change(OI, n) for n in (1, 5, 20)},
        "oi_velocity_1h": velocity,
        "oi_velocity_4h": change(OI, 48) / 4,
        "oi_velocity_24h": change(OI, 288) / 24,
        "oi_acceleration_1h": velocity - velocity.shift(12),
        "oi_sma_20": middle,
        "oi_sma_50": OI.rolling_mean(50),
        "oi_ema_12": ema(OI, 12),
        "oi_ema_26": ema(OI, 26),
        "oi_macd": macd,
        "oi_macd_signal": ema(macd, 9),
        "oi_macd_hist": macd - ema(macd, 9),
        "oi_std_20": OI.rolling_std(20),
        "oi_bb_upper": middle + spread,
        "oi_bb_lower": middle - spread,
        "oi_bb_position": ratio(OI - (middle - spread), 2 * spread),
        "oi_zscore": zscore(OI, 288),
        "oi_percentile": hourly_percentile(OI, TIME),
        "oi_price_divergence_20": divergence(20),
        "oi_price_divergence_50": divergence(50),
        "oi_price_corr_50": pl.rolling_corr(change(OI, 1), move(1), window_size=50),
        "oi_opening_share_12": ratio(OI - before, VOLUME.rolling_sum(12).shift(1)),
        "oi_quadrant": pl.when(moved.is_not_null()).then(still),
        "oi_volume_ratio": ratio(OI, VOLUME.rolling_sum(288)),
        "oi_volume_divergence": zscore(OI, 288) - zscore(VOLUME, 288),
    }


def funding() -> Features:
    """Funding, from the statistics of `polars_bars.settlements`."""
    rate, r8, hours, settled = (pl.col(name) for name in ("funding_rate", "r8", "interval", "funding_time"))
    percentile = pl.when(pl.col("r8_count") >= 10).then(pl.col("below") / pl.col("r8_count"))
    varied = (pl.col("r8_count") >= 10) & ~pl.col("is_flat")
    following, earlier = pl.col("next_funding_time"), pl.col("earlier_funding_time")
    since = pl.max_horizontal(settled, pl.when((earlier <= NOW) & (earlier < following)).then(earlier))
    span = (following - since).dt.total_seconds() / 3600
    announced = pl.when(span > 0).then(pl.when(span.is_in([1.0, 2.0, 4.0, 8.0])).then(span)).otherwise(hours)
    elapsed = (NOW - settled).dt.total_minutes()
    premium = CLOSE / pl.col("index_price") - 1

    def known_since(days: int) -> pl.Expr:
        return pl.col("first_known") <= NOW - pl.duration(days=days)

    return {
        "funding_rate_current": rate,
        "funding_rate_change": r8 - pl.col("r8_before"),
        "funding_rate_change_24h": r8 - r8.shift(288),
        "cumulative_funding_24h": pl.when(known_since(1)).then(pl.col("sum_1d")),
        "cumulative_funding_7d": pl.when(known_since(7)).then(pl.col("sum_7d")),
        "funding_zscore": pl.when(varied).then((r8 - pl.col("r8_mean")) / pl.col("r8_std")),
        "funding_percentile": percentile,
        "funding_extreme_positive": _flag(percentile, (percentile >= 0.95) & (r8 > 0.000101)),
        "funding_extreme_negative": _flag(percentile, (percentile <= 0.05) & (r8 < 0)),
        "funding_annualized": r8 * 3 * 365,
        "minutes_to_funding": pl.when(following > NOW)
        .then((following - NOW).dt.total_minutes().cast(pl.Float64))
        .otherwise(hours * 60 * (elapsed // (hours * 60) + 1) - elapsed),
        "funding_interval_hours": announced,
        "predicted_funding_8h": pl.col("predicted_funding_rate") * (8 / announced),
        "premium_since_funding": pl.when(settled.is_not_null()).then(
            (premium.cum_sum() / premium.cum_count()).over(settled)
        ),
        "mark_premium": CLOSE / pl.col("mark_price") - 1,
        "mark_index_premium": pl.col("mark_price") / pl.col("index_price") - 1,
        "funding_age_minutes": elapsed.cast(pl.Float64),
    }


def _flag(known: pl.Expr, condition: pl.Expr) -> pl.Expr:
    return pl.when(known.is_not_null()).then(condition.cast(pl.Float64))


def _hour_of(amounts: pl.Expr) -> pl.Expr:
    """Sum an hour; what remains of a running sum in an hour without any is rounding."""
    return pl.when(amounts.rolling_max(12) == 0).then(0.0).otherwise(amounts.rolling_sum(12))


def liquidations() -> Features:
    """Liquidations."""
    longs, shorts = pl.col("long_liquidations"), pl.col("short_liquidations")
    hour, count = _hour_of(longs + shorts), pl.col("liquidation_count").rolling_sum(12)
    net = _hour_of(longs) - _hour_of(shorts)
    score = pl.when(hour.rolling_std(288) == 0).then(0.0).otherwise(zscore(hour, 288))
    return {
        "liquidation_vol_1h": hour,
        "long_liq_vol_1h": _hour_of(longs),
        "short_liq_vol_1h": _hour_of(shorts),
        "net_liquidation": net,
        "liquidation_count_1h": count,
        "avg_liq_size": ratio(hour, count),
        "max_liq_size_1h": pl.col("max_liquidation").rolling_max(12),
        "liq_imbalance_1h": pl.when(hour == 0).then(0.0).otherwise(net / hour),
        "liquidation_vol_24h": (longs + shorts).rolling_sum(288),
        "liq_to_volume_1h": ratio(hour, QUOTE.rolling_sum(12)),
        "liq_to_oi_1h": ratio(hour, OI_VALUE),
        "liq_zscore_24h": score,
        "liq_spike": (score > 3).cast(pl.Float64),
    }


def ratios_and_books() -> Features:
    """Long/short ratios and order books."""
    everyone, top = pl.col("ls_ratio"), pl.col("top_ratio")
    depth = pl.col("book_depth_bid_20") + pl.col("book_depth_ask_20")
    imbalance = pl.col("book_imbalance_20")
    books = ("book_spread_bps", "book_microprice_premium", "book_imbalance_5", "book_imbalance_20")
    return {
        "ls_ratio_current": everyone,
        "ls_ratio_change_1h": change(everyone, 12),
        "ls_ratio_change_4h": change(everyone, 48),
        "ls_ratio_zscore": zscore(everyone, 288),
        "ls_ratio_percentile": hourly_percentile(everyone, TIME),
        "ls_top_trader_ratio": top,
        "ls_top_vs_global": top / everyone - 1,
        **{name: pl.col(name) for name in (*books, "book_depth_bid_20", "book_depth_ask_20")},
        "book_imbalance_change_12": imbalance - imbalance.shift(12),
        "book_depth_zscore_288": zscore(depth, 288),
        "book_depth_to_turnover": ratio(depth, QUOTE.rolling_mean(288)),
    }


def calendar() -> Features:
    """Time of the close, and the age of the sources."""
    minute, weekday = NOW.dt.hour().cast(pl.Int32) * 60 + NOW.dt.minute(), NOW.dt.weekday().cast(pl.Int32)
    day_angle = 2 * math.pi * minute / 1440
    week_angle = 2 * math.pi * ((weekday - 1) * 1440 + minute) / 10080
    return {
        "hour_sin": day_angle.sin(),
        "hour_cos": day_angle.cos(),
        "dow_sin": week_angle.sin(),
        "dow_cos": week_angle.cos(),
        "is_weekend": (weekday >= 6).cast(pl.Float64),
        "session_asia": (minute < 480).cast(pl.Float64),
        "session_europe": ((minute >= 420) & (minute < 960)).cast(pl.Float64),
        "session_us": ((minute >= 780) & (minute < 1320)).cast(pl.Float64),
        "oi_age_minutes": (NOW - pl.col("oi_time")).dt.total_minutes().cast(pl.Float64),
        "ls_age_minutes": (NOW - pl.col("ls_ratio_time")).dt.total_minutes().cast(pl.Float64),
        "is_filled": pl.lit(0.0),
        "filled_bars_288": pl.when(CLOSE.shift(287).is_not_null()).then(0.0),
    }
