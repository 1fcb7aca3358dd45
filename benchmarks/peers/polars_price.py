"""Price and volume features in polars: expressions over the bars of one symbol."""

from __future__ import annotations

import math

import polars as pl

from benchmarks.peers.polars_windows import change, ema, ratio, rsi, true_range, wilder, zscore

OPEN, HIGH, LOW, CLOSE, VOLUME = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
QUOTE, TAKER, TRADES = pl.col("quote_volume"), pl.col("taker_buy_base"), pl.col("trades")
Features = dict[str, pl.Expr]


def returns() -> Features:
    """Returns and volatility."""
    log_return = (CLOSE / CLOSE.shift(1)).log()
    log_range, log_body = (HIGH / LOW).log(), (CLOSE / OPEN).log()
    garman_klass = 0.5 * log_range**2 - (2 * math.log(2) - 1) * log_body**2
    return {
        **{f"return_{n}": change(CLOSE, n) for n in (1, 5, 20, 100, 288)},
        "log_return_1": log_return,
        "log_return_5": (CLOSE / CLOSE.shift(5)).log(),
        "realized_vol_20": log_return.rolling_std(20),
        "realized_vol_288": log_return.rolling_std(288),
        "vol_ratio_20_288": ratio(log_return.rolling_std(20), log_return.rolling_std(288)),
        "parkinson_vol_20": ((log_range**2).rolling_mean(20) / (4 * math.log(2))).sqrt(),
        "garman_klass_vol_20": garman_klass.rolling_mean(20).sqrt(),
        "return_autocorr_50": pl.rolling_corr(log_return, log_return.shift(1), window_size=50),
        "return_skew_288": log_return.rolling_skew(288, bias=True),
    }


def trend() -> Features:
    """Averages."""
    sma = {n: CLOSE.rolling_mean(n) for n in (20, 50, 200)}
    macd = pl.col("macd")
    return {
        **{f"sma_{n}": average for n, average in sma.items()},
        "ema_12": ema(CLOSE, 12),
        "ema_26": ema(CLOSE, 26),
        **{f"price_vs_sma{n}": CLOSE / average - 1 for n, average in sma.items()},
        "sma_20_slope_5": change(sma[20], 5),
        "price_zscore_50": zscore(CLOSE, 50),
        "macd": macd,
        "macd_signal": ema(macd, 9),
        "macd_histogram": macd - ema(macd, 9),
    }


def prepare(bars: pl.DataFrame) -> pl.DataFrame:
    """Add what several recursions read: nested in one expression each would be computed many times."""
    up, down = HIGH.diff(), -LOW.diff()
    moved = bars.with_columns(
        gain=pl.when(up.is_not_null()).then(pl.max_horizontal(CLOSE.diff(), 0.0)),
        loss=pl.when(up.is_not_null()).then(pl.max_horizontal(-CLOSE.diff(), 0.0)),
        true_range=true_range(HIGH, LOW, CLOSE),
        plus=pl.when(up.is_not_null()).then(pl.when((up > down) & (up > 0)).then(up).otherwise(0.0)),
        minus=pl.when(up.is_not_null()).then(pl.when((down > up) & (down > 0)).then(down).otherwise(0.0)),
        macd=ema(CLOSE, 12) - ema(CLOSE, 26),
        oi_macd=ema(pl.col("open_interest"), 12) - ema(pl.col("open_interest"), 26),
    )
    reach, plus, minus = (wilder(pl.col(name), 14) for name in ("true_range", "plus", "minus"))
    smoothed = moved.with_columns(atr_14=reach, plus=plus, minus=minus)
    directed = smoothed.with_columns(
        plus_di_14=100 * ratio(pl.col("plus"), pl.col("atr_14")),
        minus_di_14=100 * ratio(pl.col("minus"), pl.col("atr_14")),
    )
    both = pl.col("plus_di_14") + pl.col("minus_di_14")
    apart = (pl.col("plus_di_14") - pl.col("minus_di_14")).abs()
    return directed.with_columns(dx=pl.when(both == 0).then(0.0).otherwise(100 * apart / both))


def momentum() -> Features:
    """Oscillators, bands and directional movement."""
    bottom, top = LOW.rolling_min(14), HIGH.rolling_max(14)
    stochastic = 100 * ratio(CLOSE - bottom, top - bottom)
    middle, spread = CLOSE.rolling_mean(20), 2 * CLOSE.rolling_std(20, ddof=0)
    return {
        "rsi_14": rsi(pl.col("gain"), pl.col("loss"), 14),
        "rsi_50": rsi(pl.col("gain"), pl.col("loss"), 50),
        "stoch_k_14": stochastic,
        "stoch_d_3": stochastic.rolling_mean(3),
        "atr_14": pl.col("atr_14"),
        "natr": 100 * pl.col("atr_14") / CLOSE,
        "bb_width": 2 * spread / middle,
        "bb_position": ratio(CLOSE - (middle - spread), 2 * spread),
        "plus_di_14": pl.col("plus_di_14"),
        "minus_di_14": pl.col("minus_di_14"),
        "adx": wilder(pl.col("dx"), 14),
    }


