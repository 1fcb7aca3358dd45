"""Walking forward: train on the past, test on what follows, move on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.splits.intervals import (
    Places,
    Rows,
    SplitError,
    between,
    block_of,
    keep_clear,
    microseconds,
    rows_of,
)
from ml.splits.seen import refuse_seen
from ml.timerange import BASE_WIDTH


class WalkForward:
    """Train on the last ``train_size`` before each test of ``test_size``, then move on by ``step``.

    All symbols are cut at the same instants. Without a purge, the last training labels would look into the
    test: at a horizon of a day, a day of them. Training always precedes the test, so no embargo is needed.

    Parameters
    ----------
    labels : pandas.DataFrame
        ``available_at`` and ``t_end`` of every row, index (symbol, time).
    train_size, test_size : timedelta
        Lengths in time. The first test begins ``train_size`` after the first row; only whole tests count.
    step : timedelta, optional
        From one test's begin to the next; by default ``test_size``. A shorter one tests rows several times.
    """

    #: Whether a training window begins where the data do.
    expanding = False

    def __init__(
        self,
        labels: pd.DataFrame,
        *,
        train_size: timedelta,
        test_size: timedelta,
        step: timedelta | None = None,
    ) -> None:
        sizes = (train_size, test_size, step or test_size)
        if min(sizes) <= timedelta(0):
            raise SplitError("train_size, test_size and step must be longer than nothing")
        self.labels = labels
        self.train_size = train_size
        self.test_size = test_size
        self.step = step

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Places, Places]]:  # noqa: N803
        """Give positions in X of training and test rows, oldest test first.

        A test without a row (a hole) is passed over.

        Raises
        ------
        SplitError
            As of `ml.splits.intervals.rows_of`; the history is too short for one test; no training row is
            left.
        """
        rows = rows_of(X, self.labels)
        for start, end in self._tests(rows):
            test = between(rows, start, end)
            if not test.any():
                continue
            oldest = 0 if self.expanding else start - microseconds(self.train_size)
            train = keep_clear(rows, between(rows, oldest, start), [block_of(rows, test)])
            if not train.any():
                raise SplitError("the purge left no training row: make train_size longer than the horizon")
            refuse_seen(X, rows, test)
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Number of tests; it depends on the rows, so X is needed."""
        if X is None:
            raise SplitError("X is needed: the number of tests depends on how long its rows reach")
        return sum(1 for _ in self.split(X))

    def _tests(self, rows: Rows) -> list[tuple[int, int]]:
        """Begin and end of each test."""
        if not rows.labelled.any():
            raise SplitError("no row has a label")
        acting = rows.available_at[rows.labelled]
        length, step = microseconds(self.test_size), microseconds(self.step or self.test_size)
        end = int(acting.max()) + microseconds(BASE_WIDTH)
        first = int(acting.min()) + microseconds(self.train_size)
        if first + length > end:
            raise SplitError(f"the rows do not reach over {self.train_size} of training and one test")
        return [(start, start + length) for start in range(first, end - length + 1, step)]


class ExpandingWindow(WalkForward):
    """Train on everything before each test, at least ``train_size`` of it; otherwise as `WalkForward`."""

    expanding = True
