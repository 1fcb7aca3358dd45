"""What tests of the roll-ups look at: rows, their physical versions, policies and chunks."""

from typing import Any

from perpmart.database import Connection

Bucket = tuple[str, str, Any]


def faults(connection: Connection) -> list[str]:
    """Name the roll-ups whose rows are not those of their SQL over all of raw, and how many differ."""
    found = []
    models = connection.execute(
        "select relation, compiled_sql from models where model like 'roll%'"
    ).fetchall()
    for relation, compiled in models:
        query = (
            "select count(*) from ((select * from {0} except all (select * from ({1}) as a))"
            " union all ((select * from ({1}) as b) except all select * from {0})) as differing"
        )
        row = connection.execute(query.replace("{0}", relation).replace("{1}", compiled).encode()).fetchone()
        if row is None or row[0]:
            found.append(f"{relation}: {row and row[0]}")
    connection.rollback()
    return found


def buckets(connection: Connection) -> dict[Bucket, str]:
    """Give the physical version of every refreshed bucket, by relation, symbol and time."""
    found: dict[Bucket, str] = {}
    aggregates = connection.execute(
        "select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name),"
        " format('%I.%I', view_schema, view_name) from timescaledb_information.continuous_aggregates"
    ).fetchall()
    for own, relation in aggregates:
        rows = connection.execute(f"select symbol, time, tableoid, ctid, xmin from {own}".encode()).fetchall()
        found |= {(relation, symbol, time): f"{version}" for symbol, time, *version in rows}
    connection.rollback()
    return found


def jobs(connection: Connection) -> list[tuple[Any, ...]]:
    """Give every policy with its settings, and every chunk."""
    policies = connection.execute(
        "select job_id, proc_name, schedule_interval, config::text from timescaledb_information.jobs"
        " where hypertable_name is not null order by 1"
    ).fetchall()
    chunks = connection.execute(
        "select chunk_schema, chunk_name, range_start, range_end, is_compressed"
        " from timescaledb_information.chunks order by 1, 2"
    ).fetchall()
    connection.rollback()
    return [*policies, *chunks]
