"""The live mart: at each bar's close the models and the push; corrections, repairs and retries between."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import psycopg

from collectors.coverage import Connection, Gap
from collectors.errors import backoff_delays
from collectors.kinds import BAR, floor
from collectors.metrics import Metrics
from collectors.stream_clock import ExchangeClock
from collectors.stream_cycles import BarClosed
from collectors.stream_database import Database, may_pass
from collectors.stream_polls import Gathered, write_gathered
from collectors.writer import WriteResult
from ml.feature_store_writer import FeatureStoreWriter
from perpmart.build import BuildError
from perpmart.engine import ModelRun, rollups_wait, run_models, run_pending
from perpmart.errors import PerpmartError, RedisError
from perpmart.push import Drift, Pushed, push, push_revised

T = TypeVar("T")

LOOK_BACK = 12 * BAR
"""Earlier bars that are compared with what was served after each run."""

MAKE_WAY = timedelta(seconds=10)
"""No repair begins so shortly before a bar's close."""

MOST_CANCELS = 3
UNEXPLAINED = "unexplained"
_NEVER_MORE = 1_000_000
_log = logging.getLogger(__name__)


class _Repaired(NamedTuple):
    """What a repair wrote and closed; ``behind`` is why the roll-ups of its bars were not refreshed."""

    result: WriteResult
    closed: list[Gap]
    behind: BaseException | None


