"""Servers that go away under a live run: Redis for a while, PostgreSQL restarted, its disk full."""

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
from tests.live.judge import assert_same_mart, build_reference, check_raw, check_served
from tests.live.test_live_day import make_day

DISK = 96 * 2**20


@pytest.fixture
def own_servers() -> Iterator[Settings]:
    """Servers that a test may stop."""
    folder = Path(tempfile.mkdtemp(prefix="perpmart-recovery-"))
    settings = Settings(_env_file=None, state_dir=folder / ".perpmart")  # type: ignore[call-arg]
    up(settings, database_options={"fsync": "off"})
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
    """Make a database with all models built, and let those made from it lie on the small disk."""
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
        self._steps = [
            (8, self._stop_redis),
            (19, self._start_servers),
            (24, self._restart_postgresql),
            (36, self._fill_disk),
            (47, self._free_disk),
        ]

    def __call__(self, now: datetime, process: subprocess.Popen[bytes]) -> None:
        while self._steps and now >= self._start + timedelta(minutes=self._steps[0][0]):
            self._steps.pop(0)[1]()

    def _stop_redis(self) -> None:
        self._end("redis", signal.SIGTERM)

    def _start_servers(self) -> None:
        up(self._settings, database_options={"fsync": "off"})

    def _restart_postgresql(self) -> None:
        self._end("postgresql", signal.SIGINT)
        self._start_servers()

    def _fill_disk(self) -> None:
        with (self._disk / "filler").open("wb") as filler:
            while True:
                try:
                    filler.write(b"x" * 4096)
                    filler.flush()
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
def test_redis_away_postgresql_restarted_and_a_full_disk_are_ridden_out_and_told(
    own_servers: Settings, small_disk: Path, tmp_path: Path
) -> None:
    databases = make_databases(own_servers, small_disk)
    day = make_day(symbols=3, bars=11, history=1, speed=40, outage=(0, 0))
    url, redis = prepare(databases, day), redis_url(own_servers)
    history = databases.make(of=url)
    with psycopg.connect(database_url(own_servers), autocommit=True) as admin:
        admin.execute(f'alter database "{name_of(url)}" set tablespace small'.encode())
    disturbance = Disturbance(own_servers, small_disk, day.start)
    with lived(day, url, redis, tmp_path, disturb=disturbance) as live:
        said = "\n".join(live.lines)
        assert "Redis does not serve the feature store" in said
        assert "the store is served again" in said
        assert "terminating connection" in said or "closed the connection" in said
        assert "No space left on device" in said
        check_raw(live)
        check_served(live)
        reference = build_reference(databases, live, history)
        assert assert_same_mart(url, reference, start=day.market.start, end=day.end) > 0
