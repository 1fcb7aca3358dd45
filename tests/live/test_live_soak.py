"""Hours of streaming through every failure: what is held in memory stays what it was."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest

from perpmart.database import connect_to
from tests.dbt_project.mart import Databases
from tests.live.day import lived, prepare
from tests.live.judge import check_raw, check_served
from tests.live.scenario import make_day

MINUTES = float(os.environ.get("PERPMART_SOAK_MINUTES", "120"))
"""Real minutes."""

SPEED = 30.0
EVERY_SECONDS = 5.0
MIB = 2**20
MOST_GROWTH = 6.0
"""MiB from the second quarter of the run to the last: what a leak of some kB a bar comes to in two hours."""


class Memory:
    """Samples of what the live process holds, and what the server holds for its sessions (MiB)."""

    def __init__(self, url: str) -> None:
        self._url, self._next = url, 0.0
        self.samples: list[tuple[float, float]] = []

    def __call__(self, now: datetime, process: subprocess.Popen[bytes]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        with connect_to(self._url, autocommit=True) as connection:
            sessions = connection.execute(
                "select pid from pg_stat_activity where datname = current_database()"
                " and backend_type = 'client backend' and pid <> pg_backend_pid()"
            ).fetchall()
        self.samples.append((_held(process.pid), sum(_held(pid) for (pid,) in sessions)))

    def quarters(self) -> list[tuple[float, float]]:
        """Give the medians of the four quarters of the run."""
        parts = np.array_split(np.array(self.samples), 4)
        return [(float(np.median(part[:, 0])), float(np.median(part[:, 1]))) for part in parts]


def _held(pid: int) -> float:
    """Memory of a process that it shares with nobody, in MiB; 0 when it has gone."""
    try:
        return float(psutil.Process(pid).memory_full_info().uss) / MIB
    except psutil.NoSuchProcess:
        return 0.0


@pytest.mark.proof
@pytest.mark.timeout(MINUTES * 60 + 1800)
@pytest.mark.parametrize("minutes", [MINUTES], ids="{:g} minutes".format)
def test_compressed_streaming_leaves_memory_flat(
    databases: Databases, redis_url: str, tmp_path: Path, minutes: float
) -> None:
    bars = int(minutes * SPEED / 5)
    day = make_day(
        symbols=3,
        bars=bars,
        history=1,
        after=bars // 288 + 2,
        speed=SPEED,
        outage=(0, 0),
        drops_per_hour=1.0,
        silences_per_hour=0.5,
    )
    url = prepare(databases, day)
    memory = Memory(url)
    with lived(day, url, redis_url, tmp_path, disturb=memory) as live:
        print("\n".join(live.lines[-40:]))
        quarters = memory.quarters()
        print(f"{minutes:g} minutes, {timedelta(minutes=5 * bars)} of the market")
        for process, sessions in quarters:
            print(f"process {process:.1f} MiB, sessions {sessions:.1f} MiB")
        check_raw(live)
        print(check_served(live))
    for second, last in zip(quarters[1], quarters[3], strict=True):
        assert last - second < MOST_GROWTH, quarters
