"""What an experiment needs of the mart: features, bars, settlements, delistings, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from psycopg import sql

from ml.data_loader import MarketDataLoader
from ml.pipeline.experiment import ExperimentError
from ml.registry import Registry
from ml.snapshot import Database
from ml.targets import create_target_regression
from ml.timerange import Time, time_range

_BAR_COLUMNS = ["open", "high", "low", "close", "is_filled"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Features and what their labels and costs are made from.

    Attributes
    ----------
    features : index (symbol, time), comparable features
    bars : open, high, low, close, is_filled by the same kind of index
    settlements : symbol, funding_time, funding_rate, mark_price
    delisted : first instant at which a symbol no longer trades
    registry : what the features are
    """

    features: pd.DataFrame
    bars: pd.DataFrame
    settlements: pd.DataFrame
    delisted: dict[str, datetime]
    registry: Registry

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Of the features, as the loader gave it."""
        return dict(self.features.attrs.get("fingerprint", {}))


def load_dataset(
    loader: MarketDataLoader, database: Database, symbols: Sequence[str] | None, start: Time, end: Time
) -> Dataset:
    """Read everything from the mart.

    Parameters
    ----------
    loader, database
        Of the same database.
    symbols : sequence of str or None
        As of `MarketDataLoader.load_features`.
    start, end : str, date, datetime or pandas.Timestamp
        ``[start, end)`` of bar opens, UTC.

    Raises
    ------
    ExperimentError
        The range holds no bar.
    MlError
        As of the loader.
    """
    features = loader.load_features(symbols, start, end)
    if features.empty:
        raise ExperimentError(f"the mart has no published bars in [{start}, {end})")
    names = list(features.index.unique("symbol"))
    parts = {
        name: loader.load_all_data(name, "5m", start, end).set_index("timestamp")[_BAR_COLUMNS]
        for name in names
    }
    span = time_range(start, end)
    return Dataset(
        features,
        pd.concat(parts, names=["symbol", "time"]),
        _settlements(database, names, span.start, span.end),
        _delistings(database, names, span.end),
        loader.registry(),
    )


def direction_labels(dataset: Dataset, horizon: int) -> pd.DataFrame:
    """Labels of the features' rows: ``y`` 1 for a rise over the horizon, 0 for a fall, null for neither.

    ``return`` is the simple return, with ``available_at`` and ``t_end`` as of `create_target_regression`.
    """
    found = create_target_regression(dataset.bars, horizon, delisted=dataset.delisted)
    returns = found["y"]
    labels = found[["available_at", "t_end"]].assign(
        y=np.where(returns > 0, 1.0, np.where(returns < 0, 0.0, np.nan))
    )
    labels["return"] = returns
    labels.loc[labels["y"].isna(), "t_end"] = pd.NaT
    return labels.reindex(dataset.features.index)


def _settlements(database: Database, symbols: Sequence[str], start: datetime, end: datetime) -> pd.DataFrame:
    query = sql.SQL(
        "select symbol, funding_time, funding_rate, mark_price from {}"
        " where symbol = any(%s) and funding_time > %s and funding_time <= %s order by 1, 2"
    ).format(sql.Identifier(f"{database.schema_prefix}raw", "funding_rate"))
    with database.snapshot() as connection:
        rows = connection.execute(query, (list(symbols), start, end)).fetchall()
    found = pd.DataFrame(rows, columns=["symbol", "funding_time", "funding_rate", "mark_price"])
    found["funding_time"] = pd.to_datetime(found["funding_time"], utc=True)
    return found.astype({"funding_rate": float, "mark_price": float})


def _delistings(database: Database, symbols: Sequence[str], end: datetime) -> dict[str, datetime]:
    query = sql.SQL(
        "select symbol, max(valid_to) from {} where symbol = any(%s) group by symbol"
        " having bool_and(valid_to is not null) and max(valid_to) <= %s"
    ).format(sql.Identifier(f"{database.schema_prefix}raw", "instruments"))
    with database.snapshot() as connection:
        return dict(connection.execute(query, (list(symbols), end)).fetchall())
