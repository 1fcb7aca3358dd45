"""One cut into training, validation and test."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ml.splits.intervals import Places, SplitError, between, block_of, keep_clear, microseconds, rows_of
from ml.splits.seen import refuse_seen
from ml.timerange import BASE_WIDTH


class TimeSplit(NamedTuple):
    """Positions in X."""

    train: Places
    validation: Places
    test: Places


def time_series_split(
    X: Any,  # noqa: N803
    *,
    labels: pd.DataFrame | None = None,
    horizon: int | None = None,
    delay: int = 1,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
) -> TimeSplit:
    """Cut a panel at two instants into training, validation and test.

    A cut by row count would give each symbol another date; a cut without a purge would leave training labels
    that look into the validation. So labels, or at least their horizon, are needed.

    Parameters
    ----------
    X : pandas.DataFrame
        Index (symbol, time).
    labels : pandas.DataFrame, optional
        ``available_at`` and ``t_end`` by the same index.
    horizon, delay : int, optional
        In place of labels: bars held and bars before the entry, as of `ml.targets`.
    fractions : tuple of float, optional
        Shares of the time between first and last row; they add up to 1, and only validation may be 0.

    Raises
    ------
    SplitError
        Neither labels nor a horizon were given; shares make no sense; a part is empty.
    """
    if (labels is None) == (horizon is None):
        raise SplitError("give labels or a horizon: without the labels' intervals nothing can be purged")
    if labels is None:
        labels = _labels_of(X, int(horizon or 0), delay)
    train_share, validation_share, test_share = fractions
    if abs(sum(fractions) - 1) > 1e-9 or min(train_share, test_share) <= 0 or validation_share < 0:
        raise SplitError(f"fractions must be positive and add up to 1, not {fractions}")
    rows = rows_of(X, labels)
    if not rows.labelled.any():
        raise SplitError("no row has a label")
    acting = rows.available_at[rows.labelled]
    start, end = int(acting.min()), int(acting.max()) + microseconds(BASE_WIDTH)
    cuts = [start + train_share * (end - start), end - test_share * (end - start)]
    train, validation, test = (
        between(rows, first, last) for first, last in zip([start, *cuts], [*cuts, end], strict=True)
    )
    if not test.any():
        raise SplitError("the test holds no row")
    ahead = [block_of(rows, test)]
    validation = keep_clear(rows, validation, ahead)
    if validation.any():
        ahead.append(block_of(rows, validation))
    train = keep_clear(rows, train, ahead)
    if not train.any() or (validation_share and not validation.any()):
        raise SplitError("the purge left an empty part: more history, or a shorter horizon, is needed")
    refuse_seen(X, rows, validation | test)
    return TimeSplit(np.flatnonzero(train), np.flatnonzero(validation), np.flatnonzero(test))


def _labels_of(X: Any, horizon: int, delay: int) -> pd.DataFrame:  # noqa: N803
    """Intervals of labels that all have one horizon."""
    if horizon < 1 or delay < 0:
        raise SplitError(f"horizon must be at least 1 and delay at least 0, not {horizon} and {delay}")
    if not isinstance(X, (pd.DataFrame, pd.Series)) or "time" not in X.index.names:
        raise SplitError("X must have the index (symbol, time)")
    known = pd.DatetimeIndex(X.index.get_level_values("time")) + pd.Timedelta(BASE_WIDTH)
    length = pd.Timedelta((delay + horizon) * BASE_WIDTH)
    return pd.DataFrame({"available_at": known, "t_end": known + length}, index=X.index)
