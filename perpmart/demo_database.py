"""The demo's claim on a database: it never mixes its data with anybody's."""

from __future__ import annotations

from psycopg import sql

from perpmart.database import Connection, connect
from perpmart.errors import DatabaseError
from perpmart.hypertables import keep_in_chunks
from perpmart.migrations import LAYERS, migrate
from perpmart.settings import Settings

_MARK = "perpmart demo: "


def claim_database(settings: Settings, label: str) -> str:
    """Create the schema and mark it as the demo's; returns in a few words what was found.

    The mark is the comment of schema raw. It is set before the first row, so a demo that was killed is known
    as one.

    Parameters
    ----------
    label : str
        Which demo this is: data of an equally named one are kept and completed, of another one removed.

    Raises
    ------
    DatabaseError
        The database holds rows that no demo wrote.
    """
    prefix, mark = settings.schema_prefix, _MARK + label
    with connect(settings) as connection:
        found = _read_mark(connection, prefix)
        if found not in (None, mark):
            _drop_schemas(connection, prefix)
        migrate(connection, prefix)
        keep_in_chunks(connection, prefix)
        if found is None and _has_rows(connection, prefix):
            raise DatabaseError(
                "this database holds collected data, which the demo must not mix with: "
                "set PERPMART_SCHEMA_PREFIX=demo_ or another PERPMART_STATE_DIR or PERPMART_DATABASE_URL"
            )
        connection.execute(
            sql.SQL("comment on schema {} is {}").format(sql.Identifier(f"{prefix}raw"), sql.Literal(mark))
        )
        connection.commit()
    if found is None:
        return "new"
    return "an earlier run of this demo goes on" if found == mark else "another demo's data removed"


def _read_mark(connection: Connection, prefix: str) -> str | None:
    row = connection.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", [f"{prefix}raw"]
    ).fetchone()
    return row[0] if row and row[0] and row[0].startswith(_MARK) else None


def _has_rows(connection: Connection, prefix: str) -> bool:
    tables = ("ohlcv", "open_interest", "funding_rate", "liquidations", "long_short_ratio", "mark_price")
    exist = (
        sql.SQL("exists (select from {})").format(sql.Identifier(f"{prefix}raw", table)) for table in tables
    )
    row = connection.execute(sql.SQL("select {}").format(sql.SQL(" or ").join(exist))).fetchone()
    return bool(row and row[0])


def _drop_schemas(connection: Connection, prefix: str) -> None:
    for layer in (*LAYERS, "seeds", "failures"):
        query = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(prefix + layer))
        connection.execute(query)
    connection.commit()
