"""Finding and ending the processes of a server by what they are, not by a number in a file.

A pid file can outlive its server, and its number can since belong to anybody. A server of ours has its data
folder as its working directory, and the kernel knows that.
"""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from perpmart.errors import ServerError


def is_server(pid: int, *, name: str, folder: Path) -> bool:
    """Tell whether process `pid` lives, is called `name` and works in `folder`."""
    try:
        process = psutil.Process(pid)
        return _lives(pid) and process.name() == name and os.path.samefile(process.cwd(), folder)
    except (psutil.Error, OSError):
        return False


def find_servers(*, name: str, folder: Path) -> list[int]:
    """Return the pids of all living processes called `name` that work in `folder`."""
    return [pid for pid in psutil.pids() if is_server(pid, name=name, folder=folder)]


def pid_in_file(path: Path) -> int | None:
    """Return the number in the first line of `path`, or None when there is no such file or number."""
    try:
        return int(path.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def end(pids: Iterable[int], *, within: float, first: signal.Signals = signal.SIGTERM) -> None:
    """Ask the processes to end by signal `first`, kill those that have not within `within` seconds.

    Raises
    ------
    ServerError
        If one of them is another user's, or outlives even that.
    """
    alive = [pid for pid in pids if _send(pid, first)]
    alive = _wait(alive, within)
    alive = _wait([pid for pid in alive if _send(pid, signal.SIGKILL)], 10)
    if alive:
        raise ServerError(f"process {alive[0]} cannot be ended")


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise ServerError(f"process {pid} belongs to another user and cannot be ended") from error
    return True


def _wait(pids: list[int], seconds: float) -> list[int]:
    """Wait until all of `pids` have ended, at most so long, and return those that have not."""
    deadline = time.monotonic() + seconds
    while (alive := [pid for pid in pids if _lives(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _lives(pid: int) -> bool:
    # An ended process stays in the table until its parent asks for it, and a container's first process may
    # take seconds to do so.
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
