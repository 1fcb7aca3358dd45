"""What readers of the online store really got, out of the log of pushes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from psycopg import sql

from ml.errors import FeatureSetError
from ml.feature_frame import feature_frame
from ml.mart import Part
from ml.registry import Registry
from ml.timerange import BASE_TIMEFRAME, TimeRange
from perpmart.database import Connection


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
        A vector was made with another feature set: the log keeps values, and their names are only known for
        today's set.
    """
    query = sql.SQL(
        "select distinct on (time) (extract(epoch from time) * 1000000)::bigint, feature_set, v from {}"
        " where symbol = %s and timeframe = %s and time >= %s and time < %s order by time, revision"
    ).format(sql.Identifier(f"{schema_prefix}build", "served"))
    places = registry.feature_set.places(names)
    read, times, values = [], [np.empty(0, dtype=np.int64)], [np.empty((0, len(names)))]
    for part in parts:
        asked = (part.symbol, BASE_TIMEFRAME, *part.range)
        rows = connection.cursor(binary=True).execute(query, asked).fetchall()
        if others := {other for _, other, _ in rows if other != registry.feature_set.hash}:
            raise FeatureSetError(
                f"{part.symbol}: vectors of this range were served with feature set"
                f" {', '.join(sorted(others))}, the registry has {registry.feature_set.hash}"
            )
        if rows:
            read.append(Part(part.symbol, part.range, len(rows)))
            times.append(np.array([time for time, _, _ in rows], dtype=np.int64))
            values.append(np.array([vector for _, _, vector in rows], dtype=np.float64)[:, places])
    columns = np.concatenate(values).T
    return feature_frame(read, np.concatenate(times), columns, registry, names, span, as_of="served")
