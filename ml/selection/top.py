"""All ways of judging put together: the best features of a training fold, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ml.selection.base import Flags, Floats, SelectionError, WeightedSelector, best, unusable
from ml.selection.correlation import CorrelationFilter
from ml.selection.discovery import associations, time_blocks
from ml.selection.importance import permuted_importance, shap_importance
from ml.selection.models import FittedTrees, inner_splits
from ml.selection.stability import stability

METHODS = ("tree", "shap", "permutation", "discovery")


class TopFeatures(WeightedSelector):
    """Filter what says the same, then keep the features that several methods rank best.

    First go features that are never or seldom known or do not change, then the worse ones of correlated
    pairs (`CorrelationFilter`). The rest is ranked in each inner split by each method: on the inner training
    rows by tree importance and by the p-value of `associations`, on the inner validation rows by SHAP values
    and by permutation. The score is the mean of the ranks.

    Parameters
    ----------
    n_features : int, float or None, optional
        How many to keep, or which share of those that pass the filters; None keeps those.
    labels : pandas.DataFrame, optional
        ``available_at`` and ``t_end``; needed for rows with times.
    cv : splitter, optional
        Inner splits of the training rows, such as `ml.splits.ForwardValidation`; needed for rows with times.
    methods : sequence of str, optional
        Of tree, shap (needs the extra ``ml``), permutation, discovery.
    correlation : float, optional
        Threshold of the `CorrelationFilter`.
    least_known : float, optional
        Least share of rows in which a feature is known.
    estimator : sklearn estimator, optional
        As of `TreeImportance`.
    random_state : int, optional
        Of the default estimator, permutation and the rows that SHAP explains.

    Attributes
    ----------
    table_ : pandas.DataFrame
        A row for each feature that passed the filters: mean value of each method, ``score`` in (0, 1], the
        share of inner splits in which it is among the best (``chosen``), p_value and effective_rows of the
        test on all rows.
    clusters_ : dict of str to tuple of str
        As of `CorrelationFilter`.
    stability_ : float
        Of the inner splits' choices (`stability`); NaN with one split.
    """

    def __init__(
        self,
        n_features: int | float | None = 30,
        *,
        labels: pd.DataFrame | None = None,
        cv: Any = None,
        methods: Sequence[str] = METHODS,
        correlation: float = 0.9,
        least_known: float = 0.5,
        estimator: Any = None,
        random_state: int | None = 0,
    ) -> None:
        self.n_features = n_features
        self.labels = labels
        self.cv = cv
        self.methods = methods
        self.correlation = correlation
        self.least_known = least_known
        self.estimator = estimator
        self.random_state = random_state

    def _judge(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None
    ) -> tuple[Flags, Floats, dict[str, str]]:
        if not self.methods or (wrong := sorted(set(self.methods) - set(METHODS))):
            raise SelectionError(
                f"methods must be some of {', '.join(METHODS)}, not {', '.join(wrong or ['none'])}"
            )
        names = list(frame.columns)
        reasons = unusable(frame.to_numpy(), names, least_known=self.least_known)
        left = frame.drop(columns=list(reasons))
        alike = CorrelationFilter(self.correlation)
        if left.shape[1]:
            left = alike.fit(left, y).transform(left)
            reasons |= alike.reasons_
        self.clusters_: dict[str, tuple[str, ...]] = getattr(alike, "clusters_", {})
        self.table_ = self._ranked(left, y, weight)
        scores = pd.Series(self.table_["score"].to_numpy(), index=left.columns)
        chosen = pd.Series(best(scores.to_numpy(), self.n_features), index=left.columns)
        reasons |= self._reasons(chosen)
        kept = np.array([bool(chosen.get(name, False)) for name in names], dtype=bool)
        return kept, scores.reindex(names).to_numpy(dtype=np.float64), reasons

    def _ranked(self, frame: pd.DataFrame, y: Any, weight: Floats | None) -> pd.DataFrame:
        """Values, score and test of each column."""
        values: dict[str, list[Floats]] = {method: [] for method in self.methods}
        scores, choices = [], []
        for train, validation in inner_splits(self.cv, frame, y) if frame.shape[1] else ():
            found = self._measured(frame, y, weight, train, validation)
            for method in self.methods:
                values[method].append(found[method])
            ranks = [stats.rankdata(np.nan_to_num(found[m], nan=-np.inf)) for m in self.methods]
            scores.append(np.mean(ranks, axis=0) / frame.shape[1])
            choices.append(best(scores[-1], self.n_features))
        none = np.empty((0, frame.shape[1]))
        table = pd.DataFrame(
            {method: np.mean(values[method] or none, axis=0) for method in self.methods}
            | {"score": np.mean(scores or none, axis=0), "chosen": np.mean(choices or none, axis=0)},
            index=frame.columns,
        ).rename_axis("feature")
        whole = associations(frame.to_numpy(), y, time_blocks(frame, self.labels))
        table["p_value"], table["effective_rows"] = whole.p_value, whole.rows
        self.stability_ = stability(choices) if len(choices) > 1 else float("nan")
        return table

    def _measured(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None, train: Any, validation: Any
    ) -> dict[str, Floats]:
        """What each method says in one inner split."""
        fitted, judged = frame.iloc[train], frame.iloc[validation]
        found: dict[str, Floats] = {}
        if "discovery" in self.methods:
            tested = associations(fitted.to_numpy(), y[train], time_blocks(fitted, self.labels))
            # The logarithm keeps tiny p-values apart.
            found["discovery"] = -np.log10(np.clip(np.nan_to_num(tested.p_value, nan=1.0), 1e-300, 1))
        if set(self.methods) == {"discovery"}:
            return found
        mine = None if weight is None else weight[train]
        trees = FittedTrees(self.estimator, fitted, y[train], mine, random_state=self.random_state)
        if "tree" in self.methods:
            found["tree"] = trees.importances
        if "shap" in self.methods:
            found["shap"] = shap_importance(trees, judged, random_state=self.random_state)
        if "permutation" in self.methods:
            found["permutation"] = permuted_importance(
                trees, judged, y[validation], random_state=self.random_state
            )
        return found

    def _reasons(self, chosen: pd.Series) -> dict[str, str]:
        """Why the columns that passed the filters and are not among the best go."""
        judged = self.table_[["score", "chosen", *self.methods]]
        ranks = judged.rank(ascending=False, method="first", na_option="bottom").astype(int)
        kept, reasons = int(chosen.sum()), {}
        for place, name in enumerate(chosen.index):
            if not chosen.iloc[place]:
                by_method = ", ".join(f"{method} {ranks[method].iloc[place]}" for method in self.methods)
                reasons[str(name)] = (
                    f"rank {ranks['score'].iloc[place]} of {len(chosen)} ({by_method}); the best {kept} are"
                    f" kept; among them in {judged['chosen'].iloc[place]:.0%} of the inner splits"
                )
        return reasons
