"""The live mart: at each bar's close the models and the push; corrections, repairs and retries between."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

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
from perpmart.errors import PerpmartError
from perpmart.live_serving import LOOK_BACK, Serving, spans_before
from perpmart.live_steps import Steps

MAKE_WAY = timedelta(seconds=10)
"""No repair begins so shortly before a bar's close."""

COMPARED_AT_ONCE = 12 * BAR
"""Served bars that are compared after a repair before the next bar may come between."""

MOST_CANCELS = 3
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
        self._database, self._clock, self._metrics, self._say = database, clock, metrics, say
        self._turn = asyncio.Lock()
        self._steps = Steps(database, metrics, say)
        self._serving = Serving(self._steps, store, turn=self._turn, clock=clock, schema_prefix=schema_prefix)
        self._no_bar_is_due = asyncio.Event()
        self._no_bar_is_due.set()
        self._change_waits = False
        self._repairing = False
        self._cancels = 0

    async def start(self) -> None:
        """Bring mart and store up to date with what was written while nobody ran.

        Raises
        ------
        BuildError
            The models were never built in this database.
        """
        async with self._turn:
            self._serving.newest = floor(self._clock.now(), BAR) - BAR
            self._serving.causes.begin_run()
            self._serving.causes.made("restart")
            await self._database.insist("first run", run_pending)
            await self._serving.send()
            await self._serving.revise(self._clock.now() - timedelta(days=1))

    async def on_close(self) -> None:
        """Stop a repair: it would hold up the bar. None begins until the bar is served."""
        self._no_bar_is_due.clear()
        while self._repairing:
            await asyncio.to_thread(self._database.cancel)
            await asyncio.sleep(0.02)

    async def on_bar(self, bar: BarClosed) -> None:
        """Compute and serve the bar."""
        if bar.brought_late:
            self._serving.causes.name("late messages")
        try:
            async with self._turn:
                self._serving.newest = bar.time
                await self._serve_bar(bar)
        finally:
            self._no_bar_is_due.set()

    async def on_change(self, what: str) -> None:
        """Compute what has changed, and serve what it corrects: by the next run, whoever waits for it."""
        self._serving.causes.name(what)
        if self._change_waits:
            return
        self._change_waits = True
        async with self._turn:
            self._change_waits = False
            # A bar that is due sees the change in its own run, and must not wait for two.
            if self._no_bar_is_due.is_set() and await self._run():
                await self._serving.send()
                await self._serving.revise(self._clock.now() - LOOK_BACK)

    async def on_repair(self, gathered: Gathered, *, origin: str) -> bool:
        """Write what fills holes and compute what follows, in one transaction that yields to a bar."""
        oldest = min((segment.from_time for segment in gathered.covered), default=self._clock.now())
        async with self._turn_between_bars():
            recent = self._clock.now() - LOOK_BACK
            self._repairing = True
            self._serving.causes.begin_run()
            try:
                began = time.monotonic()
                result, closed, behind = await self._database.call(_repair, gathered, origin)
            except (psycopg.errors.QueryCanceled, BuildError) as error:
                return self._was_cancelled(error)
            except (psycopg.Error, PerpmartError) as error:
                self._steps.failed("repair", error)
                await asyncio.sleep(1.0)
                return False
            finally:
                self._repairing = False
            self._cancels = 0
            self._metrics.steps.labels("repair").observe(time.monotonic() - began)
            self._metrics.wrote_polled(result, closed)
            self._say(f"repaired {len(closed)} holes, {result.inserted} rows, from {oldest:%Y-%m-%d %H:%M}")
            if behind is not None:
                # The next run finds them pending; until then the newest vector is that from before.
                _log.info("roll-ups of a repair wait for the next run: %s", behind)
                self._serving.causes.name("repair")
                self._serving.compare_later(oldest - BAR)
                return True
            self._serving.causes.made("repair")
            await self._serving.send()
            await self._serving.revise(max(oldest - BAR, recent))
        for since, before in spans_before(recent, oldest - BAR, COMPARED_AT_ONCE):
            async with self._turn_between_bars():
                await self._serving.revise(since, before=before, cause="repair")
        return True

    async def close(self) -> None:
        """Give up a push that is owed."""
        await self._serving.close()

    # -- steps

    @asynccontextmanager
    async def _turn_between_bars(self) -> AsyncIterator[None]:
        """Wait for a turn that no bar is waiting for, or about to."""
        while True:
            await self._no_bar_is_due.wait()
            close = floor(self._clock.now(), BAR) + BAR
            if close - self._clock.now() < MAKE_WAY:
                await self._clock.sleep_until(close + MAKE_WAY)
                continue
            async with self._turn:
                if self._no_bar_is_due.is_set():
                    yield
                    return

    async def _serve_bar(self, bar: BarClosed) -> None:
        began = time.monotonic()
        if not await self._run():
            return
        ran = time.monotonic()
        pushed = await self._serving.send()
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
        await self._serving.revise(bar.time - LOOK_BACK)

    async def _run(self) -> bool:
        """Run the models; what fails for now is tried again, what fails for good waits for the next bar."""
        delays = backoff_delays(retries=_NEVER_MORE, first=0.2, ceiling=10.0)
        while True:
            self._serving.causes.begin_run()
            try:
                runs = await self._steps.do("run", run_pending)
            except (BuildError, psycopg.Error, PerpmartError) as error:
                self._steps.failed("run", error)
                if not may_pass(
                    error.__cause__ if isinstance(error, BuildError) and error.__cause__ else error
                ):
                    return False
                await asyncio.sleep(next(delays))
                continue
            self._tell(runs)
            return True

    def _tell(self, runs: list[ModelRun]) -> None:
        for run in runs:
            self._metrics.models.labels(run.model).set(run.written)

    def _was_cancelled(self, error: BaseException) -> bool:
        """Tell whether to give a repair up: one that never fits between two bars would be tried for ever."""
        cause = error.__cause__ if isinstance(error, BuildError) else error
        if not isinstance(cause, psycopg.errors.QueryCanceled):
            self._steps.failed("repair", error)
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
