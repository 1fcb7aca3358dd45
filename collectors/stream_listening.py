"""What one socket has heard: which segments it covers, and which of its streams have fallen silent.

Nothing here moves bytes or looks at a clock: times are those of the messages, and of the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collectors.coverage import Segment
from collectors.rows import Coverage
from collectors.stream_channels import BOOKS, FORCE_ORDERS, KLINES, Subscription

SOCKET_PATIENCE = timedelta(seconds=25)
"""Silence of a whole socket after which it counts as dead."""

ORDER_LAG = timedelta(seconds=2)
"""A forced order is told up to 2 s after its fill: orders filled just before we listened were missed."""

DISORDER = timedelta(seconds=2)
"""How much earlier than its neighbours a message may still come."""

SLOT = timedelta(seconds=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Heard:
    """Stretches of hearing: one that goes on, by its first and newest event time, and those that ended."""

    since: datetime | None = None
    newest: datetime = _EPOCH
    finished: list[Segment] = field(default_factory=list)

    @property
    def stretches(self) -> list[Segment]:
        return self.finished if self.since is None else [*self.finished, (self.since, self.newest)]

    def hear(self, at: datetime, patience: timedelta) -> None:
        if at <= self.newest:
            return
        if self.since is None:
            # Not the time of connecting: only what was heard proves that somebody listened.
            self.since = at
        elif at - self.newest > patience:
            self.finished.append((self.since, self.newest))
            self.since = at
        self.newest = at


class Listening:
    """The hearing of one connection.

    Parameters
    ----------
    subscriptions : sequence of Subscription
        What the connection carries.
    at : datetime
        The exchange's time when it was opened.
    """

    def __init__(self, subscriptions: Sequence[Subscription], at: datetime) -> None:
        self.opened_at = at
        self.has_ended = False
        self.subscriptions = {one.name: one for one in subscriptions}
        self._heard = {name: _Heard() for name in self.subscriptions}
        self._socket = _Heard()

    @property
    def newest(self) -> datetime:
        """Newest event time on the connection; the time of opening before the first."""
        return max(self._socket.newest, self.opened_at)

    @property
    def has_spoken(self) -> bool:
        """Whether anything was heard at all."""
        return self._socket.since is not None

    def hear(self, name: str, at: datetime) -> None:
        """Note a message of a stream by its event time."""
        self._socket.hear(at, SOCKET_PATIENCE)
        patience = self.subscriptions[name].channel.patience
        if patience is not None:
            self._heard[name].hear(at, patience)

    def silent(self, now: datetime, *, least: timedelta = timedelta(0)) -> list[Subscription]:
        """Give the streams that have been silent for too long; all of them when the whole socket is.

        `least` is the shortest silence that counts, whatever a channel's patience.
        """
        if now - self.newest > max(SOCKET_PATIENCE, least):
            return list(self.subscriptions.values())
        return [
            one
            for name, one in self.subscriptions.items()
            if one.channel.patience is not None
            and now - max(self._heard[name].newest, self.opened_at) > max(one.channel.patience, least)
        ]

    def covered(self) -> list[Coverage]:
        """Give the segments that were listened to, except of klines: a bar counts once it was received."""
        found = []
        for name, one in self.subscriptions.items():
            if one.channel is KLINES:
                continue
            heard = self._socket if one.channel is FORCE_ORDERS else self._heard[name]
            for start, end in heard.stretches:
                if one.channel is FORCE_ORDERS:
                    start, end = start + ORDER_LAG, end - DISORDER
                elif one.channel is BOOKS:
                    # The newest snapshot of a slot is kept, so one still running is not done.
                    end -= DISORDER + (end - DISORDER - _EPOCH) % SLOT
                if start < end:
                    found.append(Coverage(one.channel.stream, one.symbol, start, end))
        return found

    def takes_over_from(self, old: Listening) -> bool:
        """Whether `old` can end without a hole: what it covers is covered here from before its end."""
        mine = {(one.stream, one.symbol): one.from_time for one in reversed(self.covered())}
        theirs = {(one.stream, one.symbol): one.to_time for one in old.covered()}
        return self.has_spoken and all(key in mine and mine[key] <= end for key, end in theirs.items())

    def forget_finished(self, until: datetime) -> None:
        """Drop stretches that ended by an instant, once they are stored."""
        for heard in (self._socket, *self._heard.values()):
            heard.finished = [segment for segment in heard.finished if segment[1] > until]

    def start_anew(self) -> None:
        """Forget what was heard: its rows are lost, so it covers nothing."""
        for heard in (self._socket, *self._heard.values()):
            heard.since, heard.finished = None, []
