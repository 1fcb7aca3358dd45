"""From REST history to the raw tables: `HistoricalDataCollector` and `OptimizedDataCollector`.

What is to be read follows from ``raw.coverage`` alone, and each batch of rows is written in one transaction
with the coverage it proves. So a run that is killed at any moment goes on where the last transaction ended,
and a run after a finished one reads only what is new, and the last hour again: a bar just closed can still be
revised.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from collectors.client import BinanceFuturesClient
from collectors.collection import CollectionResult, KindResult, ProgressCallback, merge_results
from collectors.coverage import Connection
from collectors.errors import CollectorError, ExchangeError, RangeError, UnknownSymbolError
from collectors.history import HistoryReader, gather_or_cancel
from collectors.kinds import KINDS, STREAM_ONLY, kind_named
from collectors.rows import Instrument, Row
from collectors.store import Store
from collectors.symbols import SymbolError, canonical_symbol

When = datetime | date | str
"""An instant: aware, or naive meaning UTC; a date or ISO text means its UTC midnight."""

FIRST_ATTEMPTS = 3
"""Tries of the first request: an exchange that is not there shall be named soon."""

_log = logging.getLogger(__name__)


class HistoricalDataCollector:
    """Reads the history of perpetuals, one kind after the other.

    Parameters
    ----------
    client : BinanceFuturesClient
        Asks the exchange, within its limits.
    connection : psycopg.Connection
        To a database with the raw schema on its search path. Nothing else may use it during a run.
    kinds : sequence of str
        Names that `collectors.kinds.kind_named` knows; by default all of `KINDS`, statistics in 5m.
    progress : callable, optional
        Told each `Step`.
    pages_per_write : int
        Windows whose rows are written at once.

    Raises
    ------
    CollectorError
        When a kind is unknown.
    """

    def __init__(
        self,
        client: BinanceFuturesClient,
        connection: Connection,
        *,
        kinds: Sequence[str] = tuple(KINDS),
        progress: ProgressCallback | None = None,
        pages_per_write: int = 8,
    ) -> None:
        self._client = client
        self._store = Store(connection)
        self._kinds = [kind_named(name) for name in kinds]
        self._progress = progress
        self._pages_per_write = pages_per_write

    async def collect_all_data(
        self, symbols: str | Iterable[str], start_date: When, end_date: When | None = None
    ) -> CollectionResult:
        """Collect every kind of some symbols, one after the other.

        Parameters
        ----------
        symbols : str or iterable of str
            One symbol or several, in any spelling.
        start_date, end_date : datetime, date or str
            Half-open range ``[start_date, end_date)``, UTC; without an end, up to now.

        Returns
        -------
        CollectionResult
            Counts, holes and seconds of each symbol and kind.

        Raises
        ------
        UnknownSymbolError
            Naming a symbol that the exchange does not list; nothing was collected then.
        RangeError
            When the range is reversed or unreadable.
        ExchangeError
            When the exchange does not answer, refuses, or answers nonsense. What was read before stays, and
            an answer that makes no sense is kept in ``rejects``.
        DatabaseError
            When the database fails; what was written before stays.
        """
        return await self._collect(symbols, start_date, end_date, concurrent=False)

    async def _collect(
        self, symbols: str | Iterable[str], start_date: When, end_date: When | None, *, concurrent: bool
    ) -> CollectionResult:
        """Collect; pages that cannot be read are kept before their error goes on."""
        try:
            return await self._collect_all(symbols, start_date, end_date, concurrent=concurrent)
        except ExchangeError:
            broken = self._client.take_broken()
            await self._store.refuse(broken, now=self._client.now())
            for page in broken:
                _log.warning("kept in raw.rejects: %s", page.origin)
            raise

    async def _collect_all(
        self, symbols: str | Iterable[str], start_date: When, end_date: When | None, *, concurrent: bool
    ) -> CollectionResult:
        began = time.monotonic()
        requests, retries = self._client.requests, self._client.retries
        start = as_instant(start_date)
        now = await self._client.server_time(attempts=FIRST_ATTEMPTS)
        # Without an end this very instant belongs to the range too.
        end = now + timedelta.resolution if end_date is None else as_instant(end_date)
        if start >= end:
            raise RangeError(f"the range from {start.isoformat()} to {end.isoformat()} is empty")
        listings = await self._find_listings(symbols)
        reader = HistoryReader(
            self._client, self._store, now=now, progress=self._progress, pages_per_write=self._pages_per_write
        )
        results = await self._collect_now(listings, now)
        pairs = [(kind, listing) for listing in listings.values() for kind in self._kinds]
        if concurrent:
            results += await gather_or_cancel([reader.read(*pair, start, end) for pair in pairs])
        else:
            results += [await reader.read(*pair, start, end) for pair in pairs]
        results += await self._note_what_only_streams_have(reader, listings, start, end)
        await self._store.close_gaps(now=now)
        return CollectionResult(
            kinds=tuple(merge_results(results, list(listings))),
            seconds=time.monotonic() - began,
            requests=self._client.requests - requests,
            retries=self._client.retries - retries,
            now=now,
        )

    async def _find_listings(self, symbols: str | Iterable[str]) -> dict[str, Instrument]:
        """Find the symbols among those listed, before anything is collected."""
        asked = [symbols] if isinstance(symbols, str) else list(symbols)
        listed = {listing.symbol: listing for listing in await self._client.fetch_exchange_info()}
        found: dict[str, Instrument] = {}
        for text in asked:
            try:
                symbol = canonical_symbol(text)
                found[symbol] = listed[symbol]
            except (SymbolError, KeyError):
                raise UnknownSymbolError(
                    self._client.base_url,
                    f"unknown symbol {text!r}: not among the {len(listed)} perpetuals listed",
                    symbol=text,
                ) from None
        if not found:
            raise CollectorError("no symbol to collect")
        return found

    async def _collect_now(self, listings: Mapping[str, Instrument], now: datetime) -> list[KindResult]:
        """Store the state of now: listings, one book and one mark price a symbol."""

        async def store(symbol: str, kind: str, rows: Sequence[Row], at: datetime) -> KindResult:
            written = await self._store.write(rows, now=at, origin=f"{self._client.base_url} {kind}")
            return KindResult(symbol, kind, written=written)

        results = []
        for symbol, listing in listings.items():
            results.append(await store(symbol, "instruments", [listing], now))
            book = await self._client.fetch_order_book(symbol)
            books = [book] if book.bid_price or book.ask_price else []
            results.append(await store(symbol, "order_book", books, max(now, book.time)))
            prices = await self._client.fetch_premium_index(symbol)
            newest = max((price.time for price in prices), default=now)
            results.append(await store(symbol, "premium_index", prices, max(now, newest)))
        return results

    async def _note_what_only_streams_have(
        self, reader: HistoryReader, listings: Mapping[str, Instrument], start: datetime, end: datetime
    ) -> list[KindResult]:
        return [
            await reader.note_stream_only(stream, cause, listing, start, end)
            for listing in listings.values()
            for stream, cause in STREAM_ONLY.items()
        ]


class OptimizedDataCollector(HistoricalDataCollector):
    """Reads the history of perpetuals, all kinds and symbols at once, as fast as the exchange allows.

    Parameters and errors are those of `HistoricalDataCollector`; both leave the same tables.

    Examples
    --------
    >>> async def last_month(connection: Connection) -> CollectionResult:
    ...     async with BinanceFuturesClient() as client:
    ...         collector = OptimizedDataCollector(client, connection)
    ...         return await collector.collect_all_data_concurrent("SOL/USDT", "2026-02-01", "2026-03-01")
    """

    async def collect_all_data_concurrent(
        self, symbols: str | Iterable[str], start_date: When, end_date: When | None = None
    ) -> CollectionResult:
        """Collect every kind of some symbols, all at once; see `collect_all_data`.

        The first error cancels what is still running and is raised; what was read before stays.
        """
        return await self._collect(symbols, start_date, end_date, concurrent=True)


def as_instant(when: When) -> datetime:
    """Give an instant in UTC.

    Raises
    ------
    RangeError
        When a text is no ISO date or time.

    Examples
    --------
    >>> as_instant("2026-02-01").isoformat(), as_instant("2026-02-01T02:00+02:00").isoformat()
    ('2026-02-01T00:00:00+00:00', '2026-02-01T00:00:00+00:00')
    """
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise RangeError(f"{when!r} is no date: write 2026-02-01 or 2026-02-01T12:00") from None
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
