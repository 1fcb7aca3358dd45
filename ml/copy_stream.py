"""Read query results as columns through PostgreSQL's binary COPY, without a Python object a value.

Every selected value takes eight bytes (float8, int8 or timestamptz) and NULL floats are asked for as NaN,
so every row has the same length and a block of rows is decoded by one strided numpy view. The format is
described in PostgreSQL's manual, `COPY`, section "Binary Format".
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import numpy.typing as npt
from psycopg import sql

from ml.errors import MlError
from perpmart.database import Connection

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES = len(_SIGNATURE) + 8
_TRAILER = b"\xff\xff"
_BLOCK_BYTES = 1 << 20  # stays in the processor's second-level cache while it is transposed
_NOT_A_TIME = np.iinfo(np.int64).min
_POSTGRES_EPOCH_US = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000

Columns = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


def float_column(name: str) -> sql.Composable:
    """The select item of a float8 column whose NULLs arrive as NaN."""
    return sql.SQL("coalesce({}::float8, 'NaN')").format(sql.Identifier(name))


def copy_blocks(connection: Connection, query: sql.Composable, width: int) -> Generator[Times, None, None]:
    """Stream a query's rows as raw blocks.

    Parameters
    ----------
    connection : Connection
        An open connection; nothing else may run on it until the generator ends or is closed, not even the end
        of the transaction.
    query : psycopg.sql.Composable
        A SELECT of ``width`` non-null values of eight bytes each.
    width : int
        Number of selected columns.

    Yields
    ------
    numpy.ndarray
        Big-endian int64, shape (rows, width): the eight bytes of each value, to be viewed as what they are.

    Raises
    ------
    MlError
        A value is NULL or has another size than eight bytes.
    """
    row = np.dtype([("count", ">i2"), ("fields", [("length", ">i4"), ("value", ">i8")], (width,))])
    batch = max(1, _BLOCK_BYTES // row.itemsize)
    statement = sql.SQL("copy ({}) to stdout (format binary)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        messages = iter(copy)
        rest = b"".join(islice(messages, 1))
        if rest[: len(_SIGNATURE)] != _SIGNATURE:
            raise MlError("the server's binary COPY does not begin with its signature")
        rest = rest[_HEADER_BYTES:]
        while True:
            fresh = b"".join(islice(messages, batch))
            received = rest + fresh
            rows = len(received) // row.itemsize
            block = np.frombuffer(received, dtype=row, count=rows)
            if (block["count"] != width).any() or (block["fields"]["length"] != 8).any():
                raise MlError("a column of the query is NULL or not eight bytes wide")
            if rows:
                yield block["fields"]["value"]
            rest = received[rows * row.itemsize :]
            if not fresh:
                break
        if rest != _TRAILER:
            raise MlError("the server's binary COPY ended before its trailer")


def to_columns(block: Times, out: Columns) -> None:
    """Write a block of floats, shape (rows, width), into native columns, shape (width, rows)."""
    out[...] = block.view(">f8").T


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
    connection, query
        As of `copy_blocks`; the query selects the times first, then the floats.
    times, floats : int
        Number of columns of each kind.

    Returns
    -------
    times : numpy.ndarray
        int64 microseconds since 1970 UTC, shape (times, rows).
    values : numpy.ndarray
        float64, shape (floats, rows).
    """
    stamps = [np.empty((times, 0), dtype=np.int64)]
    values = [np.empty((floats, 0))]
    for block in copy_blocks(connection, query, times + floats):
        stamps.append(to_unix_microseconds(block[:, :times]).T)
        values.append(np.empty((floats, len(block))))
        to_columns(block[:, times:], values[-1])
    return np.concatenate(stamps, axis=1), np.concatenate(values, axis=1)


def in_chunks(blocks: Iterator[Times], width: int, rows: int) -> Iterator[tuple[Times, Columns]]:
    """Gather blocks into chunks of ``rows`` rows (the last may be shorter)."""
    times, values, filled = np.empty(rows, dtype=np.int64), np.empty((width, rows)), 0
    for block in blocks:
        taken = 0
        while taken < len(block):
            piece = block[taken : taken + rows - filled]
            here = slice(filled, filled + len(piece))
            times[here] = to_unix_microseconds(piece[:, 0])
            to_columns(piece[:, 1:], values[:, here])
            taken, filled = taken + len(piece), here.stop
            if filled == rows:
                yield times, values
                times, values, filled = np.empty(rows, dtype=np.int64), np.empty((width, rows)), 0
    if filled:
        yield times[:filled], values[:, :filled]
