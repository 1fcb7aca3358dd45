"""The bars' columns and the query that gives them at any timeframe."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import psycopg
from psycopg import sql

from ml.copy_stream import float_fields
from ml.errors import MartMissingError
from ml.timerange import BASE_WIDTH, TimeRange
from perpmart.database import Connection

_FLOAT8 = 701
_TIMESTAMPTZ = 1184
_COUNTS = (20, 23)
_OF_THE_ROW = ("time", "available_at", "segment_start")

# How a 5m column becomes one of a longer bar. Any other is a source as of the bar's end: its last row's.
_FIRST = frozenset({"open"})
_HIGHEST = frozenset({"high", "max_liquidation"})
_LOWEST = frozenset({"low"})
_SUMMED = frozenset(
    [
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_base",
        "taker_buy_quote",
        "long_liquidations",
        "short_liquidations",
        "liquidation_count",
    ]
)


class BarColumns(NamedTuple):
    """Columns of ``bars.bars_5m``, in table order, without the keys."""

    floats: tuple[str, ...]
    times: tuple[str, ...]


def bar_columns(connection: Connection, *, schema_prefix: str = "") -> BarColumns:
    """Ask the database which columns the bars have.

    Raises
    ------
    MartMissingError
        The bars were never built in this database.
    """
    query = sql.SQL("select * from {} where false").format(sql.Identifier(f"{schema_prefix}bars", "bars_5m"))
    try:
        described = connection.execute(query).description or []
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise MartMissingError(
            f"schema {schema_prefix}bars holds no bars_5m: run `perpmart build` first"
        ) from None
    floats = tuple(c.name for c in described if c.type_code in (_FLOAT8, *_COUNTS))
    times = tuple(c.name for c in described if c.type_code == _TIMESTAMPTZ and c.name not in _OF_THE_ROW)
    return BarColumns(floats, times)


def bar_query(
    symbol: str, width: timedelta, span: TimeRange, columns: BarColumns, *, schema_prefix: str = ""
) -> sql.Composable:
    """SELECT of time, times, floats of one symbol's bars, oldest first, for `ml.copy_stream`."""
    table = sql.Identifier(f"{schema_prefix}bars", "bars_5m")
    keys = (sql.Literal(symbol), sql.Literal(span.start))
    if width == BASE_WIDTH:
        items = [
            sql.Identifier("time"),
            *map(_time_column, columns.times),
            *float_fields(columns.floats),
        ]
        return sql.SQL(
            "select {} from {} where symbol = {} and time >= {} and time < {} order by time"
        ).format(sql.SQL(", ").join(items), table, *keys, sql.Literal(span.end))
    inner = [_longer(name) for name in (*columns.times, *columns.floats)]
    outer = [sql.Identifier("time"), *map(_time_column, columns.times), *float_fields(columns.floats)]
    return sql.SQL(
        "select {outer} from (select date_bin({width}, time, '2000-01-01Z') as time, {inner} from {table}"
        " where symbol = {symbol} and time >= {start} and time < {end} group by 1"
        " having count(*) filter (where is_filled = 0) = {rows}) as longer where time < {last} order by time"
    ).format(
        outer=sql.SQL(", ").join(outer),
        inner=sql.SQL(", ").join(inner),
        table=table,
        symbol=keys[0],
        start=keys[1],
        end=sql.Literal(span.end + width),
        last=sql.Literal(span.end),
        rows=sql.Literal(width // BASE_WIDTH),
        width=sql.Literal(width),
    )


def _time_column(name: str) -> sql.Composable:
    """A time whose NULL arrives as -infinity, the type's smallest value."""
    return sql.SQL("coalesce({}, '-infinity')").format(sql.Identifier(name))


def _longer(name: str) -> sql.Composable:
    """The expression that makes a 5m column into one of a longer bar."""
    if name in _FIRST:
        template = "(array_agg({0} order by time))[1]"
    elif name in _HIGHEST:
        template = "case when count({0}) = count(*) then max({0}) end"
    elif name in _LOWEST:
        template = "case when count({0}) = count(*) then min({0}) end"
    elif name in _SUMMED:
        template = "case when count({0}) = count(*) then sum({0}) end"
    else:
        template = "(array_agg({0} order by time desc))[1]"
    return sql.SQL(template + " as {0}").format(sql.Identifier(name))
