"""The raw tables, for collectors on an event loop: one connection, in a thread, one call at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import ParamSpec, TypeVar

import psycopg

from collectors.coverage import (
    Connection,
    Gap,
    Segment,
    close_gaps,
    note_gaps,
    read_coverage,
    read_gaps,
    subtract_segments,
)
from collectors.rows import Coverage, Refusal, Row
from collectors.writer import Writer, WriteResult
from perpmart.errors import DatabaseError

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Reads and writes the raw tables without stopping the event loop.

    Parameters
    ----------
    connection : psycopg.Connection
        Nothing else may use it meanwhile.

    Notes
    -----
    Every method raises `DatabaseError` when the database fails; nothing of that call was written then.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer = Writer(connection)
        self._turn = asyncio.Lock()

    async def write(
        self, rows: Sequence[Row], *, now: datetime, covered: Sequence[Coverage] = (), origin: str = ""
    ) -> WriteResult:
        """Write rows from REST and what they cover in one transaction."""
        return await self._call(
            self._writer.write, rows, source="rest", now=now, covered=covered, origin=origin
        )

    async def refuse(self, refusals: Sequence[Refusal], *, now: datetime) -> None:
        """Keep answers of REST that could not be read."""
        await self._call(self._writer.write, [], source="rest", now=now, refusals=refusals)

    async def covered(self, stream: str, symbol: str, *, streamed: bool = False) -> list[Segment]:
        """Give what REST or the archive answered for; with ``streamed``, also what was listened for."""
        return await self._call(self._covered, stream, symbol, streamed)

    async def note_holes(self, gaps: Iterable[Gap], *, now: datetime) -> None:
        """Note holes, as far as they are not known yet."""
        await self._call(self._note_holes, list(gaps), now)

    async def close_gaps(self, *, now: datetime) -> None:
        """Mark the holes that have been filled since they were noted."""
        await self._call(self._close_gaps, now)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
            try:
                return await asyncio.shield(work)
            except psycopg.Error as error:
                said = next(iter(str(error).splitlines()), type(error).__name__)
                raise DatabaseError(f"the database failed while collecting: {said}") from error
            except asyncio.CancelledError:
                # The thread cannot be stopped: the connection is free again only when it is done, however
                # often we are told to go.
                while not work.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([work])
                work.exception()
                raise

    def _covered(self, stream: str, symbol: str, streamed: bool) -> list[Segment]:
        with self._connection.transaction():
            if streamed:
                return read_coverage(self._connection, stream, symbol, sources=("rest", "archive", "stream"))
            return read_coverage(self._connection, stream, symbol)

    def _note_holes(self, gaps: list[Gap], now: datetime) -> None:
        with self._connection.transaction():
            known = read_gaps(self._connection)
            for gap in gaps:
                noted = [
                    (old.from_time, old.to_time)
                    for old in known
                    if (old.stream, old.symbol) == (gap.stream, gap.symbol)
                ]
                new = subtract_segments([(gap.from_time, gap.to_time)], noted)
                note_gaps(
                    self._connection,
                    [gap._replace(from_time=start, to_time=end) for start, end in new],
                    now=now,
                )

    def _close_gaps(self, now: datetime) -> None:
        with self._connection.transaction():
            close_gaps(self._connection, now=now)
