"""Whether two databases hold the same mart, to the last bit."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending

from .arrivals import RAW, Arrivals, Step
from .mart import Databases, read_frame, tables_of


def copy_raw(source: Connection, target: Connection) -> None:
    """Copy all raw tables that models read, without the triggers' noise."""
    target.execute("set local session_replication_role = replica")
    for table in (*RAW, "instruments", "coverage"):
        name = sql.Identifier("raw", table)
        with (
            source.cursor().copy(sql.SQL("copy {} to stdout (format binary)").format(name)) as rows,
            target.cursor().copy(sql.SQL("copy {} from stdin (format binary)").format(name)) as copied,
        ):
            for chunk in rows:
                copied.write(chunk)
    target.commit()


def fingerprints(connection: Connection) -> dict[str, str]:
    """Give a hash of all rows of each model's table; floats count to their last bit."""
    query = "select md5(string_agg(t::text, chr(10) order by t.symbol, t.time)) from {} as t"
    found = {}
    for relation in tables_of(connection):
        row = connection.execute(query.replace("{}", relation).encode()).fetchone()
        found[relation] = str(row and row[0])
    return found


def versions(connection: Connection) -> dict[str, str]:
    """Give a hash of the physical version of every row of each model's table."""
    query = "select md5(string_agg(t.ctid::text || t.xmin::text, ',' order by t.ctid)) from {} as t"
    found = {}
    for relation in tables_of(connection):
        row = connection.execute(query.replace("{}", relation).encode()).fetchone()
        found[relation] = str(row and row[0])
    return found


def differences(left: Connection, right: Connection) -> list[str]:
    """Say, for each table whose rows are not the same to the last bit, which rows and columns differ."""
    ours, theirs = fingerprints(left), fingerprints(right)
    found = []
    for relation in [name for name in ours if ours[name] != theirs[name]]:
        query = f"select * from {relation} order by symbol, time"
        a, b = (read_frame(one, query).set_index(["symbol", "time"]) for one in (left, right))
        if not a.index.equals(b.index):
            only = list(a.index.difference(b.index)[:2]), list(b.index.difference(a.index)[:2])
            found.append(f"{relation}: {len(a)} and {len(b)} rows, only here {only[0]}, only there {only[1]}")
            continue
        for column in a.columns:
            differ = ~((a[column] == b[column]) | (a[column].isna() & b[column].isna()))
            if differ.any():
                first: Any = differ.idxmax()
                found.append(
                    f"{relation}.{column}: {differ.sum()} rows, first {first}: "
                    f"{a[column][first]!r} instead of {b[column][first]!r}"
                )
    return found


def differences_to_first_build(databases: Databases, connection: Connection) -> list[str]:
    """Build all models anew over the same raw tables in another database, and compare."""
    with databases.lent() as fresh_url, connect_to(fresh_url) as fresh:
        copy_raw(connection, fresh)
        run_pending(fresh)
        found = differences(connection, fresh)
        connection.rollback()
        fresh.rollback()
    return found


def check_plan(databases: Databases, steps: Sequence[Step]) -> None:
    """Do the steps; the mart must be that of a first build, and another run must touch no row."""
    with databases.lent() as url, connect_to(url) as connection:
        Arrivals(url, connection).take(steps)
        assert differences_to_first_build(databases, connection) == []
        before = versions(connection)
        assert all(run.ranges == 0 for run in run_pending(connection))
        assert versions(connection) == before
        connection.rollback()
