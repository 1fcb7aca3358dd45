"""Servers of the three tiers; where none is given, those of TimescaleDB run in WebAssembly."""

import os
from collections.abc import Callable, Iterator

import pytest

from .servers import NativeServer, pglite

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def native() -> Iterator[NativeServer]:
    """The TimescaleDB Community server of PERPMART_TEST_TIMESCALE_URL; the test is skipped without one."""
    url = os.environ.get("PERPMART_TEST_TIMESCALE_URL")
    if not url:
        pytest.skip("needs a server for several sessions: PERPMART_TEST_TIMESCALE_URL names one")
    server = NativeServer(url)
    yield server
    server.drop()


@pytest.fixture(scope="module")
def community_url() -> Iterator[str]:
    """Address of an empty database on TimescaleDB Community, after `perpmart init`."""
    yield from _database("PERPMART_TEST_TIMESCALE_URL", "timescale")


@pytest.fixture(scope="module")
def apache_url() -> Iterator[str]:
    """Address of an empty database on TimescaleDB under the Apache licence, after `perpmart init`."""
    yield from _database("PERPMART_TEST_TIMESCALE_APACHE_URL", "apache")


def _database(variable: str, licence: str) -> Iterator[str]:
    given = os.environ.get(variable)
    if given:
        server = NativeServer(given)
        try:
            yield server.new_database()
        finally:
            server.drop()
    else:
        with pglite(licence) as url:
            yield url
