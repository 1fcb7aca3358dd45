"""`select_top_features`: the choice, its reasons, and the time that it has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ml.errors import UnknownFeatureError
from ml.registry import Registry
from ml.selection.base import SelectionError
from ml.selection.top import METHODS, TopFeatures
from ml.splits.forward import ForwardValidation
from ml.splits.seen import ATTRIBUTE, SeenRange, seen_by

#: Where a loaded frame carries the names that count as features.
REGISTERED = "registered"


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen features, and what the choice stands on. Iterating gives the names, best first.

    Attributes
    ----------
    names : features, best first
    table : a row a feature that passed the filters, as `TopFeatures.table_`
    reasons : why each other column was dropped
    seen : first ``available_at`` and last ``t_end`` of the rows that it was fitted on
    stability : of the inner splits' choices
    fingerprint : of the dataset, as the loader gave it; empty for other frames
    """

    names: tuple[str, ...]
    table: pd.DataFrame
    reasons: dict[str, str]
    seen: SeenRange
    stability: float
    fingerprint: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The chosen columns of a frame, marked with the time that the choice has seen.

        The splitters of `ml.splits` refuse a test inside that time.
        """
        chosen = frame[list(self.names)].copy()
        chosen.attrs[ATTRIBUTE] = tuple(time.isoformat() for time in self.seen)
        return chosen


def select_top_features(
    features_df: pd.DataFrame,
    target: pd.DataFrame,
    *,
    n_features: int = 30,
    registry: Registry | None = None,
    n_splits: int = 3,
    methods: Sequence[str] = METHODS,
    correlation: float = 0.9,
    least_known: float = 0.5,
    estimator: Any = None,
    random_state: int | None = 0,
) -> Selection:
    """Choose features on training rows.

    Everything given here is seen: give the training rows of one fold and nothing else, or put `TopFeatures`
    into a pipeline, which does so by itself. `Selection.of` marks a frame, and the splitters refuse to test
    such a frame inside the time that its features were chosen on.

    Parameters
    ----------
    features_df : pandas.DataFrame
        Index (symbol, time), as of `MarketDataLoader.load_features`.
    target : pandas.DataFrame
        ``y``, ``available_at``, ``t_end`` and perhaps ``weight``, as of `ml.targets`, by the same index. Rows
        with a null label are left out.
    n_features : int, optional
        How many to keep.
    registry : Registry, optional
        What counts as a feature; by default what the loader noted on the frame.
    n_splits : int, optional
        Inner validation stretches, each a tenth of the time.
    methods, correlation, least_known, estimator, random_state
        As of `TopFeatures`.

    Raises
    ------
    SelectionError
        The target has no intervals, no row has a label, or nobody says what counts as a feature.
    SplitError
        Too short a history.
    MissingExtraError
        shap is among the methods and not installed.

    Notes
    -----
    A column that is not in the registry is no feature, and dropped with that reason: a target or a price
    that was joined to the frame would otherwise be found to be an excellent one.
    """
    labels = _labels(features_df, target)
    strangers = _strangers(features_df, registry)
    frame = features_df.loc[labels.index].drop(columns=list(strangers))
    if frame.shape[1] == 0:
        raise UnknownFeatureError("no column of the frame is a feature of the registry")
    frame.attrs = {}
    top = TopFeatures(
        n_features,
        labels=labels,
        cv=ForwardValidation(labels, n_splits=n_splits, test_share=0.1),
        methods=methods,
        correlation=correlation,
        least_known=least_known,
        estimator=estimator,
        random_state=random_state,
    ).fit(frame, labels["y"].to_numpy(), labels.get("weight"))
    chosen = set(top.get_feature_names_out())
    seen = SeenRange(labels["available_at"].min(), labels["t_end"].max())
    if (before := seen_by(features_df)) is not None:
        seen = SeenRange(min(seen.first, before.first), max(seen.last, before.last))
    ordered = top.table_["score"].sort_values(ascending=False, kind="stable").index
    return Selection(
        names=tuple(str(name) for name in ordered if name in chosen),
        table=top.table_,
        reasons=strangers | top.reasons_,
        seen=seen,
        stability=top.stability_,
        fingerprint=dict(features_df.attrs.get("fingerprint", {})),
    )


def _labels(features_df: pd.DataFrame, target: Any) -> pd.DataFrame:
    """The known labels of the frame's rows."""
    if not isinstance(target, pd.DataFrame) or not {"y", "available_at", "t_end"} <= set(target.columns):
        raise SelectionError(
            "the target needs columns y, available_at and t_end (as ml.targets gives them): without the"
            " labels' intervals nothing can be purged"
        )
    if features_df.index.nlevels != target.index.nlevels or not features_df.index.isin(target.index).all():
        raise SelectionError("the target lacks rows of the features")
    labels = target.loc[features_df.index]
    labels = labels[labels["y"].notna() & labels["t_end"].notna()]
    if labels.empty:
        raise SelectionError("no row has a label")
    return labels


def _strangers(features_df: pd.DataFrame, registry: Registry | None) -> dict[str, str]:
    """Columns that are no features, with the reason."""
    if registry is not None:
        names = {feature.name for feature in registry.features}
    elif REGISTERED in features_df.attrs:
        names = set(features_df.attrs[REGISTERED])
    else:
        raise SelectionError(
            "nobody says which columns are features: give the registry (loader.registry()), or a frame of"
            " load_features"
        )
    return {
        str(column): "not a feature of the registry" for column in features_df.columns if column not in names
    }
