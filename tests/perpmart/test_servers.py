"""The embedded servers, really started: twice, at once, after a kill, in folders that are long or closed."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from perpmart.database import connect
from perpmart.errors import DatabaseError, RedisError, ServerError
from perpmart.servers import addresses, embedded, postgres
from perpmart.servers.state import read_state
from perpmart.servers.tuning import bulk_settings
from perpmart.settings import Settings

GIB = 1 << 30
SMALL = {"shared_buffers": "32MB", "fsync": "off"}


def settings_in(folder: Path, **given: object) -> Settings:
    return Settings(_env_file=None, state_dir=folder / ".perpmart", **given)  # type: ignore[call-arg, arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a state folder of the test's own; what runs there at the end is stopped."""
    chosen = settings_in(tmp_path)
    yield chosen
    embedded.down(chosen)


def up(settings: Settings) -> list[str]:
    return embedded.up(settings, database_options=SMALL)


def remember(settings: Settings, number: int) -> None:
    with connect(settings) as connection:
        connection.execute("create table if not exists remembered (number integer)")
        connection.execute("insert into remembered values (%s)", [number])


def remembered(settings: Settings) -> list[int]:
    with connect(settings) as connection:
        return [row[0] for row in connection.execute("select number from remembered order by number")]


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_up_and_down_keep_data_and_addresses(settings: Settings) -> None:
    assert up(settings) == ["PostgreSQL", "Redis"]
    database, cache = addresses.database_url(settings), addresses.redis_url(settings)
    remember(settings, 1)
    with redis.Redis.from_url(cache) as client:
        client.set("key", "value")
    assert embedded.down(settings) == ["PostgreSQL", "Redis"]
    assert embedded.down(settings) == []
    state = read_state(settings.state_dir)
    assert state is not None
    assert not Path(state.run_dir).exists()
    assert up(settings) == ["PostgreSQL", "Redis"]
    assert (addresses.database_url(settings), addresses.redis_url(settings)) == (database, cache)
    assert remembered(settings) == [1]
    with redis.Redis.from_url(cache) as client:
        assert client.get("key") == b"value"


def test_second_call_starts_nothing(settings: Settings) -> None:
    up(settings)
    before = embedded.pids(settings.state_dir)
    assert up(settings) == []
    assert embedded.pids(settings.state_dir) == before


