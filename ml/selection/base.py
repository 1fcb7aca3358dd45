"""What all selectors share: checks of the input, scores, and a written reason for each dropped feature."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ml.errors import MlError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class SelectionError(MlError, ValueError):
    """Rows, labels or sizes from which no honest choice of features can be made."""


class MissingExtraError(MlError, ImportError):
    """An optional package is asked for and not installed."""


def optional_package(name: str, *, instead: str) -> Any:
    """Import a package of the extra ``ml``.

    Parameters
    ----------
    name : str
        The package.
    instead : str
        What to do without it, for the message.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(f"{name} is not installed: pip install -e '.[ml]', or {instead}") from None


def is_classes(y: Any) -> bool:
    """Whether a target holds classes (whole numbers, few of them) rather than measures."""
    return type_of_target(y) in ("binary", "multiclass")


class FeatureSelector(SelectorMixin, BaseEstimator):
    """Base of the selectors: `fit` judges the columns, `transform` keeps the good ones.

    NaN is allowed, as features are NULL wherever a source was unknown. A DataFrame stays one, with its index:
    later steps of a pipeline look their rows up by it.

    Attributes
    ----------
    support_ : numpy.ndarray
        Which columns are kept, shape (features,).
    scores_ : numpy.ndarray
        What they were judged by, the higher the better; NaN where a column could not be judged.
    reasons_ : dict of str to str
        Why each dropped column was dropped.
    """

    #: Whether `fit` cannot do without a target.
    needs_target = True

    def fit(self, X: Any, y: Any = None) -> FeatureSelector:  # noqa: N803
        """Judge the columns.

        Parameters
        ----------
        X : array-like of shape (rows, features)
            Training rows only.
        y : array-like of shape (rows,), optional
            Their targets, without NaN.
        """
        return self._fit(X, y, None)

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> FeatureSelector:  # noqa: N803
        index = X.index if isinstance(X, pd.DataFrame) else None
        values, target = self._checked(X, y)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, values)
        names = self._names()
        self.reasons_: dict[str, str] = unusable(values, names)
        usable = np.array([name not in self.reasons_ for name in names])
        frame = pd.DataFrame(values, columns=names, index=index)
        self.scores_ = np.full(len(names), np.nan)
        chosen, scores, reasons = self._judge(frame.loc[:, usable], target, weight)
        self.scores_[usable] = scores
        self.support_ = usable.copy()
        self.support_[usable] = chosen
        self.reasons_ |= reasons
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        """Keep the chosen columns; a DataFrame stays a DataFrame."""
        kept = super().transform(X)
        if isinstance(X, pd.DataFrame) and isinstance(kept, np.ndarray):
            return pd.DataFrame(kept, index=X.index, columns=self.get_feature_names_out())
        return kept

    def _judge(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None
    ) -> tuple[Flags, Floats, dict[str, str]]:
        """Decide on usable columns: which to keep, their scores, why the others go."""
        raise NotImplementedError

    def _get_support_mask(self) -> Flags:
        check_is_fitted(self)
        return self.support_

    def _checked(self, X: Any, y: Any) -> tuple[Floats, Any]:  # noqa: N803
        options = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "ensure_min_samples": 2}
        if y is None and not self.needs_target:
            return validate_data(self, X, **options), None
        values, target = validate_data(self, X, y, **options)
        if target.dtype.kind in "OUS":
            check_classification_targets(target)
        return values, target

    def _names(self) -> list[str]:
        if hasattr(self, "feature_names_in_"):
            return [str(name) for name in self.feature_names_in_]
        return [f"x{place}" for place in range(self.n_features_in_)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = self.needs_target
        return tags


class WeightedSelector(FeatureSelector):
    """A selector whose method knows weights."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> FeatureSelector:  # noqa: N803
        """Judge the columns.

        Parameters
        ----------
        X, y
            As of `FeatureSelector.fit`.
        sample_weight : array-like of shape (rows,), optional
            Weights, such as `ml.targets.overlap_weights`.
        """
        return self._fit(X, y, sample_weight)


def unusable(values: Floats, names: list[str], *, least_known: float = 0.0) -> dict[str, str]:
    """Columns that no method can judge, each with the reason: never known, too seldom known, or constant."""
    known = ~np.isnan(values)
    share = known.mean(axis=0)
    low = np.where(known, values, np.inf).min(axis=0)
    high = np.where(known, values, -np.inf).max(axis=0)
    reasons = {}
    for place, name in enumerate(names):
        if not share[place]:
            reasons[name] = "never known in the training rows"
        elif share[place] < least_known:
            reasons[name] = (
                f"known in {share[place]:.0%} of the training rows, {least_known:.0%} are asked for"
            )
        elif low[place] == high[place]:
            reasons[name] = "never changes in the training rows"
    return reasons


def best(scores: Floats, count: int | float | None) -> Flags:
    """The best columns: so many, or that share, of them; ties go to the earlier column."""
    if count is None:
        return np.ones(len(scores), dtype=bool)
    if count <= 0 or (isinstance(count, float) and count > 1):
        raise SelectionError(f"n_features must be a number above 0 or a share up to 1, not {count}")
    many = max(1, round(count * len(scores))) if isinstance(count, float) else count
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:many]] = True
    return chosen


def ranked_reasons(names: list[str], scores: Floats, chosen: Flags, what: str) -> dict[str, str]:
    """A reason for each column that is not among the best."""
    place = np.empty(len(scores), dtype=int)
    place[np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")] = np.arange(1, len(scores) + 1)
    return {
        name: f"{what} {score:.4g}, rank {rank} of {len(names)}; the best {chosen.sum()} are kept"
        for name, score, rank, kept in zip(names, scores, place, chosen, strict=True)
        if not kept
    }
