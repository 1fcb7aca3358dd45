"""Servers that go away under a live run: Redis and PostgreSQL killed and started again, a disk that fills."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from perpmart.build import run_dbt
from perpmart.database import connect_to
from perpmart.migrations import migrate
from perpmart.servers.addresses import database_url, redis_url
from perpmart.servers.embedded import down, pids, up
from perpmart.settings import Settings
from tests.dbt_project.mart import Databases, name_of
from tests.live.day import lived, prepare
from tests.live.judge import judge
from tests.live.scenario import make_day

DISK = 192 * 2**20
OPTIONS = {"fsync": "off"}
LONGEST_RECONNECT = timedelta(minutes=2)
"""A busy machine that stops for some seconds looks like a silent exchange: sockets are opened anew."""


@pytest.fixture
def own_servers() -> Iterator[Settings]:
    """Servers that a test may kill."""
    folder = Path(tempfile.mkdtemp(prefix="perpmart-recovery-"))
    settings = Settings(_env_file=None, state_dir=folder / ".perpmart")  # type: ignore[call-arg]
    up(settings, database_options=OPTIONS)
    yield settings
    down(settings)
    shutil.rmtree(folder)


@pytest.fixture
def small_disk(own_servers: Settings) -> Iterator[Path]:
    """A file system of its own, so small that it can be filled; only root can make one."""
    folder = Path(tempfile.mkdtemp(prefix="perpmart-disk-"))
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        folder.rmdir()
        pytest.skip("a small disk needs the right to mount one")
    owner = psutil.Process(pids(own_servers.state_dir)["postgresql"]).uids().real
    os.chown(folder, owner, pwd.getpwuid(owner).pw_gid)
    folder.chmod(0o700)
    yield folder
    down(own_servers)
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def make_databases(settings: Settings, disk: Path) -> Databases:
    """Make a database with all models built empty, and a tablespace on the small disk."""
    server = database_url(settings)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"create tablespace small location '{disk}'".encode())
        admin.execute("create database template_of_all")
    url = server.replace("/perpmart?", "/template_of_all?")
    with connect_to(url) as connection:
        migrate(connection)
    run_dbt(["build", "--resource-type", "seed", "--resource-type", "model"], url)
    return Databases(server, name_of(url))


class Disturbance:
    """Takes the servers away, one after the other, at minutes of the day."""

    def __init__(self, settings: Settings, disk: Path, start: datetime) -> None:
        self._settings, self._disk, self._start = settings, disk, start
        self.done: list[str] = []
        self._steps = [
            (8, "Redis killed", lambda: self._end("redis", signal.SIGKILL)),
            (19, "Redis started", self._start_servers),
            (24, "PostgreSQL stopped", lambda: self._end("postgresql", signal.SIGINT)),
            (28, "PostgreSQL started", self._start_servers),
            (33, "PostgreSQL crashed", lambda: self._end("postgresql", signal.SIGQUIT)),
            (34, "PostgreSQL recovered", self._start_servers),
            (41, "disk full", self._fill_disk),
            (52, "disk freed", self._free_disk),
        ]

    def __call__(self, now: datetime, process: subprocess.Popen[bytes]) -> None:
        while self._steps and now >= self._start + timedelta(minutes=self._steps[0][0]):
            _, what, step = self._steps.pop(0)
            step()
            self.done.append(what)

    def _start_servers(self) -> None:
        up(self._settings, database_options=OPTIONS)

    def _fill_disk(self) -> None:
        with (self._disk / "filler").open("wb", buffering=0) as filler:
            while True:
                try:
                    filler.write(b"x" * 4096)
                except OSError:
                    return

    def _free_disk(self) -> None:
        (self._disk / "filler").unlink()

    def _end(self, name: str, number: signal.Signals) -> None:
        pid = pids(self._settings.state_dir)[name]
        assert pid is not None
        os.kill(pid, number)
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_redis_and_postgresql_away_and_a_full_disk_are_ridden_out_and_told(
    own_servers: Settings, small_disk: Path, tmp_path: Path
) -> None:
    databases = make_databases(own_servers, small_disk)
    day = make_day(symbols=3, bars=13, history=1, speed=40, outage=(0, 0))
    url, redis = prepare(databases, day), redis_url(own_servers)
    history = databases.make(of=url)
    with psycopg.connect(database_url(own_servers), autocommit=True) as admin:
        admin.execute(f'alter database "{name_of(url)}" set tablespace small'.encode())
    disturbance = Disturbance(own_servers, small_disk, day.start)
    with lived(day, url, redis, tmp_path, disturb=disturbance) as live:
        said = "\n".join(live.lines)
        print(said)
        assert disturbance.done[-1] == "disk freed"
        assert "Redis does not serve the feature store" in said
        assert "the store is served again" in said
        assert "no connection to PostgreSQL" in said
        assert "the connection is lost" in said or "closed the connection" in said
        assert "No space left on device" in said
        with connect_to(url) as connection:
            unheard = connection.execute(
                "select stream, symbol, from_time, to_time, cause from gaps"
                " where from_time > %s and to_time - from_time > %s",
                [day.start + timedelta(minutes=7), LONGEST_RECONNECT],
            ).fetchall()
        # The exchange spoke all the time: what came while nobody could write, 4 to 11 minutes, was kept.
        assert unheard == []
        print(judge(databases, live, history))
