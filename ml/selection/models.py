"""The tree ensembles that importances come from, and the inner split that they are judged on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, check_cv

from ml.selection.base import Floats, SelectionError, is_classes

Places = npt.NDArray[np.int64]


def default_trees(y: Any, *, random_state: int | None = 0) -> Any:
    """Shallow random trees of scikit-learn, for classes or measures as the target asks.

    Leaves hold at least a hundredth of the rows: labels that overlap repeat each other, and a small leaf
    would learn them by heart.
    """
    kind = ExtraTreesClassifier if is_classes(y) else ExtraTreesRegressor
    return kind(
        n_estimators=100, max_features="sqrt", min_samples_leaf=0.01, random_state=random_state, n_jobs=1
    )


class FittedTrees:
    """A tree model with the medians that stand for unknown values.

    Parameters
    ----------
    estimator : sklearn estimator or None
        None: `default_trees`.
    """

    def __init__(
        self,
        estimator: Any,
        frame: pd.DataFrame,
        y: Any,
        weight: Floats | None,
        *,
        random_state: int | None = 0,
    ) -> None:
        self.model = default_trees(y, random_state=random_state) if estimator is None else clone(estimator)
        self._medians = SimpleImputer(strategy="median", keep_empty_features=True).set_output(
            transform="pandas"
        )
        self.model.fit(self._medians.fit_transform(frame), y, sample_weight=weight)

    def known(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows with the training medians where a value is unknown."""
        filled: pd.DataFrame = self._medians.transform(frame)
        return filled

    @property
    def importances(self) -> Floats:
        """The model's own importance of each column, scaled to a sum of 1."""
        found = np.asarray(self.model.feature_importances_, dtype=np.float64)
        return np.asarray(found / max(found.sum(), np.finfo(float).tiny))


def inner_splits(cv: Any, frame: pd.DataFrame, y: Any) -> Iterator[tuple[Places, Places]]:
    """Training and validation positions inside the rows of a fold.

    Raises
    ------
    SelectionError
        No splitter was given for rows that have times: a split by position would leak.
    """
    if cv is None and "time" in frame.index.names:
        raise SelectionError(
            "cv is needed: an inner purged split of the training rows, such as ForwardValidation(labels)"
        )
    yield from check_cv(KFold(n_splits=2) if cv is None else cv).split(frame, y)
