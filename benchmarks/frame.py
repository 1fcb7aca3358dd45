"""What all benchmarks share: medians of several runs in turn, memory, the machine, tables in markdown."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from types import TracebackType
from typing import NamedTuple

import psutil
import psycopg

from perpmart.servers.addresses import database_url
from perpmart.settings import load_settings

PACKAGES = (
    "perpmart",
    "dbt-core",
    "pandas",
    "TA-Lib",
    "polars",
    "duckdb",
    "adbc-driver-postgresql",
    "psycopg",
)
MIB = 1 << 20


@dataclass(frozen=True)
class Section:
    """One table of results.

    Attributes
    ----------
    title : heading
    note : what was done, with which sizes
    header, rows : the table
    picture : numbers by name, for the picture; empty for none
    unit : of the picture's numbers
    others : names in the picture that are not ours, drawn grey
    """

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    picture: Mapping[str, float] = field(default_factory=dict)
    unit: str = "seconds"
    others: Sequence[str] = ()

    @property
    def markdown(self) -> str:
        """The section as markdown."""
        lines = [f"## {self.title}", "", self.note, ""]
        lines += [f"| {' | '.join(self.header)} |", "|" + "---|" * len(self.header)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join(lines) + "\n"


def machine(server: str) -> str:
    """Say on what the figures were measured, and how busy it was."""
    with psycopg.connect(server) as connection:
        row = connection.execute(
            "select current_setting('server_version'), current_setting('shared_buffers'),"
            " current_setting('work_mem')"
        ).fetchone()
    assert row is not None
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    memory = psutil.virtual_memory().total / 2**30
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (
        f"{now}; {os.cpu_count()} cores ({platform.machine()}),"
        f" {memory:.0f} GiB; load average {load}; Python {platform.python_version()}, PostgreSQL {row[0]}"
        f" (shared_buffers {row[1]}, work_mem {row[2]}); {packages}."
    )


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Spent(NamedTuple):
    """What a piece of work took: seconds on the wall, and of all processors together.

    On a busy machine the latter is the steadier figure; it counts this process, its children and the server.
    """

    wall: float
    cpu: float


def spent(server: str, work: Callable[[], object]) -> Spent:
    """Time one call, on the wall and on the processors."""
    with psycopg.connect(server, autocommit=True) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).parent()
        before = _cpu_seconds(postmaster)
        wall = seconds(work)
        return Spent(wall, _cpu_seconds(postmaster) - before)


def _cpu_seconds(postmaster: psutil.Process | None) -> float:
    """Sum the processor time of this process and the server, with all their children, ended ones too."""
    me = psutil.Process()
    processes = [me, *me.children(recursive=True)]
    if postmaster is not None:
        processes += [postmaster, *postmaster.children()]
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def in_turn(
    ways: Mapping[str, Callable[[], Spent]], *, repeats: int, say: Callable[[str], None] = print
) -> dict[str, list[Spent]]:
    """Run all ways one after another, several times, so that a busy minute hits all of them.

    Parameters
    ----------
    ways : name and a function that does the work and says what it took
    """
    found: dict[str, list[Spent]] = {name: [] for name in ways}
    for k in range(repeats):
        for name, work in ways.items():
            took = work()
            found[name].append(took)
            load = os.getloadavg()[0]
            say(f"  {name}, run {k + 1}: {took.wall:.2f} s, {took.cpu:.2f} s of processors (load {load:.1f})")
    return found


def middle(times: Sequence[Spent]) -> Spent:
    """Medians of several runs."""
    return Spent(median([one.wall for one in times]), median([one.cpu for one in times]))


def median(values: Sequence[float]) -> float:
    """Middle of several runs."""
    return statistics.median(values)


class MemoryWatch:
    """Watches the memory of this process (with its children) and of a server's sessions while a block runs.

    Of the sessions only private memory counts; shared buffers, a fixed setting, come on top.

    Attributes
    ----------
    python, sessions : float
        Greatest sum seen, in MiB, sampled each 50 ms.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._stop = threading.Event()
        self.python = self.sessions = 0.0

    def __enter__(self) -> MemoryWatch:
        with psycopg.connect(self._server) as connection:
            own = psutil.Process(connection.info.backend_pid)
            self._postmaster = own.parent()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.05):
            self.python = max(self.python, sum(map(_resident, [me, *me.children(recursive=True)])))
            if self._postmaster is not None:
                self.sessions = max(self.sessions, sum(map(_private, self._postmaster.children())))


def _resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / MIB
    except psutil.NoSuchProcess:
        return 0.0


def _private(process: psutil.Process) -> float:
    try:
        memory = process.memory_info()
        return float(memory.rss - memory.shared) / MIB
    except psutil.NoSuchProcess:
        return 0.0


def arguments(about: str | None, **defaults: int) -> argparse.Namespace:
    """Read the command line: the server, and numbers with their defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--server", help="address of a superuser's database; default the one of the settings")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    options.server = options.server or database_url(load_settings())
    return options


def show(section: Section, server: str) -> None:
    """Print a section with the machine it was measured on."""
    print(f"\n{section.markdown}\n{machine(server)}")
