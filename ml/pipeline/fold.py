"""One training fold: selection, configuration, early stopping, calibration, threshold, baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml.pipeline.experiment import Configuration, Experiment, boosting, fit_until_it_stops, selecting_trees
from ml.registry import Registry
from ml.selection import Selection, select_top_features
from ml.splits import ForwardValidation
from ml.targets import overlap_weights

Floats = npt.NDArray[np.float64]

#: What anybody would try first; the baseline is a logistic regression on those that are there.
BASELINE_FEATURES = ("return_1", "return_5", "return_20")


class Calibration(NamedTuple):
    """Probability = logistic(slope * log odds of the score + intercept), with a slope that is never negative.

    Noise can turn the slope around; a model that has to be turned around knows nothing, and gets the slope 0.
    The slope is drawn towards 0 as well, as if ten independent rows had said so.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, scores: Floats, y: Floats, weight: Floats) -> Calibration:
        """Learn slope and intercept from scores on rows that the model was not fitted on.

        ``weight`` is the labels' uniqueness: it adds up to the number of independent rows.
        """
        share = float(np.clip(np.average(y, weights=weight), 1e-6, 1 - 1e-6))
        flat = cls(0.0, float(np.log(share / (1 - share))))
        if len(np.unique(y)) < 2 or np.ptp(scores) == 0:
            return flat
        odds = _log_odds(scores)
        centre, spread = odds.mean(), odds.std()
        fitted = LogisticRegression(C=0.1).fit((odds - centre)[:, None] / spread, y, sample_weight=weight)
        slope = float(fitted.coef_[0, 0] / spread)
        return cls(slope, float(fitted.intercept_[0] - slope * centre)) if slope > 0 else flat

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of scores in (0, 1)."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * _log_odds(scores) + self.intercept))))


def _log_odds(scores: Floats) -> Floats:
    inside = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside / (1 - inside)))


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted model, what makes its scores probabilities, and from which probability on it trades."""

    model: Any
    names: tuple[str, ...]
    calibration: Calibration
    threshold: float

    def score(self, frame: pd.DataFrame) -> Floats:
        """Raw score of the rise, in (0, 1)."""
        return np.asarray(self.model.predict_proba(frame[list(self.names)])[:, 1])

    def signal(self, probability: Floats) -> Floats:
        """1 long, -1 short, 0 nothing."""
        away = probability - 0.5
        return np.where(np.abs(away) > self.threshold, np.sign(away), 0.0)


@dataclass(frozen=True, eq=False)
class FittedFold:
    """All that a training fold gave.

    Attributes
    ----------
    selection : chosen features, with the time that they have seen
    predictor, baseline : the model, and the simple one beside it
    configuration, rounds : the chosen one, and where it stopped
    losses : log loss of each configuration on the inner validation
    weights : of the training rows, index (symbol, time)
    training_scores : the model's raw scores of them
    """

    selection: Selection
    predictor: Predictor
    baseline: Predictor
    configuration: Configuration
    rounds: int
    losses: dict[Configuration, float]
    weights: pd.Series
    training_scores: pd.Series


def fit_fold(
    frame: pd.DataFrame, labels: pd.DataFrame, experiment: Experiment, registry: Registry
) -> FittedFold:
    """Fit everything on the training rows of one fold; nothing else is given, so nothing else can leak.

    The last fifth of the training time, purged, is the inner validation: it judges features and
    configurations, stops the boosting, calibrates, and sets the threshold. The chosen configuration is then
    fitted on all training rows with the rounds found.

    Parameters
    ----------
    frame : pandas.DataFrame
        Features of the training rows, index (symbol, time).
    labels : pandas.DataFrame
        ``y`` (0 or 1), ``available_at``, ``t_end`` of the same rows, none of them null.
    """
    labels = labels.loc[frame.index]
    # Weights count overlaps among training labels only.
    weights = overlap_weights(labels)
    weights /= weights.mean()
    selection = select_top_features(
        frame,
        labels.assign(weight=weights),
        n_features=experiment.n_features,
        registry=registry,
        n_splits=1,
        methods=experiment.methods,
        estimator=selecting_trees(experiment),
        random_state=experiment.seed,
    )
    chosen, y = frame[list(selection)], labels["y"]
    inner, outer = next(ForwardValidation(labels).split(frame))
    parts = [(chosen.iloc[rows], y.iloc[rows], weights.iloc[rows]) for rows in (inner, outer)]
    losses, fitted = {}, {}
    for configuration in experiment.configurations:
        model, rounds = fit_until_it_stops(
            boosting(experiment, configuration), parts[0], parts[1], experiment.model
        )
        losses[configuration] = _loss(model.predict_proba(parts[1][0])[:, 1], parts[1][1], parts[1][2])
        fitted[configuration] = (model, rounds)
    best = min(losses, key=lambda one: losses[one])
    model, rounds = fitted[best]
    calibration, threshold = _calibrated(model, chosen.iloc[outer], labels.iloc[outer], experiment.quantile)
    final = boosting(experiment, best, rounds).fit(chosen, y, sample_weight=weights)
    predictor = Predictor(final, selection.names, calibration, threshold)
    return FittedFold(
        selection,
        predictor,
        _baseline(frame, labels, weights, (inner, outer), experiment),
        best,
        rounds,
        losses,
        weights,
        pd.Series(predictor.score(frame), index=frame.index),
    )


def _loss(probability: Floats, y: pd.Series, weight: pd.Series) -> float:
    return float(log_loss(y, probability, sample_weight=weight, labels=[0, 1]))


def _calibrated(
    model: Any, frame: pd.DataFrame, labels: pd.DataFrame, quantile: float
) -> tuple[Calibration, float]:
    """Calibration and threshold from rows that the model was not fitted on."""
    scores = np.asarray(model.predict_proba(frame)[:, 1], dtype=np.float64)
    calibration = Calibration.fit(scores, labels["y"].to_numpy(), overlap_weights(labels).to_numpy())
    return calibration, float(np.quantile(np.abs(calibration(scores) - 0.5), quantile))


def _baseline(
    frame: pd.DataFrame,
    labels: pd.DataFrame,
    weights: pd.Series,
    rows: tuple[Any, Any],
    experiment: Experiment,
) -> Predictor:
    """A logistic regression on a few returns, treated as the model is; without any, the share of rises."""
    names = tuple(name for name in BASELINE_FEATURES if name in frame.columns)
    y, inputs = labels["y"], frame[list(names or frame.columns[:1])]

    def fitted(part: Any) -> Any:
        if not names:
            return DummyClassifier().fit(inputs.iloc[part], y.iloc[part])
        steps = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression()
        )
        return steps.fit(
            inputs.iloc[part], y.iloc[part], logisticregression__sample_weight=weights.iloc[part]
        )

    inner, outer = rows
    calibration, threshold = _calibrated(
        fitted(inner), inputs.iloc[outer], labels.iloc[outer], experiment.quantile
    )
    return Predictor(fitted(slice(None)), tuple(inputs.columns), calibration, threshold)
