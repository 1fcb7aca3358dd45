"""The aligned bars: one row per symbol and 5-minute bar, every source as of the bar's close.

Readings of the definition where its words leave room (see also `grid`, `sources`, `books`)
------------------------------------------------------------------------------------------
- A filled bar is flat at the close of the row before it. When that row is a hole of ours its close is
  unknown, so the filled bar's prices are missing too; its volumes and trades are 0 and is_filled is 1.
- Coverage by `stream` alone answers for nothing: a bar without a kline is then a hole of ours.
"""

import numpy as np
import pandas as pd

from .books import order_book
from .grid import build_grid, merge_coverage
from .raw import BAR, Raw, instants, micros, table, tables
from .sources import (
    BarsOfListing,
    Clock,
    Columns,
    funding,
    liquidations,
    long_short_ratios,
    marks,
    open_interest,
)

PRICES = ("open", "high", "low", "close")
AMOUNTS = ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
ANSWERING = frozenset({"rest", "archive"})


def _klines(raw: Raw, symbol: str) -> pd.DataFrame:
    rows = table(raw, "ohlcv")
    rows = rows[(rows["symbol"] == symbol) & (rows["timeframe"] == "5m")]
    return rows.set_index(micros(rows["time"]))[[*PRICES, *AMOUNTS]]


def _values(raw: Raw, bars: BarsOfListing, segment: np.ndarray) -> Columns:
    """Take the klines of a listing, fill what the exchange did not have, leave the rest missing."""
    klines = _klines(raw, bars.symbol)
    present = np.isin(bars.time, klines.index.to_numpy())
    values = klines.reindex(bars.time)
    answered = merge_coverage(raw, "ohlcv:5m", bars.symbol, sources=ANSWERING)
    filled = ~present & (answered.covered(bars.time, bars.available_at) == BAR)
    prices = values[list(PRICES)].to_numpy(copy=True)
    for row in np.flatnonzero(filled):
        if row > 0 and segment[row] == segment[row - 1]:
            prices[row] = prices[row - 1, PRICES.index("close")]
    out: Columns = {"is_filled": np.where(filled, 1.0, np.where(present, 0.0, np.nan))}
    out |= {name: prices[:, i] for i, name in enumerate(PRICES)}
    out |= {name: np.where(filled, 0.0, values[name].to_numpy()) for name in AMOUNTS}
    return out


def align_bars(raw: Raw, *, now: pd.Timestamp | None = None, clock: Clock | None = None) -> pd.DataFrame:
    """Align every source on the grid of bars.

    Parameters
    ----------
    raw : raw tables as frames (see `raw.COLUMNS`); tables that are absent count as empty
    now : the exchange's clock; klines not closed by then are left out
    clock : lags and limits; None takes those of the definition

    Returns
    -------
    frame ordered by symbol and time, a RangeIndex; measures float64 with NaN for NULL, times UTC:
    symbol, time, available_at, segment_start, owns_from and owns_to (microseconds: which source rows the
    listing owns), is_filled, the kline's values, and the columns of `sources` and `books`
    """
    raw, clock = tables(raw), clock or Clock()
    grid = build_grid(raw, now=now)
    parts = []
    for (symbol, owns_from), rows in grid.groupby(["symbol", "owns_from"], sort=True):
        time = rows["time"].to_numpy()
        bars = BarsOfListing(symbol, owns_from, rows["owns_to"].iloc[0], time, time + BAR)
        columns: Columns = {
            "available_at": instants(bars.available_at),
            **_values(raw, bars, rows["segment_start"].to_numpy()),
        }
        for source in (open_interest, funding, long_short_ratios, marks, liquidations, order_book):
            columns |= source(raw, bars, clock)
        fresh = rows.reset_index(drop=True)
        fresh["time"] = instants(time)
        fresh["segment_start"] = instants(rows["segment_start"].to_numpy())
        parts.append(pd.concat([fresh, pd.DataFrame(columns)], axis=1))
    return pd.concat(parts, ignore_index=True)
