"""What a live mart sends: the newest vectors, those owed while the store was away, and revisions by cause."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import psycopg

from collectors.coverage import Connection
from collectors.errors import backoff_delays
from collectors.kinds import BAR
from collectors.stream_clock import ExchangeClock
from ml.feature_store_writer import FeatureStoreWriter
from perpmart.errors import PerpmartError
from perpmart.live_steps import Steps
from perpmart.push import Drift, Pushed, push, push_revised
from perpmart.push_history import fill_unserved

LOOK_BACK = 12 * BAR
"""Earlier bars that are compared with what was served after each run."""

HISTORY = 300
"""Bars that the store keeps of a symbol."""

UNEXPLAINED = "unexplained"
_NEVER_MORE = 1_000_000


class Causes:
    """What has happened that can change served bars, in words.

    A run that is under way may see a change that is named meanwhile, or leave it to the next run, whoever
    asks for that: so it stays named until bars are compared after a run that began later.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._new: set[str] = set()

    def name(self, *causes: str) -> None:
        """Name changes that are committed."""
        self._new.update(causes)

    def begin_run(self) -> None:
        """Take notice that the run that begins now sees all that was named so far."""
        self._seen |= self._new
        self._new = set()

    def made(self, cause: str) -> None:
        """Name a change that the run made itself."""
        self._seen.add(cause)

    def all(self) -> set[str]:
        """Give all that can have changed a bar."""
        return self._seen | self._new

    def have_been_told(self) -> None:
        """Forget what the last run saw: the bars that it changed have their revisions."""
        self._seen = set()


class Serving:
    """Sends vectors; whoever calls holds the turn.

    Parameters
    ----------
    steps : Steps
    store : FeatureStoreWriter
        The online store.
    turn : asyncio.Lock
        Taken to send what is owed.
    clock : ExchangeClock
    schema_prefix : str
        What stands before every schema's name.

    Attributes
    ----------
    causes : Causes
    newest : datetime or None
        Newest bar that may be sent: of a later one the mart may hold a part.
    """

    def __init__(
        self,
        steps: Steps,
        store: FeatureStoreWriter,
        *,
        turn: asyncio.Lock,
        clock: ExchangeClock,
        schema_prefix: str,
    ) -> None:
        self._steps, self._store, self._turn, self._clock = steps, store, turn, clock
        self._prefix = schema_prefix
        self.causes = Causes()
        self.newest: datetime | None = None
        self._owed: asyncio.Task[None] | None = None
        self._owed_causes: set[str] = set()
        self._sent: datetime | None = None
        self._compare_from: datetime | None = None

    async def send(self) -> list[Pushed] | None:
        """Send the newest vectors; None when the store cannot be reached, then it is tried until it can.

        Bars that were passed over since the last time, all when there was none, go into the store's history.
        """
        if self._owed is not None and not self._owed.done():
            self._owed_causes |= self.causes.all()
            return None
        try:
            return await self._send(self.causes.all())
        except (psycopg.Error, PerpmartError) as error:
            self._steps.failed("push", error)
            self._owed_causes = self.causes.all()
            self._owed = asyncio.ensure_future(self._keep_sending())
            return None

    async def revise(self, since: datetime, *, before: datetime | None = None, cause: str = "") -> None:
        """Compare what was served with the mart; what changed gets a revision, named by its cause.

        Bars that the store holds though they were never served are put there anew.

        Parameters
        ----------
        since, before : datetime
            Bars to compare; to the newest by default.
        cause : str, optional
            All that has happened since the last comparison by default.
        """
        named, until = cause or _named(self.causes.all()), self.newest
        first = since if self._compare_from is None or before else min(since, self._compare_from)

        def compare(connection: Connection) -> list[Drift]:
            drifts = push_revised(
                connection,
                self._store,
                schema_prefix=self._prefix,
                since=first,
                before=before,
                until=until,
                now=self._clock.now(),
                cause=named,
            )
            if named != UNEXPLAINED and until is not None:
                fill_unserved(
                    connection,
                    self._store,
                    schema_prefix=self._prefix,
                    since=max(first, until - HISTORY * BAR),
                    before=before,
                    until=until,
                )
            return drifts

        try:
            drifts = await self._steps.do("compare", compare)
        except (psycopg.Error, PerpmartError) as error:
            self.compare_later(first)
            self._steps.failed("compare", error)
            return
        if before is None:
            self._compare_from = None
            self.causes.have_been_told()
        self._steps.metrics.revised.inc(len(drifts))
        self._tell_unexplained([(one.symbol, one.time) for one in drifts if named == UNEXPLAINED])

    def compare_later(self, since: datetime) -> None:
        """Have bars from a time on compared when that is done next."""
        self._compare_from = since if self._compare_from is None else min(since, self._compare_from)

    async def close(self) -> None:
        """Give up a push that is owed."""
        if self._owed is not None:
            self._owed.cancel()
            await asyncio.gather(self._owed, return_exceptions=True)

    async def _keep_sending(self) -> None:
        delays = backoff_delays(retries=_NEVER_MORE, first=0.2, ceiling=5.0)
        while True:
            await asyncio.sleep(next(delays))
            async with self._turn:
                try:
                    await self._send(self._owed_causes | self.causes.all())
                except (psycopg.Error, PerpmartError) as error:
                    self._steps.failed("push", error)
                    continue
                self._steps.say("the store is served again")
                await self.revise(self._clock.now() - LOOK_BACK)
            return

    def _passed_over(self) -> int:
        """Bars that nobody could be sent: the store's history lacks them."""
        if self._sent is None or self.newest is None:
            return HISTORY
        return max(0, min(int((self.newest - self._sent) / BAR) - 1, HISTORY))

    async def _send(self, causes: set[str]) -> list[Pushed]:
        cause, history, newest = _named(causes), self._passed_over(), self.newest
        pushed = await self._steps.do(
            "push",
            lambda connection: push(
                connection,
                self._store,
                schema_prefix=self._prefix,
                history=history,
                until=newest,
                now=self._clock.now(),
                cause=cause,
            ),
        )
        self._sent = newest
        metrics = self._steps.metrics
        for one in pushed:
            metrics.pushed.labels(one.outcome).inc()
            metrics.served(one.symbol, one.time + BAR)
        revised = [one for one in pushed if one.outcome == "written" and one.revision > 1]
        metrics.revised.inc(len(revised))
        self._tell_unexplained([(one.symbol, one.time) for one in revised if one.cause == UNEXPLAINED])
        return pushed

    def _tell_unexplained(self, bars: list[tuple[str, datetime]]) -> None:
        if bars:
            self._steps.metrics.mismatches.inc(len(bars))
            named = ", ".join(f"{symbol} {time:%H:%M}" for symbol, time in bars[:3])
            self._steps.say(
                f"PARITY: {len(bars)} served vectors differ from the mart without a cause: {named}"
            )


def spans_before(end: datetime, since: datetime, span: timedelta) -> list[tuple[datetime, datetime]]:
    """Cut the time from `since` to `end` into spans of at most a length, the newest first."""
    spans = []
    while end > since:
        start = max(end - span, since)
        spans.append((start, end))
        end = start
    return spans


def _named(causes: set[str]) -> str:
    return "; ".join(sorted(causes)) or UNEXPLAINED
