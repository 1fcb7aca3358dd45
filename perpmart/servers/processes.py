"""Finding and ending the processes of a server by what they are, not by a number in a file.

A pid file can outlive its server, and its number can since belong to anybody. A server of ours has its data
folder as its working directory, and the kernel knows that.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

from perpmart.errors import ServerError


def is_server(pid: int, *, name: str, folder: Path) -> bool:
    """Tell whether process `pid` lives, is called `name` and works in `folder`."""
    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.name() == name
            and os.path.samefile(process.cwd(), folder)
        )
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


def end(pids: Iterable[int], *, within: float) -> None:
    """Ask the processes to end, kill those that do not within `within` seconds, and wait until all are gone.

    Raises
    ------
    ServerError
        If one of them outlives even that.
    """
    processes = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            process.terminate()
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied as error:
            raise ServerError(f"process {pid} belongs to another user and cannot be ended") from error
        processes.append(process)
    _, alive = psutil.wait_procs(processes, timeout=within)
    for process in alive:
        process.kill()
    _, alive = psutil.wait_procs(alive, timeout=10)
    if alive:
        raise ServerError(f"process {alive[0].pid} cannot be ended")
