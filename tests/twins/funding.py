"""Funding features: over settlements, not over bars.

Readings of the definition where its words leave room
-----------------------------------------------------
- Windows over settlements follow known_at alone: a hole in the klines does not cut them, a reused ticker
  does.
- k counts as NULL unless it is exactly 1, 2, 4 or 8 hours, in every formula that uses it; the first
  settlement of a listing has none. Settlements without r8 are left out of zscore and percentile.
- Stale at A - 24 h (change_24h) means: older than 24 h at that instant.
- A stale settlement does not make NULL what comes from mark_price: minutes_to_funding from N, the interval
  from next_funding_time, the prediction.
- next_funding_time and predicted_funding_rate: the newest row of (A - 10 min, A] that has it (see `sources`).
- "The newest earlier next_funding_time <= A" is the greatest value below N that any row known at A carried.
- Where N <= S (nothing newer was announced yet) the interval is k of r8, as without N.
- premium_since_funding averages the rows of the segment; those before its start do not exist, none is NULL.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from .raw import DAY, HOUR, MINUTE, NEVER, Micros, Raw, micros, tables
from .sources import BarsOfListing, Clock, newest_known, own_rows, take
from .windows import Array, is_flat, ratio

INTERVALS = (1, 2, 4, 8)


class Settlements(NamedTuple):
    """The settlements of a listing, ascending; `hours` is k and `r8` the rate scaled to 8 h, or NaN."""

    stamp: Micros
    known_at: Micros
    rate: Array
    hours: Array
    r8: Array


def read_settlements(raw: Raw, bars: BarsOfListing, clock: Clock) -> Settlements:
    """Collect the settlements of a listing with the interval really in force before each."""
    rows, stamps = own_rows(raw, "funding_rate", bars, stamp="funding_time")
    order = np.argsort(stamps)
    stamps, rates = stamps[order], rows["funding_rate"].to_numpy()[order]
    hours = np.full(len(stamps), np.nan)
    hours[1:] = np.diff(stamps) / HOUR
    hours[~np.isin(hours, INTERVALS)] = np.nan
    return Settlements(stamps, stamps + clock.funding_lag, rates, hours, rates * (8 / hours))


def _cumulative(known: Settlements, bars: BarsOfListing, last: Micros, span: int) -> Array:
    out = np.full(len(last), np.nan)
    first = newest_known(known.known_at, bars.available_at - span) + 1
    for row in np.flatnonzero(first >= 1):
        window = known.rate[first[row] : last[row] + 1]
        out[row] = np.sum(window, dtype=np.longdouble)
    return out


def _standing(known: Settlements, bars: BarsOfListing, last: Micros) -> tuple[Array, Array]:
    """Give z-score and percentile of the last r8 among those of 30 days."""
    zscore, percentile = np.full((2, len(last)), np.nan)
    first = newest_known(known.known_at, bars.available_at - 30 * DAY) + 1
    for row in np.flatnonzero(last >= 0):
        current = known.r8[last[row]]
        window = known.r8[first[row] : last[row] + 1].astype(np.longdouble)
        window = window[~np.isnan(window)]
        if len(window) < 10 or np.isnan(current):
            continue
        percentile[row] = ((window < current).sum() + 0.5 * (window == current).sum()) / len(window)
        if not is_flat(window[None, :])[0]:
            zscore[row] = (current - window.mean()) / window.std(ddof=1)
    return zscore, percentile


def _rates(
    known: Settlements, bars: BarsOfListing, last: Micros, fresh: np.ndarray, clock: Clock
) -> Mapping[str, Array]:
    before = np.concatenate([[np.nan], known.r8[:-1]]) if len(known.r8) else known.r8
    r8 = take(known.r8, last, fresh)
    day_ago = newest_known(known.known_at, bars.available_at - DAY)
    fresh_then = _fresh(known.stamp, day_ago, bars.available_at - DAY, clock.stale_after)
    zscore, percentile = (np.where(fresh, x, np.nan) for x in _standing(known, bars, last))
    high = (percentile >= 0.95) & (r8 > 0.000101)
    low = (percentile <= 0.05) & (r8 < 0)
    return {
        "funding_rate_current": take(known.rate, last, fresh),
        "funding_rate_change": take(known.r8 - before, last, fresh),
        "funding_rate_change_24h": r8 - take(known.r8, day_ago, fresh_then),
        "cumulative_funding_24h": np.where(fresh, _cumulative(known, bars, last, DAY), np.nan),
        "cumulative_funding_7d": np.where(fresh, _cumulative(known, bars, last, 7 * DAY), np.nan),
        "funding_zscore": zscore,
        "funding_percentile": percentile,
        "funding_extreme_positive": np.where(np.isnan(percentile), np.nan, high),
        "funding_extreme_negative": np.where(np.isnan(percentile), np.nan, low),
        "funding_annualized": r8 * 3 * 365,
    }


def _fresh(stamps: Micros, positions: Micros, available_at: Micros, limit: int) -> np.ndarray:
    if len(stamps) == 0:
        return np.zeros(len(positions), dtype=bool)
    age = available_at - stamps[np.maximum(positions, 0)]
    return np.asarray((positions >= 0) & (age <= limit))


def _announced(raw: Raw, bars: BarsOfListing) -> list[tuple[int, int]]:
    """List every next_funding_time of a listing with the instant at which it was first known."""
    rows, stamps = own_rows(raw, "mark_price", bars)
    following = micros(rows["next_funding_time"])
    frame = pd.DataFrame({"seen": stamps, "following": following})[following != NEVER]
    return [(int(value), int(seen)) for value, seen in frame.groupby("following")["seen"].min().items()]


def _timing(
    raw: Raw, bars: BarsOfListing, known: Settlements, last: Micros, following: Micros, clock: Clock
) -> Mapping[str, Array]:
    minutes, interval = np.full((2, len(last)), np.nan)
    announced = _announced(raw, bars)
    fresh = _fresh(known.stamp, last, bars.available_at, clock.stale_after)
    hours = take(known.hours, last, fresh)
    for row, now in enumerate(bars.available_at):
        settled = int(known.stamp[last[row]]) if last[row] >= 0 else -int(NEVER)
        following_known = following[row] != NEVER
        if following_known and following[row] > now:
            minutes[row] = (following[row] - now) / MINUTE
        elif not np.isnan(hours[row]):
            period = int(hours[row]) * HOUR
            minutes[row] = (settled + period * ((now - settled) // period + 1) - now) / MINUTE
        interval[row] = hours[row]
        if not following_known:
            continue
        earlier = [t for t, seen in announced if seen <= now and t <= now and t < following[row]]
        since = max([settled, *earlier])
        if -NEVER < since < following[row]:
            span = (following[row] - since) / HOUR
            interval[row] = span if span in INTERVALS else np.nan
    return {"minutes_to_funding": minutes, "funding_interval_hours": interval}


def _premium_since(rows: pd.DataFrame, settled: Micros, usable: np.ndarray) -> Array:
    times, segment = micros(rows["time"]), micros(rows["segment_start"])
    premium = (ratio(rows["close"].to_numpy(), rows["index_price"].to_numpy()) - 1).astype(np.longdouble)
    out = np.full(len(rows), np.nan)
    for row in np.flatnonzero(usable):
        first = np.searchsorted(times, max(settled[row], segment[row]))
        if first <= row:
            out[row] = premium[first : row + 1].mean()  # NaN when one is NaN
    return out


def _of_listing(raw: Raw, rows: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    times = micros(rows["time"])
    first = rows.iloc[0]
    bars = BarsOfListing(
        first["symbol"], first["owns_from"], first["owns_to"], times, micros(rows["available_at"])
    )
    known = read_settlements(raw, bars, clock)
    last = newest_known(known.known_at, bars.available_at)
    fresh = _fresh(known.stamp, last, bars.available_at, clock.stale_after)
    settled = take(known.stamp.astype(float), last, last >= 0)
    columns = dict(_rates(known, bars, last, fresh, clock))
    columns |= _timing(raw, bars, known, last, micros(rows["next_funding_time"]), clock)
    predicted = rows["predicted_funding_rate"].to_numpy() * (8 / columns["funding_interval_hours"])
    close, mark = rows["close"].to_numpy(), rows["mark_price"].to_numpy()
    columns |= {
        "predicted_funding_8h": predicted,
        "premium_since_funding": _premium_since(rows, np.where(fresh, settled, 0).astype(np.int64), fresh),
        "mark_premium": ratio(close, mark) - 1,
        "mark_index_premium": ratio(mark, rows["index_price"].to_numpy()) - 1,
    }
    return pd.DataFrame(columns, index=pd.MultiIndex.from_frame(rows[["symbol", "time"]]), dtype=float)


def features(bars: pd.DataFrame, raw: Raw, *, clock: Clock | None = None) -> pd.DataFrame:
    """Compute the funding group from bars, raw settlements and raw mark prices (see `price.features`)."""
    raw = tables(raw)
    listings = bars.groupby(["symbol", "owns_from"], sort=True)
    return pd.concat([_of_listing(raw, rows, clock or Clock()) for _, rows in listings])
