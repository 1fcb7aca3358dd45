"""A real mart, made once by the demo on a small synthetic market."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import redis

from ml.data_loader import MarketDataLoader
from perpmart.database import Connection, connect_to
from perpmart.demo import DemoResult, run_demo
from perpmart.settings import Settings
from tests.conftest import NewDatabase

DAYS = 3


class Mart(NamedTuple):
    """Where the mart lies, and what the demo said."""

    settings: Settings
    url: str
    redis_url: str
    result: DemoResult

    @property
    def loader(self) -> MarketDataLoader:
        return MarketDataLoader(self.settings)


@pytest.fixture(scope="session")
def mart(
    new_database: NewDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mart]:
    """The mart of three symbols and three days; tests read it, or undo what they change."""
    url = new_database(label="mart")
    prefix = f"t{uuid4().hex[:6]}_"
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=url,
        redis_url=redis_url,
        schema_prefix=prefix,
        state_dir=tmp_path_factory.mktemp("state"),
    )
    yield Mart(settings, url, redis_url, run_demo(settings, days=DAYS))
    client = redis.Redis.from_url(redis_url)
    for key in client.scan_iter(f"{prefix}perpmart:*"):
        client.delete(key)
    client.close()


@pytest.fixture
def mart_connection(mart: Mart) -> Iterator[Connection]:
    """A connection to the mart, rolled back at the end."""
    with connect_to(mart.url, prefix=mart.settings.schema_prefix) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path
