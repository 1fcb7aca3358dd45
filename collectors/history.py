"""Reading one kind of history of one symbol: what is missing, window by window, into the raw tables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from collectors.client import BinanceFuturesClient
from collectors.collection import KindResult, ProgressCallback, Step
from collectors.coverage import Gap, Segment, merge_segments, subtract_segments
from collectors.errors import RefusedError
from collectors.kinds import BAR, Kind, absent, ceil, floor, missing_segments, windows
from collectors.rows import Coverage, FundingRate, Instrument, Row
from collectors.store import Store
from collectors.writer import WriteResult

T = TypeVar("T")

_START_TOO_OLD = "-1130"
_TOO_OLD = "the exchange keeps {days} days of {name}"
_LEFT_OUT = "the exchange gave no {name} for this time"


@dataclass(slots=True)
class _Batch:
    """Pages read and not yet written."""

    rows: list[Row] = field(default_factory=list)
    covered: list[Coverage] = field(default_factory=list)
    pages: int = 0


class HistoryReader:
    """Reads kinds of history within one run.

    Parameters
    ----------
    client : BinanceFuturesClient
        Asks the exchange.
    store : Store
        Keeps the rows.
    now : datetime
        The exchange's clock at the start of the run. The run knows no other: what happens while it lasts is
        the next run's.
    progress : callable, optional
        Told each `Step`.
    pages_per_write : int
        Windows whose rows are written at once.
    """

    def __init__(
        self,
        client: BinanceFuturesClient,
        store: Store,
        *,
        now: datetime,
        progress: ProgressCallback | None,
        pages_per_write: int,
    ) -> None:
        self._client = client
        self._store = store
        self._now = now
        self._progress = progress
        self._pages_per_write = pages_per_write

    async def read(self, kind: Kind, listing: Instrument, start: datetime, end: datetime) -> KindResult:
        """Read what is missing of ``[start, end)``, oldest first.

        Parameters
        ----------
        kind : Kind
            What to read.
        listing : Instrument
            Whose; nothing is asked for before its listing or after its end.
        start, end : datetime
            Range (UTC) of the rows' times.

        Returns
        -------
        KindResult
            Counts, and the holes, which are noted in ``gaps`` too.
        """
        began = time.monotonic()
        wanted = self._within_life(kind, listing, start, end)
        missing = missing_segments(wanted, await self._store.covered(kind.stream, listing.symbol))
        expired, readable = self._split_expired(kind, missing)
        pages = [window for segment in readable for window in windows(segment, kind)]
        written, batch, left_out = WriteResult(), _Batch(), list[Segment]()
        self._tell(listing.symbol, kind, 0, len(pages), 0)
        for done, window in enumerate(pages, start=1):
            window, rows = await self._read_page(kind, listing.symbol, window, expired)
            left_out += self._add(batch, kind, listing.symbol, window, rows)
            if batch.pages == self._pages_per_write or done == len(pages):
                written += await self._write(kind, batch)
                batch = _Batch()
            self._tell(listing.symbol, kind, done, len(pages), written.received + len(batch.rows))
        holes = self._holes(kind, listing.symbol, expired, left_out)
        await self._store.note_holes(holes, now=self._now)
        return KindResult(
            listing.symbol, kind.name, len(pages), written, tuple(holes), time.monotonic() - began
        )

    async def note_stream_only(
        self, stream: str, cause: str, listing: Instrument, start: datetime, end: datetime
    ) -> KindResult:
        """Note as holes the times of a stream that has no history, as far as nobody listened."""
        first, last = max(start, listing.valid_from), min(end, floor(self._now, BAR))
        known = await self._store.covered(stream, listing.symbol, streamed=True)
        holes = tuple(
            Gap(stream, listing.symbol, *segment, cause)
            for segment in subtract_segments([(first, last)], known)
        )
        await self._store.note_holes(holes, now=self._now)
        return KindResult(listing.symbol, stream, holes=holes)

    def _within_life(self, kind: Kind, listing: Instrument, start: datetime, end: datetime) -> Segment:
        """Give the range of row times: of the bars asked for, as far as they were traded and have ended."""
        if listing.valid_to is not None:
            end = min(end, listing.valid_to)
        first = max(ceil(start, kind.width), floor(listing.valid_from, kind.width))
        last = min(ceil(end, kind.width) + kind.shift, kind.end_of_reading(self._now))
        return first + kind.shift, last

    def _split_expired(self, kind: Kind, missing: list[Segment]) -> tuple[list[Segment], list[Segment]]:
        """Split what is missing into what the exchange no longer has and what it still gives."""
        oldest = kind.start_of_keeping(self._now)
        if oldest is None or not missing:
            return [], missing
        kept = (oldest, max(oldest, missing[-1][1]))
        return subtract_segments(missing, [kept]), subtract_segments(missing, [(missing[0][0], oldest)])

    async def _read_page(
        self, kind: Kind, symbol: str, window: Segment, expired: list[Segment]
    ) -> tuple[Segment, list[Row]]:
        """Read a window; what expired while we waited for our turn is cut off its start."""
        while True:
            try:
                return window, await kind.fetch(self._client, symbol, window, self._now)
            except RefusedError as error:
                oldest = kind.start_of_keeping(self._now)
                start = window[0] + kind.width
                if error.code != _START_TOO_OLD or oldest is None or start > oldest + 12 * kind.width:
                    raise
                expired.append((window[0], start))
                window = (start, window[1])

    def _add(self, batch: _Batch, kind: Kind, symbol: str, window: Segment, rows: list[Row]) -> list[Segment]:
        """Put a page into the batch with what it proves; give what it should hold and does not."""
        batch.rows += rows
        batch.pages += 1
        times = {_time_of(row) for row in rows}
        proven = (window[0], min(window[1], kind.end_of_certainty(self._now, max(times, default=None))))
        left_out = absent(proven, kind.width, times) if kind.every_step else []
        batch.covered += [
            Coverage(kind.stream, symbol, *segment) for segment in subtract_segments([proven], left_out)
        ]
        return left_out

    async def _write(self, kind: Kind, batch: _Batch) -> WriteResult:
        return await self._store.write(
            batch.rows,
            now=self._now,
            covered=batch.covered,
            origin=f"{self._client.base_url} {kind.name}",
        )

    def _holes(self, kind: Kind, symbol: str, expired: list[Segment], left_out: list[Segment]) -> list[Gap]:
        days = kind.kept.days if kind.kept else 0
        too_old = _TOO_OLD.format(days=days, name=kind.name)
        none_given = _LEFT_OUT.format(name=kind.name)
        return [
            Gap(kind.stream, symbol, *segment, cause)
            for segments, cause in ((expired, too_old), (left_out, none_given))
            for segment in merge_segments(segments)
        ]

    def _tell(self, symbol: str, kind: Kind, done: int, total: int, rows: int) -> None:
        if self._progress is not None:
            self._progress(Step(symbol, kind.name, done, total, rows))


def _time_of(row: Row) -> datetime:
    if isinstance(row, FundingRate):
        return row.funding_time
    return row.valid_from if isinstance(row, Instrument) else row.time


async def gather_or_cancel(jobs: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Run jobs at once and give their results in order; the first error cancels the others and is raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
