"""Migrations: on an empty database, again, on an older one, two at once, and with a file that was changed."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perpmart.database import Connection, connect_to
from perpmart.errors import DatabaseError
from perpmart.migrations import LAYERS, RAW_FILES, migrate


@pytest.fixture
def url(new_database: Any) -> str:
    """Address of an empty database of the test's own."""
    return str(new_database(label="migrations"))


@pytest.fixture
def empty(url: str) -> Iterator[Connection]:
    with connect_to(url) as connection:
        yield connection
        connection.rollback()


def files(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.sql").write_text(text)
    return folder


def tables(connection: Connection, schema: str) -> set[str]:
    rows = connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relkind = 'r'", [schema]
    )
    return {name for (name,) in rows}


def test_all_schemas_and_raw_tables_are_made_and_a_second_run_does_nothing(empty: Connection) -> None:
    ran = migrate(empty)
    assert [name for name in ran if name.startswith("raw/0")] == sorted(
        f"raw/{path.name}" for path in RAW_FILES.glob("0*.sql")
    )
    schemas = {name for (name,) in empty.execute("select nspname from pg_namespace")}
    assert set(LAYERS) <= schemas
    assert tables(empty, "raw") == {
        *("ohlcv", "open_interest", "funding_rate", "liquidations", "long_short_ratio", "order_book"),
        *("mark_price", "instruments", "coverage", "gaps", "rejects", "revisions", "changes", "migrations"),
    }
    assert migrate(empty) == []


def test_prefixed_schemas_live_beside_each_other(url: str, empty: Connection) -> None:
    migrate(empty, "a_")
    migrate(empty)
    with connect_to(url, prefix="a_") as prefixed:
        prefixed.execute(
            "insert into ohlcv (symbol, timeframe, time, open, high, low, close, volume, source)"
            " values ('SOL/USDT', '5m', '2026-02-01 00:00+00', 1, 1, 1, 1, 1, 'rest')"
        )
        prefixed.commit()
    counts = "select (select count(*) from a_raw.changes), (select count(*) from raw.changes)"
    assert empty.execute(counts).fetchone() == (1, 0)


@pytest.mark.parametrize("prefix", ["A", "1a", "a-b", "a" * 22, "a;drop"])
def test_a_malformed_prefix_is_refused(empty: Connection, prefix: str) -> None:
    with pytest.raises(DatabaseError, match="schema prefix"):
        migrate(empty, prefix)


def test_an_older_database_gets_what_is_new_and_keeps_its_rows(empty: Connection, tmp_path: Path) -> None:
    raw, engine = files(tmp_path / "raw", **{"001_a": "create table a (n int)"}), tmp_path / "none"
    migrate(empty, raw_files=raw, engine_files=engine)
    empty.execute("insert into raw.a values (7)")
    files(
        raw, **{"002_b": "alter table a add m int default 5", "views": "create or replace view v as table a"}
    )
    assert migrate(empty, raw_files=raw, engine_files=engine) == ["raw/002_b.sql", "raw/views.sql"]
    assert empty.execute("select n, m from raw.v").fetchall() == [(7, 5)]


def test_a_numbered_file_that_was_changed_is_refused(empty: Connection, tmp_path: Path) -> None:
    raw = files(tmp_path / "raw", **{"001_a": "create table a (n int)"})
    migrate(empty, raw_files=raw, engine_files=tmp_path)
    files(raw, **{"001_a": "create table a (n bigint)", "002_b": "create table b (n int)"})
    with pytest.raises(DatabaseError, match=r"raw/001_a\.sql was changed after it ran"):
        migrate(empty, raw_files=raw, engine_files=tmp_path)
    assert tables(empty, "raw") == {"a", "migrations"}


def test_functions_run_again_when_changed_and_after_a_numbered_file(
    empty: Connection, tmp_path: Path
) -> None:
    raw = files(
        tmp_path / "raw", **{"001_a": "create table a ()", "f": "create or replace view v as select 1 as n"}
    )
    engine = files(tmp_path / "engine", **{"010_g": "create or replace view g as select 1 as n"})
    migrate(empty, raw_files=raw, engine_files=engine)
    files(engine, **{"010_g": "create or replace view g as select 2 as n"})
    assert migrate(empty, raw_files=raw, engine_files=engine) == ["build/010_g.sql"]
    files(raw, f="create or replace view v as select 2 as n")
    assert migrate(empty, raw_files=raw, engine_files=engine) == ["raw/f.sql"]
    files(raw, **{"002_b": "create table b ()"})
    assert migrate(empty, raw_files=raw, engine_files=engine) == ["raw/002_b.sql", "raw/f.sql"]
    assert empty.execute("select v.n, g.n from raw.v, build.g").fetchall() == [(2, 2)]


def test_a_file_that_fails_leaves_nothing_and_names_its_line(empty: Connection, tmp_path: Path) -> None:
    raw = files(
        tmp_path / "raw", **{"001_a": "create table a ()", "002_b": "create table b ();\n\nselect nothing"}
    )
    with pytest.raises(
        DatabaseError, match=r'002_b\.sql: column "nothing" does not exist \(line 3\)'
    ) as error:
        migrate(empty, raw_files=raw, engine_files=tmp_path)
    assert "\n" not in str(error.value)
    assert tables(empty, "raw") == {"a", "migrations"}
    files(raw, **{"002_b": "create table b ()"})
    assert migrate(empty, raw_files=raw, engine_files=tmp_path) == ["raw/002_b.sql"]


def test_two_at_once_wait_for_each_other(url: str) -> None:
    ran: list[list[str]] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            with connect_to(url) as connection:
                ran.append(migrate(connection))
        except DatabaseError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(map(bool, ran)) == [False, False, True]


def test_an_autocommit_connection_serves_as_well(url: str) -> None:
    with connect_to(url, autocommit=True) as connection:
        assert migrate(connection)
        assert migrate(connection) == []


@pytest.mark.parametrize(("chosen", "found"), [(None, "6"), ("12", "12")])
def test_joins_of_the_mart_are_planned_quickly_unless_somebody_chose_otherwise(
    url: str, empty: Connection, chosen: str | None, found: str
) -> None:
    name = empty.info.dbname
    if chosen is not None:
        empty.execute(f'alter database "{name}" set join_collapse_limit = {chosen}'.encode())
        empty.commit()
    with connect_to(url) as migrating:
        migrate(migrating)
    with connect_to(url) as later:
        assert later.execute("show join_collapse_limit").fetchone() == (found,)
