"""Walking an experiment through the history, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import log_loss

from ml.pipeline.backtest import account, held_positions
from ml.pipeline.dataset import Dataset, direction_labels
from ml.pipeline.experiment import Experiment, ExperimentError
from ml.pipeline.fold import FittedFold, fit_fold
from ml.pipeline.scores import auc, population_stability
from ml.splits import WalkForward
from ml.timerange import BASE_WIDTH

Places = npt.NDArray[np.int64]


class Span(NamedTuple):
    """First and last instant at which rows act, UTC."""

    first: pd.Timestamp
    last: pd.Timestamp


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One test of the walk.

    Attributes
    ----------
    fitted : what the training rows gave
    train, test : when their rows act
    rows : number of training and of test rows
    rises : share of rises among the training and the test labels
    auc, log_loss : of the model on the test
    baseline_auc, baseline_log_loss : of the baseline
    prior_log_loss : of saying always the training share of rises
    drift : population stability index of each chosen feature, training against test
    seen_test : whether the choice of features has seen the test (then its score means nothing)
    """

    fitted: FittedFold
    train: Span
    test: Span
    rows: tuple[int, int]
    rises: tuple[float, float]
    auc: float
    log_loss: float
    baseline_auc: float
    baseline_log_loss: float
    prior_log_loss: float
    drift: pd.Series
    seen_test: bool


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All tests together.

    Attributes
    ----------
    predictions : of each row in the time of a test: y (null without a label), return, available_at, t_end,
        fold; score (raw), probability (calibrated) and signal, of the baseline with the prefix baseline_
    accounts : ``model``, ``baseline`` and ``hold`` (all symbols, bought once), as of `backtest.account`
    labels : share of rows with a rise, a fall, and no label
    """

    experiment: Experiment
    folds: tuple[FoldResult, ...]
    predictions: pd.DataFrame
    accounts: dict[str, pd.DataFrame]
    labels: dict[str, float]
    fingerprint: dict[str, Any]


def splitter_of(labels: pd.DataFrame, experiment: Experiment) -> WalkForward:
    """Training windows of one length, and tests that fill the rest of the history.

    Raises
    ------
    ExperimentError
        The history is too short: a training window must hold at least ten horizons.
    """
    acting = labels.loc[labels["t_end"].notna(), "available_at"]
    if acting.empty:
        raise ExperimentError("no row has a label")
    whole = acting.max() - acting.min() + pd.Timedelta(BASE_WIDTH)
    test = (whole * (1 - experiment.train_share) / experiment.folds).floor(BASE_WIDTH)
    train = whole - experiment.folds * test
    if train < 10 * experiment.horizon * pd.Timedelta(BASE_WIDTH) or test < pd.Timedelta(hours=1):
        raise ExperimentError(
            f"{whole} of history is too short for {experiment.folds} folds at a horizon of"
            f" {experiment.horizon} bars: fewer folds, a shorter horizon, or more history"
        )
    sizes: dict[str, timedelta] = {"train_size": train.to_pytimedelta(), "test_size": test.to_pytimedelta()}
    return WalkForward(labels[["available_at", "t_end"]], **sizes)


def walk_forward(
    dataset: Dataset, experiment: Experiment, *, say: Callable[[str], None] = lambda _: None
) -> Evaluation:
    """Fit and test fold after fold.

    Parameters
    ----------
    say : callable, optional
        Told of each fold as it begins.

    Raises
    ------
    ExperimentError
        Too short a history.
    MissingExtraError
        A package that the experiment needs is not installed.
    """
    experiment.check_packages()
    labels = direction_labels(dataset, experiment.horizon)
    splits = list(splitter_of(labels, experiment).split(dataset.features))
    results, tested = [], []
    for number, (train, test) in enumerate(splits, start=1):
        say(f"fold {number} of {len(splits)}")
        frame, mine = dataset.features.iloc[train], labels.iloc[train]
        fitted = fit_fold(frame, mine, experiment, dataset.registry)
        scored = _predicted(fitted, *_tested(dataset.features, labels, test))
        tested.append(scored.assign(fold=number))
        results.append(_result(fitted, dataset.features, labels, train, test, scored))
    predictions = pd.concat(tested).sort_index()
    known = labels["y"].dropna()
    shares = {
        "rise": float((known == 1).sum() / len(labels)),
        "fall": float((known == 0).sum() / len(labels)),
        "none": float(labels["y"].isna().mean()),
    }
    accounts = _accounts(dataset, predictions, experiment)
    return Evaluation(experiment, tuple(results), predictions, accounts, shares, dataset.fingerprint)


def _tested(features: pd.DataFrame, labels: pd.DataFrame, test: Places) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows of a test's time, also those without a label: a live model knows not which they will be."""
    times = labels["available_at"]
    first, last = times.iloc[test].min(), times.iloc[test].max()
    within = ((times >= first) & (times <= last)).to_numpy()
    return features[within], labels[within]


