"""A stretch of a simulated exchange's day, lived through by `perpmart live` in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import redis

from collectors.coverage import Segment, read_gaps, subtract_segments
from collectors.rows import Coverage
from collectors.stream_coverage import WATCHED, find_stream_holes
from collectors.writer import Writer
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from simulator.clock import AcceleratedClock
from simulator.market import Kind, to_ms, to_time
from simulator.server import Simulator, running
from simulator.stream_plan import StreamPlan
from simulator.synthetic import SyntheticMarket
from tests.dbt_project.mart import KINDS, Databases, analyse, load_market
from tests.live.processes import Processes

BAR = timedelta(minutes=5)
EVERY_MS = 10_000
SETTLE = timedelta(minutes=12)
"""How long a run goes on at least after its last bar: by then late statistics and revisions are in."""

QUIET = 2 * BAR
"""How long no hole of the day has been open when a run ends: what a repair corrects is served by then."""

MOST_SETTLE = timedelta(hours=12)
"""A hole that is open so long after the day stays open."""


@dataclass(frozen=True)
class Day:
    """What is lived through.

    Attributes
    ----------
    market : its last part is lived, what is before is history
    start, end : of the bars that are lived
    speed : exchange seconds a second
    plan : cadence and failures of the streams
    """

    market: SyntheticMarket
    start: datetime
    end: datetime
    speed: float
    plan: StreamPlan

    def seconds(self, span: timedelta) -> float:
        return span.total_seconds() / self.speed


class Seen(NamedTuple):
    """A vector as a reader of Redis saw it."""

    symbol: str
    time: int
    revision: int
    feature_set: str
    values: bytes


@dataclass
class Lived:
    """What a run left behind."""

    day: Day
    url: str
    redis_url: str
    exchange: Simulator
    namespace: str
    stopped_at: datetime
    lines: list[str]
    seen: set[Seen] = field(default_factory=set)


def prepare(databases: Databases, day: Day, *, kinds: Sequence[Kind] = KINDS) -> str:
    """Make a database with the history before the day, of some kinds, collected without a hole and built."""
    url = databases.make()
    with connect_to(url) as connection:
        connection.execute("truncate seeds.universe")
        connection.execute(
            "insert into seeds.universe (symbol, valid_from) select unnest(%s::text[]), '2021-01-01Z'",
            [list(day.market.symbols)],
        )
        connection.commit()
        load_market(connection, day.market, kinds=kinds, as_of=day.start)
        cover(connection, day.market, day.market.start, day.start)
        run_pending(connection)
        analyse(connection)
    return url


def cover(connection: object, market: SyntheticMarket, start: datetime, end: datetime) -> None:
    """Note that everything was collected."""
    writer = Writer(connection)  # type: ignore[arg-type]
    for source in ("rest", "stream"):
        covered = [
            Coverage(one.stream, symbol, start, end)
            for one in WATCHED
            for symbol in market.symbols
            if ("rest" in one.sources) == (source == "rest")
        ]
        writer.write([], source=source, now=end, covered=covered)  # type: ignore[arg-type]


class StartedClock(AcceleratedClock):
    """A clock that stands at its start until it is told to run."""

    _runs = False

    def start(self) -> None:
        self._began, self._runs = time.monotonic(), True

    def now_ms(self) -> int:
        return super().now_ms() if self._runs else self._start_ms


class Reader(threading.Thread):
    """Polls Redis for vectors as fast as it can, until told to stop."""

    def __init__(self, redis_url: str, namespace: str, symbols: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self.seen: set[Seen] = set()
        self.stopped = threading.Event()
        self._client = redis.Redis.from_url(redis_url)
        self._keys = [(symbol, f"{namespace}:vector:{symbol}:5m") for symbol in symbols]

    def run(self) -> None:
        fields = ("time", "revision", "feature_set", "v")
        while not self.stopped.wait(0.03):
            pipe = self._client.pipeline(transaction=False)
            for _, key in self._keys:
                pipe.hmget(key, fields)
            try:
                answers = pipe.execute()
            except redis.RedisError:
                continue
            for (symbol, _), found in zip(self._keys, answers, strict=True):
                if found[0] is not None:
                    stamp, revision, feature_set, values = found
                    self.seen.add(Seen(symbol, int(stamp), int(revision), feature_set.decode(), values))
        self._client.close()


class Settling:
    """Tells when a run may end: bars after the day are served, and what can be repaired of it is."""

    def __init__(self, day: Day, url: str) -> None:
        self._day, self._url = day, url
        self._quiet_since: datetime | None = None
        self._looked_at = 0.0

    def is_over(self, now: datetime) -> bool:
        """Look for open holes of the day, once a second; at the latest `MOST_SETTLE` after it all is over."""
        if now < self._day.end + SETTLE or time.monotonic() < self._looked_at + 1.0:
            return False
        self._looked_at = time.monotonic()
        with connect_to(self._url) as connection:
            found = connection.execute(
                "select not exists (select from gaps where state = 'open' and from_time < %(end)s)"
                " and exists (select from served where time >= %(end)s)",
                {"end": self._day.end},
            ).fetchone()
            is_settled = found == (True,) and not self._unnoted(connection)
        if not is_settled:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        waited = self._quiet_since is not None and now >= self._quiet_since + QUIET
        return waited or now >= self._day.end + MOST_SETTLE

    def _unnoted(self, connection: Connection) -> list[Segment]:
        """Give holes of the day that the collector has not looked for yet."""
        day = self._day
        known: dict[tuple[str, str], list[Segment]] = {}
        for gap in read_gaps(connection):
            known.setdefault((gap.stream, gap.symbol), []).append((gap.from_time, gap.to_time))
        holes = find_stream_holes(connection, day.market.symbols, since=day.start, cause=lambda *series: "")
        return [
            part
            for hole in holes
            if hole.from_time < day.end
            for part in subtract_segments(
                [(hole.from_time, hole.to_time)], known.get((hole.stream, hole.symbol), [])
            )
        ]


@contextmanager
def lived(
    day: Day,
    url: str,
    redis_url: str,
    folder: Path,
    *,
    kills: tuple[timedelta, ...] = (),
    disturb: Callable[[datetime, subprocess.Popen[bytes]], None] = lambda now, process: None,
) -> Iterator[Lived]:
    """Live through a day; the process is killed at the given times after its start, and started again.

    Started while the exchange does not answer, it says so and ends: then it is started again, as a
    supervisor would. Any other end is an error.
    """
    log = folder / f"live-{uuid4().hex[:6]}.log"
    client = redis.Redis.from_url(redis_url)
    for key in client.scan_iter("perpmart:*"):
        client.delete(key)
    clock = StartedClock(day.start, speed=day.speed)
    pending = sorted(kills)
    with running(Simulator(day.market, clock=clock, streams=day.plan)) as exchange:
        reader = Reader(redis_url, "perpmart", day.market.symbols)
        reader.start()
        processes = Processes(
            day.speed, day.market.symbols, url, redis_url, exchange, log, starts=len(pending) + 1
        )
        processes.wait_until_warm()
        clock.start()
        process, settling = processes.start(), Settling(day, url)
        is_out = False
        try:
            while not settling.is_over(now := _now(clock)):
                time.sleep(0.02)
                disturb(now, process)
                if pending and now >= day.start + pending[0]:
                    pending.pop(0)
                    process.kill()
                    process.wait()
                    process, is_out = processes.start(), day.plan.is_out(to_ms(now))
                if process.poll() is not None:
                    if not is_out:
                        raise AssertionError(f"live ended with {process.returncode}: {_tail(log)}")
                    process, is_out = processes.start(), day.plan.is_out(to_ms(now))
            stopped_at = _now(clock)
            process.send_signal(signal.SIGTERM)
            code = process.wait(120)
            assert code == 0, f"live ended with {code}: {_tail(log)}"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            processes.stop()
            reader.stopped.set()
            reader.join()
            client.close()
        lines = log.read_text().splitlines()
        yield Lived(day, url, redis_url, exchange, "perpmart", stopped_at, lines, reader.seen)


def _now(clock: AcceleratedClock) -> datetime:
    return to_time(clock.now_ms())


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-60:])
