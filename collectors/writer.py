"""Writing rows to the raw tables: checked, counted, in one transaction with the coverage they prove."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from psycopg.types.json import Jsonb

from collectors import upsert
from collectors.batches import Batch, Staged, by_table, printable
from collectors.coverage import add_coverage
from collectors.rows import Coverage, Refusal, Row, Source, stream_of
from collectors.tables import Table

Connection: TypeAlias = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of the rows of a write; ``received`` is the sum of the others.

    Parameters
    ----------
    received : int
        Rows and refusals given.
    inserted : int
        New keys.
    updated : int
        Rows of the table whose measures changed.
    unchanged : int
        Rows that said what the table said already, or what another row of the batch said.
    superseded : int
        Rows that lost against a stronger source or a later row of the batch; kept in ``revisions``.
    rejected : int
        Rows that make no sense; kept in ``rejects``.
    """

    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0

    def __add__(self, other: "WriteResult") -> "WriteResult":
        """Add two results count by count."""
        return WriteResult(
            self.received + other.received,
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.superseded + other.superseded,
            self.rejected + other.rejected,
        )


class Writer:
    """Writes rows of `collectors.rows` to the raw tables found on the connection's search path.

    Parameters
    ----------
    connection : psycopg.Connection
        As `perpmart.database.connect` gives it. Not shared with other threads during a write.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rules: dict[str, list[tuple[str, str]]] = {}

    def write(
        self,
        rows: Iterable[Row],
        *,
        source: Source,
        now: datetime,
        covered: Sequence[Coverage] = (),
        origin: str = "",
        origins: Sequence[str] | None = None,
        refusals: Sequence[Refusal] = (),
        keep_open: bool = False,
    ) -> WriteResult:
        """Write rows, the coverage they prove and what was refused on the way, in one transaction.

        An open transaction of the connection becomes part of it and is committed with it; on an error all is
        rolled back. Of versions with one key archive beats rest beats stream, then the newer; a measure that
        a version leaves unknown (None) never replaces a known one. Only rows that change are touched. Writers
        of the same stream and symbol wait for each other.

        Parameters
        ----------
        rows : iterable of row
            Of any types, in order of their arrival: of two rows with one key the later is newer.
        source : str
            Where they came from: rest, stream or archive.
        now : datetime
            The exchange's clock, aware. Rows of the future and bars still forming are refused; for a message
            of a stream its own event time serves. Coverage ends there too, that of klines and taker volumes
            at the last bar that is closed.
        covered : sequence of Coverage
            Segments for which ``rows`` (and those written before) are everything there is.
        origin : str
            Where the rows were read, for ``rejects``.
        origins : sequence of str, optional
            The same, one a row.
        refusals : sequence of Refusal
            What could not be made into rows.
        keep_open : bool, optional
            Leave the transaction to the caller, who commits or rolls back.

        Returns
        -------
        WriteResult

        Raises
        ------
        ValueError
            When ``now`` has no time zone, or ``origins`` is not as long as ``rows``.
        psycopg.Error
            When the database fails; nothing was written then.
        """
        if now.tzinfo is None:
            raise ValueError("now must have a time zone")
        batches = by_table(rows, origins, origin)
        if keep_open:
            self._connection.execute("select")  # opens the transaction that is the caller's
        with_open_transaction = self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        try:
            with self._connection.transaction():
                result = self._refuse(list(refusals), source)
                for batch in batches:
                    result += self._stage(batch, source)
                    result += self._refuse(self._find_impossible(batch, now), source)
                # All locks, in one order, before the first row: two writers cannot block each other.
                everything = [self._find_series(batch.table) for batch in batches]
                for staged in everything:
                    self._one("select lock_stream(%s, %s)", [staged.table.name, staged.symbols])
                for staged in everything:
                    if staged.count:
                        result += self._put(staged, source)
                add_coverage(self._connection, covered, source=source, now=now)
        except BaseException:
            if with_open_transaction:
                self._connection.rollback()
            raise
        if with_open_transaction and not keep_open:
            self._connection.commit()
        return result

    def _stage(self, batch: Batch, source: Source) -> WriteResult:
        """Copy the rows to the staging table, without those that PostgreSQL cannot even hold."""
        table = batch.table
        (present,) = self._one("select to_regclass('pg_temp.' || %s)", [upsert.staging_name(table)])
        if present is None:
            self._connection.execute(upsert.create_staging(table).encode())
        try:
            with self._connection.transaction():
                self._copy(table, batch.rows)
        except (psycopg.DataError, UnicodeEncodeError, OverflowError):
            refusals = batch.take_unstorable()
            if not refusals:
                raise
            self._copy(table, batch.rows)
            return self._refuse(refusals, source)
        return WriteResult()

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(upsert.copy_rows(table).encode()) as copy:
            copy.set_types(table.column_types)
            for row in rows:
                copy.write_row(row)

    def _find_impossible(self, batch: Batch, now: datetime) -> list[Refusal]:
        statement = upsert.refuse(batch.table, self._rules_of(batch.table))
        gone = self._connection.execute(statement.encode(), {"now": now}, prepare=False).fetchall()
        if not gone:
            return []
        sequence = f"pg_temp.{upsert.staging_name(batch.table)}"
        (last,) = self._one("select currval(pg_get_serial_sequence(%s, 'ordinal'))", [sequence])
        first = last - len(batch.rows) + 1
        return [
            Refusal(stream_of(batch.rows[ordinal - first]), batch.origins[ordinal - first], reason, payload)
            for ordinal, reason, payload in sorted(gone)
        ]

    def _rules_of(self, table: Table) -> list[tuple[str, str]]:
        """Read the table's constraints as conditions that a row must not fulfil."""
        if table.name not in self._rules:
            rules = [
                (f"{column} is null", f"{column} is missing")
                for (column,) in self._connection.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
                    " and attnotnull and attname = any(%s) order by attnum",
                    [table.name, list(table.columns)],
                )
            ]
            rules += [
                (f"({expression.replace('%', '%%')}) is false", reason or name)
                for name, expression, reason in self._connection.execute(
                    "select conname, pg_get_expr(conbin, conrelid), obj_description(oid, 'pg_constraint')"
                    " from pg_constraint where conrelid = %s::regclass and contype = 'c'"
                    " and not conkey && array(select attnum from pg_attribute where attrelid = conrelid"
                    " and attname in ('source', 'ingested_at')) order by conname",
                    [table.name],
                )
            ]
            self._rules[table.name] = [*rules, *table.untimely]
        return self._rules[table.name]

    def _find_series(self, table: Table) -> Staged:
        rows = self._connection.execute(upsert.find_series(table).encode()).fetchall()
        return Staged(table, tuple(zip(*rows, strict=True)))

    def _put(self, staged: Staged, source: Source) -> WriteResult:
        table = staged.table
        stamp = self._one("select clock_timestamp()")[0]
        (known,) = self._one(upsert.find_neighbours(table), staged.bounds)
        if not known and self._insert_all(staged, source, stamp):
            return WriteResult(received=staged.count, inserted=staged.count)
        result = self._drop_repeated(table, source, stamp)
        inserted, updated, unchanged, superseded = self._one(
            upsert.merge_new(table, source),
            {"stamp": stamp, "symbols": staged.symbols, "lo": staged.first, "hi": staged.last},
        )
        return result + WriteResult(
            inserted + updated + unchanged + superseded, inserted, updated, unchanged, superseded
        )

    def _insert_all(self, staged: Staged, source: Source, stamp: datetime) -> bool:
        """Insert the staged rows if all are new and differ in key; else leave everything as it was."""
        # Half the time of `on conflict`, which is for the rare batch that needs it.
        statement = upsert.insert_new(staged.table, source).encode()
        try:
            with self._connection.transaction():
                self._connection.execute(statement, {"stamp": stamp})
        except psycopg.errors.UniqueViolation:
            return False
        return True

    def _one(self, statement: str, parameters: Sequence[object] | dict[str, object] = ()) -> tuple[Any, ...]:
        # Not prepared: a plan for the values at hand is what makes the bounds useful.
        row = self._connection.execute(statement.encode(), parameters, prepare=False).fetchone()
        return row or ()

    def _drop_repeated(self, table: Table, source: Source, stamp: datetime) -> WriteResult:
        if self._one(upsert.find_repeated(table)) == (False,):
            return WriteResult()
        if table.optional:
            self._connection.execute(upsert.merge_repeated(table).encode())
        gone, lost = self._one(upsert.drop_repeated(table, source), {"stamp": stamp})
        return WriteResult(received=gone, unchanged=gone - lost, superseded=lost)

    def _refuse(self, refusals: Sequence[Refusal], source: Source) -> WriteResult:
        if refusals:
            with self._connection.cursor() as cursor:
                cursor.executemany(
                    "insert into rejects (stream, source, origin, reason, payload, context)"
                    " values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
                    [
                        (
                            item.stream,
                            source,
                            *(
                                printable(text, item.longest)
                                for text in (item.origin, item.reason, item.payload)
                            ),
                            Jsonb(item.context) if item.context else None,
                        )
                        for item in refusals
                    ],
                )
        return WriteResult(received=len(refusals), rejected=len(refusals))
