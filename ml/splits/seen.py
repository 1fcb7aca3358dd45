"""The time that a choice of features has seen: no test may lie in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from ml.splits.intervals import Block, Flags, Rows, SplitError, block_of

#: Where a frame of chosen features carries the time that the choice has seen.
ATTRIBUTE = "selected_on"


class SelectionLeakError(SplitError):
    """A test lies in the time on which the features were chosen."""


class SeenRange(NamedTuple):
    """First ``available_at`` and last ``t_end`` (both UTC) of the rows that a selection was fitted on."""

    first: pd.Timestamp
    last: pd.Timestamp

    def meets(self, block: Block) -> bool:
        """Whether a test stretch lies in it, in part or as a whole; touching counts."""
        return block.last >= _microseconds(self.first) and block.first <= _microseconds(self.last)


def seen_by(frame: Any) -> SeenRange | None:
    """What the frame's features were chosen on; None when nobody said."""
    found = getattr(frame, "attrs", {}).get(ATTRIBUTE)
    return None if found is None else SeenRange(*(pd.Timestamp(time) for time in found))


def refuse_seen(X: Any, rows: Rows, test: Flags) -> None:  # noqa: N803
    """Refuse a test on which the features of X were chosen.

    The best of many noisy features look good on the rows that chose them: a score on those rows means
    nothing, however well the model itself is kept away from them.

    Raises
    ------
    SelectionLeakError
    """
    seen = seen_by(X)
    if seen is None or not test.any():
        return
    block = block_of(rows, test)
    if seen.meets(block):
        first, last = (pd.Timestamp(time, unit="us", tz="UTC") for time in block)
        raise SelectionLeakError(
            f"the features were selected on {seen.first:%Y-%m-%d %H:%M} to {seen.last:%Y-%m-%d %H:%M}, where"
            f" the test of {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} (UTC) lies: select inside the fold"
        )


def _microseconds(time: pd.Timestamp) -> int:
    return int((time - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1))
