"""A database of an older version, with data, becomes one of this version and loses nothing."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from psycopg import sql

from collectors.quality import validate
from collectors.rejects import read_rejects, retry
from collectors.rows import Coverage
from collectors.writer import Writer
from ml.registry import FeatureSet
from perpmart.database import Connection, connect_to
from perpmart.migrations import RAW_FILES, migrate
from tests.collectors.samples import KLINE, NOW, ONE_OF_EACH, SOL, START, at
from tests.conftest import NewDatabase

FIRST = {"001_bookkeeping", "002_market", "003_live", "changes", "coverage", "revisions"}
"""Schema files of 0.1.0."""

TABLES = (
    *("ohlcv", "open_interest", "funding_rate", "liquidations", "long_short_ratio", "order_book"),
    *("mark_price", "instruments", "coverage", "changes", "revisions", "rejects"),
)
REFUSED = (
    '{"symbol": "SOL/USDT", "timeframe": "5m", "time": "2026-02-01T00:05:00+00:00", "open": 100, "high": 110,'
    ' "low": 90, "close": 105, "volume": 1000, "quote_volume": null, "trades": null,'
    ' "taker_buy_base": null, "taker_buy_quote": null}'
)


@pytest.fixture
def old(new_database: NewDatabase, tmp_path: Path) -> Iterator[Connection]:
    """Database of 0.1.0 with a row in each table, a replaced version and a refusal."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in RAW_FILES.glob("*.sql"):
        if path.stem in FIRST:
            shutil.copy(path, raw)
    with connect_to(new_database(label="upgrade")) as connection:
        migrate(connection, raw_files=raw)
        writer = Writer(connection)
        covered = [Coverage("ohlcv:5m", SOL, START, at(5))]
        writer.write(ONE_OF_EACH, source="rest", now=NOW, covered=covered)
        writer.write([KLINE._replace(close=104.0)], source="archive", now=NOW)
        connection.execute(
            "insert into rejects (stream, source, origin, reason, payload)"
            " values ('ohlcv:5m', 'rest', 'somewhere', 'bar still forming', %s)",
            [REFUSED],
        )
        connection.commit()
        yield connection
        connection.rollback()


def contents(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table as text, by the columns that 0.1.0 knew."""
    found = {}
    for table in TABLES:
        shown = sql.SQL(
            "to_jsonb(t) - 'state' - 'context' - 'tried_at'" if table == "rejects" else "to_jsonb(t)"
        )
        query = sql.SQL("select ({})::text from {} as t order by 1").format(shown, sql.Identifier(table))
        found[table] = [row[0] for row in connection.execute(query)]
    connection.rollback()
    return found


def test_an_older_database_keeps_every_row_and_learns_what_is_new(old: Connection) -> None:
    before = contents(old)
    assert all(before.values())
    ran = migrate(old)
    assert "raw/004_rejects.sql" in ran
    assert contents(old) == before
    assert migrate(old) == []


def test_what_an_older_version_refused_can_be_submitted_again(old: Connection) -> None:
    migrate(old)
    (outcome,) = retry(old, read_rejects(old), now=NOW)
    assert outcome.accepted, outcome.reason
    assert old.execute("select count(*) from ohlcv").fetchone() == (2,)


def test_rows_go_on_to_be_written_replaced_and_checked(old: Connection) -> None:
    migrate(old)
    result = Writer(old).write(
        [KLINE._replace(close=103.0), KLINE._replace(time=at(5), low=200.0)], source="archive", now=NOW
    )
    assert (result.updated, result.rejected) == (1, 1)
    old_versions = old.execute("select count(*) from revisions where stream = 'ohlcv'").fetchone()
    assert old_versions == (2,)
    found = validate(old, now=NOW + timedelta(days=1), symbols=[SOL])
    # The versions disagree by 2 %, and one of them was there before the upgrade.
    assert "ohlcv_sources" in {one.check.name for one in found.failed}


def test_another_formula_or_order_is_another_feature_set() -> None:
    names, formulas = ("a", "b"), ("close / open", "high - low")
    same = FeatureSet(names, formulas)
    assert FeatureSet(names, formulas).hash == same.hash
    assert FeatureSet(names, ("close / open - 1", "high - low")).hash != same.hash
    assert FeatureSet(names[::-1], formulas[::-1]).hash != same.hash
    computed = FeatureSet(names, formulas, ("1f", "2e"))
    assert len({same.hash, computed.hash, FeatureSet(names, formulas, ("1f", "2d")).hash}) == 3


def test_feature_sets_that_an_older_version_stored_are_read_as_they_were() -> None:
    old = FeatureSet.from_json('[["a", "close / open"], ["b", "high - low"]]')
    assert old == FeatureSet(("a", "b"), ("close / open", "high - low"))
    # The hash under which 0.1.0 kept it: sha256 of that text.
    assert old.hash == sha256(b'[["a", "close / open"], ["b", "high - low"]]').hexdigest()[:16]
    new = FeatureSet(("a", "b"), ("close / open", "high - low"), ("1f", "2e"))
    assert FeatureSet.from_json(new.to_json()) == new
