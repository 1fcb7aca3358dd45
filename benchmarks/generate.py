"""Raw tables full of a synthetic market, fast: binary COPY of numpy records, straight into the tables.

The collectors' writer checks, counts and merges every row; here the rows are known to be good and new. The
tables' own constraints and triggers still hold, so a build sees these changes like any others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from collectors.rows import Coverage
from collectors.writer import Writer
from perpmart.database import Connection
from simulator.market import RATIOS, Kind, Market, to_ms
from simulator.table import Table

KINDS: tuple[Kind, ...] = (
    *("ohlcv", "open_interest", "long_short_ratio", "funding_rate"),
    *("liquidations", "mark_price", "order_book"),
)
"""What is generated: books and mark prices once a bar."""

WITHOUT_BOOKS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "order_book")
"""What long and wide histories are made of: with books they would not fit."""

Array = NDArray[np.generic]
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_MS = 946_684_800_000
_FLOAT8_OID = 701
_CHUNK = 20_000
_STAMPS = ("event_time", "next_funding_time")


def fill(
    connection: Connection,
    market: Market,
    start: datetime,
    end: datetime,
    *,
    kinds: Sequence[Kind] = KINDS,
) -> int:
    """Write all rows of a market with a time in [start, end), and the coverage they prove; commits.

    Parameters
    ----------
    connection : psycopg.Connection
        To a migrated database, with raw in its search path.
    market : Market
        Without holes: every symbol trades in every bar.
    start, end : datetime
        UTC, on the grid of bars.
    kinds : sequence of str
        Which of `KINDS`.

    Returns
    -------
    int
        Rows written.
    """
    rows = 0
    for kind in kinds:
        for symbol in market.symbols:
            for labels, table in _tables(market, kind, symbol, to_ms(start), to_ms(end)):
                rows += copy_table(connection, kind, {"symbol": symbol, **labels, "source": "rest"}, table)
    covered = [
        Coverage(stream, symbol, start, end)
        for stream, kind in (("ohlcv:5m", "ohlcv"), ("liquidations", "liquidations"))
        for symbol in market.symbols
        if kind in kinds
    ]
    Writer(connection).write(market.instruments(at=end), source="rest", now=end, covered=covered)
    connection.commit()
    return rows


def copy_table(connection: Connection, kind: Kind, labels: Mapping[str, str], table: Table) -> int:
    """COPY a simulated table into its raw table.

    Parameters
    ----------
    labels : mapping
        Text columns that are the same in every row.
    """
    columns: dict[str, Array] = {**_times(kind, table), **table.columns}
    for words, rows in _by_words(columns):
        constant = {**labels, **words}
        names = [*constant, *(name for name in columns if name not in words)]
        with connection.cursor().copy(
            f"copy {kind} ({', '.join(names)}) from stdin (format binary)".encode()
        ) as copy:
            copy.write(_HEADER)
            for chunk in np.array_split(rows, max(1, len(rows) // _CHUNK)):
                values = {name: columns[name][chunk] for name in columns if name not in words}
                copy.write(records(constant, values).tobytes())
            copy.write(_TRAILER)
    return len(table)


def records(constant: Mapping[str, str], columns: Mapping[str, Array]) -> NDArray[np.void]:
    """Lay rows out as PostgreSQL's binary COPY has them: a count, then each field after its length.

    Parameters
    ----------
    constant : mapping
        Text fields, equal in all rows.
    columns : mapping of str to array, shape (n,) or (n, k)
        float64 or int64 fields, none of them unknown; two dimensions make arrays of float8.
    """
    words = {name: text.encode() for name, text in constant.items()}
    parts: list[tuple[str, object]] = [("fields", ">i2")]
    for name, text in words.items():
        parts += [(f"{name}.size", ">i4"), (name, f"S{len(text)}")]
    for name, values in columns.items():
        parts += [(f"{name}.size", ">i4"), (name, _type_of(values))]
    rows = np.zeros(len(next(iter(columns.values()))), dtype=parts)  # type: ignore[call-overload]
    rows["fields"] = len(words) + len(columns)
    for name, text in words.items():
        rows[f"{name}.size"], rows[name] = len(text), text
    for name, values in columns.items():
        rows[f"{name}.size"] = rows.dtype[name].itemsize
        if values.ndim == 1:
            rows[name] = values
        else:
            rows[name]["head"] = (1, 0, _FLOAT8_OID, values.shape[1], 1)
            rows[name]["items"]["size"] = 8
            rows[name]["items"]["value"] = values
    return rows


def _type_of(values: Array) -> object:
    if values.ndim == 2:
        item = [("size", ">i4"), ("value", ">f8")]
        return [("head", ">i4", (5,)), ("items", item, (values.shape[1],))]
    return ">f8" if values.dtype.kind == "f" else ">i8"


def _tables(
    market: Market, kind: Kind, symbol: str, start: int, end: int
) -> Iterator[tuple[dict[str, str], Table]]:
    if kind == "long_short_ratio":
        for ratio in RATIOS:
            table = market.table(kind, symbol, start_ms=start, end_ms=end, ratio_type=ratio)
            yield {"period": "5m", "ratio_type": ratio}, table.final()
        return
    width = {"ohlcv": {"timeframe": "5m"}, "open_interest": {"period": "5m"}}.get(kind, {})
    yield width, market.table(kind, symbol, start_ms=start, end_ms=end).final()


def _times(kind: Kind, table: Table) -> dict[str, Array]:
    """Give the time columns in microseconds since 2000, and hide the epoch ms of the others."""
    if kind == "funding_rate":
        return {
            "funding_time": _micros(table.time // 60_000 * 60_000),
            "funding_time_raw": _micros(table.time),
        }
    times = {"time": _micros(table.time)}
    if kind in ("mark_price", "order_book"):
        times["slot"] = _micros(table.time // 10_000 * 10_000)
    return times


def _micros(stamps: NDArray[np.int64]) -> Array:
    return (stamps - _POSTGRES_EPOCH_MS) * 1000


def _by_words(columns: dict[str, Array]) -> Iterator[tuple[dict[str, str], NDArray[np.int64]]]:
    """Group rows by their text columns, so that all fields of a group are equally long."""
    for name in _STAMPS:
        if name in columns:
            columns[name] = _micros(columns[name].astype(np.int64))
    texts = [name for name, values in columns.items() if values.dtype.kind == "O"]
    if not texts:
        yield {}, np.arange(len(next(iter(columns.values()))))
        return
    keys = np.array(list(zip(*(columns[name] for name in texts), strict=True)), dtype="U")
    for key in np.unique(keys, axis=0) if len(keys) else []:
        yield dict(zip(texts, map(str, key), strict=True)), np.flatnonzero((keys == key).all(axis=1))
