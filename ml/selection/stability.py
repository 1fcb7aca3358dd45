"""How much a choice of features owes to the rows that it was made on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.selection.base import SelectionError


def stability(chosen: npt.ArrayLike) -> float:
    """Agreement of several choices, corrected for what chance gives.

    One minus the ratio of the mean variance of the columns' indicators to the variance that a random choice
    of as many columns has. 1: always the same features; around 0: no better than drawn by lot.

    Parameters
    ----------
    chosen : array-like
        Booleans, shape (choices, features); one row a fold.

    Returns
    -------
    float
        NaN when every choice keeps all features, or none.

    Raises
    ------
    SelectionError
        There are fewer than two choices.

    References
    ----------
    S. Nogueira, K. Sechidis, G. Brown, On the stability of feature selection algorithms, JMLR 18 (2018).

    Examples
    --------
    >>> stability([[True, True, False, False], [True, True, False, False]])
    1.0
    """
    flags = np.asarray(chosen, dtype=np.float64)
    if flags.ndim != 2 or len(flags) < 2:
        raise SelectionError("stability needs the choices of at least two folds")
    folds, features = flags.shape
    often = flags.mean(axis=0)
    spread = folds / (folds - 1) * (often * (1 - often)).mean()
    share = flags.sum() / (folds * features)
    by_lot = share * (1 - share)
    return float(1 - spread / by_lot) if by_lot > 0 else float("nan")
