"""A small mart filled as the benchmarks fill theirs."""

from collections.abc import Iterator

import pytest

from benchmarks.generate import fill
from benchmarks.scratch import copied, empty_mart
from perpmart.database import connect_to
from perpmart.engine import run_pending
from simulator.presets import wide_market

DAYS, SYMBOLS = 8, 7


@pytest.fixture(scope="session")
def empty_url(server_url: str) -> Iterator[str]:
    """Address of a database in which dbt has built all models over empty tables; copy it to write."""
    with empty_mart(server_url) as url:
        yield url


@pytest.fixture(scope="session")
def filled_url(server_url: str, empty_url: str) -> Iterator[str]:
    """Address of a mart of seven symbols and eight days, built."""
    market = wide_market(symbols=SYMBOLS, days=DAYS, restless=True)
    with copied(empty_url) as url:
        with connect_to(url) as connection:
            fill(connection, market, market.start, market.end)
            run_pending(connection)
        yield url
