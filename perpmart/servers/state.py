"""What is remembered of the embedded servers between two commands: the socket folder and the passwords."""

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import quote

from perpmart.errors import ServerError
from perpmart.servers.account import Account

USER = "perpmart"
DATABASE = "perpmart"


@dataclass(frozen=True)
class ServerState:
    """Socket folder and passwords of one state folder's servers."""

    run_dir: str
    database_password: str
    redis_password: str

    @property
    def database_url(self) -> str:
        """Address of the embedded PostgreSQL, password included."""
        return f"postgresql://{USER}:{self.database_password}@/{DATABASE}?host={quote(self.run_dir)}"

    @property
    def redis_url(self) -> str:
        """Address of the embedded Redis, password included."""
        return f"unix://:{self.redis_password}@{quote(self.redis_socket)}"

    @property
    def redis_socket(self) -> str:
        """Path of the socket on which the embedded Redis listens."""
        return f"{self.run_dir}/redis.sock"

    def __repr__(self) -> str:
        """Leave the passwords out."""
        return f"ServerState(run_dir={self.run_dir!r})"


def read_state(state_dir: Path) -> ServerState | None:
    """Return what `state_dir` remembers, or None where servers were never started."""
    path = _path(state_dir)
    try:
        return ServerState(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServerError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ServerError(f"{path} is damaged: {error}; remove the folder to start afresh") from error


def ensure_state(state_dir: Path, account: Account) -> ServerState:
    """Return the state of `state_dir` with a socket folder that exists and belongs to the servers' account.

    The passwords are made once and stay; the folder keeps its path over a restart where that is possible.
    """
    state = read_state(state_dir)
    if state is None:
        state = ServerState("", secrets.token_urlsafe(24), secrets.token_urlsafe(24))
    run_dir = account.ensure_run_dir(state.run_dir)
    if run_dir != state.run_dir:
        state = replace(state, run_dir=run_dir)
        write_private(_path(state_dir), json.dumps(asdict(state), indent=2) + "\n")
    return state


def ensure_state_dir(state_dir: Path) -> None:
    """Make `state_dir`, readable by nobody else; refuse one that belongs to another user."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = state_dir.stat()
    except OSError as error:
        raise ServerError(f"the state folder {state_dir} cannot be made: {error.strerror}") from error
    if found.st_uid != os.geteuid():
        raise ServerError(f"the state folder {state_dir} belongs to another user (uid {found.st_uid})")
    if stat.S_IMODE(found.st_mode) & 0o077:
        state_dir.chmod(0o700)


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Let one process at a time start or stop the servers of `state_dir`; others wait for it."""
    ensure_state_dir(state_dir)
    with (state_dir / "lock").open("a") as file:
        # The kernel drops the lock with the process, so a killed one leaves nothing behind.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: a reader sees the old text or the new."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _path(state_dir: Path) -> Path:
    return state_dir / "servers.json"
