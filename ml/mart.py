"""The mart's symbols and rows: the queries that the loader stands on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg import sql

from collectors.symbols import canonical_symbol
from ml.copy_stream import float_fields
from ml.errors import MartMissingError, UnknownSymbolError
from ml.timerange import TimeRange
from perpmart.database import Connection

#: Stands for the symbols that the seed `universe` lists, each at its times.
UNIVERSE = "universe"


class Part(NamedTuple):
    """The rows of one symbol that a request asks for."""

    symbol: str
    range: TimeRange
    rows: int


def all_symbols(connection: Connection, *, schema_prefix: str = "") -> tuple[str, ...]:
    """Symbols that have bars, by an index skip scan (a DISTINCT would read every bar).

    Raises
    ------
    MartMissingError
        The bars were never built in this database.
    """
    query = sql.SQL(
        "with recursive listed as ((select symbol from {0} order by symbol limit 1) union all"
        " select (select b.symbol from {0} b where b.symbol > l.symbol order by b.symbol limit 1)"
        " from listed l where l.symbol is not null) select symbol from listed where symbol is not null"
    ).format(sql.Identifier(f"{schema_prefix}bars", "bars_5m"))
    try:
        with connection.transaction():
            return tuple(row[0] for row in connection.execute(query))
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise MartMissingError(
            f"schema {schema_prefix}bars holds no bars_5m: run `perpmart build` first"
        ) from None


def known_symbols(connection: Connection, symbols: Sequence[str], *, schema_prefix: str = "") -> list[str]:
    """Canonical names, sorted, after checking that each has bars.

    Raises
    ------
    UnknownSymbolError
        Not a symbol, or one without bars; the text lists those that have some.
    """
    have = all_symbols(connection, schema_prefix=schema_prefix)
    names = set()
    for symbol in symbols:
        try:
            name = canonical_symbol(symbol)
        except ValueError as error:
            raise UnknownSymbolError(str(error)) from None
        if name not in have:
            raise UnknownSymbolError(f"no bars of {symbol}: the mart has {', '.join(have) or 'none at all'}")
        names.add(name)
    return sorted(names)


def published_parts(
    connection: Connection, symbols: Sequence[str] | str | None, span: TimeRange, *, schema_prefix: str = ""
) -> list[Part]:
    """Rows of every symbol in the range, up to the newest bar published for it.

    Parameters
    ----------
    symbols : sequence of str, str or None
        None: every symbol that has bars; `UNIVERSE`: each while the seed lists it, a part a spell.
    """
    if symbols == UNIVERSE:
        spells = universe_spells(connection, span, schema_prefix=schema_prefix)
    elif symbols is None:
        spells = [(name, *span) for name in all_symbols(connection, schema_prefix=schema_prefix)]
    else:
        asked = [symbols] if isinstance(symbols, str) else list(symbols)
        spells = [(name, *span) for name in known_symbols(connection, asked, schema_prefix=schema_prefix)]
    query = sql.SQL(
        "select n.symbol, n.first, least(n.ended, p.time + interval '5 minutes'), count(b.time)"
        " from unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) as n (symbol, first, ended)"
        " join {} as p on p.symbol = n.symbol"
        " left join {} as b on b.symbol = n.symbol and b.time >= n.first and b.time < n.ended"
        " and b.time <= p.time group by 1, 2, 3 order by 1, 2"
    ).format(
        sql.Identifier(f"{schema_prefix}build", "published"),
        sql.Identifier(f"{schema_prefix}bars", "bars_5m"),
    )
    columns = [[spell[place] for spell in spells] for place in range(3)]
    rows = connection.execute(query, columns).fetchall()
    return [Part(symbol, TimeRange(first, end), count) for symbol, first, end, count in rows if count]


def universe_spells(
    connection: Connection, span: TimeRange, *, schema_prefix: str = ""
) -> list[tuple[str, datetime, datetime]]:
    """Symbol, begin and end of each spell in the universe that meets the range, cut to it.

    Raises
    ------
    MartMissingError
        The seed was never loaded in this database.
    """
    query = sql.SQL(
        "select symbol, greatest(valid_from, %s), least(coalesce(valid_to, 'infinity'), %s) from {}"
        " where valid_from < %s and coalesce(valid_to, 'infinity') > %s order by 1, 2"
    ).format(sql.Identifier(f"{schema_prefix}seeds", "universe"))
    try:
        with connection.transaction():
            return connection.execute(query, (*span, span.end, span.start)).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise MartMissingError(
            f"schema {schema_prefix}seeds holds no universe: run `perpmart build` first"
        ) from None


def readable_tables(
    connection: Connection, tables: Sequence[str], *, schema_prefix: str = ""
) -> frozenset[str]:
    """Feature tables that this session may read without the mart's views."""
    query = (
        "select c.relname from pg_class as c join pg_namespace as n on c.relnamespace = n.oid"
        " where n.nspname = %s and c.relname = any(%s)"
        " and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')"
    )
    rows = connection.execute(query, (f"{schema_prefix}features", list(tables)))
    return frozenset(row[0] for row in rows)


def feature_query(
    part: Part, features: Sequence[str], *, schema_prefix: str = "", table: str | None = None
) -> sql.Composable:
    """SELECT of time and the features of one part, oldest first, for `ml.copy_stream.copy_blocks`.

    Parameters
    ----------
    table : str, optional
        The feature table that holds them all; by default the view of all features is read.
    """
    return sql.SQL(
        "select time, {} from {} where symbol = {} and time >= {} and time < {} order by time"
    ).format(
        sql.SQL(", ").join(float_fields(features)),
        sql.Identifier(f"{schema_prefix}features", table)
        if table
        else sql.Identifier(f"{schema_prefix}mart", "feature_mart"),
        sql.Literal(part.symbol),
        sql.Literal(part.range.start),
        sql.Literal(part.range.end),
    )
