"""What each stream says between two instants: the market's tables as events, in order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from collectors.rows import Instrument
from simulator import stream_payloads
from simulator.market import Market, to_time
from simulator.noise import scattered
from simulator.payloads import Json, decimals_of
from simulator.stream_names import Stream

BAR_MS = 300_000
#: An order is told at most so long after its fill, a closed bar after its close.
_FORCE_ORDER_DELAY_MS = 2_000
_CLOSED_DELAY_MS = 240


class Event(NamedTuple):
    """One message: its own time (epoch ms), its stream and its payload."""

    at_ms: int
    stream: str
    payload: Json


class StreamFeed:
    """Makes the events of streams from a market.

    Parameters
    ----------
    market : Market
        Where the data come from.
    least_every_ms : int, optional
        No stream speaks more often.
    """

    def __init__(self, market: Market, *, least_every_ms: int = 0) -> None:
        self.market = market
        self._least_every_ms = least_every_ms
        self._symbols = {symbol.replace("/", ""): symbol for symbol in market.symbols}

    def between(self, streams: Iterable[Stream], from_ms: int, to_ms: int) -> list[Event]:
        """Return the events with a time in (from_ms, to_ms] of some streams, in order of time."""
        return sorted(
            (event for stream in streams for event in self._events(stream, from_ms, to_ms)),
            key=lambda event: event.at_ms,
        )

    def _events(self, stream: Stream, from_ms: int, to_ms: int) -> Iterator[Event]:
        if not stream.exchange_symbol:
            for name in self._symbols:
                yield from self._force_orders(stream, name, from_ms, to_ms)
            return
        symbol = stream.exchange_symbol
        if symbol not in self._symbols:
            return
        makers = {
            "kline": self._klines,
            "mark_price": self._mark_prices,
            "force_order": self._force_orders,
            "depth": self._books,
        }
        yield from makers[stream.channel](stream, symbol, from_ms, to_ms)

    def _klines(self, stream: Stream, name: str, from_ms: int, to_ms: int) -> Iterator[Event]:
        symbol = self._symbols[name]
        for at in self._steps(stream, from_ms, to_ms):
            bar = self.market.forming_kline("ohlcv", symbol, at)
            if bar is not None:
                yield self._kline(stream, name, bar, at // BAR_MS * BAR_MS, at, closed=False)
        first = (from_ms - _CLOSED_DELAY_MS) // BAR_MS * BAR_MS + BAR_MS
        for close in range(first, to_ms + 1, BAR_MS):
            # A closed bar is told a moment after its close.
            late = scattered(0, f"{name}/closed", np.array([close], dtype=np.int64))[0]
            at = close + int(late * _CLOSED_DELAY_MS)
            if not from_ms < at <= to_ms:
                continue
            table = self.market.table("ohlcv", symbol, start_ms=close - BAR_MS, end_ms=close).first_versions()
            if len(table):
                bar = {column: float(values[0]) for column, values in table.columns.items()}
                yield self._kline(stream, name, bar, close - BAR_MS, at, closed=True)

    def _kline(
        self, stream: Stream, name: str, bar: dict[str, float], open_ms: int, at: int, *, closed: bool
    ) -> Event:
        decimals = self._decimals(name, at)
        payload = stream_payloads.kline(
            name, bar, open_ms=open_ms, event_ms=at, closed=closed, decimals=decimals
        )
        return Event(at, stream.name, payload)

    def _mark_prices(self, stream: Stream, name: str, from_ms: int, to_ms: int) -> Iterator[Event]:
        if not self._steps(stream, from_ms, to_ms):
            return
        every = timedelta(milliseconds=max(stream.every_ms, self._least_every_ms))
        table = self.market.table(
            "mark_price", self._symbols[name], start_ms=from_ms + 1, end_ms=to_ms + 1, every=every
        )
        for place, at in enumerate(table.time.tolist()):
            yield Event(at, stream.name, stream_payloads.mark_price(name, table, place))

    def _force_orders(self, stream: Stream, name: str, from_ms: int, to_ms: int) -> Iterator[Event]:
        table = self.market.table(
            "liquidations",
            self._symbols[name],
            start_ms=from_ms - _FORCE_ORDER_DELAY_MS,
            end_ms=to_ms + 1,
        )
        told = table.columns["event_time"] if len(table) else table.time
        for place in np.flatnonzero((told > from_ms) & (told <= to_ms)).tolist():
            payload = stream_payloads.force_order(name, table, place)
            yield Event(int(payload["E"]), stream.name, payload)

    def _books(self, stream: Stream, name: str, from_ms: int, to_ms: int) -> Iterator[Event]:
        symbol = self._symbols[name]
        for at in self._steps(stream, from_ms, to_ms):
            book = self.market.book(symbol, at)
            if len(book):
                payload = stream_payloads.depth(name, book, stream.levels, self._decimals(name, at))
                yield Event(at, stream.name, payload)

    def _steps(self, stream: Stream, from_ms: int, to_ms: int) -> range:
        """Return the instants in (from_ms, to_ms] at which a stream with a cadence speaks."""
        every = max(stream.every_ms, self._least_every_ms)
        return range(from_ms // every * every + every, to_ms + 1, every)

    def _decimals(self, name: str, at_ms: int) -> tuple[int, int]:
        listing: Instrument | None = self.market.instrument(self._symbols[name], at=to_time(at_ms))
        if listing is None:
            return 8, 8
        return decimals_of(listing.price_tick), decimals_of(listing.quantity_step)
