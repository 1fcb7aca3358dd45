"""Databases on which dbt has built all models once: a test fills raw and runs them in seconds."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending

from .cuts import MARKET, keep_reference, keep_world, show
from .mart import Databases


@pytest.fixture
def mart_url(databases: Databases) -> Iterator[str]:
    """Address of a database with all models built, empty; one for each test."""
    with databases.lent() as url:
        yield url


@pytest.fixture
def mart(mart_url: str) -> Iterator[Connection]:
    """Connection to the test's `mart_url`."""
    with connect_to(mart_url) as opened:
        yield opened
        opened.rollback()


@pytest.fixture(scope="session")
def world_url(databases: Databases) -> str:
    """Address of a database with all of `cuts.MARKET` in first versions, built, and what it gave.

    For reading, or for work that is rolled back; copy it to write to it.
    """
    url = databases.make()
    with connect_to(url) as connection:
        keep_world(connection, MARKET)
        show(connection, MARKET, until=MARKET.end + timedelta(days=1))
        run_pending(connection)
        keep_reference(connection)
        connection.commit()
    return url


@pytest.fixture
def world(world_url: str) -> Iterator[Connection]:
    """Connection to the database of `world_url`; what a test does there is rolled back."""
    with connect_to(world_url) as opened:
        yield opened
        opened.rollback()
