"""Hold what a peer computed against the mart: the same rows, the same nulls, the same numbers.

Numbers are equal when |a - b| <= 1e-9 max(|a|, |b|, s). For bounded and ratio features s = 1; for the rest it
is the greatest addend of the value's window, which `addends` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import polars as pl
from numpy.typing import NDArray

from perpmart.errors import PerpmartError

TOLERANCE = 1e-9
LOOSE = 1e-6
"""Beyond this a peer's number is another number. Running sums of other tools lie between the two."""

Array = NDArray[np.float64]
_KEYS = ("symbol", "time", "available_at")
_RELATIVE = (
    *("vwap", "vwap_24h", "avg_trade_size", "amihud_20", "oi_value"),
    *("avg_liq_size", "max_liq_size_1h", "book_depth_bid_20", "book_depth_ask_20"),
)
_OI_RECURSIVE = ("ema_12", "ema_26", "macd", "macd_signal", "macd_hist")


class NotEqualError(PerpmartError):
    """A peer that does not give the mart's numbers."""


class Comparison(NamedTuple):
    """What a comparison found.

    Attributes
    ----------
    rows, features : what was compared
    values : numbers that are known on both sides
    loose : features beyond 1e-9 and their worst relative difference, the worst first
    missing : features of the mart that the peer does not compute
    """

    rows: int
    features: int
    values: int
    loose: Mapping[str, float]
    missing: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for the table."""
        said = f"{self.features - len(self.loose)} of {self.features} within 1e-9"
        if self.loose:
            name, worst = next(iter(self.loose.items()))
            said += f", worst {name} {worst:.0e}"
        return said


def read_frame(url: str, query: str) -> pl.DataFrame:
    """Read a query's result."""
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return pl.DataFrame(cursor.fetch_arrow_table())


def compare(url: str, relation: str) -> Comparison:
    """Compare all features that a table or view has with those of the mart, on all rows.

    Raises
    ------
    NotEqualError
        Other rows, a null against a number, or a number that is off by more than 1e-6.
    """
    mart = read_frame(url, "select * from mart.feature_mart").sort("symbol", "time")
    peer = read_frame(url, f"select * from {relation}").sort("symbol", "time")
    bars = read_frame(
        url,
        "select symbol, time, high, low, close, volume, taker_buy_base, open_interest, long_liquidations,"
        " short_liquidations from bars.bars_5m",
    )
    return compare_frames(mart, peer, bars.sort("symbol", "time"))


def compare_frames(mart: pl.DataFrame, peer: pl.DataFrame, bars: pl.DataFrame) -> Comparison:
    """Compare two frames whose rows are in order of symbol and time (see `compare`).

    Parameters
    ----------
    bars : rows as the mart's: what the features are sums of
    """
    if not mart.select("symbol", "time").equals(peer.select("symbol", "time")):
        raise NotEqualError(f"the peer has other rows: {peer.height:,} against {mart.height:,}")
    wanted = [name for name in mart.columns if name not in _KEYS]
    common = [name for name in wanted if name in peer.columns]
    scales, loose, values = addends(bars), {}, 0
    for name in common:
        ours, theirs = (_numbers(frame[name]) for frame in (mart, peer))
        apart = np.isnan(ours) != np.isnan(theirs)
        if apart.any():
            row = int(apart.argmax())
            place = f"{mart['symbol'][row]} at {mart['time'][row]}"
            raise NotEqualError(
                f"{name} is null on one side only, {apart.sum():,} times, first of {place}:"
                f" {ours[row]} in the mart, {theirs[row]} of the peer"
            )
        worst = worst_error(ours, theirs, scales.get(name, np.ones(1)))
        values += int((~np.isnan(ours)).sum())
        if worst > LOOSE:
            raise NotEqualError(f"{name} differs by {worst:.1e} at worst")
        if worst > TOLERANCE:
            loose[name] = worst
    ordered = dict(sorted(loose.items(), key=lambda item: -item[1]))
    return Comparison(
        mart.height, len(common), values, ordered, tuple(name for name in wanted if name not in common)
    )


def worst_error(ours: Array, theirs: Array, scale: Array) -> float:
    """Give the greatest |a - b| / max(|a|, |b|, s)."""
    distance = np.abs(ours - theirs)
    size = np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), scale)
    error = np.divide(distance, size, out=np.zeros_like(distance), where=distance > 0)
    return float(np.nanmax(error, initial=0.0))


def addends(bars: pl.DataFrame) -> dict[str, Array]:
    """Give s for the features that are not compared at s = 1, each of shape (rows,).

    Parameters
    ----------
    bars : ordered by symbol and time, one segment a symbol
    """
    close, volume, interest = pl.col("close"), pl.col("volume"), pl.col("open_interest")
    longs, shorts = pl.col("long_liquidations"), pl.col("short_liquidations")
    delta = (2 * pl.col("taker_buy_base") - volume).abs()
    before = close.shift(1)
    span = pl.max_horizontal(pl.col("high"), before) - pl.min_horizontal(pl.col("low"), before)
    reach = pl.when(before.is_not_null()).then(span)
    balance = (close.diff().sign() * volume).cum_sum().abs()
    middle = interest.rolling_mean(20)
    day = interest.rolling_max(20) - middle, middle - interest.rolling_min(20)
    scales = {
        **{f"sma_{n}": close.rolling_max(n) for n in (20, 50, 200)},
        **dict.fromkeys(("ema_12", "ema_26", "macd", "macd_signal", "macd_histogram"), close.cum_max()),
        **dict.fromkeys(("atr_14", "atr_14_1h"), reach.cum_max()),
        "volume_sma_20": volume.rolling_max(20),
        "cvd": delta.cum_max(),
        "cvd_24h": delta.rolling_max(288),
        "obv": volume.cum_max(),
        "obv_sma_20": pl.max_horizontal(balance.rolling_max(20), volume.cum_max()),
        "oi_sma_20": interest.rolling_max(20),
        "oi_sma_50": interest.rolling_max(50),
        **{
            f"oi_{name}": interest.cum_max()
            for name in ("ema_12", "ema_26", "macd", "macd_signal", "macd_hist")
        },
        "oi_std_20": pl.max_horizontal(*day),
        **dict.fromkeys(("oi_bb_upper", "oi_bb_lower"), interest.rolling_max(20)),
        "liquidation_vol_1h": (longs + shorts).rolling_max(12),
        "long_liq_vol_1h": longs.rolling_max(12),
        "short_liq_vol_1h": shorts.rolling_max(12),
        "net_liquidation": pl.max_horizontal(longs, shorts).rolling_max(12),
        "liquidation_vol_24h": (longs + shorts).rolling_max(288),
    }
    parts = [symbol.select(**scales) for symbol in bars.partition_by("symbol", maintain_order=True)]
    found = pl.concat(parts).fill_null(0.0)
    return {
        **{name: found[name].to_numpy() for name in scales},
        **{name: np.zeros(1) for name in _RELATIVE},
    }


def _numbers(column: pl.Series) -> Array:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
