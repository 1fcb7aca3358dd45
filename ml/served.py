"""What readers of the online store really got, out of the log of pushes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pandas as pd
from psycopg import sql

from ml.copy_stream import Columns, Times
from ml.errors import FeatureSetError
from ml.feature_frame import feature_frame
from ml.mart import Part
from ml.registry import FeatureSet, Registry
from ml.timerange import BASE_TIMEFRAME, TimeRange
from perpmart.database import Connection

_ROWS = 20_000
"""Vectors in memory at once, beside the result."""


def read_served(
    connection: Connection,
    parts: Sequence[Part],
    registry: Registry,
    names: tuple[str, ...],
    span: TimeRange,
    *,
    schema_prefix: str = "",
) -> pd.DataFrame:
    """Of each bar the first vector that was pushed: the one that a bot acted on.

    Parameters
    ----------
    parts : sequence of Part
        Symbols and ranges asked for.
    names : tuple of str
        Features to keep, in registry order.

    Returns
    -------
    pandas.DataFrame
        As of `MarketDataLoader.load_features`.

    Raises
    ------
    FeatureSetError
        A vector was made with another feature set, in which a feature asked for is missing or means something
        else.
    """
    read, times, values = [], [np.empty(0, dtype=np.int64)], [np.empty((len(names), 0))]
    for part in parts:
        pieces = list(iter_served(connection, part, registry, names, _ROWS, schema_prefix=schema_prefix))
        if pieces:
            read.append(Part(part.symbol, part.range, sum(len(piece) for piece, _ in pieces)))
            times += [piece for piece, _ in pieces]
            values += [columns for _, columns in pieces]
    columns = np.concatenate(values, axis=1)
    return feature_frame(read, np.concatenate(times), columns, registry, names, span, as_of="served")


def iter_served(
    connection: Connection,
    part: Part,
    registry: Registry,
    names: tuple[str, ...],
    rows: int,
    *,
    schema_prefix: str = "",
) -> Iterator[tuple[Times, Columns]]:
    """One symbol's first vectors, oldest first, ``rows`` at once: times (rows,), values (names, rows)."""
    query = sql.SQL(
        "select distinct on (time) (extract(epoch from time) * 1000000)::bigint, feature_set, v from {}"
        " where symbol = %s and timeframe = %s and time >= %s and time < %s order by time, revision"
    ).format(sql.Identifier(f"{schema_prefix}build", "served"))
    places = {registry.feature_set.hash: registry.feature_set.places(names)}
    # On the server: a symbol's whole log need not fit in memory.
    with closing(connection.cursor("served", binary=True)) as cursor:
        cursor.execute(query, (part.symbol, BASE_TIMEFRAME, *part.range))
        while found := cursor.fetchmany(rows):
            values = np.empty((len(names), len(found)))
            for row, (_, feature_set, vector) in enumerate(found):
                if feature_set not in places:
                    known = _read_set(connection, feature_set, schema_prefix)
                    places[feature_set] = _places_of_same(part.symbol, feature_set, known, registry, names)
                values[:, row] = np.array(vector)[places[feature_set]]
            yield np.array([time for time, _, _ in found], dtype=np.int64), values


def _read_set(connection: Connection, feature_set: str, schema_prefix: str) -> FeatureSet | None:
    """What the log says of a feature set; None of one served before it was noted."""
    query = sql.SQL("select features from {} where feature_set = %s")
    table = sql.Identifier(f"{schema_prefix}build", "served_sets")
    found = connection.execute(query.format(table), [feature_set]).fetchone()
    return FeatureSet.from_json(json.dumps(found[0])) if found else None


def _places_of_same(
    symbol: str, served: str, known: FeatureSet | None, registry: Registry, names: tuple[str, ...]
) -> list[int]:
    """Places of the features in vectors of another set, where they were all computed as they are today."""
    differs = (
        f"{symbol}: vectors of this range were served with feature set {served}, the registry has"
        f" {registry.feature_set.hash}"
    )
    if known is None:
        raise FeatureSetError(f"{differs}, and the log does not say what that set was")
    then, now = known.meanings, registry.feature_set.meanings
    if other := [name for name in names if then.get(name) != now[name]]:
        listed = ", ".join(other[:8]) + (f" and {len(other) - 8} more" if len(other) > 8 else "")
        raise FeatureSetError(
            f"{differs}; computed otherwise then, or not at all: {listed}."
            " Leave these out (features=...), or that time"
        )
    return known.places(names)
