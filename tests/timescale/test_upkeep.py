"""What `perpmart init` does with raw tables on TimescaleDB: chunks, compression, retention, old rows."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from collectors.rows import Kline, OrderBookSnapshot
from collectors.writer import Writer
from perpmart.database import Connection, connect_to, tier
from perpmart.errors import DatabaseError
from perpmart.hypertables import RAW_TABLES, Upkeep, keep_in_chunks
from perpmart.migrations import migrate

from .market import MARKET

PREFIX = "other_"


@pytest.fixture
def connection(community_url: str) -> Iterator[Connection]:
    with connect_to(community_url, prefix=PREFIX) as opened:
        yield opened
        opened.rollback()


def policies(connection: Connection) -> dict[str, list[str]]:
    rows = connection.execute(
        "select proc_name, array_agg(hypertable_name || ' '"
        " || coalesce(config ->> 'compress_after', config ->> 'drop_after') order by 1)"
        " from timescaledb_information.jobs where hypertable_schema = 'other_raw' group by 1"
    )
    found: dict[str, list[str]] = dict(rows.fetchall())
    connection.rollback()
    return found


def test_rows_that_are_there_move_into_chunks_and_nothing_counts_as_changed(connection: Connection) -> None:
    migrate(connection, PREFIX)
    connection.execute(
        "insert into ohlcv (symbol, timeframe, time, open, high, low, close, volume, source)"
        " select 'A/USDT', '5m', t, 1, 2, 1, 2, 3, 'rest'"
        " from generate_series(%(start)s, %(start)s + interval '100 days', interval '5 minutes') as t",
        {"start": MARKET.start},
    )
    connection.execute("create view public.users as select count(*) as rows from ohlcv")
    before = connection.execute("select count(*), max(id) from changes").fetchone()
    said = keep_in_chunks(connection, PREFIX)
    assert f"{PREFIX}raw.ohlcv is kept in chunks of 60 days" in said
    assert connection.execute("select count(*), max(id) from changes").fetchone() == before
    assert connection.execute("select rows from public.users").fetchone() == (28801,)
    assert connection.execute("select count(*) from show_chunks('ohlcv')").fetchone() in {(2,), (3,)}
    connection.execute("drop view public.users")
    connection.commit()


def test_a_second_run_does_nothing_and_keeps_what_was_set(connection: Connection) -> None:
    assert keep_in_chunks(connection, PREFIX) == []
    connection.execute("call remove_columnstore_policy('ohlcv')")
    connection.commit()
    assert keep_in_chunks(connection, PREFIX) == []
    assert len(policies(connection)["policy_compression"]) == len(RAW_TABLES) - 1


def test_compression_and_retention_change_when_asked_to(connection: Connection) -> None:
    keep_in_chunks(connection, PREFIX, upkeep=Upkeep(compress_after=14, retain=400))
    found = policies(connection)
    assert "ohlcv 14 days" in found["policy_compression"]
    assert len(found["policy_retention"]) == len(RAW_TABLES)
    keep_in_chunks(connection, PREFIX, upkeep=Upkeep(compress_after=0, retain=0))
    assert policies(connection) == {}


def test_any_number_of_compressed_rows_can_be_corrected_and_deleted(connection: Connection) -> None:
    connection.execute("select compress_chunk(c, if_not_compressed => true) from show_chunks('ohlcv') as c")
    # TimescaleDB's own limit is 100,000 rows in a transaction: a month of the archive is more.
    connection.execute("set timescaledb.max_tuples_decompressed_per_dml_transaction = 100")
    connection.commit()
    bars = [MARKET.start + timedelta(minutes=5 * place) for place in range(3000)]
    klines = [Kline("A/USDT", "5m", time, 1.0, 2.0, 1.0, 1.5, 3.0, None, None, None, None) for time in bars]
    now = MARKET.start + timedelta(days=200)
    assert Writer(connection).write(klines, source="archive", now=now).updated == len(klines)
    ranges = ["ohlcv:5m", "A/USDT", bars[10], bars[2500]]
    assert connection.execute("select delete_rows(%s, %s, %s, %s)", ranges).fetchone() == (2490,)
    connection.rollback()


def test_rows_cut_by_their_slot_are_deleted_by_their_time(connection: Connection) -> None:
    books = [
        OrderBookSnapshot("A/USDT", MARKET.start + timedelta(seconds=second), [1.0], [1.0], [2.0], [1.0])
        for second in range(9, 6009, 10)
    ]
    Writer(connection).write(books, source="stream", now=MARKET.end)
    connection.execute("select compress_chunk(c) from show_chunks('order_book') as c")
    ranges = ["order_book", "A/USDT", books[100].time - timedelta(seconds=8), books[500].time]
    assert connection.execute("select delete_rows(%s, %s, %s, %s)", ranges).fetchone() == (400,)
    kept = connection.execute("select time from order_book order by time").fetchall()
    assert [time for (time,) in kept] == [book.time for book in books[:100] + books[500:]]
    connection.rollback()


def test_schema_files_that_changed_run_on_compressed_tables_too(connection: Connection) -> None:
    connection.execute("update migrations set checksum = '' where name not like 'raw/0%'")
    connection.commit()
    assert "raw/changes.sql" in migrate(connection, PREFIX)
    triggers = connection.execute(
        "select tgname from pg_trigger where tgrelid = 'ohlcv'::regclass and not tgisinternal order by 1"
    )
    names = {name for (name,) in triggers}
    assert {"note_insert", "note_update", "note_truncate", "refuse_delete"} <= names
    assert "note_delete" not in names


def test_rows_that_features_still_need_are_not_dropped(connection: Connection) -> None:
    with pytest.raises(DatabaseError, match="keep at least 45"):
        keep_in_chunks(connection, PREFIX, upkeep=Upkeep(retain=44))


def test_plain_postgresql_has_no_trace_of_it(migrated_url: str) -> None:
    with connect_to(migrated_url) as connection:
        if tier(connection) != "plain":
            pytest.skip("the server of the other tests has TimescaleDB itself")
        assert keep_in_chunks(connection) == []
        with pytest.raises(DatabaseError, match=r"TimescaleDB Community; this server is plain"):
            keep_in_chunks(connection, upkeep=Upkeep(retain=400))
        found = connection.execute(
            "select count(*) from pg_namespace where nspname like '%timescale%'"
        ).fetchone()
        assert found == (0,)
        assert connection.execute("select tier(), is_hypertable('raw.ohlcv')").fetchone() == ("plain", False)
