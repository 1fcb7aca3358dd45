"""Read query results as columns through PostgreSQL's binary COPY, without a Python object a value.

Times take eight bytes each. Floats come four to a field, as the corner points of an `lseg`: PostgreSQL makes
each field by one costly call, whatever is in it. NULL floats are asked for as NaN, so every row has the same
length and a block of rows is decoded by one strided numpy view. The format is described in PostgreSQL's
manual, `COPY`, section "Binary Format".
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from ml.errors import MlError
from perpmart.database import Connection

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES = len(_SIGNATURE) + 8
_TRAILER = b"\xff\xff"
_BLOCK_BYTES = 1 << 18  # with what is made of it, it stays in the processor's second-level cache
_MESSAGES_AT_ONCE = 64  # taken before a look at how much they are
_FOUR = 4  # floats a field
_NOT_A_TIME = np.iinfo(np.int64).min
_POSTGRES_EPOCH_US = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

Columns = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class Block(NamedTuple):
    """Rows that follow each other, as big-endian views of what the server sent.

    Times have the shape (rows, times), floats (rows, fields, 4); the last field may end in fillers.
    """

    times: Times
    floats: Columns


def float_fields(names: Sequence[str]) -> list[sql.Composable]:
    """The select items of float8 columns, four columns an item, whose NULLs arrive as NaN."""
    columns: list[sql.Composable] = [
        sql.SQL("coalesce({}::float8, 'NaN')").format(sql.Identifier(name)) for name in names
    ]
    columns += [sql.SQL("'NaN'")] * (-len(columns) % _FOUR)
    return [
        sql.SQL("lseg(point({}, {}), point({}, {}))").format(*columns[place : place + _FOUR])
        for place in range(0, len(columns), _FOUR)
    ]


def copy_blocks(
    connection: Connection, query: sql.Composable, *, times: int, floats: int
) -> Generator[Block, None, None]:
    """Stream a query's rows as raw blocks.

    Parameters
    ----------
    connection : Connection
        An open connection; nothing else may run on it until the generator ends or is closed, not even the end
        of the transaction.
    query : psycopg.sql.Composable
        A SELECT of non-null times, then of the `float_fields` of some columns.
    times, floats : int
        Number of columns of each kind.

    Raises
    ------
    MlError
        A field is NULL or has another size than said.
    """
    fields = -(-floats // _FOUR)
    time = np.dtype([("length", ">i4"), ("value", ">i8")])
    four = np.dtype([("length", ">i4"), ("value", ">f8", (_FOUR,))])
    row = np.dtype([("count", ">i2"), ("times", time, (times,)), ("floats", four, (fields,))])
    statement = sql.SQL("copy ({}) to stdout (format binary)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        rest = b""
        for number, fresh in enumerate(_received(connection, copy, _BLOCK_BYTES)):
            if number == 0 and fresh[: len(_SIGNATURE)] != _SIGNATURE:
                raise MlError("the server's binary COPY does not begin with its signature")
            received = rest + (fresh if number else fresh[_HEADER_BYTES:])
            rows = len(received) // row.itemsize
            block = np.frombuffer(received, dtype=row, count=rows)
            if (
                (block["count"] != times + fields).any()
                or (block["times"]["length"] != time["value"].itemsize).any()
                or (block["floats"]["length"] != four["value"].itemsize).any()
            ):
                raise MlError("a field of the query is NULL or not as wide as it should be")
            if rows:
                yield Block(block["times"]["value"], block["floats"]["value"])
            rest = bytes(received[rows * row.itemsize :])
        if rest != _TRAILER:
            raise MlError("a field of the query is NULL or not as wide as it should be")


def _received(connection: Connection, copy: psycopg.Copy, most: int) -> Iterator[bytearray]:
    """Yield what the server sends, about ``most`` bytes at a time.

    Each row is a message, over which psycopg takes longer than NumPy over all of its values. What libpq
    has received already is therefore taken straight from it; psycopg only waits for more.
    """
    take, more = connection.pgconn.get_copy_data, True
    while more:
        received = bytearray()
        while more and len(received) < most:
            for _ in range(_MESSAGES_AT_ONCE):
                size, message = take(1)
                if size <= 0:
                    break
                received += message
            else:
                continue
            if size == 0:
                more = bool(waited := copy.read())
                received += waited
            else:
                _end(connection)
                more = False
        yield received


def _end(connection: Connection) -> None:
    """Take what the server says at the end of a COPY, so that the connection can be used again."""
    result = connection.pgconn.get_result()
    while connection.pgconn.get_result():
        pass
    if result is None or result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result) if result else MlError("COPY ended without a word")


def to_columns(floats: Columns, out: Columns) -> None:
    """Write a block's floats, shape (rows, fields, 4), into native columns, shape (columns, rows)."""
    for field, first in enumerate(range(0, len(out), _FOUR)):
        some = out[first : first + _FOUR]
        some[...] = floats[:, field, : len(some)].T


def to_unix_microseconds(column: Times) -> Times:
    """Turn PostgreSQL's timestamptz (microseconds since 2000-01-01 UTC) into microseconds since 1970.

    ``-infinity``, which stands for NULL, becomes NumPy's not-a-time.
    """
    native = column.astype(np.int64)
    return np.where(native == _NOT_A_TIME, _NOT_A_TIME, native + _POSTGRES_EPOCH_US)


def read_columns(
    connection: Connection, query: sql.Composable, *, times: int, floats: int
) -> tuple[Times, Columns]:
    """Read a whole result.

    Parameters
    ----------
    connection, query, times, floats
        As of `copy_blocks`.

    Returns
    -------
    times : numpy.ndarray
        int64 microseconds since 1970 UTC, shape (times, rows).
    values : numpy.ndarray
        float64, shape (floats, rows).
    """
    stamps = [np.empty((times, 0), dtype=np.int64)]
    values = [np.empty((floats, 0))]
    for block in copy_blocks(connection, query, times=times, floats=floats):
        stamps.append(to_unix_microseconds(block.times).T)
        values.append(np.empty((floats, len(block.times))))
        to_columns(block.floats, values[-1])
    return np.concatenate(stamps, axis=1), np.concatenate(values, axis=1)


def in_chunks(blocks: Iterator[Block], width: int, rows: int) -> Iterator[tuple[Times, Columns]]:
    """Gather blocks of one time and ``width`` floats into chunks of ``rows`` rows (or fewer at the end)."""
    times, values, filled = np.empty(rows, dtype=np.int64), np.empty((width, rows)), 0
    for block in blocks:
        taken, count = 0, len(block.times)
        while taken < count:
            piece = slice(taken, min(count, taken + rows - filled))
            here = slice(filled, filled + piece.stop - piece.start)
            times[here] = to_unix_microseconds(block.times[piece, 0])
            to_columns(block.floats[piece], values[:, here])
            taken, filled = piece.stop, here.stop
            if filled == rows:
                yield times, values
                times, values, filled = np.empty(rows, dtype=np.int64), np.empty((width, rows)), 0
    if filled:
        yield times[:filled], values[:, :filled]
