"""The end of a training history as its own validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ml.splits.intervals import Places, SplitError, between, block_of, keep_clear, microseconds, rows_of
from ml.splits.seen import refuse_seen
from ml.timerange import BASE_WIDTH


class ForwardValidation:
    """Validate on the last stretches of a history, each time training on all before it.

    The inner split of a training fold: early stopping, permutation importance and SHAP values need rows that
    the model was not fitted on. Training precedes validation, so no embargo is needed; the purge is that of
    all splitters.

    Parameters
    ----------
    labels : pandas.DataFrame
        ``available_at`` and ``t_end`` of every row, index (symbol, time).
    n_splits : int, optional
        Number of stretches.
    test_share : float, optional
        Share of the history's time in each stretch; ``n_splits * test_share`` must be below 1.
    """

    def __init__(self, labels: pd.DataFrame, *, n_splits: int = 1, test_share: float = 0.2) -> None:
        if n_splits < 1 or test_share <= 0 or n_splits * test_share >= 1:
            raise SplitError(f"{n_splits} stretches of {test_share} leave nothing to train on, or to test")
        self.labels = labels
        self.n_splits = n_splits
        self.test_share = test_share

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Places, Places]]:  # noqa: N803
        """Give positions in X of training and validation rows, oldest validation first.

        Raises
        ------
        SplitError
            As of `ml.splits.intervals.rows_of`; a stretch without rows, or nothing left before it.
        """
        rows = rows_of(X, self.labels)
        if not rows.labelled.any():
            raise SplitError("no row has a label")
        acting = rows.available_at[rows.labelled]
        start, end = int(acting.min()), int(acting.max()) + microseconds(BASE_WIDTH)
        length = self.test_share * (end - start)
        for number in range(self.n_splits, 0, -1):
            cut = end - number * length
            test = between(rows, cut, cut + length if number > 1 else end)
            if not test.any():
                raise SplitError("a validation stretch holds no row")
            train = keep_clear(rows, between(rows, start, cut), [block_of(rows, test)])
            if not train.any():
                raise SplitError(
                    "the purge left no training row: more history, or a shorter horizon, is needed"
                )
            refuse_seen(X, rows, test)
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Number of stretches."""
        return self.n_splits
