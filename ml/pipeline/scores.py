"""Scores, their uncertainty by whole days, and drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

_LEAST_BLOCKS = 2


class Interval(NamedTuple):
    """An estimate with its 95 % interval; the limits are NaN where there are fewer than two blocks."""

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether nothing can be said about the sign."""
        return not (self.low > 0 or self.high < 0)


def auc(y: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Area under the ROC curve: how often a rise scores higher than a fall, ties half; NaN without both.

    Parameters
    ----------
    y, score, weight : numpy.ndarray
        Shape (rows,); y is 0 or 1, weights default to 1.
    """
    weight = np.ones(len(y)) if weight is None else weight
    group = np.unique(score, return_inverse=True)[1]
    rises = np.bincount(group, weight * y)
    falls = np.bincount(group, weight * (1 - y))
    total = rises.sum() * falls.sum()
    below = np.cumsum(falls) - falls
    return float((rises * (below + falls / 2)).sum() / total) if total > 0 else float("nan")


def day_blocks(times: pd.Series, longest: pd.Timedelta) -> npt.NDArray[np.int64]:
    """Number of each row's block of whole UTC days, long enough that labels seldom reach into the next."""
    days = max(1, int(np.ceil(longest / pd.Timedelta(days=1))))
    return np.asarray((times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(days=days), dtype=np.int64)


def bootstrapped(
    statistic: Callable[[Floats], float],
    blocks: npt.NDArray[np.int64],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """95 % interval of a statistic by drawing whole blocks of time with replacement.

    Rows of one day are not independent: labels overlap and symbols move together. Days nearly are.

    Parameters
    ----------
    statistic : callable
        Given a weight for each row (how often its block was drawn), the value.
    blocks : numpy.ndarray
        Block of each row.
    """
    number = np.unique(blocks, return_inverse=True)[1]
    count = int(number.max()) + 1 if len(number) else 0
    value = statistic(np.ones(len(blocks)))
    if count < _LEAST_BLOCKS:
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    found = np.array([statistic(times[number]) for times in drawn])
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def population_stability(train: Floats, test: Floats, *, bins: int = 10) -> float:
    """Population stability index: how far a feature's distribution has moved from training to test.

    Over the training's deciles and a bin of unknown values, the sum of (q - p) ln(q / p) with p and q the
    shares in training and test. Below 0.1 it hardly moved, above 0.25 it moved a lot, by common use.
    """
    known = train[~np.isnan(train)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if known.size else np.empty(0)
    shares = []
    for values in (train, test):
        there = values[~np.isnan(values)]
        counts = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
        counts = np.r_[counts, len(values) - len(there)].astype(np.float64)
        # Half a row each, so that an empty bin is not infinitely far.
        shares.append((counts + 0.5) / (counts + 0.5).sum())
    p, q = shares
    return float(((q - p) * np.log(q / p)).sum())


def reliability(y: Floats, probability: Floats, *, bins: int = 10) -> pd.DataFrame:
    """Mean probability, share of rises and number of rows, in bins of equally many rows."""
    part = np.minimum(
        pd.Series(probability).rank(method="first").to_numpy().astype(int) * bins // (len(y) + 1), bins - 1
    )
    table = pd.DataFrame({"probability": probability, "rises": y, "bin": part})
    grouped = table.groupby("bin")
    return grouped[["probability", "rises"]].mean().assign(rows=grouped.size())
