"""Combinatorial purged cross-validation: many backtest paths out of one history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from ml.registry import Registry
from ml.splits.intervals import (
    Places,
    SplitError,
    embargo_of,
    keep_clear,
    merged_blocks,
    rows_of,
    time_folds,
)
from ml.splits.seen import refuse_seen


class CombinatorialPurgedCV:
    """Every choice of ``n_test_folds`` out of ``n_folds`` folds, one after the other in time, is a test once.

    One backtest is one draw of luck. Each fold is tested in several splits, which put together give
    `n_paths` whole out-of-sample histories and so a distribution of the score. Purge and embargo work around
    each stretch of neighbouring test folds.

    Parameters
    ----------
    labels, embargo, registry
        As of `PurgedKFold`.
    n_folds, n_test_folds : int, optional
        ``0 < n_test_folds < n_folds``.

    References
    ----------
    M. Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 12.
    """

    def __init__(
        self,
        labels: pd.DataFrame,
        *,
        n_folds: int = 6,
        n_test_folds: int = 2,
        embargo: timedelta | None = None,
        registry: Registry | None = None,
    ) -> None:
        if not 0 < n_test_folds < n_folds:
            raise SplitError(f"{n_test_folds} test folds of {n_folds} leave nothing to train on, or to test")
        self.labels = labels
        self.n_folds = n_folds
        self.n_test_folds = n_test_folds
        self.embargo = embargo
        self.registry = registry

    @property
    def n_paths(self) -> int:
        """Number of whole out-of-sample histories."""
        return comb(self.n_folds, self.n_test_folds) * self.n_test_folds // self.n_folds

    def test_folds(self) -> list[tuple[int, ...]]:
        """Numbers of the folds that each split tests, in the order of the splits."""
        return list(combinations(range(self.n_folds), self.n_test_folds))

    def path_splits(self) -> Places:
        """For each path and fold the number of the split that tests it, shape (n_paths, n_folds)."""
        paths = np.zeros((self.n_paths, self.n_folds), dtype=np.int64)
        used = [0] * self.n_folds
        for number, folds in enumerate(self.test_folds()):
            for fold in folds:
                paths[used[fold], fold] = number
                used[fold] += 1
        return paths

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Places, Places]]:  # noqa: N803
        """Give positions in X of training and test rows, choice by choice; errors as of `PurgedKFold`."""
        rows = rows_of(X, self.labels)
        embargo = embargo_of(X, self.embargo, self.registry)
        folds = time_folds(rows, self.n_folds)
        for chosen in self.test_folds():
            test = np.logical_or.reduce([folds[number] for number in chosen])
            train = keep_clear(rows, rows.labelled & ~test, merged_blocks(rows, folds, chosen), embargo)
            for number in chosen:
                refuse_seen(X, rows, folds[number])
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Number of choices."""
        return comb(self.n_folds, self.n_test_folds)
