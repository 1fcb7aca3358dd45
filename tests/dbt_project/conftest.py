"""Databases on which dbt has built all models once: a test fills raw and runs them in seconds."""

from collections.abc import Iterator

import pytest

from perpmart.build import run_dbt
from perpmart.database import Connection, connect_to
from simulator.presets import odd_market
from simulator.synthetic import SyntheticMarket

from .mart import UNIVERSE, Databases, build_market, name_of


@pytest.fixture(scope="session")
def databases(server_url: str, new_database) -> Iterator[Databases]:
    """Makes databases with all models built, empty; all of them are dropped at the session's end.

    Ranks there count the symbols of `mart.UNIVERSE`: the seed's file holds other ones.
    """
    url = new_database(migrated=True, label="mart_template")
    run_dbt(["build", "--resource-type", "seed", "--resource-type", "model"], url)
    with connect_to(url) as connection:
        connection.execute(UNIVERSE.encode())
        connection.commit()
        connection.execute("analyze")
    made = Databases(server_url, name_of(url))
    yield made
    made.drop()


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
def odd() -> SyntheticMarket:
    """The market of nine symbols with every oddity at a known time, fourteen days long."""
    return odd_market()


@pytest.fixture(scope="session")
def odd_url(databases: Databases, odd: SyntheticMarket) -> str:
    """Address of a database with the odd market in its final versions, built; copy it to write to it."""
    return build_market(databases, odd)
