"""What one experiment is: everything that is chosen before the data are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Literal

import numpy as np

from ml.errors import MlError
from ml.selection.base import optional_package
from ml.selection.top import METHODS

ModelKind = Literal["lightgbm", "sklearn"]
MODELS: tuple[ModelKind, ...] = ("lightgbm", "sklearn")
_MOST_ROUNDS = 300
_PATIENCE = 25


class ExperimentError(MlError, ValueError):
    """An experiment that cannot be run: sizes that make no sense, or too short a history."""


@dataclass(frozen=True)
class Configuration:
    """One setting of the model; each fold chooses among several on its own inner validation."""

    leaves: int
    rate: float
    least_rows: int

    def __str__(self) -> str:
        return f"{self.leaves} leaves of at least {self.least_rows} rows, rate {self.rate:g}"


#: What every fold tries.
CONFIGURATIONS = (Configuration(7, 0.05, 100), Configuration(15, 0.03, 200), Configuration(31, 0.03, 400))


@dataclass(frozen=True)
class Experiment:
    """Settings of a walk-forward experiment.

    Parameters
    ----------
    model : {"lightgbm", "sklearn"}
        Gradient boosting by LightGBM (extra ``ml``), or scikit-learn's.
    horizon : int
        Bars held; the label is the direction of that return.
    folds : int
        Tests, one after the other, of equal length.
    train_share : float
        Share of the history in each training window.
    n_features : int
        Features chosen in each fold.
    methods : sequence of str
        How they are judged, as of `ml.selection.TopFeatures`.
    configurations : sequence of Configuration
        What each fold chooses from.
    fee : float
        Cost of trading, as a share of the value traded.
    quantile : float
        A position is opened when the probability is further from one half than this share of the inner
        validation's.
    seed : int
        Of model, permutation and bootstrap.
    """

    model: ModelKind = "lightgbm"
    horizon: int = 12
    folds: int = 6
    train_share: float = 0.5
    n_features: int = 30
    methods: Sequence[str] = METHODS
    configurations: Sequence[Configuration] = field(default=CONFIGURATIONS)
    fee: float = 0.0005
    quantile: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ExperimentError(f"no model {self.model!r}: choose {' or '.join(MODELS)}")
        if self.horizon < 1 or self.folds < 1 or self.n_features < 1 or not self.configurations:
            raise ExperimentError("horizon, folds, n_features and configurations must be at least one")
        if not (0 < self.train_share < 1 and 0 <= self.quantile < 1 and self.fee >= 0):
            raise ExperimentError("train_share and quantile must be within (0, 1), the fee not negative")

    @property
    def tries(self) -> int:
        """Configurations fitted in all."""
        return self.folds * len(self.configurations)

    def check_packages(self) -> None:
        """Refuse now what would fail in the middle for want of a package.

        Raises
        ------
        MissingExtraError
            Naming it and what to do.
        """
        if self.model == "lightgbm":
            optional_package("lightgbm", instead="choose scikit-learn's boosting (--model sklearn)")
        if "shap" in self.methods:
            optional_package("shap", instead="leave it out (--model sklearn does)")


def boosting(experiment: Experiment, configuration: Configuration, rounds: int = _MOST_ROUNDS) -> Any:
    """An unfitted classifier; NaN needs no filling."""
    if experiment.model == "lightgbm":
        lightgbm = optional_package("lightgbm", instead="choose scikit-learn's boosting")
        return lightgbm.LGBMClassifier(
            n_estimators=rounds,
            num_leaves=configuration.leaves,
            learning_rate=configuration.rate,
            min_child_samples=configuration.least_rows,
            colsample_bytree=0.7,
            reg_lambda=5.0,
            importance_type="gain",
            random_state=experiment.seed,
            deterministic=True,
            force_row_wise=True,
            n_jobs=1,
            verbose=-1,
        )
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=rounds,
        max_leaf_nodes=configuration.leaves,
        learning_rate=configuration.rate,
        min_samples_leaf=configuration.least_rows,
        max_features=0.7,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=experiment.seed,
    )


def selecting_trees(experiment: Experiment) -> Any:
    """The trees that features are judged by; None for scikit-learn's default."""
    if experiment.model != "lightgbm":
        return None
    return boosting(experiment, Configuration(15, 0.05, 100), rounds=60)


def fit_until_it_stops(
    model: Any, train: tuple[Any, Any, Any], validation: tuple[Any, Any, Any], kind: ModelKind
) -> tuple[Any, int]:
    """Fit with early stopping on validation rows; gives the model and its best number of rounds.

    ``train`` and ``validation`` are features, targets, weights.
    """
    if kind == "lightgbm":
        from lightgbm import early_stopping, log_evaluation

        # The newer name of the validation rows is asked for by LightGBM 4.7, and unknown to earlier ones.
        newer = "eval_X" in signature(model.fit).parameters
        rows = {"eval_X": validation[0], "eval_y": validation[1]} if newer else {"eval_set": [validation[:2]]}
        model.fit(
            *train[:2],
            **rows,
            sample_weight=train[2],
            eval_sample_weight=[validation[2]],
            eval_metric="binary_logloss",
            callbacks=[early_stopping(_PATIENCE, verbose=False), log_evaluation(0)],
        )
        return model, max(1, int(model.best_iteration_ or model.n_estimators))
    model.set_params(early_stopping=True, n_iter_no_change=_PATIENCE, scoring="loss")
    model.fit(
        *train[:2],
        sample_weight=train[2],
        X_val=validation[0],
        y_val=validation[1],
        sample_weight_val=validation[2],
    )
    # The first score is that before any round.
    return model, max(1, int(np.argmax(model.validation_score_)))


def as_parameters(experiment: Experiment) -> Mapping[str, str]:
    """The settings as text, for a report."""
    return {
        "model": experiment.model,
        "horizon": f"{experiment.horizon} bars of 5 minutes",
        "folds": str(experiment.folds),
        "training window": f"{experiment.train_share:.0%} of the history",
        "features chosen in each fold": f"{experiment.n_features}, by {', '.join(experiment.methods)}",
        "fee": f"{1e4 * experiment.fee:g} bps of the value traded",
        "positions": f"opened beyond the {experiment.quantile:.0%} quantile of the inner validation,"
        f" each held {experiment.horizon} bars",
    }
