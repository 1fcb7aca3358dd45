"""Columns of one kind of data with the instants at which the exchange published them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.noise import Ints

Column: TypeAlias = NDArray[Any]
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Table:
    """Rows of one kind and symbol in order of time, as columns; n rows.

    Attributes
    ----------
    time : array of int (n,)
        The row's own time (its key), epoch ms.
    published_at : array of int (n,)
        When the exchange first showed the row, epoch ms.
    columns : mapping of str to array (n, ...)
        Measures in their final version.
    revised : array of int (m,)
        Positions of rows that were first shown with other values.
    revised_at : array of int (m,)
        When their final version was published, epoch ms.
    first : mapping of str to array (m, ...)
        The first version of those rows.
    """

    time: Ints
    published_at: Ints
    columns: Mapping[str, Column]
    revised: Ints = field(default_factory=_NONE.copy)
    revised_at: Ints = field(default_factory=_NONE.copy)
    first: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def between(self, start_ms: int, end_ms: int) -> Table:
        """Return the rows with a time in [start_ms, end_ms)."""
        low, high = (int(edge) for edge in np.searchsorted(self.time, [start_ms, end_ms]))
        return self._slice(low, max(low, high))

    def first_rows(self, limit: int) -> Table:
        """Return at most the first `limit` rows."""
        return self._slice(0, min(limit, len(self)))

    def last_rows(self, limit: int) -> Table:
        """Return at most the last `limit` rows."""
        return self._slice(max(0, len(self) - limit), len(self))

    def where(self, mask: NDArray[np.bool_]) -> Table:
        """Return the rows where `mask` (shape (n,)) holds."""
        kept = np.flatnonzero(mask)
        stays = mask[self.revised]
        return Table(
            self.time[kept],
            self.published_at[kept],
            {name: column[kept] for name, column in self.columns.items()},
            np.searchsorted(kept, self.revised[stays]).astype(np.int64),
            self.revised_at[stays],
            {name: column[stays] for name, column in self.first.items()},
        )

    def as_of(self, instant_ms: int) -> Table:
        """Return what the exchange showed at an instant: published rows, each in its version of then."""
        shown = self if self._all_published(instant_ms) else self.where(self.published_at <= instant_ms)
        pending = shown.revised_at > instant_ms
        return shown._restore(pending)

    def first_versions(self) -> Table:
        """Return all rows as they were first published."""
        return self._restore(np.ones(len(self.revised), dtype=np.bool_))

    def final(self) -> Table:
        """Return all rows in their last version, without history."""
        return Table(self.time, self.published_at, self.columns)

    def _all_published(self, instant_ms: int) -> bool:
        return len(self) == 0 or int(self.published_at.max()) <= instant_ms

    def _restore(self, pending: NDArray[np.bool_]) -> Table:
        if not pending.any():
            return self.final()
        columns = dict(self.columns)
        for name, early in self.first.items():
            column = columns[name].copy()
            column[self.revised[pending]] = early[pending]
            columns[name] = column
        return Table(self.time, self.published_at, columns)

    def _slice(self, low: int, high: int) -> Table:
        from_revised, to_revised = (int(edge) for edge in np.searchsorted(self.revised, [low, high]))
        kept = slice(from_revised, to_revised)
        return Table(
            self.time[low:high],
            self.published_at[low:high],
            {name: column[low:high] for name, column in self.columns.items()},
            self.revised[kept] - low,
            self.revised_at[kept],
            {name: column[kept] for name, column in self.first.items()},
        )
