"""Fill a feature matrix from the mart, through several connections where there are some.

Whoever may read the feature tables reads each of them as it stands. Others, the role `ml` for one, read
``mart.feature_mart``, a few tables at a time: the view leaves out the tables of which nothing is asked, and
rows that pass through fourteen joins grow costly, while each read costs its messages anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from ml.copy_stream import Columns, Times, copy_blocks, to_columns, to_unix_microseconds
from ml.errors import MlError
from ml.mart import Part, feature_query, readable_tables
from ml.registry import Feature
from perpmart.database import Connection

_COLUMNS_AT_ONCE = 45  # of the view; 30 to 60 cost the same, all 170 a third more


class Read(NamedTuple):
    """Some columns of one part: their places in the matrix, and the table (None: the view)."""

    part: Part
    rows: slice
    columns: slice
    table: str | None


def plan_reads(
    connection: Connection, parts: Sequence[Part], features: Sequence[Feature], *, schema_prefix: str = ""
) -> list[Read]:
    """List the reads that give all features of all parts; any order will do, and several at once."""
    tables = _by_table(features)
    readable = readable_tables(connection, list(tables), schema_prefix=schema_prefix)
    sources: list[tuple[slice, str | None]] = [(columns, table) for table, columns in tables.items()]
    if not readable.issuperset(tables):
        sources = [(columns, None) for columns in _bundles(list(tables.values()))]
    places = np.cumsum([0, *(part.rows for part in parts)]).tolist()
    return [
        Read(part, slice(place, place + part.rows), columns, table)
        for columns, table in sources
        for part, place in zip(parts, places, strict=False)
    ]


def perform(
    connection: Connection,
    read: Read,
    features: Sequence[Feature],
    values: Columns,
    known: dict[int, Times],
    *,
    schema_prefix: str = "",
) -> None:
    """Read some columns of one part into the matrix.

    Parameters
    ----------
    values : numpy.ndarray
        The whole matrix, shape (features, rows).
    known : dict
        Times of each part, by its first row; shared by all reads. The first to come puts them there, and all
        others must have the same.

    Raises
    ------
    MlError
        The rows are not those of the bars, or not those of another read.
    """
    names = [feature.name for feature in features[read.columns]]
    times = np.empty(read.part.rows, dtype=np.int64)
    query = feature_query(read.part, names, schema_prefix=schema_prefix, table=read.table)
    out, place = values[read.columns, read.rows], 0
    for block in copy_blocks(connection, query, times=1, floats=len(names)):
        here = slice(place, place + len(block.times))
        place = here.stop
        if place <= len(times):
            times[here] = to_unix_microseconds(block.times[:, 0])
            to_columns(block.floats, out[:, here])
    same = place == len(times) and np.array_equal(known.setdefault(read.rows.start, times), times)
    if same:
        return
    if read.table:  # retention may have dropped what the view shows as unknown
        perform(connection, read._replace(table=None), features, values, known, schema_prefix=schema_prefix)
        return
    raise MlError(f"{read.part.symbol} has {read.part.rows} bars, but {place} rows of {names[0]}")


def _by_table(features: Sequence[Feature]) -> dict[str, slice]:
    """Places of the features of each table: they stand together in the registry's order."""
    places, begin = {}, 0
    for table, group in groupby(features, key=lambda feature: feature.relation):
        places[table] = slice(begin, begin := begin + len(list(group)))
    return places


def _bundles(tables: Sequence[slice]) -> list[slice]:
    """Put neighbouring tables together to about so many columns as are read at once."""
    width = tables[-1].stop
    reads = round(width / _COLUMNS_AT_ONCE) or 1
    ends = [0, *(columns.stop for columns in tables)]
    cuts = {min(ends, key=lambda end: abs(end - width * number / reads)) for number in range(reads + 1)}
    return [slice(begin, end) for begin, end in pairwise(sorted(cuts))]
