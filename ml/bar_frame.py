"""A caller's frame of bars, checked and brought into the shape of ``bars.bars_5m``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from collectors.symbols import canonical_symbol
from ml.bars import BarColumns
from ml.errors import FrameError
from ml.timerange import BASE_WIDTH
from perpmart.errors import PerpmartError

UNNAMED = "FRAME/USDT"
"""Symbol of a frame that names none."""

_PRICES = frozenset({"open", "high", "low", "close", "mark_price", "index_price"})
_LONGEST_HOLE = pd.Timedelta(hours=24)
_WIDTH = pd.Timedelta(BASE_WIDTH)


@dataclass(frozen=True)
class BarFrame:
    """Bars on their grid.

    Attributes
    ----------
    bars : every bar of the grid, sorted by symbol and time: symbol, time, available_at, segment_start and the
        columns of the bars that the frame has
    place : row of `bars` of each of the caller's rows
    given : the columns of the bars that the frame has
    """

    bars: pd.DataFrame
    place: npt.NDArray[np.intp]
    given: frozenset[str]


def bar_frame(frame: pd.DataFrame, columns: BarColumns, *, symbol: str | None = None) -> BarFrame:
    """Check a frame of 5m bars and lay it on the grid.

    A bar that is missing within 24 hours of a kline is put in as a hole of ours: windows see that a row is
    unknown instead of closing over it. After a longer hole a new segment begins. Without `is_filled`, a row
    is a kline when its close is known.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``timestamp`` or ``time`` (the bar's open, with a zone; else the index), optionally ``symbol`` and
        ``available_at``, and any columns of the bars. NaN means unknown. Other columns are left alone.
    columns : BarColumns
        Columns of the bars in the database.
    symbol : str, optional
        Symbol of a frame that has no such column.

    Raises
    ------
    FrameError
        Naming row (counted from 0) and column of what is wrong: a naive or missing time, one off the
        five-minute grid, a row twice or out of order, a value that is infinite, negative or no number.
    """
    if frame.empty:
        raise FrameError("the frame has no row")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise FrameError(f"column {repeated[0]} is there twice")
    taken = pd.DataFrame({"symbol": _symbols(frame, symbol), "time": _opens(frame)})
    _require_order(taken)
    _require_width(frame, taken["time"])
    floats = [name for name in columns.floats if name in frame]
    times = [name for name in columns.times if name in frame]
    measures: dict[str, Any] = {name: _measures(frame, name) for name in floats}
    measures |= {name: zoned_times(frame, name).array for name in times}
    order = taken.sort_values(["symbol", "time"], kind="stable").index.to_numpy()
    bars = taken.assign(**measures).iloc[order].reset_index(drop=True)
    if "is_filled" not in bars:
        known = bars["close"].notna() if "close" in bars else pd.Series(False, index=bars.index)
        bars["is_filled"] = np.where(known, 0.0, np.nan)
    gridded = pd.concat(list(_grids(bars)), ignore_index=True)
    gridded["available_at"] = gridded["time"] + _WIDTH
    origin = gridded.pop("origin").to_numpy()
    place = np.empty(len(frame), dtype=np.intp)
    place[order] = np.flatnonzero(origin >= 0)
    return BarFrame(gridded, place, frozenset([*floats, *times]))


def finite_floats(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """Column as float64; raises FrameError where it is infinite or no number."""
    column = frame[name]
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind not in "biufO":
        raise FrameError(f"column {name} holds {column.dtype}, not numbers")
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    require(numbers.notna() | column.isna(), name, "is not a number", column)
    require(~np.isinf(numbers.to_numpy()), name, "is not finite", column)
    return np.asarray(numbers, dtype=np.float64)


def _measures(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    values = finite_floats(frame, name)
    if name in _PRICES:
        require(~(values <= 0), name, "is not positive", frame[name])
    elif not name.endswith("_rate"):
        require(~(values < 0), name, "is negative", frame[name])
    return values


def zoned_times(frame: pd.DataFrame, name: str) -> pd.Series[pd.Timestamp]:
    """Column of times in UTC, to the microsecond; raises FrameError where it has no zone."""
    return _in_utc(frame[name], f"column {name}")


def require(
    good: pd.Series[bool] | npt.NDArray[np.bool_], column: str, fault: str, values: pd.Series[Any]
) -> None:
    """Raise FrameError naming the first row that is not good."""
    bad = np.flatnonzero(~np.asarray(good, dtype=bool))
    if len(bad):
        raise FrameError(f"row {bad[0]}, column {column}: {values.iloc[bad[0]]} {fault}")


def _in_utc(times: pd.Series[Any], name: str) -> pd.Series[pd.Timestamp]:
    if times.isna().all() and times.dtype == object:
        times = pd.Series(pd.NaT, index=times.index, dtype="datetime64[us, UTC]")
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        utc: pd.Series[pd.Timestamp] = times.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
        return utc
    if times.dtype.kind == "M":
        raise FrameError(f"row 0, {name}: {times.iloc[0]} has no time zone; UTC is tz_localize('UTC')")
    raise FrameError(f"{name} holds {times.dtype}, not times with a zone")


def _opens(frame: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    name = next((name for name in ("timestamp", "time") if name in frame), None)
    if name is None and not isinstance(frame.index, pd.DatetimeIndex):
        raise FrameError("the frame has no column timestamp (or time), and its index holds no times")
    source = frame[name] if name else frame.index.to_series()
    label = name or "index"
    opens = _in_utc(source, f"column {label}" if name else "the index").reset_index(drop=True)
    require(opens.notna(), label, "is not a time", opens)
    require(opens.dt.floor(BASE_WIDTH) == opens, label, "is off the five-minute grid", opens)
    return opens


def _symbols(frame: pd.DataFrame, symbol: str | None) -> npt.NDArray[Any]:
    if "symbol" not in frame:
        return np.full(len(frame), UNNAMED if symbol is None else _canonical(symbol, "symbol"), dtype=object)
    if symbol is not None:
        raise FrameError("the frame has a column symbol: a further symbol is not understood")
    column = frame["symbol"].reset_index(drop=True)
    require(
        column.map(lambda value: isinstance(value, str) and value != ""), "symbol", "is no symbol", column
    )
    rows = column.drop_duplicates()
    names = {value: _canonical(value, f"row {row}, column symbol") for row, value in rows.items()}
    return column.map(names).to_numpy()


def _canonical(symbol: str, place: str) -> str:
    try:
        return canonical_symbol(symbol)
    except (PerpmartError, ValueError) as error:
        raise FrameError(f"{place}: {error}") from None


def _require_order(taken: pd.DataFrame) -> None:
    opens = taken["time"]
    before = opens.groupby(taken["symbol"]).shift()
    require(opens != before, "time", "is there twice", opens)
    require(before.isna() | (opens > before), "time", "comes after a later bar: sort the frame", opens)


def _require_width(frame: pd.DataFrame, opens: pd.Series[pd.Timestamp]) -> None:
    if "available_at" in frame:
        known = zoned_times(frame, "available_at").reset_index(drop=True)
        fault = f"is not the open + {_WIDTH.seconds // 60} minutes: features are made from 5m bars"
        require(known == opens + _WIDTH, "available_at", fault, known)


def _grids(bars: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Lay each symbol's bars on its grid; `origin` is the row of `bars`, -1 where a bar was put in."""
    for symbol, mine in bars.assign(origin=np.arange(len(bars))).groupby("symbol", sort=True):
        opens = mine["time"]
        klines = opens.where(mine["is_filled"] == 0)
        # As in the bars' model the distance of klines starts a segment; rows alone may lie apart too.
        kline_gap = klines - klines.ffill().shift()
        starts = (kline_gap > _LONGEST_HOLE + _WIDTH) | (opens - opens.shift() > _LONGEST_HOLE + _WIDTH)
        for _, stretch in mine.groupby(starts.cumsum()):
            whole = pd.date_range(stretch["time"].iloc[0], stretch["time"].iloc[-1], freq=_WIDTH, unit="us")
            if len(whole) > len(stretch):
                stretch = stretch.set_index("time").reindex(whole).rename_axis("time").reset_index()
                stretch["origin"] = stretch["origin"].fillna(-1).astype(np.int64)
            yield stretch.assign(symbol=symbol, segment_start=whole[0])


def settlements(bars: pd.DataFrame) -> pd.DataFrame:
    """Funding settlements that bars show, each with the instant from which a bar shows it.

    ``known_at`` lies after the close of the last bar that does not show the settlement yet, and never before
    the settlement itself. Columns: symbol, funding_time, funding_rate (NaN where no bar knows it), known_at.
    """
    tick = pd.Timedelta(microseconds=1)
    bars = bars.assign(close_before=bars.groupby("symbol")["available_at"].shift())
    shown = bars.dropna(subset="funding_time").assign(
        funding_rate=lambda rows: rows.groupby(["symbol", "funding_time"])["funding_rate"].transform("first")
    )
    first = shown.drop_duplicates(["symbol", "funding_time"])
    first = first.assign(just_after=first["funding_time"] + tick)
    before = first["close_before"]
    earliest = first[["available_at", "just_after"]].min(axis=1)
    known_at = earliest.where(before.isna() | (earliest > before), before + tick)
    return first.assign(known_at=known_at)[["symbol", "funding_time", "funding_rate", "known_at"]]


def klines(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars that are klines, in the columns of raw's table."""
    wanted = (
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_base",
        "taker_buy_quote",
    )
    mine = bars.loc[bars["is_filled"] == 0]
    return mine[["symbol", "time", *present(wanted, mine)]].assign(timeframe="5m", source="rest")


def present(names: Sequence[str], held: pd.DataFrame | Mapping[str, Any]) -> list[str]:
    """Those of the names that are held, in their order."""
    return [name for name in names if name in held]
