"""Label intervals looked up by (symbol, time), and the purge that every splitter stands on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.errors import MlError
from ml.registry import Registry
from ml.splits.lookback import longest_lookback

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Stamps = npt.NDArray[np.int64]


class SplitError(MlError, ValueError):
    """Rows, labels or sizes from which no honest split can be made."""


class Block(NamedTuple):
    """A stretch of test rows: first ``available_at`` and last ``t_end``, microseconds since 1970."""

    first: int
    last: int


class Rows(NamedTuple):
    """The rows of X in its own order: when each acts, when its label ends, whether it has a label."""

    available_at: Stamps
    t_end: Stamps
    labelled: Flags


def rows_of(X: Any, labels: pd.DataFrame | None) -> Rows:  # noqa: N803
    """Look up the label interval of each row of X.

    By index, never by position: inside GridSearchCV and nested validation X is a part of the whole, and its
    positions mean other rows.

    Parameters
    ----------
    X : pandas.DataFrame
        Features with the index (symbol, time).
    labels : pandas.DataFrame
        Columns ``available_at`` and ``t_end`` (UTC), same kind of index; null ``t_end`` = no label.

    Raises
    ------
    SplitError
        There are no labels, X has no index to look up, a row is not among the labels, or labels repeat.
    """
    if labels is None:
        raise SplitError("labels are needed: without their intervals nothing can be purged")
    if not isinstance(X, (pd.DataFrame, pd.Series)):
        raise SplitError(
            "X must be a DataFrame with the labels' index: positions alone do not say which rows"
        )
    if missing := {"available_at", "t_end"} - set(labels.columns):
        raise SplitError(f"labels have no column {', '.join(sorted(missing))}")
    if labels.index.has_duplicates:
        raise SplitError("labels repeat an index entry")
    if X.index.nlevels != labels.index.nlevels:
        raise SplitError(f"X is indexed by {X.index.names}, labels by {labels.index.names}")
    places = labels.index.get_indexer(X.index)
    if (places < 0).any():
        row = X.index[int(np.argmax(places < 0))]
        raise SplitError(f"{(places < 0).sum()} rows of X are not among the labels, the first is {row}")
    found = labels.iloc[places]
    ends = found["t_end"]
    return Rows(_stamps(found["available_at"]), _stamps(ends), ends.notna().to_numpy())


def _stamps(times: pd.Series) -> Stamps:
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise SplitError(f"{times.name} must be times with a time zone")
    plain = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return np.asarray(plain.astype(np.int64))


def microseconds(length: timedelta) -> int:
    """A duration in whole microseconds."""
    return length // timedelta(microseconds=1)


def embargo_of(X: Any, embargo: timedelta | None, registry: Registry | None) -> int:  # noqa: N803
    """The embargo in microseconds: given, or the longest look-back of X's columns.

    Raises
    ------
    SplitError
        Neither an embargo nor a registry was given.
    UnknownFeatureError
        A column is not in the registry.
    """
    if embargo is not None:
        if embargo < timedelta(0):
            raise SplitError(f"embargo must not be negative, it is {embargo}")
        return microseconds(embargo)
    if registry is None:
        raise SplitError(
            "training rows that follow the test look back into it: give an embargo, or the registry"
        )
    return microseconds(longest_lookback(getattr(X, "columns", ()), registry))


def between(rows: Rows, start: float, end: float) -> Flags:
    """Labelled rows that act in [start, end)."""
    return rows.labelled & (rows.available_at >= start) & (rows.available_at < end)


def block_of(rows: Rows, test: Flags) -> Block:
    """The stretch that some test rows look at."""
    return Block(int(rows.available_at[test].min()), int(rows.t_end[test].max()))


def keep_clear(rows: Rows, train: Flags, blocks: Iterable[Block], embargo: int = 0) -> Flags:
    """Drop training rows whose label meets a test block, or that act within the embargo after one.

    Touching counts as meeting. The embargo is for features: a training row shortly after the test carries the
    test's prices in its windows.
    """
    kept = train.copy()
    for block in blocks:
        meets = (rows.t_end >= block.first) & (rows.available_at <= block.last)
        soon = (rows.available_at > block.last) & (rows.available_at <= block.last + embargo)
        kept &= ~(meets | soon) if embargo else ~meets
    return kept


def time_folds(rows: Rows, count: int) -> list[Flags]:
    """Cut the labelled rows into folds of equally many instants, the same for all symbols.

    Instants at which no row acts (a hole, or an outer test) take no part, so no fold is empty.

    Raises
    ------
    SplitError
        There are fewer instants than folds.
    """
    instants = np.unique(rows.available_at[rows.labelled])
    if len(instants) < count:
        raise SplitError(f"{len(instants)} instants with a label cannot make {count} folds")
    parts = np.array_split(instants, count)
    return [between(rows, int(part[0]), int(part[-1]) + 1) for part in parts]


def merged_blocks(rows: Rows, folds: Sequence[Flags], chosen: Sequence[int]) -> list[Block]:
    """Blocks of the chosen folds; neighbours become one."""
    blocks, run = [], folds[chosen[0]]
    for before, number in pairwise(chosen):
        if number == before + 1:
            run = run | folds[number]
        else:
            blocks.append(block_of(rows, run))
            run = folds[number]
    return [*blocks, block_of(rows, run)]
