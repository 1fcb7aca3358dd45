"""Tables of the simulator in the shape of the raw tables: named tuples and frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from collectors.rows import (
    FundingRate,
    Kline,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    OrderBookSnapshot,
    Row,
)
from simulator.noise import Ints
from simulator.table import Table

_BAR_MS = 300_000
_BOOK_SIDES = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")


def to_rows(kind: str, symbol: str, table: Table, *, ratio_type: str = "", period: str = "5m") -> list[Row]:
    """Return a table's rows as the named tuples of the raw tables; NaN becomes None."""
    make = _MAKERS.get(kind)
    if make is None:
        raise ValueError(f"{kind!r} has no raw table")
    return list(make(symbol, table, ratio_type, period))


def to_frame(
    kind: str, symbol: str, table: Table, *, ratio_type: str = "", period: str = "5m"
) -> pd.DataFrame:
    """Return a table as a frame with the raw table's columns; times are UTC, unknown measures NaN."""
    columns: dict[str, Any] = {"symbol": symbol}
    if kind == "ohlcv":
        columns["timeframe"] = period
    if kind in ("open_interest", "long_short_ratio"):
        columns["period"] = period
    if kind == "long_short_ratio":
        columns["ratio_type"] = ratio_type
    if kind == "funding_rate":
        columns["funding_time"] = _index(table.time // 60_000 * 60_000)
        columns["funding_time_raw"] = _index(table.time)
    else:
        columns["time"] = _index(table.time + (_BAR_MS if kind.endswith("price_klines") else 0))
    measures = dict(table.columns)
    if kind in ("mark_price_klines", "index_price_klines"):
        measures = {"mark_price": measures["mark_price"], "index_price": measures["index_price"]}
    for name, values in measures.items():
        if name in _BOOK_SIDES:
            columns[name] = list(values.tolist())
        elif name in ("event_time", "next_funding_time"):
            columns[name] = _index(values)
        else:
            columns[name] = values
    return pd.DataFrame(columns, index=pd.RangeIndex(len(table)))


def _klines(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type
    names = (
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
    for time, *values in zip(_times(table.time), *_lists(table, names), strict=True):
        opened, high, low, close, volume, quote, trades, base, taker = values
        count = None if trades is None else int(trades)
        yield Kline(symbol, period, time, opened, high, low, close, volume, quote, count, base, taker)


def _mark_klines(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type, period
    for time, mark, index in zip(
        _times(table.time + _BAR_MS), *_lists(table, ("mark_price", "index_price")), strict=True
    ):
        yield MarkPrice(symbol, time, mark, index)


def _marks(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type, period
    names = ("mark_price", "index_price", "predicted_funding_rate")
    following = _times(table.columns["next_funding_time"])
    for time, next_time, mark, index, rate in zip(
        _times(table.time), following, *_lists(table, names), strict=True
    ):
        yield MarkPrice(symbol, time, mark, index, rate, next_time)


def _interest(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type
    names = ("open_interest", "open_interest_value")
    for time, interest, value in zip(_times(table.time), *_lists(table, names), strict=True):
        yield OpenInterest(symbol, period, time, interest, value)


def _ratios(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    names = ("long_short_ratio", "long_account", "short_account")
    for time, *values in zip(_times(table.time), *_lists(table, names), strict=True):
        yield LongShortRatio(symbol, period, ratio_type, time, *values)


def _funding(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type, period
    floors = _times(table.time // 60_000 * 60_000)
    names = ("funding_rate", "mark_price")
    for floor, raw, rate, mark in zip(floors, _times(table.time), *_lists(table, names), strict=True):
        yield FundingRate(symbol, floor, raw, rate, mark)


def _liquidations(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type, period
    unknown: list[datetime | None] = [None] * len(table)
    events = _times(table.columns["event_time"]) if "event_time" in table.columns else unknown
    names = (
        "side",
        "price",
        "quantity",
        "original_price",
        "original_quantity",
        "order_type",
        "time_in_force",
        "status",
    )
    for time, event, *values in zip(_times(table.time), events, *_lists(table, names), strict=True):
        yield Liquidation(symbol, time, **dict(zip(names, values, strict=True)), event_time=event)


def _books(symbol: str, table: Table, ratio_type: str, period: str) -> Iterator[Row]:
    del ratio_type, period
    sides = [table.columns[name].tolist() for name in _BOOK_SIDES]
    updates = table.columns["last_update_id"].tolist()
    for time, update, *side in zip(_times(table.time), updates, *sides, strict=True):
        yield OrderBookSnapshot(
            symbol, time, **dict(zip(_BOOK_SIDES, side, strict=True)), last_update_id=update
        )


_Maker = Callable[[str, Table, str, str], Iterable[Row]]
_MAKERS: dict[str, _Maker] = {
    "ohlcv": _klines,
    "mark_price_klines": _mark_klines,
    "index_price_klines": _mark_klines,
    "mark_price": _marks,
    "open_interest": _interest,
    "long_short_ratio": _ratios,
    "funding_rate": _funding,
    "liquidations": _liquidations,
    "order_book": _books,
}


def _index(stamps: Ints) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(stamps, unit="ms", utc=True))


def _times(stamps: Ints) -> list[datetime]:
    return list(_index(stamps).to_pydatetime())


def _lists(table: Table, names: tuple[str, ...]) -> list[list[Any]]:
    """Return columns as lists with None for the unknown."""
    lists = []
    for name in names:
        column = table.columns[name]
        values = column.tolist()
        if column.dtype.kind == "f" and bool(np.isnan(column).any()):
            values = [None if value != value else value for value in values]
        lists.append(values)
    return lists
