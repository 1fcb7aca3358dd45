"""Feature columns under their (symbol, time) index, with the fingerprint of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ml.copy_stream import Columns, Times
from ml.mart import Part
from ml.registry import Registry
from ml.timerange import TimeRange


@dataclass(frozen=True)
class DatasetFingerprint:
    """What a loaded dataset was, to be kept with every result made from it.

    Two datasets with one fingerprint have the same columns, made by the same formulas, over the same rows.
    Values may still differ where raw data were corrected in between.
    """

    feature_set: str
    features: int
    symbols: tuple[str, ...]
    start: str
    end: str
    rows: int
    as_of: str = "mart"


def utc_index(microseconds: Times, name: str | None = None) -> pd.DatetimeIndex:
    """Times of microseconds since 1970."""
    return pd.DatetimeIndex(microseconds.view("datetime64[us]"), name=name).tz_localize("UTC")


def feature_frame(
    parts: Sequence[Part],
    times: Times,
    values: Columns,
    registry: Registry,
    names: tuple[str, ...],
    span: TimeRange,
    *,
    as_of: str = "mart",
) -> pd.DataFrame:
    """Wrap the columns, without a copy, under their (symbol, time) index."""
    stamps, place = np.unique(times, return_inverse=True)
    # A symbol that left the universe and came back has several parts.
    symbols = list(dict.fromkeys(part.symbol for part in parts))
    numbers = np.array([symbols.index(part.symbol) for part in parts], dtype=np.int64)
    codes = np.repeat(numbers, [part.rows for part in parts])
    index = pd.MultiIndex(
        levels=[pd.Index(symbols), utc_index(stamps)],  # type: ignore[list-item]  # stubs know only lists
        codes=[codes, place],  # type: ignore[list-item]
        names=["symbol", "time"],
        verify_integrity=False,
    )
    frame = pd.DataFrame(values.T, index=index, columns=list(names), copy=False)
    fingerprint = DatasetFingerprint(
        feature_set=registry.subset(names).hash,
        features=len(names),
        symbols=tuple(symbols),
        start=span.start.isoformat(),
        end=span.end.isoformat(),
        rows=len(times),
        as_of=as_of,
    )
    frame.attrs["fingerprint"] = asdict(fingerprint)
    frame.attrs["registered"] = registry.feature_set.names
    return frame
