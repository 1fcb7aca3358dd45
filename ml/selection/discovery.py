"""A test of each feature that knows how few independent rows there are, with a limit on false discoveries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ml.selection.base import FeatureSelector, Flags, Floats, SelectionError
from ml.splits.intervals import microseconds, rows_of

_LEAST_BLOCKS = 3


class Association(NamedTuple):
    """Of each column with the target: rank correlation, effective number of rows, p-value (two-sided)."""

    correlation: Floats
    rows: Floats
    p_value: Floats


def associations(values: Floats, y: Any, blocks: npt.NDArray[np.int64]) -> Association:
    """Rank correlations with the target, their error told by whole blocks of time.

    Products of centred ranks are summed within blocks. Labels that overlap and symbols that move together
    stay within a block, so block sums are nearly independent, and their spread gives the error of the mean:
    Student's t with one degree of freedom less than there are blocks. The effective number of rows is that
    of independent rows with the same error.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (rows, columns), NaN = unknown.
    y : array-like
        Shape (rows,).
    blocks : numpy.ndarray
        Block of each row, shape (rows,).
    """
    number = np.unique(blocks, return_inverse=True)[1]
    total = int(number.max()) + 1
    target = np.asarray(y)
    codes = target if target.dtype.kind in "iufb" else np.unique(target, return_inverse=True)[1]
    correlation, rows, p_value = (np.full(values.shape[1], np.nan) for _ in range(3))
    for column, one in enumerate(values.T):
        known = ~np.isnan(one)
        x = _standardized(one[known])
        z = _standardized(codes[known])
        product, mine = x * z, number[known]
        mean = product.mean() if len(product) else 0.0
        correlation[column] = mean
        counts = np.bincount(mine, minlength=total)
        there = counts > 0
        count = int(there.sum())
        if count < _LEAST_BLOCKS:
            continue
        # Deviations of the block sums from what the overall mean says of that many rows.
        apart = np.bincount(mine, product, minlength=total)[there] - mean * counts[there]
        variance = (apart**2).sum() * count / (count - 1) / len(product) ** 2
        if variance > 0:
            rows[column] = min(len(product), product.var() / variance)
            p_value[column] = 2 * stats.t.sf(abs(mean) / np.sqrt(variance), count - 1)
    return Association(correlation, rows, p_value)


def _standardized(values: Any) -> Floats:
    ranks = stats.rankdata(values)
    spread = ranks.std() if len(ranks) else 0.0
    return np.asarray((ranks - ranks.mean()) / spread if spread > 0 else np.zeros(len(ranks)))


class FalseDiscoveryFilter(FeatureSelector):
    """Keep the features whose rank correlation with the target is no chance finding.

    Bars are not independent rows: at a horizon of an hour twelve labels in a row are nearly one, and three
    symbols that move together are nearly one as well. A usual test would call most noise significant. This
    one counts blocks of time (`associations`) and limits the expected share of false ones in what it keeps.

    Parameters
    ----------
    alpha : float, optional
        That share.
    labels : pandas.DataFrame, optional
        ``available_at`` and ``t_end``, looked up by index. Needed for rows with times; rows without (plain
        arrays) count as independent.
    block : timedelta, optional
        Length of a block; by default a day, or four times the longest label interval if that is longer.
    method : {"bh", "by"}, optional
        Benjamini and Hochberg (independent or positively dependent tests), or Benjamini and Yekutieli (any).

    Attributes
    ----------
    scores_ : numpy.ndarray
        |rank correlation|.
    p_values_, effective_rows_ : numpy.ndarray
        Of each column; NaN where it could not be tested.

    References
    ----------
    Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, J. R. Statist. Soc. B 57 (1995).
    """

    def __init__(
        self,
        alpha: float = 0.05,
        *,
        labels: pd.DataFrame | None = None,
        block: timedelta | None = None,
        method: Literal["bh", "by"] = "bh",
    ) -> None:
        self.alpha = alpha
        self.labels = labels
        self.block = block
        self.method = method

    def _judge(
        self, frame: pd.DataFrame, y: Any, weight: Floats | None
    ) -> tuple[Flags, Floats, dict[str, str]]:
        if not 0 < self.alpha < 1:
            raise SelectionError(f"alpha must be in (0, 1), not {self.alpha}")
        found = associations(frame.to_numpy(), y, time_blocks(frame, self.labels, self.block))
        adjusted = np.ones(len(found.p_value))
        tested = ~np.isnan(found.p_value)
        if tested.any():
            adjusted[tested] = stats.false_discovery_control(found.p_value[tested], method=self.method)
        chosen = adjusted <= self.alpha
        names = list(frame.columns)
        self.p_values_, self.effective_rows_ = (np.full(self.n_features_in_, np.nan) for _ in range(2))
        places = [self._names().index(name) for name in names]
        self.p_values_[places], self.effective_rows_[places] = found.p_value, found.rows
        reasons = {
            name: f"rank correlation {r:+.4f} on {n:.0f} effective of {len(frame)} rows: p {p:.2g},"
            f" {q:.2g} after all {len(names)} tests, {self.alpha:g} is asked for"
            if not np.isnan(p)
            else f"fewer than {_LEAST_BLOCKS} blocks of time to test it on"
            for name, r, n, p, q, kept in zip(
                names, found.correlation, found.rows, found.p_value, adjusted, chosen, strict=True
            )
            if not kept
        }
        return chosen, np.abs(found.correlation), reasons


def time_blocks(
    frame: pd.DataFrame, labels: pd.DataFrame | None, block: timedelta | None = None
) -> npt.NDArray[np.int64]:
    """Number of the block of time that each row acts in.

    Raises
    ------
    SelectionError
        Rows with times but no labels: nobody knows how far their labels overlap.
    SplitError
        As of `ml.splits.intervals.rows_of`.
    """
    if labels is None:
        if "time" in frame.index.names:
            raise SelectionError("labels are needed: overlapping rows do not count as independent ones")
        return np.arange(len(frame))
    rows = rows_of(frame, labels)
    if not rows.labelled.all():
        raise SelectionError(f"{(~rows.labelled).sum()} rows have no label")
    longest = int((rows.t_end - rows.available_at).max())
    length = max(microseconds(timedelta(days=1)), 4 * longest) if block is None else microseconds(block)
    return np.asarray(rows.available_at // length)
