"""A mart of nothing but tables that nobody else ever sees: the models of the database over other data.

All of it happens in one transaction that is rolled back. An error, a kill or a lost connection leaves nothing
behind, and no row or lock of the real mart is touched.

The SQL of the models names the tables of the real mart. PostgreSQL itself points it at the scratch tables: it
reads a definition as it stands, prints it with every visible name unqualified (`pg_get_viewdef` leaves out
schemas that are in the search path), and reads the print again where only the scratch schema is in the path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from ml.errors import FrameError, MartMissingError, MlError
from perpmart.database import Connection
from perpmart.migrations import ENGINE_FILES, LAYERS, RAW_FILES

_MARKET = (
    *("ohlcv", "open_interest", "funding_rate", "liquidations"),
    *("long_short_ratio", "order_book", "mark_price"),
)
RAW_TABLES = (*_MARKET, "instruments", "coverage")
"""Tables that the models read, directly or through staging views."""


@dataclass(frozen=True)
class ScratchMart:
    """Raw tables, the models' tables and views, and the engine, in one schema that is first in the path.

    Names need no qualification. The universe is the one table that is not its own: it stays the database's.

    Attributes
    ----------
    connection : the connection on which it exists
    schema : name of its schema
    benchmark : symbol that the benchmark's features are about
    """

    connection: Connection
    schema: str
    benchmark: str

    def run(self, symbols: Sequence[str], *, bars_are_given: bool = False) -> None:
        """Compute the models over all rows, parents first.

        Parameters
        ----------
        symbols : symbols to compute; further ones that have klines are computed too
        bars_are_given : leave the table of bars as it was filled, and compute only what is made from it

        Raises
        ------
        FrameError
            A number that PostgreSQL cannot compute with.
        """
        models = self.connection.execute("select model, reach from models order by depth, model").fetchall()
        self.connection.execute("delete from pending")
        self.connection.execute(
            "insert into pending (model, symbol, from_time)"
            " select m.model, s.symbol, '-infinity' from models as m, unnest(%s::text[]) as s (symbol)",
            [list(symbols)],
        )
        for model, reach in models:
            if reach != "grid" or not bars_are_given:
                try:
                    self.connection.execute("select run_model(%s)", [model])
                except psycopg.DataError as error:
                    reason = error.diag.message_primary
                    raise FrameError(f"model {model} cannot compute the frame: {reason}") from None


@contextmanager
def scratch_mart(connection: Connection, *, schema_prefix: str = "") -> Iterator[ScratchMart]:
    """Open a scratch mart with the models of this database; all of it is gone when the block ends.

    Inside an open transaction of the connection, only what the block did is rolled back.

    Raises
    ------
    MartMissingError
        dbt has not built the models in this database.
    """
    schema = f"{schema_prefix}frame_{uuid4().hex[:12]}"
    with connection.transaction(force_rollback=True):
        _require_models(connection, schema_prefix)
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        _set_path(connection, [schema, "public"])
        for file in _schema_files():
            connection.execute(file.read_bytes())
        _copy_models(connection, schema, schema_prefix)
        row = connection.execute("select max(benchmark) from models").fetchone()
        yield ScratchMart(connection, schema, str(row[0]) if row else "")


def _require_models(connection: Connection, prefix: str) -> None:
    query = sql.SQL("select count(*), count(compiled_sql) from {}").format(
        sql.Identifier(f"{prefix}build", "models")
    )
    try:
        with connection.transaction():
            row = connection.execute(query).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        row = (0, 0)
    if row is None or not row[0] or row[0] != row[1]:
        raise MartMissingError(
            f"the models in schema {prefix}build are not built: run `perpmart build` first"
        )


def _schema_files() -> Iterator[Path]:
    # Numbered files make the tables that the others' functions and triggers name.
    for folder in (RAW_FILES, ENGINE_FILES):
        yield from sorted(folder.glob("*.sql"), key=lambda path: (not path.name[0].isdigit(), path.name))


def _copy_models(connection: Connection, schema: str, prefix: str) -> None:
    """Make the models' tables and views in the scratch schema, and register their SQL there."""
    layers = [prefix + layer for layer in LAYERS]
    registered = sql.Identifier(f"{prefix}build", "models")
    # The relations' text is dbt's own, quoted: it goes through regclass, never into a statement.
    tables = connection.execute(
        sql.SQL(
            "select n.nspname, c.relname from {} as m join pg_class as c on c.oid = m.relation::regclass"
            " join pg_namespace as n on n.oid = c.relnamespace"
        ).format(registered)
    )
    for layer, table in tables.fetchall():
        copied = sql.SQL("create table {} (like {} including all)")
        connection.execute(copied.format(sql.Identifier(table), sql.Identifier(layer, table)))
    _copy_views(connection, schema, layers)
    models = connection.execute(
        sql.SQL("select model, compiled_sql from {} order by depth").format(registered)
    )
    register = sql.SQL(
        "insert into models (model, relation, reach, benchmark, grain, streams, parents, columns, depth,"
        " compiled_sql) select m.model, quote_ident({schema}) || '.' || quote_ident(c.relname), m.reach,"
        " m.benchmark, m.grain, m.streams, m.parents, m.columns, m.depth, %s"
        " from {models} as m join pg_class as c on c.oid = m.relation::regclass where m.model = %s"
    ).format(schema=sql.Literal(schema), models=registered)
    for model, compiled in models.fetchall():
        _set_path(connection, [f"{prefix}build", "public"])  # as dbt's session has it
        pointed = _pointed_here(connection, compiled, schema, layers)
        connection.execute(register, [pointed, model])


