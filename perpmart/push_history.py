"""Past bars for readers of sequences: bars that were never sent, as the mart has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from psycopg import sql

from ml.feature_store_writer import FeatureStoreWriter
from ml.feature_vector import VectorToPush
from ml.registry import FeatureSet, read_registry
from ml.timerange import BASE_TIMEFRAME
from perpmart.database import Connection
from perpmart.push_queries import unserved_query, vector_of

_BAR = timedelta(minutes=5)


def fill_before(
    connection: Connection,
    writer: FeatureStoreWriter,
    feature_set: FeatureSet,
    schema_prefix: str,
    newest: VectorToPush,
    bars: int,
) -> None:
    """Put the bars before a symbol's newest one into the store."""
    query = sql.SQL(
        "select symbol, time, available_at, {} from {} as m"
        " where symbol = %s and time >= %s and time < %s order by time"
    ).format(vector_of("m", feature_set), sql.Identifier(f"{schema_prefix}mart", "feature_mart"))
    first = newest.time - bars * _BAR
    rows = connection.cursor(binary=True).execute(query, (newest.symbol, first, newest.time))
    _fill(writer, feature_set, rows)


def fill_unserved(
    connection: Connection,
    writer: FeatureStoreWriter,
    *,
    schema_prefix: str = "",
    since: datetime,
    before: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Put bars into the store that were never sent, nor logged: no revision would correct them there.

    Parameters
    ----------
    since : datetime
        First bar (its open, UTC).
    before : datetime, optional
        End of the bars. No bound by default.
    until : datetime, optional
        Newest bar that was sent: it and later ones are left alone. Each symbol's newest by default.

    Returns
    -------
    int
        How many bars there were.
    """
    feature_set = read_registry(connection, schema_prefix=schema_prefix).feature_set
    rows = connection.cursor(binary=True).execute(
        unserved_query(feature_set, schema_prefix),
        {"timeframe": BASE_TIMEFRAME, "since": since, "before": before, "until": until},
    )
    filled = _fill(writer, feature_set, rows)
    connection.commit()
    return filled


def _fill(
    writer: FeatureStoreWriter,
    feature_set: FeatureSet,
    rows: Iterable[tuple[str, datetime, datetime, list[float]]],
) -> int:
    """Write rows in order of symbol; as revision 0, so that whatever was really sent stands."""
    filled = 0
    for symbol, found in groupby(rows, key=lambda row: row[0]):
        past = [VectorToPush(symbol, time, known, 0, np.array(values)) for _, time, known, values in found]
        writer.fill_history(symbol, BASE_TIMEFRAME, past, feature_set)
        filled += len(past)
    return filled
