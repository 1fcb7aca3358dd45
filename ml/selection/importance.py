"""Importance by trees, by SHAP values and by permutation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss

from ml.selection.base import Flags, Floats, WeightedSelector, best, optional_package, ranked_reasons
from ml.selection.models import FittedTrees, inner_splits

_SHAP_ROWS = 500


def shap_importance(trees: FittedTrees, frame: pd.DataFrame, *, random_state: int | None = 0) -> Floats:
    """Mean |SHAP value| of each column over (at most 500) rows that the model was not fitted on.

    Raises
    ------
    MissingExtraError
        shap is not installed.
    """
    shap = optional_package("shap", instead="leave shap out of the methods")
    rows = trees.known(frame)
    if len(rows) > _SHAP_ROWS:
        rows = rows.sample(_SHAP_ROWS, random_state=random_state)
    with warnings.catch_warnings():
        # It tells of a change in the shape of what it gives; the shape is looked at below.
        warnings.filterwarnings("ignore", message="LightGBM binary classifier", category=UserWarning)
        explained = np.abs(np.asarray(shap.TreeExplainer(trees.model).shap_values(rows)))
    # Several outputs come as (rows, features, outputs).
    outputs = explained.sum(axis=2) if explained.ndim == 3 else explained
    return np.asarray(outputs.mean(axis=0), dtype=np.float64)


def permuted_importance(
    trees: FittedTrees, frame: pd.DataFrame, y: Any, *, n_repeats: int = 3, random_state: int | None = 0
) -> Floats:
    """How much worse the model does on rows it was not fitted on when a column is shuffled.

    Classes are scored by log loss, measures by R².
    """
    classes = getattr(trees.model, "classes_", None)

    def score(model: Any, rows: pd.DataFrame, target: Any) -> float:
        if classes is None:
            return float(model.score(rows, target))
        known = np.isin(target, classes)  # a class that came up later can't be predicted
        return -float(log_loss(target[known], model.predict_proba(rows)[known], labels=classes))

    if classes is not None and (len(classes) < 2 or not np.isin(y, classes).any()):
        return np.zeros(frame.shape[1])
    found = permutation_importance(
        trees.model, trees.known(frame), y, scoring=score, n_repeats=n_repeats, random_state=random_state
    )
    return np.asarray(found.importances_mean)


class TreeImportance(WeightedSelector):
    """Keep the features that a tree ensemble splits on most.

    Cheap, but in-sample: a feature with many distinct values gets credit for noise. Beside the others it
    guards against missing what only matters together with something else.

    Parameters
    ----------
    n_features : int, float or None, optional
        How many to keep, or which share; None keeps all and only scores.
    estimator : sklearn estimator, optional
        With ``feature_importances_``; by default shallow `ExtraTrees` for classes or measures. Unknown values
        are replaced by the training rows' medians.
    random_state : int, optional
        Of the default estimator.
    """

    def __init__(
        self, n_features: int | float | None = 0.5, *, estimator: Any = None, random_state: int | None = 0
    ) -> None:
        self.n_features = n_features
        self.estimator = estimator
        self.random_state = random_state

    def _judge(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None
    ) -> tuple[Flags, Floats, dict[str, str]]:
        if not len(frame.columns):
            return np.zeros(0, bool), np.zeros(0), {}
        scores = FittedTrees(self.estimator, frame, y, weight, random_state=self.random_state).importances
        chosen = best(scores, self.n_features)
        return chosen, scores, ranked_reasons(list(frame.columns), scores, chosen, "tree importance")


class _OutOfSampleImportance(WeightedSelector):
    """Importance on validation rows inside the training rows."""

    what = ""

    def __init__(
        self,
        n_features: int | float | None = 0.5,
        *,
        cv: Any = None,
        estimator: Any = None,
        random_state: int | None = 0,
    ) -> None:
        self.n_features = n_features
        self.cv = cv
        self.estimator = estimator
        self.random_state = random_state

    def _judge(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None
    ) -> tuple[Flags, Floats, dict[str, str]]:
        if not len(frame.columns):
            return np.zeros(0, bool), np.zeros(0), {}
        found = []
        for train, validation in inner_splits(self.cv, frame, y):
            mine = None if weight is None else weight[train]
            trees = FittedTrees(
                self.estimator, frame.iloc[train], y[train], mine, random_state=self.random_state
            )
            found.append(self._measure(trees, frame.iloc[validation], y[validation]))
        scores = np.mean(found, axis=0)
        chosen = best(scores, self.n_features) & self._good(scores)
        return chosen, scores, ranked_reasons(list(frame.columns), scores, chosen, self.what)

    def _measure(self, trees: FittedTrees, frame: pd.DataFrame, y: Any) -> Floats:
        raise NotImplementedError

    def _good(self, scores: Floats) -> Flags:
        return np.ones(len(scores), dtype=bool)


class ShapImportance(_OutOfSampleImportance):
    """Keep the features with the largest mean |SHAP value| on inner validation rows.

    Needs the package shap (extra ``ml``).

    Parameters
    ----------
    n_features : int, float or None, optional
        As of `TreeImportance`.
    cv : splitter, optional
        Inner split of the training rows, such as `ml.splits.ForwardValidation`; needed for rows with times.
    estimator, random_state
        As of `TreeImportance`; a tree model that shap understands.
    """

    what = "mean |SHAP|"

    def _measure(self, trees: FittedTrees, frame: pd.DataFrame, y: Any) -> Floats:
        return shap_importance(trees, frame, random_state=self.random_state)


class PermutationImportance(_OutOfSampleImportance):
    """Keep the features whose shuffling hurts on inner validation rows.

    Measured out of sample, so noise scores about 0, on either side. Of the best ``n_features`` only those
    above 0 are kept.

    Parameters
    ----------
    n_features, cv, estimator, random_state
        As of `ShapImportance`.
    """

    what = "permutation importance"

    def _measure(self, trees: FittedTrees, frame: pd.DataFrame, y: Any) -> Floats:
        return permuted_importance(trees, frame, y, random_state=self.random_state)

    def _good(self, scores: Floats) -> Flags:
        return scores > 0
