"""Servers and databases for the tests.

A PostgreSQL and a Redis of our own run for the session, in a folder of their own. With
PERPMART_TEST_DATABASE_URL (a superuser's address) that server is used instead of the former.
"""

import fcntl
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import psycopg
import pytest

from perpmart.database import Connection, connect_to
from perpmart.servers.addresses import database_url as address_of_database
from perpmart.servers.addresses import redis_url as address_of_redis
from perpmart.servers.embedded import down, pids, up
from perpmart.settings import Settings

if TYPE_CHECKING:
    from tests.dbt_project.mart import Databases

REPOSITORY = Path(__file__).resolve().parent.parent
KEPT_VARIABLES = {
    *("PERPMART_TEST_DATABASE_URL", "PERPMART_TEST_TIMESCALE_URL", "PERPMART_TEST_TIMESCALE_APACHE_URL"),
    *("PERPMART_SHARED_DATA", "PERPMART_SOAK_MINUTES"),
}

FOLDER = "perpmart-tests-"

NewDatabase = Callable[..., str]


def pytest_configure() -> None:
    """Let the fixtures clean up when the run is told to end, by `timeout` for example."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Keep the developer's own addresses out of the tests."""
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.startswith(("PERPMART_", "PG")) and name not in KEPT_VARIABLES:
            patch.delenv(name)
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        # Two runs of dbt that write their parsed state to one place spoil it.
        patch.setenv("DBT_TARGET_PATH", f"target/{worker}")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def servers() -> Iterator[Settings]:
    """Settings with which both servers are reachable."""
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
    settings = _settings(folder, database_url=os.environ.get("PERPMART_TEST_DATABASE_URL"))
    # A test's data need not survive a power cut.
    up(settings, database_options={"fsync": "off", "full_page_writes": "off", "shared_buffers": "512MB"})
    yield settings
    if pid := pids(settings.state_dir)["postgresql"]:
        os.kill(pid, signal.SIGQUIT)  # without a last checkpoint, which is long: the data go anyway
    down(settings)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_url(servers: Settings) -> str:
    """Address of a superuser's database on the test server; not for tables."""
    return address_of_database(servers)


@pytest.fixture(scope="session")
def redis_url(servers: Settings) -> str:
    """Address of a Redis that is the tests' alone; use a prefix or flush what you write."""
    return address_of_redis(servers)


@pytest.fixture(scope="session")
def _template(server_url: str) -> Iterator[str]:
    """Name of a database with the whole raw schema, migrated once."""
    from perpmart.hypertables import keep_in_chunks
    from perpmart.migrations import migrate

    url = _create(server_url, name := f"test_template_{uuid4().hex[:8]}")
    with connect_to(url) as connection:
        migrate(connection)
        keep_in_chunks(connection)
    yield name
    if "PERPMART_TEST_DATABASE_URL" in os.environ:
        _drop(server_url, name)


@pytest.fixture(scope="session")
def new_database(server_url: str, request: pytest.FixtureRequest) -> Iterator[NewDatabase]:
    """Function that makes a database and returns its address: ``new_database(migrated=True)``.

    For tests that need a scope of their own; all are dropped at the session's end.
    """
    names: list[str] = []

    def make(*, migrated: bool = False, label: str = "") -> str:
        name = f"test_{re.sub(r'[^a-z0-9_]', '_', label.lower())[:30]}_{uuid4().hex[:8]}"
        names.append(name)
        return _create(server_url, name, request.getfixturevalue("_template") if migrated else None)

    yield make
    if "PERPMART_TEST_DATABASE_URL" in os.environ:  # our own server goes as a whole
        for name in names:
            _drop(server_url, name)


@pytest.fixture(scope="module")
def database_url(server_url: str, new_database: NewDatabase, request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an empty database, one for each test module."""
    url = new_database(label=Path(str(request.path)).stem)
    yield url
    _drop(server_url, _name_of(url))


@pytest.fixture
def migrated_url(server_url: str, new_database: NewDatabase) -> Iterator[str]:
    """Address of a database with the empty raw schema, one for each test."""
    url = new_database(migrated=True)
    yield url
    _drop(server_url, _name_of(url))


@pytest.fixture
def connection(migrated_url: str) -> Iterator[Connection]:
    """Connection to the test's `migrated_url`, in UTC, with raw and build in its search path."""
    with connect_to(migrated_url) as opened:
        yield opened
        opened.rollback()


@pytest.fixture(scope="session")
def databases(server_url: str, new_database: NewDatabase) -> "Iterator[Databases]":
    """Makes databases with all models built, empty; all of them are dropped at the session's end.

    Ranks there count the symbols of `tests.dbt_project.mart.UNIVERSE`: the seed's file holds other ones.
    """
    from perpmart.build import run_dbt
    from tests.dbt_project.mart import UNIVERSE, Databases, name_of

    url = new_database(migrated=True, label="mart_template")
    run_dbt(["build", "--resource-type", "seed", "--resource-type", "model"], url)
    with connect_to(url) as connection:
        connection.execute(UNIVERSE.encode())
        connection.commit()
        connection.execute("analyze")
    made = Databases(server_url, name_of(url))
    yield made
    made.drop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded market data; the test is skipped where there is none."""
    given = os.environ.get("PERPMART_SHARED_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not (folder / "klines_5m").is_dir():
        pytest.skip(f"no recorded market data in {folder}; PERPMART_SHARED_DATA names another folder")
    return folder


def _settings(folder: Path, **given: str | None) -> Settings:
    return Settings(_env_file=None, state_dir=folder / ".perpmart", **given)  # type: ignore[call-arg, arg-type]


def _remove_leftovers() -> None:
    """Stop the servers and remove the folders of runs that were killed; one process at a time does."""
    place = Path(tempfile.gettempdir())
    with (place / f"{FOLDER}{os.geteuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in place.glob(f"{FOLDER}*-*"):
            run = folder.name.removeprefix(FOLDER).split("-")[0]
            if run.isdigit() and not psutil.pid_exists(int(run)) and folder.stat().st_uid == os.geteuid():
                down(_settings(folder))
                shutil.rmtree(folder)


def _create(server_url: str, name: str, template: str | None = None) -> str:
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'create database "{name}"' + (f' template "{template}"' if template else ""))
    parts = urlsplit(server_url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def _drop(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'drop database if exists "{name}" with (force)')


def _name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
