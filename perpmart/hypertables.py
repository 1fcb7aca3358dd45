"""The raw tables as TimescaleDB's hypertables: chunks of time, compressed once they no longer change.

Every table is one transaction, and nothing is done twice: the next run completes an interrupted one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import psycopg
from psycopg import sql

from perpmart.database import tier
from perpmart.errors import DatabaseError
from perpmart.migrations import ENGINE_FILES

Connection: TypeAlias = psycopg.Connection[Any]
Progress: TypeAlias = Callable[[str, int, int], None]
"""Told before each table: its name, bytes moved so far and in all."""

COMPRESS_AFTER_DAYS = 7
"""Older rows hardly change: corrections come within minutes, files of the archive within two days."""

SHORTEST_RETENTION_DAYS = 45
"""Funding features count the settlements of 40 days: of fewer, they would be wrong and not say so."""

_logger = logging.getLogger(__name__)


class RawTable(NamedTuple):
    """How one raw table is cut and compressed.

    Attributes
    ----------
    name : the table
    time : column by which it is cut into chunks
    chunk_days : width of a chunk; a few hundred thousand rows for ten symbols
    segment_by : columns whose values a compressed batch shares: the key less the time
    """

    name: str
    time: str
    chunk_days: int
    segment_by: tuple[str, ...]


RAW_TABLES: tuple[RawTable, ...] = (
    RawTable("ohlcv", "time", 60, ("symbol", "timeframe")),
    RawTable("open_interest", "time", 60, ("symbol", "period")),
    RawTable("funding_rate", "funding_time", 360, ("symbol",)),
    RawTable("liquidations", "time", 30, ("symbol",)),
    RawTable("long_short_ratio", "time", 60, ("symbol", "ratio_type", "period")),
    RawTable("order_book", "slot", 5, ("symbol",)),
    RawTable("mark_price", "slot", 15, ("symbol",)),
)


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What the server does with old chunks; None leaves a table's present setting, 0 ends it.

    Attributes
    ----------
    compress_after : days after which a chunk is compressed; a new table gets `COMPRESS_AFTER_DAYS`
    retain : days after which a chunk is dropped; a new table keeps everything
    compress_features : days after which bars and features are compressed, of the tables that are built by now
    """

    compress_after: int | None = None
    retain: int | None = None
    compress_features: int | None = None