def _predicted(fitted: FittedFold, frame: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    found = labels[["y", "return", "available_at", "t_end"]].copy()
    for prefix, predictor in (("", fitted.predictor), ("baseline_", fitted.baseline)):
        scores = predictor.score(frame)
        probability = predictor.calibration(scores)
        found[f"{prefix}score"] = scores
        found[f"{prefix}probability"] = probability
        found[f"{prefix}signal"] = predictor.signal(probability)
    return found


def _result(
    fitted: FittedFold,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    train: Places,
    test: Places,
    scored: pd.DataFrame,
) -> FoldResult:
    """Score a fold."""
    scored = scored[scored["y"].notna()]
    y = scored["y"].to_numpy()
    before, after = labels.iloc[train], labels.iloc[test]
    prior = np.full(len(y), before["y"].mean())
    chosen = features[list(fitted.selection)]
    drift = {
        name: population_stability(values[train], values[test])
        for name, values in ((name, chosen[name].to_numpy()) for name in chosen)
    }
    spans = [Span(part["available_at"].min(), part["available_at"].max()) for part in (before, after)]
    seen = fitted.selection.seen
    return FoldResult(
        fitted=fitted,
        train=spans[0],
        test=spans[1],
        rows=(len(train), len(test)),
        rises=(float(before["y"].mean()), float(after["y"].mean())),
        auc=auc(y, scored["score"].to_numpy()),
        log_loss=float(log_loss(y, scored["probability"], labels=[0, 1])),
        baseline_auc=auc(y, scored["baseline_score"].to_numpy()),
        baseline_log_loss=float(log_loss(y, scored["baseline_probability"], labels=[0, 1])),
        prior_log_loss=float(log_loss(y, prior, labels=[0, 1])),
        drift=pd.Series(drift, dtype=float),
        seen_test=bool(after["t_end"].max() >= seen.first and spans[1].first <= seen.last),
    )


def _accounts(dataset: Dataset, predictions: pd.DataFrame, experiment: Experiment) -> dict[str, pd.DataFrame]:
    """What model, baseline and holding earned over the tested time."""
    times = predictions.index.get_level_values("time")
    first, last = times.min(), times.max() + 3 * pd.Timedelta(BASE_WIDTH)
    opened = dataset.bars.index.get_level_values("time")
    bars = dataset.bars[(opened >= first) & (opened <= last)]
    symbols = predictions.index.unique("symbol").size
    hold = pd.Series(1.0, index=predictions.index)
    found = {}
    for name, signals, horizon in (
        ("model", predictions["signal"], experiment.horizon),
        ("baseline", predictions["baseline_signal"], experiment.horizon),
        ("hold", hold, 1),
    ):
        positions = held_positions(signals.reindex(bars.index), horizon)
        positions[bars.index.get_level_values("time") > times.max()] = 0.0
        found[name] = account(bars, positions, dataset.settlements, fee=experiment.fee, symbols=symbols)
    return found