def _copy_views(connection: Connection, schema: str, layers: Sequence[str]) -> None:
    # A user's own views on the mart are none of ours.
    views = connection.execute(
        "select c.oid, c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
        " where c.relkind = 'v' and n.nspname = any(%s)"
        " and (c.relname like 'stg\\_%%' or c.relname like 'feat\\_%%' or c.relname = 'feature_mart')"
        " order by c.relname = 'feature_mart', c.relname",
        [list(layers)],
    )
    for oid, name in views.fetchall():
        definition = _unqualified(connection, oid, schema, layers)
        connection.execute(sql.SQL("create view {} as ").format(sql.Identifier(name)) + sql.SQL(definition))
        _require_own(connection, name, layers)


def _pointed_here(connection: Connection, compiled: str, schema: str, layers: Sequence[str]) -> str:
    """Give a model's SQL with our tables in place of the mart's."""
    probe = sql.Identifier(schema, "probe")
    drop = sql.SQL("drop view {}").format(probe)
    connection.execute(sql.SQL("create view {} as ").format(probe) + sql.SQL(compiled))
    pointed = _unqualified(connection, f"{schema}.probe", schema, layers)
    connection.execute(drop)
    connection.execute(sql.SQL("create view {} as ").format(probe) + sql.SQL(pointed))
    _require_own(connection, "probe", layers)
    connection.execute(drop)
    return pointed


def _unqualified(connection: Connection, view: int | str, schema: str, layers: Sequence[str]) -> str:
    """Print a view's definition without the names of the layers' schemas; then the path is ours again."""
    _set_path(connection, layers)
    row = connection.execute("select pg_get_viewdef(%s::regclass)", [view]).fetchone()
    _set_path(connection, [schema, "public"])
    return str(row[0]).rstrip().rstrip(";") if row else ""


def _require_own(connection: Connection, view: str, layers: Sequence[str]) -> None:
    """Raise unless every table and function that the view reads lies outside the real mart's schemas."""
    row = connection.execute(
        """
        select string_agg(distinct d.refobjid::text, ', ')
        from pg_depend as d
        join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        left join pg_class as c on d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
        left join pg_proc as p on d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid
        join pg_namespace as n on n.oid = coalesce(c.relnamespace, p.pronamespace)
        where r.ev_class = %s::regclass and n.nspname = any(%s)
        """,
        [view, list(layers)],
    ).fetchone()
    if row is not None and row[0] is not None:
        raise MlError(
            f"a model cannot be pointed at other tables: two of its schemas hold one name ({row[0]})"
        )


def _set_path(connection: Connection, schemas: Sequence[str]) -> None:
    connection.execute(
        sql.SQL("set local search_path = {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas)))
    )