def keep_in_chunks(
    connection: Connection,
    prefix: str = "",
    *,
    upkeep: Upkeep | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Make the raw tables hypertables where the server can, compressed ones under the Community licence.

    Rows that are there move into chunks; nothing counts as changed by that.

    Parameters
    ----------
    connection : psycopg.Connection
        Its open transaction is committed first. The role must own the tables.
    prefix : str
        Put before each schema's name.
    upkeep : Upkeep, optional
        Compression and retention; settings that are not given stay as they are.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    list of str
        What was done, one phrase each; empty on plain PostgreSQL and when all was as wanted.

    Raises
    ------
    DatabaseError
        Raw rows would be dropped while features still need them; the server cannot compress or drop chunks
        though it was asked to, or refuses a step; the tables before it are done.
    """
    wanted = upkeep or Upkeep()
    if wanted.retain and wanted.retain < SHORTEST_RETENTION_DAYS:
        raise DatabaseError(
            f"raw rows cannot be dropped after {wanted.retain} days: features look back up to 40 days,"
            f" so keep at least {SHORTEST_RETENTION_DAYS}"
        )
    connection.commit()
    kind = tier(connection)
    connection.commit()
    if kind != "timescale" and any((wanted.compress_after, wanted.retain, wanted.compress_features)):
        raise DatabaseError(f"compression and retention need TimescaleDB Community; this server is {kind}")
    if kind == "plain":
        return []
    with connection.transaction():
        _drop_stand_ins(connection, prefix)
    done: list[str] = []
    sizes = _sizes(connection, prefix)
    for table in RAW_TABLES:
        if progress is not None:
            before = [t.name for t in RAW_TABLES[: RAW_TABLES.index(table)]]
            progress(table.name, sum(sizes[name] for name in before), sum(sizes.values()))
        try:
            with connection.transaction():
                done += _keep(connection, prefix, table, wanted, is_community=kind == "timescale")
        except psycopg.Error as error:
            raise DatabaseError(f"{prefix}raw.{table.name}: {str(error).splitlines()[0]}") from error
    if wanted.compress_features is not None and kind == "timescale":
        with connection.transaction():
            done += _keep_built(connection, prefix, wanted.compress_features)
    _logger.info("raw tables in chunks", extra={"schema_prefix": prefix, "done": done})
    return done


def _compress_after(connection: Connection, name: str, days: int) -> list[str]:
    if days == _policy_days(connection, name, "policy_compression"):
        return []
    connection.execute("call remove_columnstore_policy(%s::regclass, if_exists => true)", [name])
    if not days:
        return [f"{name} is compressed no further"]
    connection.execute(
        "call add_columnstore_policy(%s::regclass, after => make_interval(days => %s))", [name, days]
    )
    return [f"{name} is compressed after {days} days"]


def _keep_built(connection: Connection, prefix: str, days: int) -> list[str]:
    """Compress bars and features: a run deletes whole batches of a symbol, which stays cheap."""
    rows = connection.execute(
        "select c.relname, n.nspname from models as m"
        " join pg_class as c on c.oid = to_regclass(m.relation)"
        " join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname in (%s, %s) order by m.depth, m.model",
        [f"{prefix}bars", f"{prefix}features"],
    )
    done: list[str] = []
    for table, schema in rows.fetchall():
        name = f"{schema}.{table}"
        if days and not _has_columnstore(connection, name):
            connection.execute(
                sql.SQL(
                    "alter table {} set (timescaledb.enable_columnstore,"
                    " timescaledb.segmentby = 'symbol', timescaledb.orderby = 'time')"
                ).format(sql.Identifier(schema, table))
            )
        done += _compress_after(connection, name, days)
    return done


def _drop_stand_ins(connection: Connection, prefix: str) -> None:
    """Let the extension's functions replace ours: it may have come after the engine."""
    connection.execute(sql.SQL("set local search_path = {}, public").format(sql.Identifier(f"{prefix}build")))
    connection.execute((ENGINE_FILES / "015_time_bucket.sql").read_bytes())


def _sizes(connection: Connection, prefix: str) -> dict[str, int]:
    """Bytes of each table that still has to move."""
    sizes: dict[str, int] = {}
    for table in RAW_TABLES:
        row = connection.execute(
            "select case when is_hypertable(%s) then 0 else pg_total_relation_size(%s::regclass) end",
            [_name(prefix, table)] * 2,
        ).fetchone()
        sizes[table.name] = int(row[0]) if row else 0
    connection.commit()
    return sizes


def _keep(
    connection: Connection, prefix: str, table: RawTable, wanted: Upkeep, *, is_community: bool
) -> list[str]:
    name = _name(prefix, table)
    done: list[str] = []
    if _make_hypertable(connection, prefix, table):
        done.append(f"{name} is kept in chunks of {table.chunk_days} days")
    if not is_community:
        return done
    days = wanted.compress_after
    if not _has_columnstore(connection, name):
        _enable_columnstore(connection, prefix, table)
        days = COMPRESS_AFTER_DAYS if days is None else days
    if days is not None:
        done += _compress_after(connection, name, days)
    if wanted.retain is not None and wanted.retain != _policy_days(connection, name, "policy_retention"):
        connection.execute("select remove_retention_policy(%s::regclass, if_exists => true)", [name])
        if wanted.retain:
            connection.execute(
                "select add_retention_policy(%s::regclass, make_interval(days => %s))", [name, wanted.retain]
            )
        done.append(f"{name} is dropped after {wanted.retain} days" if wanted.retain else f"{name} stays")
    return done


def _make_hypertable(connection: Connection, prefix: str, table: RawTable) -> bool:
    name = _name(prefix, table)
    row = connection.execute("select is_hypertable(%s)", [name]).fetchone()
    if row is None or row[0]:
        return False
    # TimescaleDB empties the table with a truncate when its rows are in chunks: nothing that has to be noted.
    connection.execute(
        sql.SQL("drop trigger if exists note_truncate on {}").format(_identifier(prefix, table))
    )
    connection.execute(
        "select make_hypertable(%s, %s, make_interval(days => %s))", [name, table.time, table.chunk_days]
    )
    connection.execute("select watch(%s, %s)", [table.name, _clock(table)])
    return True


def _enable_columnstore(connection: Connection, prefix: str, table: RawTable) -> None:
    relation = _identifier(prefix, table)
    # No trigger sees deleted rows there: `watch` puts a refusal in the place of the one that notes them.
    connection.execute(sql.SQL("drop trigger if exists note_delete on {}").format(relation))
    connection.execute(
        sql.SQL(
            "alter table {} set (timescaledb.enable_columnstore,"
            " timescaledb.segmentby = {}, timescaledb.orderby = {})"
        ).format(relation, sql.Literal(", ".join(table.segment_by)), sql.Literal(table.time))
    )
    connection.execute("select watch(%s, %s)", [table.name, _clock(table)])


def _clock(table: RawTable) -> str:
    """Column whose span a change is noted by, as the triggers of schema/changes.sql have it."""
    return "time" if table.time == "slot" else table.time


def _has_columnstore(connection: Connection, name: str) -> bool:
    row = connection.execute("select has_columnstore(%s::regclass)", [name]).fetchone()
    return bool(row and row[0])


def _policy_days(connection: Connection, name: str, policy: str) -> int:
    """Days of a table's policy as it stands; 0 without one."""
    row = connection.execute(
        "select extract(epoch from coalesce(config ->> 'compress_after', config ->> 'drop_after')::interval)"
        " / 86400"
        " from timescaledb_information.jobs"
        " where hypertable_schema = %s and hypertable_name = %s and proc_name = %s",
        [*name.split("."), policy],
    ).fetchone()
    return int(row[0]) if row else 0


def _identifier(prefix: str, table: RawTable) -> sql.Identifier:
    return sql.Identifier(f"{prefix}raw", table.name)


def _name(prefix: str, table: RawTable) -> str:
    return f"{prefix}raw.{table.name}"
