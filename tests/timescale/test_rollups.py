"""Roll-ups as continuous aggregates: what their SQL says, refreshed only where raw has changed."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from perpmart.build import build
from perpmart.database import Connection, connect_to
from perpmart.engine import refresh_rollups

from .market import MARKET, catch_up, fill
from .rollups import buckets, faults, jobs

DAY = timedelta(days=1)
ROLLUPS = "path:dbt_project/models/rollups"
MAKE_ANEW = """
    select make_rollup(model, relation, compiled_sql || ' -- changed', columns, columns, false)
    from models where model = %s
"""


@pytest.fixture(scope="module")
def filled(community_url: str) -> Iterator[Connection]:
    """A database with roll-ups that dbt has made of the market."""
    with connect_to(community_url) as connection:
        connection.execute("select set_chunk_time_interval('raw.liquidations', interval '1 day')")
        fill(connection)
        build(community_url, select=ROLLUPS, threads=1)
        yield connection
        connection.rollback()


def test_aggregates_hold_what_their_sql_says(filled: Connection) -> None:
    listed = filled.execute("select view_name from timescaledb_information.continuous_aggregates order by 1")
    rollups = filled.execute("select model from models where storage = 'continuous' order by 1").fetchall()
    assert listed.fetchall() == rollups
    assert len(rollups) == 6
    assert faults(filled) == []
    for (name,) in rollups:
        row = filled.execute(f"select count(*) from rollups.{name}".encode()).fetchone()
        assert row is not None
        assert row[0] > 0
    filled.rollback()


def test_a_run_without_changes_touches_no_bucket_policy_or_chunk(
    filled: Connection, community_url: str
) -> None:
    before = buckets(filled), jobs(filled)
    outcomes = build(community_url, select=ROLLUPS, threads=1)
    said = {one.message for one in outcomes if one.name.startswith("roll_")}
    assert said == {"refreshed after changes in 0 ranges"}
    assert (buckets(filled), jobs(filled)) == before


def test_late_and_corrected_rows_refresh_only_their_buckets(filled: Connection) -> None:
    before, policies = buckets(filled), jobs(filled)
    catch_up(filled)
    assert refresh_rollups(filled)
    assert faults(filled) == []
    after = buckets(filled)
    rewritten = {key for key in before if before[key] != after.get(key)}
    # Corrected were bars of the first day from 08:20 on, which is the earliest of all that came.
    hours = {time for name, _, time in rewritten if name.endswith("roll_ohlcv_1h")}
    assert min(hours) == MARKET.start + timedelta(hours=8)
    assert len(rewritten) < len(before)
    assert jobs(filled) == policies


def test_a_users_view_is_named_before_a_roll_up_is_made_anew(filled: Connection) -> None:
    filled.execute("create view public.mine as select * from rollups.roll_ohlcv_4h")
    with pytest.raises(psycopg.errors.RaiseException, match="but mine needs it"):
        filled.execute(MAKE_ANEW, ["roll_ohlcv_4h"])
    filled.rollback()


def test_history_that_raw_has_dropped_is_kept_and_not_lost_silently(filled: Connection) -> None:
    query = b"select * from rollups.roll_liquidations_5m order by symbol, time"
    before = filled.execute(query).fetchall()
    filled.execute("select drop_chunks('raw.liquidations', older_than => %s)", [MARKET.start + DAY])
    filled.execute(
        "insert into pending (model, symbol, from_time)"
        " select model, '*', '-infinity' from models where storage = 'continuous'"
    )
    filled.commit()
    refresh_rollups(filled)
    assert filled.execute(query).fetchall() == before
    assert faults(filled) != []
    with pytest.raises(psycopg.errors.RaiseException, match=r"its history from .* is no longer in raw"):
        filled.execute(MAKE_ANEW, ["roll_liquidations_5m"])
    filled.rollback()


def test_a_delete_from_a_compressed_table_goes_through_delete_rows(filled: Connection) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=r"use raw\.delete_rows"):
        filled.execute("delete from raw.ohlcv where symbol = 'BTC/USDT'")
    filled.rollback()
    gone = filled.execute(
        "select delete_rows('ohlcv:5m', 'BTC/USDT', %s, %s)", [MARKET.start + DAY, MARKET.start + 2 * DAY]
    ).fetchone()
    assert gone == (288,)
    filled.commit()
    refresh_rollups(filled)
    assert [fault for fault in faults(filled) if "liquidations" not in fault] == []


def test_of_a_table_that_is_emptied_no_bucket_is_left(filled: Connection) -> None:
    filled.execute("truncate raw.liquidations")
    filled.commit()
    refresh_rollups(filled)
    assert filled.execute("select count(*) from rollups.roll_liquidations_5m").fetchone() == (0,)
    assert faults(filled) == []
    filled.rollback()
