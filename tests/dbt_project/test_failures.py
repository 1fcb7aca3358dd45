"""Tests of the models: rows that fail can be looked at, severity follows the layer, sources grow stale."""

from datetime import UTC, datetime, timedelta

import pytest

from collectors.writer import Writer
from perpmart.build import BuildError, run_dbt
from perpmart.database import connect_to
from tests.collectors.samples import LIQUIDATION, MARK
from tests.conftest import NewDatabase


@pytest.fixture(scope="module")
def url(new_database: NewDatabase) -> str:
    """Database with one staging view and one roll-up, in which somebody has been."""
    address = new_database(migrated=True, label="failures")
    with connect_to(address) as connection:
        Writer(connection).write([MARK, LIQUIDATION], source="stream", now=datetime(2026, 3, 1, tzinfo=UTC))
    run_dbt(["run", "--select", "stg_mark_price", "+roll_liquidations_5m"], address)
    with connect_to(address) as connection:
        columns = connection.execute(
            "select attname from pg_attribute where attrelid = 'staging.stg_mark_price'::regclass"
            " and attnum > 0 order by attnum"
        ).fetchall()
        names = ", ".join("null::timestamptz as known_at" if n == "known_at" else n for (n,) in columns)
        connection.execute("alter view staging.stg_mark_price rename to was")
        connection.execute(f"create view staging.stg_mark_price as select {names} from staging.was".encode())
        connection.execute("update rollups.roll_liquidations_5m set long_liquidations = 'nan'")
        connection.commit()
    return address


def test_a_staging_test_warns_and_its_rows_can_be_selected(url: str) -> None:
    outcomes = run_dbt(["test", "--select", "stg_mark_price,test_type:data"], url)
    warned = [one for one in outcomes if one.status == "warn"]
    assert [one.name for one in warned] == ["not_null_stg_mark_price_known_at"]
    with connect_to(url) as connection:
        rows = connection.execute("select * from failures.not_null_stg_mark_price_known_at").fetchall()
    assert len(rows) == 1
    assert rows[0][0] == MARK.symbol


def test_a_test_of_a_later_layer_fails_and_its_rows_can_be_selected(url: str) -> None:
    with pytest.raises(BuildError, match="all_finite_roll_liquidations_5m"):
        run_dbt(["test", "--select", "roll_liquidations_5m,test_type:data"], url)
    with connect_to(url) as connection:
        rows = connection.execute(
            "select symbol, long_liquidations from failures.all_finite_roll_liquidations_5m_"
        ).fetchall()
    assert [row[0] for row in rows] == [LIQUIDATION.symbol]


def test_sources_that_are_old_are_said_to_be(url: str) -> None:
    with pytest.raises(BuildError, match="mark_price"):
        run_dbt(["source", "freshness", "--select", "source:raw.mark_price"], url)
    now = datetime.now(UTC)
    with connect_to(url) as connection:
        Writer(connection).write([MARK._replace(time=now)], source="stream", now=now + timedelta(seconds=1))
    outcomes = run_dbt(["source", "freshness", "--select", "source:raw.mark_price"], url)
    assert [one.status for one in outcomes if one.kind == "source"] == ["pass"]
