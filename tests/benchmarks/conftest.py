"""Databases for the benchmarks' own tests: one that dbt has built empty, one that is filled."""

from collections.abc import Iterator

import pytest

from benchmarks.generate import fill
from benchmarks.scratch import copied, empty_mart
from perpmart.database import connect_to
from perpmart.engine import run_pending
from simulator.presets import wide_market

DAYS, SYMBOLS = 8, 3


@pytest.fixture(scope="session")
def empty_url(server_url: str) -> Iterator[str]:
    """Address of a mart without rows; copy it to write."""
    with empty_mart(server_url) as url:
        yield url


@pytest.fixture(scope="session")
def filled_url(empty_url: str) -> Iterator[str]:
    """Address of a mart of three symbols and eight days, for reading."""
    with copied(empty_url) as url:
        build_market(url, SYMBOLS, DAYS)
        yield url


@pytest.fixture(scope="session")
def month_url(empty_url: str) -> Iterator[str]:
    """Address of a mart of ten symbols and 32 days, for reading: every window is filled, all are ranked."""
    with copied(empty_url) as url:
        build_market(url, 10, 32)
        yield url


def build_market(url: str, symbols: int, days: int) -> None:
    """Fill an empty mart and build it."""
    market = wide_market(symbols=symbols, days=days, restless=True)
    with connect_to(url) as connection:
        fill(connection, market, market.start, market.end)
        run_pending(connection)
