"""What a collection tells: its steps while it runs, its result at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from collectors.coverage import Gap
from collectors.writer import WriteResult


@dataclass(frozen=True, slots=True)
class Step:
    """How far the reading of one kind of one symbol is.

    Attributes
    ----------
    symbol, kind : str
        What is read.
    pages_done, pages_total : int
        Windows of history; the first step of a kind has 0 done.
    rows : int
        Rows received so far.
    """

    symbol: str
    kind: str
    pages_done: int
    pages_total: int
    rows: int


ProgressCallback = Callable[[Step], None]
"""Told each step, on the event loop: it must return at once."""


@dataclass(frozen=True, slots=True)
class KindResult:
    """What became of one kind of one symbol.

    Attributes
    ----------
    symbol, kind : str
        What was read; ``instruments``, ``order_book`` and ``premium_index`` are the state of now.
    pages : int
        Windows of history that were asked for; 0 when all was there.
    written : WriteResult
        What became of the rows.
    holes : tuple of Gap
        What the exchange could not give in the range.
    seconds : float
        From plan to last write.
    """

    symbol: str
    kind: str
    pages: int = 0
    written: WriteResult = field(default_factory=WriteResult)
    holes: tuple[Gap, ...] = ()
    seconds: float = 0.0

    def __add__(self, other: KindResult) -> KindResult:
        """Add what another reading of the same symbol and kind gave."""
        return replace(
            self,
            pages=self.pages + other.pages,
            written=self.written + other.written,
            holes=self.holes + other.holes,
            seconds=self.seconds + other.seconds,
        )

    @property
    def rows(self) -> int:
        """Rows received."""
        return self.written.received


def merge_results(results: Iterable[KindResult], symbols: Sequence[str]) -> list[KindResult]:
    """Unite results of one symbol and kind (the book of now, the holes of its past); symbols in order."""
    merged: dict[tuple[str, str], KindResult] = {}
    for result in results:
        key = (result.symbol, result.kind)
        known = merged.get(key)
        merged[key] = result if known is None else known + result
    return sorted(merged.values(), key=lambda result: symbols.index(result.symbol))


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """What became of a collection.

    Attributes
    ----------
    kinds : tuple of KindResult
        By symbol, in the order in which they were asked for.
    seconds : float
        Wall time.
    requests, retries : int
        Requests sent, and how many of them were repetitions.
    now : datetime
        The exchange's clock at the start.
    """

    kinds: tuple[KindResult, ...]
    seconds: float
    requests: int
    retries: int
    now: datetime

    @property
    def rows(self) -> int:
        """Rows received, of all kinds."""
        return sum(kind.rows for kind in self.kinds)

    @property
    def written(self) -> WriteResult:
        """What became of all rows."""
        return sum((kind.written for kind in self.kinds), WriteResult())

    @property
    def holes(self) -> tuple[Gap, ...]:
        """What the exchange could not give."""
        return tuple(hole for kind in self.kinds for hole in kind.holes)

    def of(self, symbol: str, kind: str) -> KindResult:
        """Give one symbol's result of a kind.

        Raises
        ------
        KeyError
            When it was not collected.
        """
        for result in self.kinds:
            if (result.symbol, result.kind) == (symbol, kind):
                return result
        raise KeyError(f"{kind} of {symbol}")