def test_two_calls_at_once_start_each_server_once(settings: Settings) -> None:
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(up(settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(len, results)) == [0, 2]


def test_killed_servers_come_back_with_what_was_committed(settings: Settings) -> None:
    up(settings)
    remember(settings, 1)
    with connect(settings) as connection:
        connection.execute("select pg_current_wal_flush_lsn(), pg_switch_wal()")  # it is on the disk now
    before = embedded.pids(settings.state_dir)
    for pid in before.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
    assert embedded.pids(settings.state_dir) == {"postgresql": None, "redis": None}
    assert up(settings) == ["PostgreSQL", "Redis"]
    assert remembered(settings) == [1]


def test_session_left_over_by_a_killed_server_does_not_stop_the_next(settings: Settings) -> None:
    up(settings)
    before = embedded.pids(settings.state_dir)["postgresql"]
    assert before is not None
    with subprocess.Popen(
        [sys.executable, "-c", _BUSY, addresses.database_url(settings)], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        session = int(client.stdout.readline())
        os.kill(before, signal.SIGKILL)
        wait_until_gone(before)
        assert up(settings) == ["PostgreSQL"]
        wait_until_gone(session)
        client.kill()
    remember(settings, 2)


_BUSY = """
import sys, psycopg
connection = psycopg.connect(sys.argv[1])
print(connection.info.backend_pid, flush=True)
connection.execute("do $$ begin loop end loop; end $$")
"""


def test_stale_pid_files_whose_number_is_another_process_now(settings: Settings) -> None:
    up(settings)
    remember(settings, 1)
    embedded.down(settings)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        pid_file = settings.state_dir / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n/proc/self/cwd\n1\n5432\n/tmp\n\n 1 1\nready   \n")
        (settings.state_dir / "redis" / "redis.pid").write_text(f"{bystander.pid}\n")
        assert up(settings) == ["PostgreSQL", "Redis"]
        assert remembered(settings) == [1]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_path_longer_than_a_socket_allows(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    settings = settings_in(deep)
    try:
        up(settings)
        remember(settings, 1)
        assert remembered(settings) == [1]
        assert len(str(settings.state_dir)) > 108
    finally:
        embedded.down(settings)


def test_path_with_spaces_and_quotes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / 'it\'s a "folder" $HOME é')
    try:
        up(settings)
        remember(settings, 1)
    finally:
        embedded.down(settings)


def test_closed_folder_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    settings = settings_in(closed)
    try:
        up(settings)
        remember(settings, 1)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o700
    finally:
        embedded.down(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_ordinary_user(tmp_path: Path) -> None:
    home = Path("/var/tmp") / f"perpmart-test-{os.getpid()}"
    home.mkdir(mode=0o700)
    os.chown(home, 65534, 65534)
    script = """
import os, sys
from pathlib import Path
import encodings.idna, redis.asyncio
from perpmart.commands import servers
from perpmart.database import connect
from perpmart.servers import embedded
from perpmart.settings import Settings
from perpmart.status import ask_status

home = sys.argv[1]
os.chdir(home); os.setgroups([]); os.setgid(65534); os.setuid(65534)
settings = Settings(_env_file=None, state_dir=Path(home) / ".perpmart")
try:
    assert len(embedded.up(settings)) == 2
    status = ask_status(settings)
    assert not status.problems, status.problems
finally:
    embedded.down(settings)
print("done", status.versions["postgresql"])
"""
    try:
        if subprocess.run(["test", "-r", postgres.__file__], user=65534, check=False).returncode:
            pytest.skip("the checkout cannot be read by another user")
        done = subprocess.run(
            [sys.executable, "-c", script, str(home)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.startswith("done 18."), done.stdout + done.stderr
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers change their user")
def test_roots_servers_run_as_an_unprivileged_account(settings: Settings) -> None:
    up(settings)
    for pid in embedded.pids(settings.state_dir).values():
        assert pid is not None
        assert psutil.Process(pid).uids().effective != 0


def test_nobody_else_gets_in(settings: Settings) -> None:
    up(settings)
    state = read_state(settings.state_dir)
    assert state is not None
    assert stat.S_IMODE(os.stat(state.run_dir).st_mode) == 0o700
    for private in ("servers.json", "env"):
        assert stat.S_IMODE((settings.state_dir / private).stat().st_mode) == 0o600
    wrong = addresses.database_url(settings).replace(state.database_password, "guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    with (
        redis.Redis(unix_socket_path=state.redis_socket) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    for pid in embedded.pids(settings.state_dir).values():
        process = psutil.Process(pid)
        assert not [c for c in process.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN]
        command = " ".join(process.cmdline())
        assert state.database_password not in command
        assert state.redis_password not in command
    assert state.database_password not in repr(state)


def test_env_file_lets_a_shell_use_the_database(settings: Settings) -> None:
    up(settings)
    shell = f". '{settings.state_dir}/env'; {sys.executable} -c \"{_CONNECT}\""
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "perpmart"


_CONNECT = "import psycopg; print(psycopg.connect().execute('select current_database()').fetchone()[0])"


def test_with_addresses_given_nothing_is_started(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, database_url="postgresql://ann:pw@h/db", redis_url="redis://h")
    assert embedded.up(settings) == []
    assert {path.name for path in settings.state_dir.iterdir()} == {"env", "lock"}
    assert "export PGHOST='h'" in (settings.state_dir / "env").read_text()


def test_half_made_database_is_made_anew(settings: Settings) -> None:
    making = settings.state_dir / "postgres.making"
    making.mkdir(parents=True)
    (making / "PG_VERSION").write_text("18\n")
    up(settings)
    assert not making.exists()


def test_data_of_another_major_version_are_left_alone(settings: Settings) -> None:
    data = settings.state_dir / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServerError, match=r"PostgreSQL 12, but PostgreSQL 18"):
        up(settings)
    assert (data / "PG_VERSION").exists()


def test_failure_to_start_ends_with_what_the_server_said(settings: Settings) -> None:
    with pytest.raises(
        ServerError, match=r"does not start: invalid value for parameter .work_mem."
    ) as raised:
        embedded.up(settings, database_options={"work_mem": "nonsense"})
    assert "\n" not in str(raised.value)


def test_damaged_state_file_is_one_line(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.state_dir.mkdir(parents=True)
    (settings.state_dir / "servers.json").write_text("{")
    with pytest.raises(ServerError, match=r"servers\.json is damaged"):
        addresses.database_url(settings)


def test_without_servers_the_way_out_is_named(settings: Settings) -> None:
    with pytest.raises(DatabaseError, match="perpmart up"):
        addresses.database_url(settings)
    with pytest.raises(RedisError, match="perpmart up"):
        addresses.redis_url(settings)
    up(settings)
    embedded.down(settings)
    with pytest.raises(DatabaseError, match=r"No such file.*perpmart up"):
        connect(settings)


def test_settings_follow_the_machine() -> None:
    large = bulk_settings(memory=64 * GIB, free_disk=500 * GIB, shared_memory=32 * GIB)
    small = bulk_settings(memory=1 * GIB, free_disk=4 * GIB, shared_memory=64 << 20)
    assert large["shared_buffers"] == "4096MB"
    assert small["shared_buffers"] == "170MB"
    assert small["work_mem"] == "16MB"
    assert small["max_wal_size"] == "512MB"
    assert small["dynamic_shared_memory_type"] == "mmap"
    assert "dynamic_shared_memory_type" not in large