def structure() -> Features:
    """Ranges and candles."""
    top, bottom = HIGH.rolling_max(20), LOW.rolling_min(20)
    rising = (top > top.shift(20)) & (bottom > bottom.shift(20))
    falling = (top < top.shift(20)) & (bottom < bottom.shift(20))
    trend = pl.when(rising).then(1.0).when(falling).then(-1.0).otherwise(0.0)
    day_top, day_bottom = HIGH.rolling_max(288), LOW.rolling_min(288)
    return {
        "market_structure": pl.when(top.shift(20).is_not_null()).then(trend),
        "donchian_position_288": ratio(CLOSE - day_bottom, day_top - day_bottom),
        "drawdown_288": CLOSE / CLOSE.rolling_max(288) - 1,
        "efficiency_ratio_20": ratio((CLOSE - CLOSE.shift(20)).abs(), CLOSE.diff().abs().rolling_sum(20)),
        "body_ratio": ratio(CLOSE - OPEN, HIGH - LOW),
        "upper_wick_ratio": ratio(HIGH - pl.max_horizontal(OPEN, CLOSE), HIGH - LOW),
        "lower_wick_ratio": ratio(pl.min_horizontal(OPEN, CLOSE) - LOW, HIGH - LOW),
    }


def activity() -> Features:
    """Volume: how much."""
    same_time = pl.sum_horizontal(VOLUME.shift(288 * day) for day in range(1, 8)) / 7
    impact = change(CLOSE, 1).abs() / pl.when(QUOTE > 0).then(QUOTE)
    return {
        "volume_change": change(VOLUME, 1),
        "volume_sma_20": VOLUME.rolling_mean(20),
        "volume_ratio": ratio(VOLUME, VOLUME.rolling_mean(20)),
        "volume_roc": change(VOLUME, 10),
        "volume_zscore_288": zscore(VOLUME, 288),
        "volume_tod_ratio_7d": pl.when(VOLUME.shift(2016).is_not_null()).then(ratio(VOLUME, same_time)),
        "avg_trade_size": ratio(QUOTE, TRADES),
        "trades_zscore_288": zscore(TRADES, 288),
        "amihud_20": pl.when(CLOSE.shift(20).is_not_null()).then(impact.rolling_mean(20, min_samples=1)),
    }


def flow() -> Features:
    """Volume: in which direction, and at what price."""
    delta = 2 * TAKER - VOLUME
    obv = (CLOSE.diff().sign().fill_null(0) * VOLUME).cum_sum()
    flow_volume = (
        pl.when(HIGH == LOW).then(0.0).otherwise(VOLUME * ((CLOSE - LOW) - (HIGH - CLOSE)) / (HIGH - LOW))
    )
    # polars multiplies by the reciprocal of a constant, which breaks ties that a true division keeps.
    typical = (HIGH + LOW + CLOSE).map_batches(lambda price: pl.Series(price.to_numpy() / 3), pl.Float64)
    known = typical.shift(1).is_not_null()
    gained = pl.when(known).then(pl.when(typical > typical.shift(1)).then(typical * VOLUME).otherwise(0.0))
    lost = pl.when(known).then(pl.when(typical < typical.shift(1)).then(typical * VOLUME).otherwise(0.0))
    positive, negative = gained.rolling_sum(14), lost.rolling_sum(14)
    index = pl.when(negative == 0).then(pl.when(positive > 0).then(100.0).otherwise(50.0))
    day = pl.col("time").dt.truncate("1d")
    vwap = ratio(QUOTE.cum_sum().over(day), VOLUME.cum_sum().over(day))
    vwap_24h = ratio(QUOTE.rolling_sum(288), VOLUME.rolling_sum(288))
    return {
        "taker_buy_ratio": ratio(TAKER, VOLUME),
        "taker_imbalance_12": ratio(delta.rolling_sum(12), VOLUME.rolling_sum(12)),
        "taker_imbalance_288": ratio(delta.rolling_sum(288), VOLUME.rolling_sum(288)),
        "cvd": delta.cum_sum(),
        "cvd_24h": delta.rolling_sum(288),
        "price_volume_corr": pl.rolling_corr(CLOSE, VOLUME, window_size=20),
        "obv": obv,
        "obv_sma_20": obv.rolling_mean(20),
        "cmf": ratio(flow_volume.rolling_sum(20), VOLUME.rolling_sum(20)),
        "mfi": index.otherwise(100 - 100 / (1 + positive / negative)),
        "vwap": vwap,
        "price_vs_vwap": CLOSE / vwap - 1,
        "vwap_24h": vwap_24h,
        "price_vs_vwap_24h": CLOSE / vwap_24h - 1,
    }
