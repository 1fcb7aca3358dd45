"""Bars of a panel laid on a gapless grid, symbol by symbol: what every target is computed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import MlError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

#: Width of the base bars.
BAR = pd.Timedelta(minutes=5)

_NEEDED = ("open", "high", "low", "close", "is_filled")


class TargetError(MlError, ValueError):
    """Bars, horizon or volatility from which no target can be made."""


@dataclass(frozen=True, eq=False)
class SymbolGrid:
    """One symbol's bars, without a missing step.

    Parameters
    ----------
    symbol : str
        Which.
    start : numpy.datetime64
        Open of the first bar, UTC, in microseconds.
    width : numpy.timedelta64
        Width of a bar.
    open, high, low, close : numpy.ndarray
        Prices, shape (steps,); NaN where there is no bar.
    traded : numpy.ndarray
        Whether the bar is one that the exchange made: not filled, not unknown, not missing.
    rows : numpy.ndarray
        Place of each given bar on the grid, shape (bars,).
    last : int
        Place of the last bar before the delisting, -1 when the symbol was not delisted within the grid.
    """

    symbol: str
    start: np.datetime64
    width: np.timedelta64
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    traded: Flags
    rows: Places
    last: int

    def opens(self, places: Places) -> npt.NDArray[np.datetime64]:
        """Opens of the bars at some places."""
        return self.start + places * self.width


def panel_of(bars: pd.DataFrame) -> pd.DataFrame:
    """Bring bars to the index (symbol, time).

    Parameters
    ----------
    bars : pandas.DataFrame
        Either with that index, or one symbol as `MarketDataLoader.load_all_data` gives it (with a column
        ``timestamp``, and perhaps a column ``symbol``).

    Raises
    ------
    TargetError
        A column is missing, times are not UTC, or a bar is there twice.
    """
    if missing := [name for name in _NEEDED if name not in bars.columns]:
        raise TargetError(f"bars have no column {', '.join(missing)}")
    if "timestamp" in bars.columns:
        symbols = bars["symbol"] if "symbol" in bars.columns else pd.Series("", index=bars.index)
        bars = bars.set_index(
            pd.MultiIndex.from_arrays([symbols, bars["timestamp"]], names=["symbol", "time"])
        )
    if list(bars.index.names) != ["symbol", "time"]:
        raise TargetError("bars must have the index (symbol, time), or a column timestamp")
    times = bars.index.get_level_values("time")
    if not isinstance(times, pd.DatetimeIndex) or times.tz is None:
        raise TargetError("times of bars must be UTC, with a time zone")
    if bars.index.has_duplicates:
        raise TargetError("a bar is there twice")
    return bars.sort_index()


def grids(
    panel: pd.DataFrame, *, width: pd.Timedelta, delisted: Mapping[str, datetime] | None = None
) -> Iterator[tuple[slice, SymbolGrid]]:
    """Give each symbol's rows of the panel, and its grid.

    Raises
    ------
    TargetError
        A bar lies off the grid of the width.
    """
    symbols = panel.index.get_level_values("symbol").to_numpy()
    starts = np.flatnonzero(np.r_[len(panel) > 0, symbols[1:] != symbols[:-1]])
    for first, end in zip(starts, np.r_[starts[1:], len(panel)], strict=True):
        block = panel.iloc[first:end]
        symbol = str(block.index[0][0])
        times = pd.DatetimeIndex(block.index.get_level_values("time")).tz_convert("UTC").tz_localize(None)
        stamps = times.to_numpy().astype("datetime64[us]")
        step = np.timedelta64(width)
        rows, off = np.divmod(stamps - stamps[0], step.astype("timedelta64[us]"))
        if off.astype(np.int64).any():
            raise TargetError(f"{symbol}: bars are not on a grid of {width}")
        ended = (delisted or {}).get(symbol)
        steps = int(rows[-1]) + 1
        last = -1
        if ended is not None:
            until = pd.Timestamp(ended).tz_convert("UTC").tz_localize(None).to_datetime64()
            whole = int((until.astype("datetime64[us]") - stamps[0]) // step.astype("timedelta64[us]"))
            last = whole - 1 if whole <= steps else -1
        columns = {name: _spread(block[name].to_numpy(dtype=np.float64), rows, steps) for name in _NEEDED}
        filled = columns.pop("is_filled")
        yield (
            slice(int(first), int(end)),
            SymbolGrid(
                symbol=symbol,
                start=stamps[0],
                width=step.astype("timedelta64[us]"),
                **columns,
                traded=(filled == 0) & np.isfinite(columns["open"]) & np.isfinite(columns["close"]),
                rows=rows.astype(np.int64),
                last=last,
            ),
        )


def _spread(values: Floats, rows: Places, steps: int) -> Floats:
    whole = np.full(steps, np.nan)
    whole[rows] = values
    return whole


def row_values(values: pd.Series | float | None, panel: pd.DataFrame, what: str) -> Floats:
    """One number a row of the panel, from a number or a series with the panel's index.

    Raises
    ------
    TargetError
        The series lacks rows of the panel.
    """
    if values is None:
        raise TargetError(f"{what} is needed: a series indexed by (symbol, time), or a number")
    if isinstance(values, pd.Series):
        aligned = values
        if list(values.index.names) != ["symbol", "time"]:
            raise TargetError(f"{what} must be indexed by (symbol, time)")
        if not panel.index.isin(values.index).all():
            raise TargetError(f"{what} lacks rows of the bars")
        return aligned.reindex(panel.index).to_numpy(dtype=np.float64)
    return np.full(len(panel), float(values))
