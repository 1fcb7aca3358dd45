"""How much of a label is its own: labels that look at the same bars tell the same story several times."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.targets.grid import BAR


def overlap_weights(labels: pd.DataFrame, *, width: pd.Timedelta = BAR) -> pd.Series:
    """Mean uniqueness of each label.

    At every bar of a label's interval ``[available_at, t_end]`` its share is one over the number of labels of
    the same symbol whose interval holds that bar; the weight is the mean of the shares. Labels of h bars, one
    a bar, weigh about 1 / h. As sample weights they keep a model from believing that it saw h times as much.

    Parameters
    ----------
    labels : pandas.DataFrame
        Columns ``available_at`` and ``t_end``, index (symbol, time).
    width : pandas.Timedelta, optional
        Width of the bars.

    Returns
    -------
    pandas.Series
        In (0, 1]; NaN for a null label.

    References
    ----------
    M. Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 4.
    """
    weights = pd.Series(np.nan, index=labels.index, name="weight")
    known = labels["t_end"].notna().to_numpy()
    symbols = pd.factorize(labels.index.get_level_values("symbol"))[0]
    for symbol in np.unique(symbols[known]):
        mine = np.flatnonzero(known & (symbols == symbol))
        start = labels["available_at"].iloc[mine]
        zero = start.min()
        first = ((start - zero) // width).to_numpy()
        end = np.ceil((labels["t_end"].iloc[mine] - zero) / width).to_numpy().astype(int)
        end = np.maximum(end, first + 1)
        change = np.zeros(end.max() + 1)
        np.add.at(change, first, 1)
        np.add.at(change, end, -1)
        held = np.cumsum(change)[:-1]
        share = np.r_[0.0, np.cumsum(np.divide(1.0, held, out=np.zeros_like(held), where=held > 0))]
        weights.iloc[mine] = (share[end] - share[first]) / (end - first)
    return weights
