"""Apply a function of one segment to all bars: no window, lag or recursion crosses a segment."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from .windows import Array


class Segment:
    """The bars of one segment.

    Parameters
    ----------
    bars : consecutive rows of `align_bars` of one symbol and segment
    """

    def __init__(self, bars: pd.DataFrame) -> None:
        self.bars = bars

    def __getitem__(self, column: str) -> np.ndarray:
        return self.bars[column].to_numpy(dtype=float)

    def __len__(self) -> int:
        return len(self.bars)


def by_segment(bars: pd.DataFrame, compute: Callable[[Segment], Mapping[str, Array]]) -> pd.DataFrame:
    """Compute features segment by segment.

    Returns
    -------
    float64 frame indexed by (symbol, time), one column per feature, rows ordered as the bars
    """
    parts = []
    for _, rows in bars.groupby(["symbol", "segment_start"], sort=True):
        values = {name: np.asarray(column, dtype=float) for name, column in compute(Segment(rows)).items()}
        parts.append(pd.DataFrame(values, index=pd.MultiIndex.from_frame(rows[["symbol", "time"]])))
    return pd.concat(parts)
