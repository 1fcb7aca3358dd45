"""A run that fails, is interrupted or leaves models out loses nothing: the next one ends as a first build."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import pytest

from perpmart.build import BuildError, build
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending

from .first_build import differences_to_first_build
from .mart import Databases
from .project import failing, fill


@pytest.fixture(scope="module")
def built_url(databases: Databases) -> str:
    """Address of a database with half of the market, brought up to date by dbt."""
    url = databases.make()
    with connect_to(url) as connection:
        fill(url, connection, 0)
    build(url)
    return url


@pytest.fixture
def half(databases: Databases, built_url: str) -> Iterator[Connection]:
    """Connection to a copy of it, to which the rest of the data has come."""
    with databases.lent(of=built_url) as url, connect_to(url) as connection:
        fill(url, connection, 1)
        yield connection
        connection.rollback()


def url_of(connection: Connection) -> str:
    """Address of a connection's database."""
    info = connection.info
    password = f":{quote(info.password)}" if info.password else ""
    return (
        f"postgresql://{info.user}{password}@/{info.dbname}?host={quote(info.host, safe='')}&port={info.port}"
    )


def published(connection: Connection) -> dict[str, datetime]:
    """Newest bar that readers are shown, by symbol."""
    found: dict[str, datetime] = dict(connection.execute("select symbol, time from published").fetchall())
    connection.rollback()
    return found


@pytest.mark.parametrize("relation", ["features.feat_price__trend", "bars.bars_5m"])
def test_a_failed_model_costs_nothing(databases: Databases, half: Connection, relation: str) -> None:
    shown = published(half)
    with failing(half, relation), pytest.raises(BuildError, match=relation.split(".")[1]):
        build(url_of(half))
    assert published(half) == shown, "rows were shown of which a model is missing"
    build(url_of(half))
    assert differences_to_first_build(databases, half) == []
    assert shown
    assert all(time > shown[symbol] for symbol, time in published(half).items())


@pytest.mark.parametrize(
    "selection",
    [
        "feat_price__trend",
        "feat_cross_asset__market feat_volume__activity",
        "bars_5m",
        "+feat_oi__interest",
        "roll_ohlcv_1h",
    ],
)
def test_what_a_selection_leaves_out_is_made_up_for(
    databases: Databases, half: Connection, selection: str
) -> None:
    shown = published(half)
    build(url_of(half), select=selection)
    assert published(half) == shown
    build(url_of(half))
    assert differences_to_first_build(databases, half) == []


def test_an_interrupted_dbt_run_is_made_up_for(databases: Databases, half: Connection) -> None:
    cancelled = threading.Event()

    def cancel() -> None:
        with connect_to(url_of(half), autocommit=True) as admin:
            while not cancelled.is_set():
                found = admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and wait_event = 'PgSleep'"
                ).fetchall()
                if found:
                    cancelled.set()
                time.sleep(0.05)

    with failing(half, "features.feat_price__returns", "perform pg_sleep(20)"):
        watcher = threading.Thread(target=cancel)
        watcher.start()
        try:
            with pytest.raises(BuildError, match="feat_price__returns"):
                build(url_of(half))
        finally:
            cancelled.set()
            watcher.join()
    run_pending(half)
    assert differences_to_first_build(databases, half) == []


def test_a_table_that_was_empty_is_filled_without_a_log(databases: Databases) -> None:
    """PostgreSQL does not log what goes to a file that the same transaction began; a few bars are logged."""

    def files(connection: Connection) -> dict[str, int]:
        query = "select model, pg_relation_filenode(relation) from models"
        return dict(connection.execute(query).fetchall())

    with databases.lent() as url, connect_to(url) as connection:
        empty = files(connection)
        fill(url, connection, 0)
        run_pending(connection)
        full = files(connection)
        fill(url, connection, 1)
        run_pending(connection)
        assert [model for model in empty if full[model] == empty[model]] == []
        later = files(connection)
        # Its first day is complete only now.
        assert [model for model in full if later[model] != full[model]] == ["roll_ohlcv_1d"]
        connection.execute("truncate rollups.roll_ohlcv_1h")
        connection.commit()
        emptied = files(connection)
        newest = "(select max(time) from ohlcv where timeframe = '5m')"
        connection.execute(f"update ohlcv set volume = volume + 1 where time = {newest}".encode())
        run_pending(connection)
        assert files(connection) == emptied
