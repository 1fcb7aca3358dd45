"""K folds by time, with what leaks between them taken out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.registry import Registry
from ml.splits.intervals import Places, SplitError, block_of, embargo_of, keep_clear, rows_of, time_folds
from ml.splits.seen import refuse_seen


class PurgedKFold:
    """K folds one after the other in time, of equally many instants; each is the test once.

    Plain K-fold on overlapping labels is the commonest way to fool oneself in finance: a training row next to
    the test carries a label of nearly the same bars, and a flexible model recites it. Here a training label
    is dropped when its interval meets [first ``available_at``, last ``t_end``] of the test, and training rows
    after the test wait for the embargo: their features look back into the test.

    Parameters
    ----------
    labels : pandas.DataFrame
        ``available_at`` and ``t_end`` of every row, index (symbol, time); rows of X with a null ``t_end`` are
        in neither set.
    n_splits : int, optional
        Number of folds, at least 2.
    embargo : timedelta, optional
        By default the longest look-back of X's columns, from the registry.
    registry : Registry, optional
        For the default embargo.

    Examples
    --------
    >>> times = pd.date_range("2026-02-01", periods=6, freq="5min", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["SOL/USDT"], times], names=["symbol", "time"])
    >>> labels = pd.DataFrame({"available_at": times, "t_end": times + pd.Timedelta("5min")}, index=index)
    >>> splitter = PurgedKFold(labels, n_splits=3, embargo=timedelta(0))
    >>> [(train.tolist(), test.tolist()) for train, test in splitter.split(labels[[]])]
    [([3, 4, 5], [0, 1]), ([0, 5], [2, 3]), ([0, 1, 2], [4, 5])]
    """

    def __init__(
        self,
        labels: pd.DataFrame,
        *,
        n_splits: int = 5,
        embargo: timedelta | None = None,
        registry: Registry | None = None,
    ) -> None:
        if n_splits < 2:
            raise SplitError(f"n_splits must be at least 2, not {n_splits}")
        self.labels = labels
        self.n_splits = n_splits
        self.embargo = embargo
        self.registry = registry

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Places, Places]]:  # noqa: N803
        """Give positions in X of training and test rows, fold by fold.

        Raises
        ------
        SplitError
            As of `ml.splits.intervals.rows_of`; a fold without rows.
        """
        rows = rows_of(X, self.labels)
        embargo = embargo_of(X, self.embargo, self.registry)
        for test in time_folds(rows, self.n_splits):
            train = keep_clear(rows, rows.labelled & ~test, [block_of(rows, test)], embargo)
            refuse_seen(X, rows, test)
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Number of folds."""
        return self.n_splits
