"""One process that listens, or listens and serves: wired to the settings, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from collectors.client import BinanceFuturesClient
from collectors.errors import ExchangeError
from collectors.limits import RateLimiter
from collectors.metrics import Metrics
from collectors.stream_clock import ExchangeClock
from collectors.stream_collector import GRACE, StreamCollector
from collectors.stream_cycles import Hooks
from collectors.stream_database import Database
from collectors.symbols import canonical_symbol
from ml.feature_store_writer import FeatureStoreWriter
from perpmart.collect_only import OnlyCollect
from perpmart.database import Connection, connect, require_schema
from perpmart.live import LiveMart
from perpmart.servers import addresses
from perpmart.settings import Settings

FIRST_ATTEMPTS = 3
RESYNCHRONISE = 600.0
_log = logging.getLogger(__name__)


def run(
    settings: Settings,
    *,
    serve: bool,
    symbols: Sequence[str] = (),
    speed: float = 1.0,
    grace: timedelta = GRACE,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Collect, and with `serve` also compute and push, until SIGINT or SIGTERM.

    Parameters
    ----------
    settings : Settings
        Database, Redis, exchange, streams, symbols, port of the metrics.
    serve : bool
        Whether to run the models and push at each bar's close.
    symbols : sequence of str, optional
        In any spelling; those of the settings by default.
    speed : float, optional
        Pace of a simulated exchange's clock.
    grace : timedelta, optional
        How long a bar waits for its last symbols.
    say : callable, optional
        Told one line a bar.

    Raises
    ------
    PerpmartError
        When there is no database, schema or built mart, the exchange cannot be reached at the start, or a
        symbol is not listed. Later failures are ridden out.
    """
    with connect(settings) as connection:
        require_schema(connection, settings.schema_prefix)
    asyncio.run(_run(settings, serve, [canonical_symbol(one) for one in symbols], speed, grace, say))


async def _run(
    settings: Settings,
    serve: bool,
    symbols: Sequence[str],
    speed: float,
    grace: timedelta,
    say: Callable[[str], None],
) -> None:
    clock = await _synchronise(settings, speed)
    metrics = Metrics(clock.now)
    limiter = RateLimiter(clock=clock.seconds, sleep=clock.sleep)

    def connected() -> Connection:
        connection = connect(settings)
        # The embedded server may lose its last commits in a crash: rows that no stream repeats, and vectors
        # that are logged before they are sent, must not be among them.
        connection.execute("set synchronous_commit = on")
        connection.commit()
        return connection

    def failed(line: str) -> None:
        metrics.failures.labels("database").inc()
        say(line)

    raw, mart = Database(connected, on_failure=failed), Database(connected, on_failure=failed)
    async with BinanceFuturesClient(
        settings.exchange_url, limiter=limiter, attempts=4, sleep=clock.sleep
    ) as client:
        hooks: Hooks = OnlyCollect(raw, metrics=metrics, say=say)
        live: LiveMart | None = None
        if serve:
            store = FeatureStoreWriter(
                addresses.redis_url(settings), namespace=f"{settings.schema_prefix}perpmart"
            )
            hooks = live = LiveMart(
                mart, store, clock=clock, metrics=metrics, schema_prefix=settings.schema_prefix, say=say
            )
        collector = StreamCollector(
            symbols or settings.symbols,
            stream_url=settings.stream_url,
            client=client,
            database=raw,
            clock=clock,
            hooks=hooks,
            metrics=metrics,
            grace=grace,
        )
        port = metrics.serve(settings.metrics_port)
        say(f"metrics: http://127.0.0.1:{port}/metrics")
        jobs = [collector.run(), _keep_time(client, clock)]
        if live is not None:
            jobs.insert(0, live.start())
        try:
            await _until_told([asyncio.ensure_future(job) for job in jobs])
        finally:
            if live is not None:
                await live.close()
            await raw.close()
            await mart.close()


async def _synchronise(settings: Settings, speed: float) -> ExchangeClock:
    async with BinanceFuturesClient(settings.exchange_url, attempts=FIRST_ATTEMPTS) as client:
        return ExchangeClock(await client.server_time(attempts=FIRST_ATTEMPTS), speed=speed)


async def _keep_time(client: BinanceFuturesClient, clock: ExchangeClock) -> None:
    """Follow the exchange's clock; a simulated one that runs fast does not drift, but is far off at once."""
    while True:
        await clock.sleep(RESYNCHRONISE)
        if clock.speed == 1.0:
            with suppress(ExchangeError):
                clock.set(await client.server_time(attempts=1))


async def _until_told(tasks: list[asyncio.Future[None]]) -> None:
    """Wait for a signal, or for the first task that fails; cancel all."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.ensure_future(told.wait())
    endless = [asyncio.ensure_future(_ends(task, told)) for task in tasks]
    try:
        await waiting
        for task in tasks:
            if task.done():
                task.result()
    finally:
        waiting.cancel()
        for future in (*tasks, *endless):
            future.cancel()
        await asyncio.gather(*tasks, *endless, waiting, return_exceptions=True)


async def _ends(task: asyncio.Future[None], told: asyncio.Event) -> None:
    """Tell the others when a task fails; the first run of a live mart just ends."""
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is not None:
        told.set()
