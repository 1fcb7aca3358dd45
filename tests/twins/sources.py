"""Each source as of a bar's close: who is known, which row is the newest, and how old it is.

Every function takes the bars of one listing (see `grid`) and gives columns of shape (bars,).

Readings of the definition where its words leave room
-----------------------------------------------------
- The newest row is the one with the greatest known_at; among equal ones the finest period wins, also where
  one of its two measures is unknown.
- Stale means strictly older than 24 h at the bar's close, by the row's own stamp.
- mark_price and index_price come from one row, the newest of (A - 60 s, A], whether or not both are given.
  next_funding_time and predicted_funding_rate come each from the newest row of (A - 10 min, A] that has it:
  rows made of klines carry neither.
- A bar is watched when the merged ranges of any source cover at least 295 s of [time, A); a bar that was not
  has no liquidation figures even when events are on file. In a watched bar without liquidations the
  largest is 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from .grid import merge_coverage
from .raw import BAR, DAY, MINUTE, SECOND, Micros, Raw, instants, micros, table

Columns = dict[str, np.ndarray | pd.Series]
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
MINUTES_OF = dict(zip(PERIODS, (5, 15, 30, 60, 120, 240, 360, 720, 1440), strict=True))


class Clock(NamedTuple):
    """Lags and limits of the definition, in microseconds."""

    statistics_lag: int = 5 * MINUTE
    funding_lag: int = MINUTE
    liquidation_lag: int = 2 * SECOND
    stale_after: int = DAY
    mark_window: int = MINUTE
    funding_mark_window: int = 10 * MINUTE
    book_age: int = MINUTE
    watched: int = 295 * SECOND


class BarsOfListing(NamedTuple):
    """The bars of one listing: opens and closes in microseconds, shape (bars,)."""

    symbol: str
    owns_from: int
    owns_to: int
    time: Micros
    available_at: Micros


def own_rows(raw: Raw, name: str, bars: BarsOfListing, *, stamp: str = "time") -> tuple[pd.DataFrame, Micros]:
    """Take the rows of one raw table that belong to a listing, with their stamps."""
    rows = table(raw, name)
    rows = rows[rows["symbol"] == bars.symbol]
    stamps = micros(rows[stamp])
    own = (stamps >= bars.owns_from) & (stamps < bars.owns_to)
    return rows[own].reset_index(drop=True), stamps[own]


def newest_known(known_at: Micros, available_at: Micros) -> Micros:
    """Give the position of the newest row with known_at <= A, -1 without one; known_at ascends."""
    return np.searchsorted(known_at, available_at, side="right") - 1


def take(values: np.ndarray, positions: Micros, usable: np.ndarray) -> np.ndarray:
    """Take values at positions, NaN where not usable."""
    if len(values) == 0:
        return np.full(len(positions), np.nan)
    return np.where(usable, values[np.maximum(positions, 0)], np.nan)


def age_minutes(stamps: Micros, positions: Micros, available_at: Micros) -> np.ndarray:
    """Give minutes from the stamp of the row in use to A."""
    if len(stamps) == 0:
        return np.full(len(positions), np.nan)
    age = (available_at - stamps[np.maximum(positions, 0)]) / MINUTE
    return np.where(positions >= 0, age, np.nan)


def _carried(
    rows: pd.DataFrame, stamps: Micros, known_at: Micros, bars: BarsOfListing, clock: Clock
) -> Callable[[str], np.ndarray]:
    """Carry the newest known row to each bar; the result looks up a column, NaN once stale."""
    coarseness = rows["period"].map(MINUTES_OF).to_numpy(dtype=np.int64)
    order = np.lexsort((-coarseness, known_at))  # the finest of equal ones comes last and wins
    rows, stamps, known_at = rows.iloc[order], stamps[order], known_at[order]
    positions = newest_known(known_at, bars.available_at)
    age = age_minutes(stamps, positions, bars.available_at)
    fresh = age * MINUTE <= clock.stale_after

    def look_up(column: str) -> np.ndarray:
        if column == "age":
            return age
        return take(rows[column].to_numpy(dtype=float), positions, fresh)

    return look_up


def open_interest(raw: Raw, bars: BarsOfListing, clock: Clock) -> Columns:
    """Carry open interest as of each close."""
    rows, stamps = own_rows(raw, "open_interest", bars)
    look_up = _carried(rows, stamps, stamps + clock.statistics_lag, bars, clock)
    return {
        "open_interest": look_up("open_interest"),
        "open_interest_value": look_up("open_interest_value"),
        "oi_age_minutes": look_up("age"),
    }


def long_short_ratios(raw: Raw, bars: BarsOfListing, clock: Clock) -> Columns:
    """Carry the four long/short ratios as of each close; the taker ratio is known after its period."""
    rows, stamps = own_rows(raw, "long_short_ratio", bars)
    names = {
        "long_short_ratio": "global_account",
        "top_account_ratio": "top_account",
        "top_position_ratio": "top_position",
        "taker_volume_ratio": "taker_volume",
    }
    out: Columns = {}
    for name, ratio_type in names.items():
        own = (rows["ratio_type"] == ratio_type).to_numpy()
        width = rows["period"][own].map(MINUTES_OF).to_numpy(dtype=np.int64) * MINUTE
        delay = clock.statistics_lag + (width if ratio_type == "taker_volume" else 0)
        look_up = _carried(rows[own], stamps[own], stamps[own] + delay, bars, clock)
        out[name] = look_up("long_short_ratio")
        if ratio_type == "global_account":
            out["ls_age_minutes"] = look_up("age")
    return out


def funding(raw: Raw, bars: BarsOfListing, clock: Clock) -> Columns:
    """Carry the rate of the last settlement known at each close."""
    rows, stamps = own_rows(raw, "funding_rate", bars, stamp="funding_time")
    rows = rows.assign(period="5m")  # one series: no period to choose by
    look_up = _carried(rows, stamps, stamps + clock.funding_lag, bars, clock)
    return {"funding_rate": look_up("funding_rate"), "funding_age_minutes": look_up("age")}


def marks(raw: Raw, bars: BarsOfListing, clock: Clock) -> Columns:
    """Take mark and index price, the predicted rate and the next settlement of each close."""
    rows, stamps = own_rows(raw, "mark_price", bars)
    order = np.argsort(stamps, kind="stable")
    rows, stamps = rows.iloc[order].reset_index(drop=True), stamps[order]
    rows["next_funding_time"] = micros(rows["next_funding_time"]).astype(float)
    rows.loc[rows["next_funding_time"] > 1e18, "next_funding_time"] = np.nan

    def newest(column: str, window: int, *, given: bool) -> np.ndarray:
        kept = rows[column].notna().to_numpy() if given else np.ones(len(rows), dtype=bool)
        own = stamps[kept]
        positions = newest_known(own, bars.available_at)
        age = age_minutes(own, positions, bars.available_at) * MINUTE
        return take(rows[column].to_numpy(dtype=float)[kept], positions, age < window)

    following = newest("next_funding_time", clock.funding_mark_window, given=True)
    return {
        "mark_price": newest("mark_price", clock.mark_window, given=False),
        "index_price": newest("index_price", clock.mark_window, given=False),
        "predicted_funding_rate": newest("predicted_funding_rate", clock.funding_mark_window, given=True),
        "next_funding_time": instants(np.where(np.isnan(following), 2**62, following).astype(np.int64)),
    }


def liquidations(raw: Raw, bars: BarsOfListing, clock: Clock) -> Columns:
    """Sum the liquidations of each watched bar, by known_at in [time, A); NaN where nobody listened."""
    rows, stamps = own_rows(raw, "liquidations", bars)
    known_at = stamps + clock.liquidation_lag
    slot = known_at // BAR * BAR
    notional = (rows["price"] * rows["quantity"]).to_numpy()
    side = rows["side"].to_numpy()
    every = frozenset({"rest", "stream", "archive"})
    ranges = merge_coverage(raw, "liquidations", bars.symbol, sources=every)
    watched = ranges.covered(bars.time, bars.available_at) >= clock.watched
    events = pd.DataFrame({"slot": slot, "notional": notional, "long": side == "SELL"})
    groups = dict(iter(events.groupby("slot")))
    figures = np.full((len(bars.time), 4), np.nan)
    for i in np.flatnonzero(watched):
        group = groups.get(bars.time[i])
        figures[i] = 0.0 if group is None else _summarise(group)
    names = ("long_liquidations", "short_liquidations", "liquidation_count", "max_liquidation")
    return {name: figures[:, i] for i, name in enumerate(names)}


def _summarise(events: pd.DataFrame) -> tuple[float, float, float, float]:
    longs = events["notional"][events["long"]]
    shorts = events["notional"][~events["long"]]
    return longs.sum(), shorts.sum(), float(len(events)), events["notional"].max()
