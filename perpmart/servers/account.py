"""The user that the embedded servers run as, and the folder for their sockets.

PostgreSQL refuses to run as root, so root's servers run as an unprivileged account. That account cannot reach
below a private folder (a checkout in ``/root``, one of ``mktemp -d``), yet the data belong there. Two
things get it in without opening any folder: a server is started with its data folder as its working
directory and knows it as ``/proc/self/cwd``, and its programs are copied to the socket folder when they
cannot be reached where they are.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from perpmart.errors import ServerError

# A socket's path may be 103 bytes long on macOS and 107 on Linux; ours end in `/.s.PGSQL.5432`.
_LONGEST_RUN_DIR = 103 - len("/.s.PGSQL.5432")
_ROOTS_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user that servers run as.

    Attributes
    ----------
    uid, gid : int
        Its numbers.
    switches : bool
        True when it is another user than ours, that is, when we are root.
    """

    uid: int
    gid: int
    switches: bool

    def run(
        self, command: Iterable[str | Path], *, cwd: Path, text: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` as this user in folder `cwd` with a bare environment, and return how it ended.

        Raises
        ------
        ServerError
            If it cannot be run at all, or not within `timeout` seconds.
        """
        arguments = [str(part) for part in command]
        # A file, not a pipe: a server that goes to the background keeps it open, and we would wait for it.
        with tempfile.TemporaryFile("w+") as output:
            try:
                done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603  # our own programs, no shell
                    arguments,
                    cwd=cwd,
                    env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                    input=text,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=timeout,
                    check=False,
                    start_new_session=True,  # the terminal's Ctrl-C is not for the servers
                    **self._identity(),
                )
            except subprocess.TimeoutExpired as error:
                raise ServerError(f"{arguments[0]} did not end within {timeout:.0f} s") from error
            except (OSError, subprocess.SubprocessError) as error:
                raise ServerError(f"{arguments[0]} cannot be run as uid {self.uid}: {error}") from error
            output.seek(0)
            return subprocess.CompletedProcess(arguments, done.returncode, output.read(), "")

    def can_run(self, program: Path) -> bool:
        """Tell whether this user can reach and execute `program`."""
        try:
            return self.run([program, "--version"], cwd=Path("/"), timeout=10).returncode == 0
        except ServerError:
            return False

    def own(self, path: Path) -> None:
        """Give `path`, and what is in it, to this user."""
        if not self.switches:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)

    def ensure_folder(self, path: Path) -> None:
        """Make the folder `path` of this user, closed to others."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.switches:
            os.chown(path, self.uid, self.gid)

    @property
    def working_folder(self) -> str:
        """The name by which a server always reaches the folder that it was started in.

        Not the folder's own: PostgreSQL's programs hand names on through a shell, badly quoted.
        """
        return "/proc/self/cwd" if self.switches else "."

    def ensure_run_dir(self, wished: str) -> str:
        """Return a folder for sockets with a short path, closed to others; `wished` itself if it can be.

        A folder of that name that somebody else made is never used.
        """
        if wished and self._is_ours(wished):
            return wished
        for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108  # made 0700 below
            if self._suits(parent):
                made = self._make_run_dir(parent, wished)
                self.own(Path(made))
                return made
        raise ServerError(
            f"no short folder for sockets: {tempfile.gettempdir()}, /tmp and /var/tmp do not do"
        )

    def _make_run_dir(self, parent: str, wished: str) -> str:
        if wished and str(Path(wished).parent) == parent:
            try:
                os.mkdir(wished, 0o700)
            except FileExistsError:
                pass
            else:
                return wished
        return tempfile.mkdtemp(prefix="perpmart-", dir=parent)

    def _suits(self, parent: str) -> bool:
        if len(os.fsencode(parent)) + len("/perpmart-12345678") > _LONGEST_RUN_DIR or not os.access(
            parent, os.W_OK
        ):
            return False
        return not self.switches or self.run(["test", "-x", parent], cwd=Path("/")).returncode == 0

    def _is_ours(self, folder: str) -> bool:
        try:
            found = os.lstat(folder)
        except OSError:
            return False
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == self.uid
            and not stat.S_IMODE(found.st_mode) & 0o077
        )

    def _identity(self) -> Mapping[str, object]:
        if not self.switches:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}


def server_account(state_dir: Path) -> Account:
    """Return the user that the servers of `state_dir` run as: ourselves, or as root an unprivileged account.

    Data that exist decide: they keep their owner, whatever accounts were added since.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switches=False)
    if not Path("/proc/self/cwd").exists():
        raise ServerError("as root the embedded servers need Linux's /proc: run as an ordinary user instead")
    data = state_dir / "postgres"
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid, switches=True)
    for name in _ROOTS_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, switches=True)
    raise ServerError(
        f"PostgreSQL refuses to run as root, and there is no account {' or '.join(_ROOTS_ACCOUNTS)}"
    )


def reachable_copy(account: Account, program: Path, parts: Mapping[str, Path], run_dir: str) -> Path:
    """Return the path of `program` that `account` can execute: its own, or that of a copy in `run_dir`.

    Parameters
    ----------
    account : Account
        Who shall run it.
    program : Path
        The program as installed, below one of `parts`.
    parts : mapping of str to Path
        The installed folders it needs, by the name that each has to have beside the others.
    run_dir : str
        The socket folder, which the account owns.
    """
    if account.can_run(program):
        return program
    home = Path(run_dir) / "programs"
    copy = next(
        home / name / program.relative_to(folder)
        for name, folder in parts.items()
        if program.is_relative_to(folder)
    )
    if not account.can_run(copy):
        for name, folder in parts.items():
            shutil.copytree(folder, home / name, symlinks=True, dirs_exist_ok=True, ignore=_NEEDLESS)
        account.own(home)
        if not account.can_run(copy):
            raise ServerError(
                f"{program} can be run by uid {account.uid} neither there nor as a copy in {run_dir}"
            )
    return copy


_NEEDLESS = shutil.ignore_patterns("*.a", "include", "pgxs", "doc", "man", "__pycache__", "*.py")
