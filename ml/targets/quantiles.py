"""Classes by quantiles of the returns, learnt from the training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted


class QuantileLabeler(TransformerMixin, BaseEstimator):
    """Turns returns into classes 0, 1, ... cut at quantiles of the returns that it was fitted on.

    Quantiles of a whole history look ahead: a return counts as large or not by what happens years later. Fit
    on a fold's training returns and transform both sides.

    Parameters
    ----------
    quantiles : sequence of float, optional
        Increasing, within (0, 1); by default thirds.

    Attributes
    ----------
    thresholds_ : numpy.ndarray
        The returns at the quantiles; a return on a threshold belongs to the class above.

    Examples
    --------
    >>> labeler = QuantileLabeler((0.5,)).fit([-0.02, -0.01, 0.01, 0.04])
    >>> labeler.thresholds_.tolist(), labeler.transform([-0.5, 0.0, 0.5]).tolist()
    ([0.0], [0.0, 1.0, 1.0])
    """

    def __init__(self, quantiles: Sequence[float] = (1 / 3, 2 / 3)) -> None:
        self.quantiles = quantiles

    def fit(self, returns: Any, y: Any = None) -> QuantileLabeler:
        """Learn the thresholds; NaN returns are left out."""
        levels = np.asarray(self.quantiles, dtype=np.float64)
        if levels.ndim != 1 or not levels.size or (np.diff(levels) <= 0).any() or not _within(levels):
            raise ValueError(f"quantiles must increase within (0, 1), not {self.quantiles}")
        values = np.asarray(returns, dtype=np.float64).ravel()
        known = values[~np.isnan(values)]
        if not known.size:
            raise ValueError("no return to learn quantiles from")
        self.thresholds_ = np.quantile(known, levels)
        return self

    def transform(self, returns: Any) -> npt.NDArray[np.float64]:
        """Classes of returns, as floats; NaN stays NaN."""
        check_is_fitted(self)
        values = np.asarray(returns, dtype=np.float64).ravel()
        classes = np.searchsorted(self.thresholds_, values, side="right").astype(float)
        return np.where(np.isnan(values), np.nan, classes)


def _within(levels: npt.NDArray[np.float64]) -> bool:
    return bool((levels > 0).all() and (levels < 1).all())
