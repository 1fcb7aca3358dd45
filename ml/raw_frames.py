"""Copying frames of raw rows into raw tables that are nobody else's."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from collectors.symbols import canonical_symbol, exchange_symbol
from ml.bar_frame import finite_floats, require, zoned_times
from ml.errors import FrameError
from ml.scratch_mart import RAW_TABLES
from perpmart.database import Connection
from perpmart.errors import PerpmartError

_NUMBERS = {"double precision": "float64", "bigint": "Int64"}
_ROWS_AT_ONCE = 50_000


def load_raw(connection: Connection, frames: Mapping[str, pd.DataFrame]) -> None:
    """Fill raw tables from frames.

    Parameters
    ----------
    connection : Connection
        With the (empty) raw tables first in the path.
    frames : mapping of table to pandas.DataFrame
        Tables of `RAW_TABLES` with their columns. What a caller need not say: ``source``; ``timeframe`` and
        ``period`` (5m); ``slot`` and ``funding_time_raw``; all of an instrument but symbol and valid_from.

    Raises
    ------
    FrameError
        Naming table, row and column of what raw does not take.
    """
    unknown = sorted(set(frames) - set(RAW_TABLES))
    if unknown:
        raise FrameError(f"no raw table {unknown[0]}: there are {', '.join(RAW_TABLES)}")
    for table, frame in frames.items():
        try:
            copy_frame(connection, table, _completed(table, frame))
        except FrameError as error:
            raise FrameError(f"{table}: {error}") from None
    for table in RAW_TABLES:
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))


def copy_frame(connection: Connection, table: str, frame: pd.DataFrame) -> None:
    """Copy a frame's columns into the table's columns of the same names; further columns are left out.

    Raises
    ------
    FrameError
        Naming row and column of a value that the table does not take.
    """
    types = _column_types(connection, table)
    ready = pd.DataFrame({name: _typed(frame, name, types[name]) for name in frame.columns if name in types})
    statement = sql.SQL("copy {} ({}) from stdin (format csv)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, ready.columns))
    )
    try:
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
            for first in range(0, len(ready), _ROWS_AT_ONCE):
                text = io.StringIO()
                ready.iloc[first : first + _ROWS_AT_ONCE].to_csv(text, header=False, index=False)
                copy.write(text.getvalue())
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise FrameError(_explained(connection, table, error)) from None


def _column_types(connection: Connection, table: str) -> dict[str, str]:
    rows = connection.execute(
        "select attname, format_type(atttypid, null) from pg_attribute"
        " where attrelid = quote_ident(%s)::regclass and attnum > 0 and not attisdropped order by attnum",
        [table],
    )
    return dict(rows.fetchall())


def _typed(frame: pd.DataFrame, name: str, kind: str) -> pd.Series[Any]:
    if kind in _NUMBERS:
        numbers = finite_floats(frame, name)
        if kind == "bigint":
            whole = pd.Series(numbers).mod(1).fillna(0) == 0
            require(whole, name, "is no whole number", frame[name])
        return pd.Series(numbers).astype(_NUMBERS[kind])  # type: ignore[call-overload,no-any-return]
    if kind == "timestamp with time zone":
        # An explicit offset, as the session's time zone must not matter; symbols share their times.
        places, distinct = pd.factorize(zoned_times(frame, name))
        texts = pd.DatetimeIndex(distinct).strftime("%Y-%m-%d %H:%M:%S.%f+00").to_numpy(dtype=object)
        return pd.Series(texts).reindex(places).reset_index(drop=True)
    if kind.endswith("[]"):
        return frame[name].map(_array).reset_index(drop=True)
    return frame[name].reset_index(drop=True)


def _array(values: Iterable[float]) -> str:
    return "{" + ",".join(repr(float(value)) for value in values) + "}"


def _completed(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the other columns."""
    if "symbol" not in frame:
        raise FrameError("there is no column symbol")
    whole = frame.reset_index(drop=True)
    whole["symbol"] = _canonical(whole["symbol"])
    defaults: dict[str, Any] = {"source": "rest"}
    if table == "ohlcv":
        defaults["timeframe"] = "5m"
    if table in ("open_interest", "long_short_ratio"):
        defaults["period"] = "5m"
    if table == "funding_rate":
        stamps = zoned_times(whole, _named(whole, "funding_time"))
        defaults["funding_time_raw"] = stamps
        whole["funding_time"] = stamps.dt.floor("min")
    if table in ("order_book", "mark_price"):
        defaults["slot"] = zoned_times(whole, _named(whole, "time")).dt.floor("10s")
    if table == "instruments":
        defaults |= {"exchange_symbol": whole["symbol"].map(exchange_symbol), "multiplier": 1}
        defaults |= {"base": whole["symbol"].str.split("/").str[0], "quote": "USDT", "status": "TRADING"}
    whole = whole.assign(**{name: value for name, value in defaults.items() if name not in whole})
    if "slot" in whole:
        # Of a slot the newest stays, as in raw.
        whole = whole.sort_values("time", kind="stable").drop_duplicates(["symbol", "slot"], keep="last")
    return whole


def _named(frame: pd.DataFrame, name: str) -> str:
    if name not in frame:
        raise FrameError(f"there is no column {name}")
    return name


def _canonical(symbols: pd.Series[Any]) -> pd.Series[Any]:
    names: dict[Any, str] = {}
    for row, symbol in symbols.drop_duplicates().items():
        try:
            names[symbol] = symbol if symbol == "*" else canonical_symbol(symbol)
        except (PerpmartError, ValueError, TypeError, AttributeError) as error:
            raise FrameError(f"row {row}, column symbol: {error}") from None
    return symbols.map(names)


def _explained(connection: Connection, table: str, error: psycopg.Error) -> str:
    """Tell row, column and reason of what COPY refused; a constraint's comment is its reason."""
    line = re.search(r"line (\d+)", error.diag.context or "")
    row = f"row {int(line[1]) - 1}: " if line else ""
    column = f"column {error.diag.column_name}: " if error.diag.column_name else ""
    found = connection.execute(
        "select obj_description(oid, 'pg_constraint') from pg_constraint"
        " where conname = %s and conrelid = quote_ident(%s)::regclass",
        [error.diag.constraint_name, table],
    ).fetchone()
    reason = (found[0] if found else None) or error.diag.message_detail or error.diag.message_primary
    return f"{row}{column}{reason}"
