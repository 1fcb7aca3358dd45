"""What no stream carries, read by REST on a fixed grid; and holes of streams, read by REST in slices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collectors.client import BinanceFuturesClient
from collectors.coverage import Connection, Gap, Segment, close_gaps
from collectors.errors import ExchangeError
from collectors.history import HistoryReader
from collectors.kinds import BAR, KINDS, Kind, ceil, floor
from collectors.rows import Coverage, Instrument, Refusal, Row
from collectors.store import Store
from collectors.stream_coverage import note_new_holes
from collectors.writer import Writer, WriteResult

REREAD = timedelta(minutes=30)
"""The end of history that each poll reads again: late statistics, and klines that were revised."""

REREAD_SETTLEMENTS = timedelta(minutes=90)
"""The same of settlements, which are asked for after each full hour: their coverage has no hole."""

STATISTICS_A_POLL = 800
"""Requests a poll of statistics may make: the exchange allows 1000 in 5 minutes."""

NEEDED = ("open_interest", "global_account", "top_position")
"""Statistics that features are made from, polled for every bar; the others as often as the limit allows."""

PAGES_A_SLICE = 24
_log = logging.getLogger(__name__)


@dataclass
class Gathered:
    """What REST gave and nobody has written yet: rows, what they cover, what was left out or unreadable."""

    now: datetime
    rows: list[Row] = field(default_factory=list)
    covered: list[Coverage] = field(default_factory=list)
    left_out: list[Gap] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    broken: list[Refusal] = field(default_factory=list)


def write_gathered(
    connection: Connection, gathered: Gathered, *, origin: str, keep_open: bool = False
) -> tuple[WriteResult, list[Gap]]:
    """Write what was gathered, and close the holes that it fills.

    Parameters
    ----------
    keep_open : bool, optional
        Leave the transaction open: the caller commits.

    Returns
    -------
    counts of the rows, and the holes that were closed
    """
    result = Writer(connection).write(
        gathered.rows,
        source="rest",
        now=gathered.now,
        covered=gathered.covered,
        origin=origin,
        refusals=gathered.broken,
        keep_open=keep_open,
    )
    note_new_holes(connection, gathered.left_out, now=gathered.now)
    closed = close_gaps(connection, now=gathered.now)
    if not keep_open:
        connection.commit()
    return result, closed


class _GatheringStore(Store):
    """Stands in for the tables while history is read: nothing is known, and all is gathered."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    async def write(
        self, rows: Sequence[Row], *, now: datetime, covered: Sequence[Coverage] = (), origin: str = ""
    ) -> WriteResult:
        self._gathered.rows += rows
        self._gathered.covered += covered
        return WriteResult(received=len(rows))

    async def covered(self, stream: str, symbol: str, *, streamed: bool = False) -> list[Segment]:
        return []

    async def note_holes(self, gaps: Iterable[Gap], *, now: datetime) -> None:
        self._gathered.left_out += gaps


async def gather_history(
    client: BinanceFuturesClient,
    wanted: Sequence[tuple[Kind, Instrument, datetime, datetime]],
    *,
    now: datetime,
) -> Gathered:
    """Read kinds of history, all at once; one that fails is told in `errors` and costs the others nothing."""
    gathered = Gathered(now)
    reader = HistoryReader(client, _GatheringStore(gathered), now=now, progress=None, pages_per_write=1)
    answers = await asyncio.gather(*(reader.read(*one) for one in wanted), return_exceptions=True)
    for (kind, listing, _, _), answer in zip(wanted, answers, strict=True):
        if isinstance(answer, ExchangeError):
            gathered.errors.append(f"{kind.name} of {listing.symbol}: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
    gathered.broken = client.take_broken()
    return gathered


class Poller:
    """Chooses what to ask for, and asks.

    Parameters
    ----------
    client : BinanceFuturesClient
        Keeps to the exchange's limits.
    listings : mapping of str to Instrument
        The symbols to collect.
    """

    def __init__(self, client: BinanceFuturesClient, listings: Mapping[str, Instrument]) -> None:
        self._client = client
        self._listings = listings
        self._turn = 0

    async def poll_klines(self, now: datetime, *, symbols: Sequence[str] | None = None) -> Gathered:
        """Read the last closed bars again, and settlements after each full hour."""
        kinds = [KINDS["klines"]]
        if floor(now, timedelta(hours=1)) > now - 2 * BAR:
            kinds.append(KINDS["funding_rate"])
        chosen = self._listings if symbols is None else {name: self._listings[name] for name in symbols}
        return await self._read([(kind, one) for one in chosen.values() for kind in kinds], now)

    async def poll_statistics(self, now: datetime) -> Gathered:
        """Read open interest and ratios; beyond the limit the less needed ones take turns."""
        listings = list(self._listings.values())
        wanted = [(KINDS[name], one) for name in NEEDED for one in listings]
        others = [
            (kind, one)
            for kind in KINDS.values()
            if kind.kept is not None and kind.name not in NEEDED
            for one in listings
        ]
        room = max(STATISTICS_A_POLL - len(wanted), 0)
        if len(others) > room:
            start = self._turn % len(others)
            self._turn = start + room
            others = (others + others)[start : start + room]
        return await self._read(wanted + others, now)

    async def read_slice(self, gaps: Sequence[Gap], now: datetime) -> tuple[Gathered, list[Gap]]:
        """Read the newest of some holes that REST can fill, as many as make one slice."""
        wanted: list[tuple[Kind, Instrument, datetime, datetime]] = []
        chosen: list[Gap] = []
        pages = 0
        for gap in sorted(gaps, key=lambda gap: gap.to_time, reverse=True):
            kind, listing = _BY_STREAM.get(gap.stream), self._listings.get(gap.symbol)
            if kind is None or listing is None:
                continue
            start, end = floor(gap.from_time - kind.shift, kind.width), ceil(gap.to_time, kind.width)
            pages += 1 + (end - start) // (kind.width * kind.rows_per_page)
            if chosen and pages > PAGES_A_SLICE * max(1, len(self._listings) // 4):
                break
            wanted.append((kind, listing, start, end))
            chosen.append(gap)
        return await gather_history(self._client, wanted, now=now), chosen

    async def _read(self, wanted: Sequence[tuple[Kind, Instrument]], now: datetime) -> Gathered:
        def start(kind: Kind) -> datetime:
            is_hourly = kind is KINDS["funding_rate"]
            return floor(now - (REREAD_SETTLEMENTS if is_hourly else REREAD), BAR)

        return await gather_history(
            self._client,
            [(kind, listing, start(kind), now + timedelta.resolution) for kind, listing in wanted],
            now=now,
        )


_BY_STREAM = {kind.stream: kind for kind in KINDS.values()}
REPAIRABLE = tuple(_BY_STREAM)
"""Streams of which REST has a history."""
