"""From messages to rows waiting to be written: parsed, thinned to slots, what is broken kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collectors.errors import ExchangeError
from collectors.parse_stream import (
    parse_force_order,
    parse_kline_event,
    parse_mark_price_update,
    parse_partial_depth,
)
from collectors.rows import Refusal, Row
from collectors.stream_channels import BOOKS, FORCE_ORDERS, KLINES, MARK_PRICES, Channel
from collectors.stream_listening import Listening

MOST_WAITING = 300_000
"""Messages held in memory while the database is away; one more, and all are given up."""

SLOT_MS = 10_000
MARK_PRICE_MS = 1_000
"""A mark price is taken from the first second of its slot: the one at a bar's close is then among them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PARSERS: Mapping[Channel, Callable[[object], Row | None]] = {
    KLINES: parse_kline_event,
    MARK_PRICES: parse_mark_price_update,
    FORCE_ORDERS: parse_force_order,
    BOOKS: parse_partial_depth,
}
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Taken:
    """What was taken out of the intake to be written.

    Attributes
    ----------
    rows : list of row
        In order of arrival.
    refusals : list of Refusal
        Messages that make no sense.
    newest : datetime
        Newest event time among all messages so far.
    lost : int
        Messages given up since the last time, as more than `MOST_WAITING` waited.
    """

    rows: list[Row]
    refusals: list[Refusal]
    newest: datetime
    lost: int = 0


@dataclass(slots=True)
class Intake:
    """Takes the messages of all sockets.

    Attributes
    ----------
    on_row : callable
        Told each row as it arrives; books only as they are taken.
    newest : datetime
        Newest event time of all.
    messages, ignored : int
        Messages so far, and how many of them belong to no stream of ours.
    """

    on_row: Callable[[Row], None]
    newest: datetime = _EPOCH
    messages: int = 0
    ignored: int = 0
    _rows: list[Row] = field(default_factory=list)
    _refusals: list[Refusal] = field(default_factory=list)
    _books: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    _lost: int = 0

    def take_in(self, text: str, listening: Listening) -> None:
        """Take one message as it came; never raises for what the exchange sends."""
        waiting = len(self._rows) + len(self._refusals) + len(self._books)
        if waiting >= MOST_WAITING:
            self._lost += waiting
            _log.error("%d messages were given up: the database does not take them", waiting)
            self._rows, self._refusals, self._books = [], [], {}
        self.messages += 1
        try:
            message = json.loads(text)
        except ValueError:
            self._refuse("", "not JSON", text)
            return
        name = message.get("stream") if isinstance(message, dict) else None
        subscription = listening.subscriptions.get(name) if isinstance(name, str) else None
        if subscription is None or name is None:
            self.ignored += 1
            return
        data = message.get("data")
        stamp = data.get("E") if isinstance(data, dict) else None
        if not isinstance(stamp, int) or stamp <= 0:
            self._refuse(subscription.channel.stream, "no event time E", text)
            return
        at = _EPOCH + timedelta(milliseconds=stamp)
        self.newest = max(self.newest, at)
        listening.hear(name, at)
        self._keep(subscription.channel, subscription.symbol, stamp, data, text)

    def take(self, *, books_until: datetime) -> Taken:
        """Give all that waits; of books only slots that end by an instant, the others can still change."""
        until_ms = int(books_until.timestamp() * 1000)
        for key in [key for key in self._books if (key[1] + 1) * SLOT_MS <= until_ms]:
            _, text = self._books.pop(key)
            self._parse(BOOKS, json.loads(text), text)
        taken = Taken(self._rows, self._refusals, self.newest, self._lost)
        self._rows, self._refusals, self._lost = [], [], 0
        return taken

    def give_back(self, taken: Taken) -> None:
        """Take back what could not be written: it waits again, before all that has come since."""
        self._rows[:0], self._refusals[:0] = taken.rows, taken.refusals

    def _keep(self, channel: Channel, symbol: str, stamp: int, data: object, text: str) -> None:
        if channel is BOOKS:
            key = (symbol, stamp // SLOT_MS)
            if key not in self._books or self._books[key][0] <= stamp:
                self._books[key] = (stamp, text)
        elif channel is not MARK_PRICES or stamp % SLOT_MS < MARK_PRICE_MS:
            self._parse(channel, data, text)

    def _parse(self, channel: Channel, message: object, text: str) -> None:
        try:
            row = _PARSERS[channel](message)
        except ExchangeError as error:
            self._refuse(channel.stream, str(error), text)
            return
        if row is not None:
            self._rows.append(row)
            self.on_row(row)

    def _refuse(self, stream: str, reason: str, text: str) -> None:
        _log.warning("message refused", extra={"stream": stream, "reason": reason})
        self._refusals.append(Refusal(stream, "stream", reason, text))
