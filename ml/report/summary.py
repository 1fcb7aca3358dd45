"""What an evaluation says, in numbers and plain words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ml.pipeline.scores import Interval, auc, bootstrapped, day_blocks
from ml.pipeline.walk import Evaluation
from ml.selection import stability

_LEAST_ROWS = 20


@dataclass(frozen=True, eq=False)
class Summary:
    """Scores of an evaluation.

    Attributes
    ----------
    auc, baseline_auc : over all tests together, by raw scores within each fold
    auc_gain : of the model over the baseline, with its interval by days
    day_gain : mean net return a day of the model's account, with its interval
    eras : a row a UTC day: rows, auc, baseline_auc, rank correlation with the return, net return of each
    stability : of the folds' choices of features; NaN with one fold
    seen_tests : numbers of the folds whose test was seen by the choice of features
    blocks : number of blocks of days that the intervals stand on
    """

    auc: float
    baseline_auc: float
    auc_gain: Interval
    day_gain: Interval
    eras: pd.DataFrame
    stability: float
    seen_tests: tuple[int, ...]
    blocks: int

    @property
    def verdict(self) -> str:
        """Whether the model is better than the baseline, said plainly."""
        gain = self.auc_gain
        if np.isnan(gain.low):
            return "Nothing can be said: the tests hold fewer than two blocks of days."
        word = "No better than" if gain.holds_zero else "Better than" if gain.low > 0 else "Worse than"
        holds = "holds" if gain.holds_zero else "does not hold"
        return (
            f"{word} the baseline: AUC {self.auc:.3f} against {self.baseline_auc:.3f}, a difference of"
            f" {gain.value:+.4f}; its 95 % day-block bootstrap interval, {gain.low:+.4f} to {gain.high:+.4f},"
            f" {holds} 0."
        )

    @property
    def money(self) -> str:
        """What the account earned after costs, said plainly."""
        gain = self.day_gain
        if np.isnan(gain.low):
            return "Of its earnings nothing can be said: fewer than two blocks of days."
        word = "nothing that can be told from 0" if gain.holds_zero else "money" if gain.low > 0 else "a loss"
        return (
            f"After fees and funding its signals earned {word}: {1e4 * gain.value:+.1f} bps a day, 95 %"
            f" interval {1e4 * gain.low:+.1f} to {1e4 * gain.high:+.1f}."
        )


def summarize(evaluation: Evaluation, *, draws: int = 1000) -> Summary:
    """Put the scores of all tests together."""
    known = evaluation.predictions[evaluation.predictions["y"].notna()]
    blocks = day_blocks(known["available_at"], (known["t_end"] - known["available_at"]).max())
    y = known["y"].to_numpy()
    # Ranks within folds: raw scores of two models are not on one scale.
    ours, theirs = (
        known.groupby("fold")[column].rank(pct=True).to_numpy() for column in ("score", "baseline_score")
    )

    def gain(weight: np.ndarray) -> float:
        return auc(y, ours, weight) - auc(y, theirs, weight)

    seed = evaluation.experiment.seed
    return Summary(
        auc=auc(y, ours),
        baseline_auc=auc(y, theirs),
        auc_gain=bootstrapped(gain, blocks, draws=draws, seed=seed),
        day_gain=_day_gain(evaluation, draws),
        eras=era_scores(evaluation),
        stability=_stability(evaluation),
        seen_tests=tuple(number for number, fold in enumerate(evaluation.folds, start=1) if fold.seen_test),
        blocks=len(np.unique(blocks)),
    )


def chosen_table(evaluation: Evaluation) -> pd.DataFrame:
    """A row a feature that any fold judged, a column a fold: its score, 0 where filtered; NaN: not chosen."""
    columns = {}
    for number, fold in enumerate(evaluation.folds, start=1):
        selection = fold.fitted.selection
        columns[number] = selection.table["score"].reindex(list(selection))
    return pd.DataFrame(columns)


def era_scores(evaluation: Evaluation) -> pd.DataFrame:
    """Scores of each UTC day by itself, all symbols together."""
    rows = evaluation.predictions
    days = rows["available_at"].dt.floor("D")
    found = {}
    for day, mine in rows[rows["y"].notna()].groupby(days):
        if len(mine) < _LEAST_ROWS:
            continue
        y = mine["y"].to_numpy()
        varies = mine["score"].nunique() > 1 and mine["return"].nunique() > 1
        found[day] = {
            "rows": len(mine),
            "auc": auc(y, mine["score"].to_numpy()),
            "baseline_auc": auc(y, mine["baseline_score"].to_numpy()),
            "rank_correlation": (
                float(stats.spearmanr(mine["score"], mine["return"]).statistic) if varies else float("nan")
            ),
        }
    eras = pd.DataFrame.from_dict(found, orient="index")
    for name in ("model", "baseline"):
        net = evaluation.accounts[name]["net"]
        eras[f"{name}_net"] = by_day(net).reindex(eras.index)
    return eras.rename_axis("day")


def by_day(returns: pd.Series) -> pd.Series:
    """Sum of the returns of each UTC day."""
    return returns.groupby(pd.DatetimeIndex(returns.index).floor("D")).sum()


def _day_gain(evaluation: Evaluation, draws: int) -> Interval:
    net = evaluation.accounts["model"]["net"]
    values = by_day(net).to_numpy()
    return bootstrapped(
        lambda weight: float(np.average(values, weights=weight)),
        np.arange(len(values)),
        draws=draws,
        seed=evaluation.experiment.seed,
    )


def _stability(evaluation: Evaluation) -> float:
    if len(evaluation.folds) < 2:
        return float("nan")
    names: set[str] = set()
    for fold in evaluation.folds:
        names |= set(fold.fitted.selection) | set(fold.fitted.selection.reasons)
    ordered = sorted(names)
    return stability([[name in set(fold.fitted.selection) for name in ordered] for fold in evaluation.folds])
