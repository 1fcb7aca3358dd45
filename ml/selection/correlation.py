"""Drop the worse of two features that say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ml.selection.base import FeatureSelector, Flags, Floats, SelectionError, is_classes

_LEAST_PAIRS = 3


def rank_correlations(values: Floats) -> Floats:
    """Spearman's correlation of each pair of columns over the rows where both are known.

    Ranks are those within each column's own known rows. NaN for a pair with fewer than three such rows, or in
    which one does not change.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (rows, columns), NaN = unknown.
    """
    known = ~np.isnan(values)
    ranks = rankdata(values, axis=0, nan_policy="omit")
    # Centred and scaled, so that the sums of squares below do not cancel.
    ranks = (ranks - np.nanmean(ranks, axis=0)) / len(values)
    ranks = np.where(known, ranks, 0.0)
    mask = known.astype(np.float64)
    pairs, sums, squares = mask.T @ mask, ranks.T @ mask, (ranks**2).T @ mask
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_one, mean_two = sums / pairs, sums.T / pairs
        covariance = ranks.T @ ranks / pairs - mean_one * mean_two
        variance = np.maximum(squares / pairs - mean_one**2, 0)
        found = covariance / np.sqrt(variance * np.maximum(squares.T / pairs - mean_two**2, 0))
    found[pairs < _LEAST_PAIRS] = np.nan
    return np.asarray(np.clip(found, -1, 1))


def relevance(values: Floats, y: Any) -> Floats:
    """How much each column has to do with the target: |rank correlation|, of many classes the largest."""
    target = np.asarray(y)
    classes = np.unique(target) if is_classes(target) else np.empty(0)
    sides = [(target == one).astype(float) for one in classes] if len(classes) > 2 else []
    if not sides:
        sides = [rankdata(target) if target.dtype.kind in "iufb" else (target == target[0]).astype(float)]
    width = values.shape[1]
    every = rank_correlations(np.column_stack([values, *sides]))
    return np.asarray(np.nan_to_num(np.abs(every[:width, width:])).max(axis=1))


class CorrelationFilter(FeatureSelector):
    """Of features whose ranks move together keep the best one.

    Going from the best feature to the worst, one is kept unless it correlates at ``threshold`` or more with
    one that is kept already. Correlated features share importance between them: without this filter the
    importances below tell of luck, and the same thing counts many times.

    Parameters
    ----------
    threshold : float, optional
        |Spearman correlation| in (0, 1] from which two features say the same.

    Attributes
    ----------
    scores_ : numpy.ndarray
        |rank correlation| with the target; without a target the share of known rows.
    clusters_ : dict of str to tuple of str
        Each kept feature with the dropped ones that it stands for.
    """

    needs_target = False

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = threshold

    def _judge(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None
    ) -> tuple[Flags, Floats, dict[str, str]]:
        if not 0 < self.threshold <= 1:
            raise SelectionError(f"threshold must be in (0, 1], not {self.threshold}")
        values, names = frame.to_numpy(), list(frame.columns)
        scores = frame.notna().mean().to_numpy() if y is None else relevance(values, y)
        between = np.abs(np.nan_to_num(rank_correlations(values)))
        kept: list[int] = []
        reasons: dict[str, str] = {}
        members: dict[int, list[str]] = {}
        for place in np.argsort(-scores, kind="stable"):
            near = max(kept, key=lambda other: between[place, other], default=None)
            if near is None or between[place, near] < self.threshold:
                kept.append(int(place))
                members[int(place)] = []
                continue
            members[near].append(names[place])
            reasons[names[place]] = (
                f"correlates {between[place, near]:.3f} with {names[near]}, which is the better one"
                f" ({scores[near]:.4g} against {scores[place]:.4g})"
            )
        chosen = np.zeros(len(names), dtype=bool)
        chosen[kept] = True
        self.clusters_ = {names[place]: tuple(members[place]) for place in sorted(kept)}
        return chosen, scores, reasons
