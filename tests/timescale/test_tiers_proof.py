"""The same raw rows give the same roll-ups, bars and features on every tier, whichever way they came."""

from collections.abc import Iterator

import pandas as pd
import pytest

from perpmart.build import build
from perpmart.database import Connection, connect_to, tier
from perpmart.engine import run_pending
from tests.conftest import NewDatabase

from .market import catch_up, disagreements, fill, snapshot
from .servers import initialise

pytestmark = pytest.mark.proof

Stages = dict[str, dict[str, pd.DataFrame]]


def story(url: str) -> Stages:
    """Go through the life of a mart; gives what it holds after each chapter."""
    stages: Stages = {}
    with connect_to(url) as connection:
        fill(connection)
    build(url, threads=1)
    stages["first build"] = look(url)
    build(url, threads=1)
    stages["second build"] = look(url)
    with connect_to(url) as connection:
        catch_up(connection)
        run_pending(connection)
    stages["late and corrected rows"] = look(url)
    build(url, threads=1, full_refresh=True)
    stages["full refresh"] = look(url)
    return stages


def look(url: str) -> dict[str, pd.DataFrame]:
    with connect_to(url) as connection:
        return snapshot(connection)


@pytest.fixture(scope="module")
def plain(new_database: NewDatabase) -> Stages:
    url = initialise(new_database())
    with connect_to(url) as connection:
        if tier(connection) != "plain":
            pytest.skip("the database of the other tests has TimescaleDB itself")
    return story(url)


@pytest.fixture(scope="module")
def community(community_url: str) -> Stages:
    return story(community_url)


@pytest.fixture(scope="module")
def apache(apache_url: str) -> Stages:
    return story(apache_url)


@pytest.fixture
def connection(community_url: str, community: Stages) -> Iterator[Connection]:
    with connect_to(community_url) as opened:
        yield opened
        opened.rollback()


CHAPTERS = ("first build", "second build", "late and corrected rows", "full refresh")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_community_and_plain_agree(plain: Stages, community: Stages, chapter: str) -> None:
    assert disagreements(plain[chapter], community[chapter]) == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_apache_and_plain_agree(plain: Stages, apache: Stages, chapter: str) -> None:
    assert disagreements(plain[chapter], apache[chapter]) == []


def test_the_comparison_is_not_blind(plain: Stages) -> None:
    assert disagreements(plain["first build"], plain["second build"]) == []
    assert disagreements(plain["second build"], plain["late and corrected rows"]) != []
    assert disagreements(plain["late and corrected rows"], plain["full refresh"]) == []
    assert all(len(frame) > 0 for frame in plain["full refresh"].values())


def test_every_roll_up_is_a_continuous_aggregate(connection: Connection) -> None:
    listed = connection.execute(
        "select view_name from timescaledb_information.continuous_aggregates order by 1"
    )
    rollups = connection.execute("select model from models where model like 'roll%%' order by 1")
    assert listed.fetchall() == rollups.fetchall()


def test_raw_bars_and_features_are_hypertables(connection: Connection) -> None:
    rows = connection.execute(
        "select count(*) filter (where hypertable_schema = 'raw' and compression_enabled),"
        " count(*) filter (where hypertable_schema = 'bars'),"
        " count(*) filter (where hypertable_schema = 'features')"
        " from timescaledb_information.hypertables"
    ).fetchone()
    features = connection.execute("select count(*) from models where model like 'feat%%'").fetchone()
    assert features is not None
    assert rows == (7, 1, features[0])


def test_apache_has_chunks_and_no_aggregates(apache: Stages, apache_url: str) -> None:
    with connect_to(apache_url) as opened:
        assert tier(opened) == "timescale-apache"
        assert opened.execute(
            "select count(*) from timescaledb_information.continuous_aggregates"
        ).fetchone() == (0,)
        row = opened.execute("select count(*) from timescaledb_information.hypertables").fetchone()
        assert row is not None
        assert row[0] > 20
