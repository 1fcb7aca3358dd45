"""Splitters by time over a whole panel of symbols, purged by the intervals that labels look at."""

from ml.splits.combinatorial import CombinatorialPurgedCV
from ml.splits.forward import ForwardValidation
from ml.splits.lookback import longest_lookback, lookback
from ml.splits.purged_kfold import PurgedKFold
from ml.splits.seen import SeenRange, SelectionLeakError
from ml.splits.time_split import TimeSplit, time_series_split
from ml.splits.walk_forward import ExpandingWindow, WalkForward

__all__ = [
    "CombinatorialPurgedCV",
    "ExpandingWindow",
    "ForwardValidation",
    "PurgedKFold",
    "SeenRange",
    "SelectionLeakError",
    "TimeSplit",
    "WalkForward",
    "longest_lookback",
    "lookback",
    "time_series_split",
]