class LiveMart:
    """Does what follows a write: see `collectors.stream_cycles.Hooks`.

    Parameters
    ----------
    database : Database
        A connection of its own, with build and raw on its search path.
    store : FeatureStoreWriter
        The online store.
    clock : ExchangeClock
    metrics : Metrics
    schema_prefix : str, optional
        What stands before every schema's name.
    say : callable, optional
        Told one line a bar and one a failure.
    """

    def __init__(
        self,
        database: Database,
        store: FeatureStoreWriter,
        *,
        clock: ExchangeClock,
        metrics: Metrics,
        schema_prefix: str = "",
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._database, self._store, self._clock, self._metrics = database, store, clock, metrics
        self._prefix, self._say = schema_prefix, say
        self._turn = asyncio.Lock()
        self._causes: set[str] = set()
        self._owed: asyncio.Task[None] | None = None
        self._closed: datetime | None = None
        self._behind: datetime | None = None
        """From where a repair's bars are still to be compared with what was served."""
        self._repairing = False
        self._cancels = 0

    async def start(self, *, history: int = 300) -> None:
        """Bring mart and store up to date with what was written while nobody ran.

        Raises
        ------
        BuildError
            The models were never built in this database.
        """
        async with self._turn:
            self._closed = floor(self._clock.now(), BAR) - BAR
            await self._database.insist("first run", run_pending)
            self._causes.add("restart")
            await self._serve(since=self._clock.now() - timedelta(days=1), history=history)

    async def on_close(self) -> None:
        """Stop a repair: it would hold up the bar."""
        while self._repairing:
            await asyncio.to_thread(self._database.cancel)
            await asyncio.sleep(0.02)

    async def on_bar(self, bar: BarClosed) -> None:
        """Compute and serve the bar."""
        late = {"late messages"} if bar.brought_late else set()
        async with self._turn_of(late):
            self._closed = bar.time
            began = time.monotonic()
            if not await self._run():
                return
            ran = time.monotonic()
            pushed = await self._push("; ".join(sorted(self._causes)))
            done = time.monotonic()
            if pushed is not None and bar.heard_at is not None:
                self._metrics.latency.observe(done - bar.heard_at)
            wait = "" if bar.heard_at is None else f", {done - bar.heard_at:.2f} s after its last kline"
            missing = f", without {', '.join(bar.missing)}" if bar.missing else ""
            served = "not served" if pushed is None else f"{len(pushed)} vectors"
            self._say(
                f"{bar.time:%Y-%m-%d %H:%M} {served}: run {ran - began:.2f} s,"
                f" push {done - ran:.2f} s{wait}{missing}"
            )
            await self._revise(bar.time - LOOK_BACK)

    async def on_change(self, what: str) -> None:
        """Compute what has changed, and serve what it corrects."""
        async with self._turn_of({what}):
            if await self._run():
                await self._serve(since=self._clock.now() - LOOK_BACK)

    async def on_repair(self, gathered: Gathered, *, origin: str) -> bool:
        """Write what fills holes and compute what follows, in one transaction that yields to a bar."""
        now = self._clock.now()
        if floor(now, BAR) + BAR - now < MAKE_WAY:
            await self._clock.sleep_until(floor(now, BAR) + BAR + MAKE_WAY)
        oldest = min((segment.from_time for segment in gathered.covered), default=now)
        async with self._turn:
            self._repairing = True
            try:
                began = time.monotonic()
                result, closed, behind = await self._database.call(_repair, gathered, origin)
            except (psycopg.errors.QueryCanceled, BuildError) as error:
                return self._was_cancelled(error)
            except (psycopg.Error, PerpmartError) as error:
                self._failed("repair", error)
                await asyncio.sleep(1.0)
                return False
            finally:
                self._repairing = False
            self._cancels = 0
            self._metrics.steps.labels("repair").observe(time.monotonic() - began)
            self._metrics.wrote_polled(result, closed)
            self._say(f"repaired {len(closed)} holes, {result.inserted} rows, from {oldest:%Y-%m-%d %H:%M}")
            self._causes.add("repair")
            if behind is not None:
                # The next run finds them pending; until then the newest vector is that from before.
                self._behind = min(oldest - BAR, self._behind or oldest)
                _log.info("roll-ups of a repair wait for the next run: %s", behind)
                return True
            await self._serve(since=oldest - BAR)
        return True

    async def close(self) -> None:
        """Give up a push that is owed."""
        if self._owed is not None:
            self._owed.cancel()
            await asyncio.gather(self._owed, return_exceptions=True)

    # -- steps

    @asynccontextmanager
    async def _turn_of(self, causes: set[str]) -> AsyncIterator[None]:
        """Wait for the turn; a run under way may see these changes or not, so they are named twice."""
        self._causes |= causes
        async with self._turn:
            self._causes |= causes
            yield

    async def _run(self) -> bool:
        """Run the models; what fails for now is tried again, what fails for good waits for the next bar."""
        delays = backoff_delays(retries=_NEVER_MORE, first=0.2, ceiling=10.0)
        while True:
            try:
                runs = await self._timed("run", run_pending)
            except (BuildError, psycopg.Error, PerpmartError) as error:
                self._failed("run", error)
                if not may_pass(
                    error.__cause__ if isinstance(error, BuildError) and error.__cause__ else error
                ):
                    return False
                await asyncio.sleep(next(delays))
                continue
            self._tell(runs)
            return True

    async def _serve(self, *, since: datetime, history: int = 0) -> None:
        await self._push("; ".join(sorted(self._causes)), history=history)
        await self._revise(since)

    async def _push(self, cause: str, *, history: int = 0) -> list[Pushed] | None:
        """Send the newest vectors; None when the store cannot be reached, then it is tried until it can."""
        if self._owed is not None and not self._owed.done():
            return None
        try:
            return await self._send(cause, history)
        except (RedisError, psycopg.Error, PerpmartError) as error:
            self._failed("push", error)
            self._owed = asyncio.ensure_future(self._keep_sending(cause))
            return None

    async def _keep_sending(self, cause: str) -> None:
        delays = backoff_delays(retries=_NEVER_MORE, first=0.2, ceiling=5.0)
        while True:
            await asyncio.sleep(next(delays))
            try:
                async with self._turn:
                    await self._send(cause, int(LOOK_BACK / BAR))
            except (RedisError, psycopg.Error, PerpmartError) as error:
                self._failed("push", error)
                continue
            self._say("the store is served again")
            return

    async def _send(self, cause: str, history: int) -> list[Pushed]:
        pushed = await self._timed(
            "push",
            lambda connection: push(
                connection,
                self._store,
                schema_prefix=self._prefix,
                history=history,
                # The mart may hold the next bar too, when some of its klines are written: not served yet.
                until=self._closed,
                now=self._clock.now(),
                cause=cause,
            ),
        )
        for one in pushed:
            self._metrics.pushed.labels(one.outcome).inc()
            self._metrics.served(one.symbol, one.time + BAR)
            if one.outcome == "written" and one.revision > 1:
                self._metrics.revised.inc()
        return pushed

    async def _revise(self, since: datetime) -> None:
        """Compare what was served with the mart; what changed gets a revision, named by its cause."""
        cause = "; ".join(sorted(self._causes)) or UNEXPLAINED
        since = min(since, self._behind or since)
        self._causes.clear()
        try:
            drifts: list[Drift] = await self._timed(
                "compare",
                lambda connection: push_revised(
                    connection,
                    self._store,
                    schema_prefix=self._prefix,
                    since=since,
                    until=self._closed,
                    now=self._clock.now(),
                    cause=cause,
                ),
            )
        except (RedisError, psycopg.Error, PerpmartError) as error:
            self._causes |= {cause} - {UNEXPLAINED}
            self._failed("compare", error)
            return
        self._behind = None
        self._metrics.revised.inc(len(drifts))
        if drifts and cause == UNEXPLAINED:
            self._metrics.mismatches.inc(len(drifts))
            named = ", ".join(f"{one.symbol} {one.time:%H:%M}" for one in drifts[:3])
            self._say(f"PARITY: {len(drifts)} served vectors differ from the mart without a cause: {named}")

    async def _timed(self, step: str, function: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        try:
            return await self._database.call(function)
        finally:
            self._metrics.steps.labels(step).observe(time.monotonic() - began)

    def _tell(self, runs: list[ModelRun]) -> None:
        for run in runs:
            self._metrics.models.labels(run.model).set(run.written)

    def _failed(self, step: str, error: BaseException) -> None:
        self._metrics.failures.labels(step).inc()
        said = " ".join(str(error).split())
        _log.info("%s failed: %s", step, said)
        self._say(f"{step} failed, tried again: {said}")

    def _was_cancelled(self, error: BaseException) -> bool:
        """Tell whether to give a repair up: one that never fits between two bars would be tried for ever."""
        cause = error.__cause__ if isinstance(error, BuildError) else error
        if not isinstance(cause, psycopg.errors.QueryCanceled):
            self._failed("repair", error)
            return True
        self._cancels += 1
        if self._cancels < MOST_CANCELS:
            return False
        self._cancels = 0
        self._say(
            "a repair does not fit between two bars: run `perpmart backfill` and `perpmart build` when it may"
        )
        return True


def _repair(connection: Connection, gathered: Gathered, origin: str) -> _Repaired:
    result, closed = write_gathered(connection, gathered, origin=origin, keep_open=True)
    run_models(connection)
    connection.commit()
    behind: BaseException | None = None
    try:
        if rollups_wait(connection):
            # A continuous aggregate behind its watermark: no transaction can refresh it.
            run_pending(connection)
    except (psycopg.Error, PerpmartError) as error:
        behind = error
        if not connection.closed:
            connection.rollback()
    return _Repaired(result, closed, behind)
