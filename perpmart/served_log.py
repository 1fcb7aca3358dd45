"""The log of served vectors, ``build.served``: written before a vector is sent, acknowledged after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import sql

from ml.feature_vector import VectorToPush
from ml.registry import FeatureSet
from ml.timerange import BASE_TIMEFRAME
from perpmart.database import Connection

_LOCK = "perpmart push"
_TYPES = {
    "symbol": "text",
    "timeframe": "text",
    "time": "timestamptz",
    "available_at": "timestamptz",
    "pushed_at": "timestamptz",
    "revision": "int4",
    "feature_set": "text",
    "unknown_sources": "text[]",
    "v": "float8[]",
    "cause": "text",
}
_COLUMNS = ", ".join(_TYPES)


def lock_served(connection: Connection, schema_prefix: str) -> None:
    """Wait for other runs until the transaction ends: they would give one revision to two contents."""
    connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK + schema_prefix])


def log_vectors(
    connection: Connection,
    schema_prefix: str,
    vectors: Sequence[VectorToPush],
    feature_set: FeatureSet,
    moment: datetime,
    cause: str,
) -> None:
    """Note what will be sent, and what its places mean; what is noted already stays. The caller commits."""
    if vectors:
        _note_set(connection, schema_prefix, feature_set)
    served = sql.Identifier(f"{schema_prefix}build", "served")
    columns = sql.SQL(_COLUMNS)
    connection.execute(
        sql.SQL("create temporary table if not exists to_serve (like {}) on commit delete rows").format(
            served
        )
    )
    query = sql.SQL("copy to_serve ({}) from stdin (format binary)").format(columns)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(list(_TYPES.values()))
        for one in vectors:
            copy.write_row(
                (
                    *(one.symbol, BASE_TIMEFRAME, one.time, one.available_at, moment, one.revision),
                    *(feature_set.hash, list(one.unknown_sources), one.values.tolist()),
                    cause if one.revision > 1 else "",
                )
            )
    connection.execute(
        sql.SQL("insert into {} ({}) select {} from to_serve on conflict do nothing").format(
            served, columns, columns
        )
    )


def _note_set(connection: Connection, schema_prefix: str, feature_set: FeatureSet) -> None:
    table = sql.Identifier(f"{schema_prefix}build", "served_sets")
    known = sql.SQL("select from {} where feature_set = %s").format(table)
    # Asked first: the names are 40 kB, and this is on the way of every bar.
    if connection.execute(known, [feature_set.hash]).fetchone() is None:
        connection.execute(
            sql.SQL("insert into {} (feature_set, features) values (%s, %s) on conflict do nothing").format(
                table
            ),
            [feature_set.hash, feature_set.to_json()],
        )


def acknowledge(
    connection: Connection, schema_prefix: str, vectors: Sequence[VectorToPush], taken: Sequence[bool]
) -> None:
    """Note which vectors the store took; forget those that it refused, as nobody can have read them."""
    served = sql.Identifier(f"{schema_prefix}build", "served")
    columns = [
        [vector.symbol for vector in vectors],
        [vector.time for vector in vectors],
        [vector.revision for vector in vectors],
        list(taken),
    ]
    given = sql.SQL(
        "unnest(%s::text[], %s::timestamptz[], %s::int[], %s::bool[]) as g (symbol, time, revision, taken)"
        " where s.symbol = g.symbol and s.time = g.time and s.revision = g.revision and s.timeframe = %s"
        " and s.acknowledged_at is null"
    )
    update = sql.SQL("update {} as s set acknowledged_at = clock_timestamp() from {} and g.taken")
    delete = sql.SQL("delete from {} as s using {} and not g.taken")
    with connection.transaction():
        for statement in (update, delete):
            connection.execute(statement.format(served, given), [*columns, BASE_TIMEFRAME])
    connection.commit()
