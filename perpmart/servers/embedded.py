"""Starting, stopping and asking after both embedded servers; with addresses given nothing is started."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from perpmart.database import libpq_environment
from perpmart.servers import addresses, postgres, redis
from perpmart.servers.account import server_account
from perpmart.servers.state import ensure_state, locked, read_state, write_private
from perpmart.settings import Settings


def up(settings: Settings, *, database_options: Mapping[str, str] | None = None) -> list[str]:
    """Start each server whose address is not given and which does not run yet, and write the ``env`` file.

    May be called again, and by two processes at once: the second waits and finds the work done.

    Parameters
    ----------
    settings : Settings
        Whose addresses are given, and the state folder.
    database_options : mapping of str to str, optional
        PostgreSQL settings that override ours.

    Returns
    -------
    list of str
        The servers started by this call, among ``PostgreSQL`` and ``Redis``.

    Raises
    ------
    ServerError
        If one cannot be started.
    """
    started = []
    state_dir = settings.state_dir
    with locked(state_dir):
        if not (settings.database_url and settings.redis_url):
            account = server_account(state_dir)
            state = ensure_state(state_dir, account)
            if not settings.database_url and postgres.running_pid(state_dir) is None:
                postgres.start(state_dir, account, state, options=database_options or {})
                started.append("PostgreSQL")
            if not settings.redis_url and redis.running_pid(state_dir) is None:
                redis.start(state_dir, account, state)
                started.append("Redis")
        write_private(state_dir / "env", environment_lines(settings))
    return started


def down(settings: Settings) -> list[str]:
    """Stop the embedded servers cleanly, keep their data, and return the names of those that ran."""
    if not settings.state_dir.exists():
        return []
    with locked(settings.state_dir):
        servers = {"PostgreSQL": postgres.stop, "Redis": redis.stop}
        stopped = [name for name, stop in servers.items() if stop(settings.state_dir)]
        state = read_state(settings.state_dir)
        if state is not None:
            shutil.rmtree(state.run_dir, ignore_errors=True)
        return stopped


def pids(state_dir: Path) -> dict[str, int | None]:
    """Return the pid of each embedded server, None for one that does not run."""
    return {"postgresql": postgres.running_pid(state_dir), "redis": redis.running_pid(state_dir)}


def environment(settings: Settings) -> dict[str, str]:
    """Return the ``PG*`` variables for psql and dbt: of the address given, else of the embedded server.

    Raises
    ------
    PerpmartError
        If there is neither.
    """
    return libpq_environment(addresses.database_url(settings))


def environment_lines(settings: Settings) -> str:
    """Return `environment` as lines that a shell can read with ``. .perpmart/env``."""
    return "".join(f"export {name}={_quoted(value)}\n" for name, value in environment(settings).items())


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
