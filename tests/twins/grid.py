"""The grid of 5-minute bars: which bars are rows, to which listing and segment they belong.

Readings of the definition where its words leave room
-----------------------------------------------------
- A source row belongs to the listing with the newest ``valid_from`` at or before its time; rows before the
  first ``valid_from`` of a symbol belong to its first listing; a symbol without instruments has one
  open listing. Nothing of one listing is ever carried into another.
- ``valid_to`` is exclusive: the last bar opens before it.
- "24 h after its last kline so far" is inclusive by open time: after a kline at t the bars up to t + 24 h
  are rows, 288 without a kline. A kline after exactly 288 missing bars goes on with the segment, after
  289 it begins the next one. Between the two there are no rows.
- "The newest closed kline of ANY symbol" is the last row, inclusive.
- Coverage of a bar means that the merged ranges of `rest` and `archive` (of the symbol or of ``*``) hold
  all of [time, time + 5 min).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from .raw import BAR, DAY, NEVER, Micros, Raw, micros, table


class Listing(NamedTuple):
    """A symbol's life under one `valid_from`; times in microseconds.

    Source rows in [owns_from, owns_to) are its own; its bars open before `valid_to`.
    """

    symbol: str
    owns_from: int
    owns_to: int
    valid_to: int


class Ranges(NamedTuple):
    """Disjoint half-open ranges [start, end) in ascending order, microseconds."""

    start: Micros
    end: Micros

    def seconds_before(self, times: Micros) -> np.ndarray:
        """Give the microseconds covered before each time, shape (times,)."""
        if len(self.start) == 0:
            return np.zeros(len(times), dtype=np.int64)
        done = np.concatenate([[0], np.cumsum(self.end - self.start)])
        at = np.searchsorted(self.start, times, side="right")
        last = np.maximum(at - 1, 0)
        inside = np.minimum(times, self.end[last]) - self.start[last]
        return np.where(at == 0, 0, done[last] + inside)

    def covered(self, start: Micros, end: Micros) -> np.ndarray:
        """Give the microseconds covered of each [start, end), shape (starts,)."""
        return np.asarray(self.seconds_before(end) - self.seconds_before(start))


def merge_coverage(raw: Raw, stream: str, symbol: str, *, sources: frozenset[str]) -> Ranges:
    """Merge the coverage of one stream and symbol (with that of ``*``) over the given sources."""
    rows = table(raw, "coverage")
    wanted = (rows["stream"] == stream) & rows["symbol"].isin([symbol, "*"]) & rows["source"].isin(sources)
    rows = rows[wanted]
    merged: list[list[int]] = []
    for start, end in sorted(zip(micros(rows["from_time"]), micros(rows["to_time"]), strict=True)):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    edges = np.array(merged, dtype=np.int64).reshape(-1, 2)
    return Ranges(edges[:, 0], edges[:, 1])


def listings(raw: Raw) -> list[Listing]:
    """List the listings of every symbol that has klines or instruments, by symbol and start."""
    instruments = table(raw, "instruments")
    symbols = sorted({*instruments["symbol"], *table(raw, "ohlcv")["symbol"]})
    found = []
    for symbol in symbols:
        rows = instruments[instruments["symbol"] == symbol].sort_values("valid_from")
        starts, ends = micros(rows["valid_from"]).tolist(), micros(rows["valid_to"]).tolist()
        if not starts:
            starts, ends = [-NEVER], [NEVER]
        bounds = [-NEVER, *starts[1:], NEVER]
        for i, end in enumerate(ends):
            found.append(Listing(symbol, int(bounds[i]), int(bounds[i + 1]), int(end)))
    return found


def walk(klines: list[int], *, end: int, newest: int) -> Iterator[tuple[int, int]]:
    """Yield (time, segment start) of every bar of one listing.

    Parameters
    ----------
    klines : opens of the listing's klines, ascending
    end : bars open before it (the listing's `valid_to`)
    newest : open of the newest kline of any symbol
    """
    have = set(klines)
    last = segment = time = klines[0]
    while time <= newest and time < end:
        if time in have:
            if time - last - BAR > DAY:
                segment = time
            last = time
        if time - last <= DAY:
            yield time, segment
        time += BAR


def build_grid(raw: Raw, *, now: pd.Timestamp | None = None) -> pd.DataFrame:
    """Lay out the rows of the bars.

    Parameters
    ----------
    raw : raw tables
    now : the exchange's clock; klines not closed by then are left out. None takes all as closed

    Returns
    -------
    frame with one row per symbol and bar: symbol, time, segment_start, owns_from, owns_to (times in
    microseconds), ordered by symbol and time
    """
    klines = table(raw, "ohlcv")
    klines = klines[klines["timeframe"] == "5m"]
    opens = micros(klines["time"])
    closed = opens + BAR <= (NEVER if now is None else micros(pd.Series([now]))[0])
    klines, opens = klines[closed], opens[closed]
    rows: list[tuple[str, int, int, int, int]] = []
    for listing in listings(raw):
        own = (
            (klines["symbol"] == listing.symbol).to_numpy()
            & (opens >= listing.owns_from)
            & (opens < min(listing.owns_to, listing.valid_to))
        )
        times = sorted(set(opens[own].tolist()))
        if times:
            for time, segment in walk(times, end=listing.valid_to, newest=int(opens.max())):
                rows.append((listing.symbol, time, segment, listing.owns_from, listing.owns_to))
    return pd.DataFrame(rows, columns=["symbol", "time", "segment_start", "owns_from", "owns_to"])
