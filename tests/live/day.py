"""A stretch of a simulated exchange's day, lived through by `perpmart live` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import redis

from collectors.rows import Coverage
from collectors.stream_coverage import WATCHED
from collectors.writer import Writer
from perpmart.database import connect_to
from perpmart.engine import run_pending
from simulator.clock import AcceleratedClock
from simulator.server import Simulator, running
from simulator.stream_plan import StreamPlan
from simulator.synthetic import SyntheticMarket
from tests.dbt_project.mart import Databases, analyse, load_market

BAR = timedelta(minutes=5)
EVERY_MS = 10_000
SETTLE = timedelta(minutes=12)
"""How long a run goes on after its last bar: by then late statistics and revisions are in."""

SPARES = 3
REPOSITORY = Path(__file__).resolve().parents[2]


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
    exchange: Simulator
    namespace: str
    stopped_at: datetime
    lines: list[str]
    seen: set[Seen] = field(default_factory=set)
    memory: list[int] = field(default_factory=list)


def prepare(databases: Databases, day: Day) -> str:
    """Make a database with the history before the day, collected without a hole and built."""
    url = databases.make()
    with connect_to(url) as connection:
        connection.execute("truncate seeds.universe")
        connection.execute(
            "insert into seeds.universe (symbol, valid_from) select unnest(%s::text[]), '2021-01-01Z'",
            [list(day.market.symbols)],
        )
        connection.commit()
        load_market(connection, day.market, as_of=day.start)
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


WARM = """
import sys
import perpmart.live_session, perpmart.settings
print("warm", flush=True)
sys.stdin.readline()
from perpmart.cli import main
main(sys.argv[1:])
"""


class Processes:
    """Starts `perpmart live` as a user does; imports, which take seconds, are done beforehand in a spare."""

    def __init__(
        self, day: Day, url: str, redis_url: str, exchange: Simulator, log: Path, *, starts: int
    ) -> None:
        self._arguments = ["live", "--speed", str(day.speed), "--grace", "60"]
        self._log = log
        given = {name: value for name, value in os.environ.items() if not name.startswith("PERPMART_")}
        self._environment = given | {
            "PERPMART_DATABASE_URL": url,
            "PERPMART_REDIS_URL": redis_url,
            "PERPMART_EXCHANGE_URL": exchange.url,
            "PERPMART_STREAM_URL": exchange.stream_url,
            "PERPMART_SYMBOLS": ",".join(day.market.symbols),
            "PERPMART_METRICS_PORT": "0",
            "PYTHONPATH": str(REPOSITORY),
        }
        self._left = starts - min(starts, SPARES)
        self._spares = [self._warm() for _ in range(min(starts, SPARES))]

    def wait_until_warm(self) -> None:
        while self._log.read_text().count("warm") < len(self._spares):
            time.sleep(0.05)

    def start(self) -> subprocess.Popen[bytes]:
        process = self._spares.pop(0)
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        if self._left:
            self._left -= 1
            self._spares.append(self._warm())
        return process

    def stop(self) -> None:
        for process in self._spares:
            process.kill()
            process.wait()

    def _warm(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", WARM, *self._arguments],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._log.parent,
            )


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
    """Live through a day; the process is killed at the given times after its start, and started again."""
    log = folder / f"live-{uuid4().hex[:6]}.log"
    client = redis.Redis.from_url(redis_url)
    for key in client.scan_iter("perpmart:*"):
        client.delete(key)
    clock = StartedClock(day.start, speed=day.speed)
    pending, memory = sorted(kills), list[int]()
    with running(Simulator(day.market, clock=clock, streams=day.plan)) as exchange:
        reader = Reader(redis_url, "perpmart", day.market.symbols)
        reader.start()
        processes = Processes(day, url, redis_url, exchange, log, starts=len(pending) + 1)
        processes.wait_until_warm()
        clock.start()
        process = processes.start()
        try:
            while (now := _now(clock)) < day.end + SETTLE:
                time.sleep(0.02)
                disturb(now, process)
                if pending and now >= day.start + pending[0]:
                    pending.pop(0)
                    process.kill()
                    process.wait()
                    process = processes.start()
                if process.poll() is not None:
                    raise AssertionError(f"live ended with {process.returncode}: {_tail(log)}")
                memory.append(_resident(process.pid))
            stopped_at = _now(clock)
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
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
        yield Lived(day, url, exchange, "perpmart", stopped_at, lines, reader.seen, memory)


def _now(clock: AcceleratedClock) -> datetime:
    from simulator.market import to_time

    return to_time(clock.now_ms())


def _resident(pid: int) -> int:
    """Give a process's memory in bytes, 0 when it has gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-60:])
