"""Binary COPY from numpy, NULLs included: what psycopg's rows would take minutes for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psycopg
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_CHUNK = 20_000
_EPOCH_US = 946_684_800_000_000
_FIELD = 12


def create_table(connection: psycopg.Connection, table: str, features: Sequence[str]) -> None:
    """Make a table of symbol, time and features."""
    columns = ", ".join(f"{name} float8" for name in features)
    connection.execute(f"create table {table} (symbol text, time timestamptz, {columns})".encode())


def copy_symbol(
    connection: psycopg.Connection,
    table: str,
    symbol: str,
    time: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """COPY the rows of one symbol.

    Parameters
    ----------
    time : shape (n,), microseconds since 1970
    values : shape (n, k), NaN for NULL
    """
    word = symbol.encode()
    head = np.dtype(
        [("fields", ">i2"), ("size", ">i4"), ("symbol", f"S{len(word)}"), ("size_2", ">i4"), ("time", ">i8")]
    )
    with connection.cursor().copy(f"copy {table} from stdin (format binary)".encode()) as copy:
        copy.write(HEADER)
        for start in range(0, len(time), _CHUNK):
            part = slice(start, start + _CHUNK)
            heads = np.empty(len(time[part]), dtype=head)
            heads["fields"], heads["size"], heads["symbol"], heads["size_2"] = (
                values.shape[1] + 2,
                len(word),
                word,
                8,
            )
            heads["time"] = time[part] - _EPOCH_US
            copy.write(_rows(heads.view(np.uint8).reshape(len(heads), -1), values[part]))
        copy.write(TRAILER)


def _rows(heads: NDArray[np.uint8], values: NDArray[np.float64]) -> bytes:
    """Lay out all fields in full, then leave out the eight bytes of each NULL."""
    missing = np.isnan(values)
    fields = np.empty(values.shape, dtype=[("size", ">i4"), ("value", ">f8")])
    fields["size"] = np.where(missing, -1, 8)
    fields["value"] = values
    whole = np.concatenate([heads, fields.view(np.uint8).reshape(len(values), -1)], axis=1)
    if not missing.any():
        return whole.tobytes()
    kept = np.ones(whole.shape, dtype=bool)
    kept[:, heads.shape[1] :].reshape(*values.shape, _FIELD)[missing, 4:] = False
    return whole[kept].tobytes()
