"""One consistent view of the database, from whatever the caller calls a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from perpmart.database import Connection, connect, connect_to
from perpmart.settings import Settings


class Database:
    """An address, the project's settings, or an open connection, with one way to read from it.

    Parameters
    ----------
    database : str, Settings or psycopg.Connection
        An address or settings: connections are opened and closed as needed. A connection is used and left
        open.
    schema_prefix : str
        What stands before every schema's name; settings bring their own.
    """

    def __init__(self, database: str | Settings | Connection, *, schema_prefix: str = "") -> None:
        self._database = database
        self.schema_prefix = database.schema_prefix if isinstance(database, Settings) else schema_prefix

    @property
    def opens_connections(self) -> bool:
        """Whether further connections can be had."""
        return isinstance(self._database, (str, Settings))

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a transaction whose queries all see the database at one moment.

        A given connection that is already inside a transaction keeps that one's isolation.
        """
        if isinstance(self._database, (str, Settings)):
            with self._open() as connection, connection.transaction():
                connection.execute("set local jit = off")  # compiling 170 columns costs more than it saves
                yield connection
            return
        fresh = self._database.info.transaction_status == TransactionStatus.IDLE
        with self._database.transaction():
            if fresh:
                self._database.execute("set transaction isolation level repeatable read")
            yield self._database

    @contextmanager
    def beside(self, snapshot_id: str) -> Iterator[Connection]:
        """Open one more connection that sees what the exported snapshot sees."""
        with self._open() as connection, connection.transaction():
            connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot_id)))
            connection.execute("set local jit = off")
            yield connection

    def _open(self) -> Connection:
        if isinstance(self._database, Settings):
            connection = connect(self._database)
        else:
            connection = connect_to(str(self._database), prefix=self.schema_prefix)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return connection


def export_snapshot(connection: Connection) -> str:
    """Name the open transaction's snapshot, for `Database.beside`."""
    row = connection.execute("select pg_export_snapshot()").fetchone()
    return str(row[0]) if row else ""
