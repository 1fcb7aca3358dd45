"""The raw schema by itself, as psql meets it: what it refuses, what it notes, what it remembers."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from collectors.rows import Row, table_of
from perpmart.database import Connection
from tests.collectors.samples import (
    BOOK,
    FUNDING,
    INSTRUMENT,
    KLINE,
    LIQUIDATION,
    MARK,
    ONE_OF_EACH,
    OPEN_INTEREST,
    RATIO,
    SOL,
    START,
    at,
    klines,
)

NAN, INFINITY = float("nan"), float("inf")


def insert(connection: Connection, *rows: Row, **changes: object) -> None:
    for row in rows:
        table = table_of(type(row))
        values: dict[str, Any] = {**row._asdict(), "source": "rest"}
        if table in ("order_book", "mark_price"):
            seconds = values["time"].second // 10 * 10
            values["slot"] = values["time"].replace(second=seconds, microsecond=0)
        values |= changes
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        connection.execute(f"insert into {table} ({names}) values ({marks})".encode(), values)


def changes(connection: Connection) -> list[tuple[Any, ...]]:
    """Give and forget what was noted (with no end written as None)."""
    rows = connection.execute(
        "select stream, symbol, from_time, nullif(to_time, 'infinity') from changes order by id"
    ).fetchall()
    connection.execute("delete from changes")
    return rows


@pytest.mark.parametrize("row", ONE_OF_EACH, ids=lambda row: type(row).__name__)
def test_sound_rows_are_accepted(connection: Connection, row: Row) -> None:
    insert(connection, row)


IMPOSSIBLE: list[tuple[Row, dict[str, object]]] = [
    (KLINE, {"symbol": ""}),
    (KLINE, {"symbol": "SOLUSDT"}),
    (KLINE, {"symbol": "SOL/USDT:USDT"}),
    (KLINE, {"source": "hearsay"}),
    (KLINE, {"timeframe": "7m"}),
    (KLINE, {"time": START + timedelta(minutes=1)}),
    (KLINE, {"time": START + timedelta(milliseconds=1)}),
    (KLINE, {"timeframe": "1h", "time": at(30)}),
    (KLINE, {"time": "infinity"}),
    (KLINE, {"time": "-infinity"}),
    (KLINE, {"time": "1970-01-01 00:00+00"}),
    (KLINE, {"high": 89.0}),
    (KLINE, {"open": 111.0}),
    (KLINE, {"close": 89.0}),
    (KLINE, {"low": 0.0}),
    (KLINE, {"low": -1.0}),
    (KLINE, {"low": NAN}),
    (KLINE, {"open": NAN}),
    (KLINE, {"close": NAN}),
    (KLINE, {"high": NAN}),
    (KLINE, {"high": INFINITY}),
    (KLINE, {"volume": -1.0}),
    (KLINE, {"volume": NAN}),
    (KLINE, {"volume": INFINITY}),
    (KLINE, {"quote_volume": NAN}),
    (KLINE, {"quote_volume": -1.0}),
    (KLINE, {"trades": -1}),
    (KLINE, {"volume": 0.0, "taker_buy_base": 0.0}),
    (KLINE, {"taker_buy_base": 1000.1}),
    (KLINE, {"taker_buy_base": NAN}),
    (KLINE, {"taker_buy_quote": 100501.0}),
    (KLINE, {"taker_buy_quote": NAN, "quote_volume": None}),
    (OPEN_INTEREST, {"open_interest": -1.0}),
    (OPEN_INTEREST, {"open_interest": NAN}),
    (OPEN_INTEREST, {"open_interest_value": INFINITY}),
    (OPEN_INTEREST, {"open_interest": None, "open_interest_value": None}),
    (OPEN_INTEREST, {"time": START + timedelta(seconds=1)}),
    (OPEN_INTEREST, {"period": "tomorrow"}),
    (FUNDING, {"funding_time": START + timedelta(milliseconds=7)}),
    (FUNDING, {"funding_time_raw": START + timedelta(minutes=1)}),
    (FUNDING, {"funding_rate": NAN}),
    (FUNDING, {"funding_rate": 1.5}),
    (FUNDING, {"mark_price": 0.0}),
    (FUNDING, {"mark_price": NAN}),
    (LIQUIDATION, {"side": "sell"}),
    (LIQUIDATION, {"price": 0.0}),
    (LIQUIDATION, {"price": NAN}),
    (LIQUIDATION, {"quantity": 0.0}),
    (LIQUIDATION, {"quantity": INFINITY}),
    (LIQUIDATION, {"original_price": NAN}),
    (RATIO, {"ratio_type": "mood"}),
    (RATIO, {"long_short_ratio": -0.1}),
    (RATIO, {"long_short_ratio": NAN}),
    (RATIO, {"long_account": 1.1}),
    (RATIO, {"short_account": NAN}),
    (RATIO, {"time": START + timedelta(seconds=1)}),
    (BOOK, {"slot": at(1)}),
    (BOOK, {"bid_price": [98.0, 99.0]}),
    (BOOK, {"bid_price": [99.0, 99.0]}),
    (BOOK, {"ask_price": [102.0, 101.0]}),
    (BOOK, {"bid_quantity": [1.0]}),
    (BOOK, {"bid_quantity": [1.0, 0.0]}),
    (BOOK, {"ask_quantity": [NAN, 1.0]}),
    (BOOK, {"ask_price": [None, 102.0]}),
    (BOOK, {"ask_price": [99.0, 102.0]}),
    (MARK, {"mark_price": 0.0}),
    (MARK, {"index_price": NAN}),
    (MARK, {"mark_price": None, "index_price": None}),
    (MARK, {"predicted_funding_rate": NAN}),
    (MARK, {"slot": at(1)}),
    (INSTRUMENT, {"exchange_symbol": ""}),
    (INSTRUMENT, {"valid_to": START}),
    (INSTRUMENT, {"multiplier": 0}),
    (INSTRUMENT, {"price_tick": NAN}),
]


@pytest.mark.parametrize(("row", "fault"), IMPOSSIBLE, ids=lambda value: str(value)[:60])
def test_the_impossible_is_refused(connection: Connection, row: Row, fault: dict[str, object]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(connection, row, **fault)


def test_taker_volume_may_exceed_the_whole_by_rounding_only(connection: Connection) -> None:
    insert(connection, KLINE, taker_buy_base=KLINE.volume * (1 + 1e-10))


def test_taker_volumes_are_no_shares(connection: Connection) -> None:
    insert(connection, RATIO, ratio_type="taker_volume", long_account=1507.04, short_account=1986.606)


def test_every_constraint_says_its_reason_and_every_table_and_column_is_explained(
    connection: Connection,
) -> None:
    silent = connection.execute(
        """
        select conrelid::regclass || ' ' || conname from pg_constraint
        where contype = 'c' and connamespace = 'raw'::regnamespace
            and conrelid::regclass::text in ('ohlcv', 'open_interest', 'funding_rate', 'liquidations',
                'long_short_ratio', 'order_book', 'mark_price', 'instruments')
            and obj_description(oid, 'pg_constraint') is null
        union all
        select c.relname from pg_class as c
        where relnamespace = 'raw'::regnamespace and relkind = 'r'
            and obj_description(c.oid, 'pg_class') is null
        union all
        select c.relname || '.' || a.attname
        from pg_class as c inner join pg_attribute as a on a.attrelid = c.oid
        where relnamespace = 'raw'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped
            and col_description(c.oid, a.attnum) is null
        """
    ).fetchall()
    assert silent == []


@pytest.mark.parametrize("row", ONE_OF_EACH, ids=lambda row: type(row).__name__)
def test_insert_delete_and_truncate_of_every_table_are_noted(connection: Connection, row: Row) -> None:
    table = table_of(type(row))
    time = getattr(row, {"funding_rate": "funding_time", "instruments": "valid_from"}.get(table, "time"))
    insert(connection, row)
    assert changes(connection) == [(table, SOL, time, time)]
    connection.execute(f"delete from {table}".encode())
    assert changes(connection) == [(table, SOL, time, time)]
    connection.execute(f"truncate {table}".encode())
    assert connection.execute("select stream, symbol, from_time = '-infinity' from changes").fetchall() == [
        (table, "*", True)
    ]


def test_a_statement_notes_one_range_a_symbol(connection: Connection) -> None:
    insert(connection, *klines(3), *klines(1, symbol="BTC/USDT", first=7))
    changes(connection)
    connection.execute("update ohlcv set volume = volume + 1")
    assert sorted(changes(connection)) == [
        ("ohlcv", "BTC/USDT", at(35), at(35)),
        ("ohlcv", SOL, at(0), at(10)),
    ]


def test_only_rows_whose_measures_differ_are_noted(connection: Connection) -> None:
    insert(connection, *klines(3))
    changes(connection)
    connection.execute("update ohlcv set volume = case when time = %s then 2000 else volume end", [at(5)])
    connection.execute("update ohlcv set source = 'archive', ingested_at = now()")
    assert changes(connection) == [("ohlcv", SOL, at(5), at(5))]


def test_a_moved_key_is_noted_at_both_places(connection: Connection) -> None:
    insert(connection, *klines(2))
    changes(connection)
    connection.execute("update ohlcv set time = time + interval '1 hour' where time = %s", [at(5)])
    assert changes(connection) == [("ohlcv", SOL, at(5), at(65))]


def test_a_change_carries_the_transaction_that_made_it(connection: Connection) -> None:
    insert(connection, KLINE)
    assert connection.execute("select xid = pg_current_xact_id() from changes").fetchall() == [(True,)]


def test_a_snapshot_misses_no_transaction_that_commits_late(
    connection: Connection, migrated_url: str
) -> None:
    from perpmart.database import connect_to

    with connect_to(migrated_url) as slow:
        insert(slow, KLINE)
        insert(connection, *klines(1, symbol="BTC/USDT"))
        connection.commit()
        (snapshot,) = connection.execute("select pg_current_snapshot()::text").fetchone() or ("",)
        slow.commit()
    unseen = connection.execute(
        "select symbol from changes where not pg_visible_in_snapshot(xid, %s::pg_snapshot)", [snapshot]
    ).fetchall()
    assert unseen == [(SOL,)]


@pytest.mark.parametrize("with_trigger", [True, False], ids=["plain table", "table without delete triggers"])
def test_delete_rows_counts_notes_and_remembers(connection: Connection, with_trigger: bool) -> None:
    if not with_trigger:
        connection.execute("drop trigger note_delete on ohlcv")
    insert(connection, *klines(5), *klines(2, symbol="BTC/USDT"))
    insert(connection, KLINE, timeframe="1h")
    changes(connection)
    (gone,) = connection.execute(
        "select delete_rows('ohlcv:5m', %s, %s, %s)", [SOL, at(5), at(15)]
    ).fetchone() or (None,)
    assert gone == 2
    assert changes(connection) == [("ohlcv", SOL, at(5), at(10))]
    assert connection.execute("select count(*) from ohlcv").fetchone() == (6,)
    kept = connection.execute(
        "select key ->> 'time', old ->> 'trades', old_source from revisions order by 1"
    ).fetchall()
    assert kept == [
        ("2026-02-01T00:05:00+00:00", "1", "rest"),
        ("2026-02-01T00:10:00+00:00", "2", "rest"),
    ]
    assert connection.execute("select delete_rows('ohlcv', %s, %s, %s)", [SOL, at(0), at(60)]).fetchone() == (
        4,
    )


def test_delete_rows_takes_the_kind_of_ratio_and_refuses_unknown_streams(connection: Connection) -> None:
    insert(connection, RATIO, RATIO._replace(ratio_type="top_account"), FUNDING)
    ask = "select delete_rows(%s, %s, %s, %s)"
    assert connection.execute(ask, ["long_short_ratio:top_account:5m", SOL, at(0), at(5)]).fetchone() == (1,)
    assert connection.execute(ask, ["long_short_ratio:top_account:1h", SOL, at(0), at(5)]).fetchone() == (0,)
    assert connection.execute(ask, ["funding_rate", SOL, at(0), at(5)]).fetchone() == (1,)
    with pytest.raises(psycopg.errors.UndefinedTable, match="no raw table"):
        connection.execute(ask, ["revisions", SOL, at(0), at(5)])


def test_a_table_can_be_read_as_it_stood(connection: Connection) -> None:
    def volumes(moment: str) -> list[tuple[Any, ...]]:
        return connection.execute(
            f"select time, volume from as_of(null::ohlcv, {moment}) order by time".encode()
        ).fetchall()

    insert(connection, *klines(2), ingested_at=datetime.fromisoformat("2026-02-10T00:00+00:00"))
    connection.commit()
    connection.execute(
        "update ohlcv set volume = 2000, ingested_at = '2026-02-11 00:00+00' where time = %s", [at(5)]
    )
    connection.execute(
        "update ohlcv set volume = 3000, ingested_at = '2026-02-12 00:00+00' where time = %s", [at(5)]
    )
    connection.execute("delete from ohlcv where time = %s", [at(0)])
    before, second = (at(0), 1000.0), (at(5), 1000.0)
    assert volumes("'2026-02-09 00:00+00'") == []
    assert volumes("'2026-02-10 12:00+00'") == [before, second]
    assert volumes("'2026-02-11 12:00+00'") == [before, (at(5), 2000.0)]
    assert volumes("'2026-02-12 12:00+00'") == [before, (at(5), 3000.0)]
    assert volumes("clock_timestamp()") == [(at(5), 3000.0)]


def test_updates_that_leave_ingested_at_alone_are_told_apart_as_well(connection: Connection) -> None:
    insert(connection, KLINE)
    connection.commit()
    moments = []
    for volume in (1001.0, 1002.0):
        moments.append(connection.execute("select clock_timestamp()").fetchone())
        connection.execute("update ohlcv set volume = %s", [volume])
        connection.commit()
    stood = [
        connection.execute("select volume from as_of(null::ohlcv, %s)", moment).fetchall()
        for moment in moments
        if moment
    ]
    assert stood == [[(1000.0,)], [(1001.0,)]]


def test_revisions_do_not_depend_on_the_session(connection: Connection) -> None:
    connection.execute("set timezone = 'Asia/Tokyo'")
    insert(connection, KLINE)
    connection.execute("update ohlcv set volume = 1001")
    key = connection.execute("select key from revisions").fetchall()
    assert key == [({"symbol": SOL, "timeframe": "5m", "time": "2026-02-01T00:00:00+00:00"},)]


def test_of_an_instrument_only_what_reaches_into_the_past_dirties_the_past(connection: Connection) -> None:
    insert(connection, INSTRUMENT)
    changes(connection)
    connection.execute("update instruments set valid_to = %s", [at(600)])
    connection.execute("update instruments set valid_to = %s", [at(500)])
    assert [change[2] for change in changes(connection)] == [at(600), at(500)]
    connection.execute("update instruments set price_tick = 0.1")
    assert connection.execute("select from_time = now() from changes").fetchall() == [(True,)]
    changes(connection)
    connection.execute("update instruments set multiplier = 1000")
    assert [change[2] for change in changes(connection)] == [START]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT time, open_interest, open_interest_value FROM open_interest"
        " WHERE symbol = 'SOL/USDT' AND period = '5m'",
        "SELECT time, open, high, low, close, volume FROM ohlcv"
        " WHERE symbol = 'SOL/USDT' AND timeframe = '5m'",
        "SELECT volume, taker_buy_base, taker_buy_quote FROM ohlcv",
        "SELECT funding_time, funding_rate, mark_price FROM funding_rate WHERE symbol = 'SOL/USDT'",
        "SELECT time, side, quantity, price FROM liquidations WHERE symbol = 'SOL/USDT'",
        "SELECT time, long_short_ratio, long_account, short_account FROM long_short_ratio"
        " WHERE symbol = 'SOL/USDT'",
    ],
)
def test_the_queries_that_others_wrote_run_as_they_are(connection: Connection, query: str) -> None:
    insert(connection, KLINE, OPEN_INTEREST, FUNDING, LIQUIDATION, RATIO)
    connection.execute("set search_path = raw")
    assert len(connection.execute(query.encode()).fetchall()) == 1
