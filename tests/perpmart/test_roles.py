"""Each role does its work and is refused everything else, on a real server."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from collectors.rows import Coverage, Refusal
from collectors.writer import Writer
from perpmart.database import Connection, connect_to
from perpmart.roles import ROLES, make_roles, role_name
from tests.collectors.samples import NOW, ONE_OF_EACH, START, at

PASSWORD = "for-this-test-only"
PREFIX = "rt_"

As = Callable[[str], Connection]


@pytest.fixture(scope="module")
def owner(new_database: Any) -> Iterator[Connection]:
    """The installation's owner, on a database with roles and a mart of one view."""
    from perpmart.migrations import migrate

    with connect_to(new_database(label="roles"), prefix=PREFIX) as connection:
        migrate(connection, PREFIX)
        make_roles(connection, PREFIX)
        connection.execute(
            f"create table {PREFIX}features.feat_x (symbol text, time timestamptz, x float8);"
            f"create table {PREFIX}bars.bars_5m (symbol text, time timestamptz, close float8);"
            f"create view {PREFIX}mart.feature_mart as select * from {PREFIX}features.feat_x".encode()
        )
        connection.commit()
        yield connection


@pytest.fixture(scope="module")
def acting(owner: Connection, server_url: str) -> Iterator[As]:
    """Function that connects as a person who was granted a role (or, as `nobody`, none)."""
    opened: list[Connection] = []
    people: dict[str, str] = {}

    def connect(role: str) -> Connection:
        if role not in people:
            people[role] = f"{role}_{uuid4().hex[:6]}"
            person = sql.Identifier(people[role])
            owner.execute(sql.SQL("create role {} login password {}").format(person, sql.Literal(PASSWORD)))
            if role != "nobody":
                granted = role_name(role, PREFIX)  # type: ignore[arg-type]
                owner.execute(sql.SQL("grant {} to {}").format(sql.Identifier(granted), person))
                owner.execute(sql.SQL("alter role {} set role = {}").format(person, sql.Literal(granted)))
            owner.commit()
        parts = urlsplit(server_url)
        place = parts.netloc.rpartition("@")[2]
        url = urlunsplit(
            parts._replace(netloc=f"{people[role]}:{PASSWORD}@{place}", path=f"/{owner.info.dbname}")
        )
        opened.append(connect_to(url, prefix=PREFIX))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
    owner.rollback()
    for person in people.values():
        owner.execute(sql.SQL("drop owned by {}; drop role {}").format(*[sql.Identifier(person)] * 2))
    for role in ROLES:
        name = sql.Identifier(role_name(role, PREFIX))
        owner.execute(sql.SQL("drop owned by {} cascade; drop role {}").format(name, name))
    owner.commit()


def test_the_collector_writes_rows_coverage_refusals_and_revisions(acting: As) -> None:
    connection = acting("collector")
    writer = Writer(connection)
    covered = [Coverage("ohlcv:5m", "SOL/USDT", START, at(5))]
    refused = [Refusal("ohlcv", "x", "y", "z")]
    result = writer.write(ONE_OF_EACH, source="rest", now=NOW, covered=covered, refusals=refused)
    assert (result.inserted, result.rejected) == (len(ONE_OF_EACH), 1)
    newer = [ONE_OF_EACH[0]._replace(close=106.0)]  # type: ignore[call-arg]
    assert writer.write(newer, source="archive", now=NOW).updated == 1
    assert connection.execute("select count(*) from revisions").fetchone() == (1,)


def test_the_builder_reads_raw_and_makes_tables_that_analysts_can_read(acting: As) -> None:
    builder = acting("builder")
    builder.execute("select * from ohlcv")
    builder.execute("delete from changes")
    builder.execute("insert into pending (model, symbol, from_time) values ('x', '*', now())")
    builder.execute(f"create table {PREFIX}features.feat_y as select 1 as y".encode())
    builder.execute(f"create view {PREFIX}mart.y_features as select * from {PREFIX}features.feat_y".encode())
    builder.commit()
    for reader in ("analyst", "ml"):
        found = acting(reader).execute(f"select y from {PREFIX}mart.y_features".encode()).fetchall()
        assert found == [(1,)]


def test_analyst_and_ml_read_the_mart(acting: As) -> None:
    for role in ("analyst", "ml"):
        acting(role).execute(f"select * from {PREFIX}mart.feature_mart".encode())
    acting("ml").execute(f"select * from {PREFIX}bars.bars_5m, {PREFIX}build.published".encode())
    acting("ml").execute(f"select * from {PREFIX}build.served, {PREFIX}build.served_sets".encode())


FORBIDDEN: dict[str, list[str]] = {
    "collector": [
        "delete from {p}raw.ohlcv",
        "truncate {p}raw.ohlcv",
        "drop table {p}raw.ohlcv",
        "alter table {p}raw.ohlcv disable trigger all",
        "delete from {p}raw.revisions",
        "update {p}raw.revisions set old = '{{}}'",
        "delete from {p}raw.rejects",
        "delete from {p}raw.changes",
        "select * from {p}raw.migrations",
        "update {p}raw.migrations set checksum = ''",
        "create table {p}raw.mine ()",
        "select * from {p}build.models",
        "select * from {p}features.feat_x",
        "select * from {p}mart.feature_mart",
        "insert into {p}features.feat_x values ('a', now(), 1)",
        "create schema mine",
        "create role mine",
        "set role {p}perpmart_builder",
        "select pg_read_file('/etc/passwd')",
        "copy {p}raw.ohlcv to program 'cat'",
    ],
    "builder": [
        "insert into {p}raw.rejects default values",
        "update {p}raw.ohlcv set close = 1",
        "delete from {p}raw.ohlcv",
        "truncate {p}raw.ohlcv",
        "delete from {p}raw.rejects",
        "insert into {p}raw.changes (stream, symbol, from_time, to_time) values ('a', 'b', now(), now())",
        "create table {p}raw.mine ()",
        "drop table {p}raw.coverage",
        "create role mine",
        "select pg_read_file('/etc/passwd')",
    ],
    "analyst": [
        "select * from {p}raw.ohlcv",
        "select * from {p}build.published",
        "select * from {p}bars.bars_5m",
        "select * from {p}features.feat_x",
        "select {p}build.take_changes()",
        "insert into {p}mart.feature_mart values ('a', now(), 1)",
        "drop view {p}mart.feature_mart",
        "create or replace view {p}mart.feature_mart as select 1",
        "create table {p}mart.mine ()",
        "set role {p}perpmart_builder",
    ],
    "ml": [
        "select * from {p}raw.ohlcv",
        "select * from {p}raw.rejects",
        "select * from {p}features.feat_x",
        "select * from {p}build.models",
        "update {p}build.published set time = now()",
        "update {p}bars.bars_5m set close = 1",
        "delete from {p}bars.bars_5m",
        "insert into {p}mart.feature_mart values ('a', now(), 1)",
        "create table {p}mart.mine ()",
        "set role {p}perpmart_collector",
    ],
    "nobody": [
        "select * from {p}raw.ohlcv",
        "select * from {p}build.published",
        "select * from {p}bars.bars_5m",
        "select * from {p}features.feat_x",
        "select * from {p}mart.feature_mart",
        "select * from {p}raw.check_ohlcv_order('-infinity', 'infinity', now(), null)",
        "set role {p}perpmart_analyst",
    ],
}


@pytest.mark.parametrize("role", FORBIDDEN)
def test_what_a_role_must_not_is_refused(acting: As, role: str) -> None:
    connection = acting(role)
    for statement in FORBIDDEN[role]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.format(p=PREFIX).encode())
        connection.rollback()


def test_roles_are_made_once_and_kept(owner: Connection) -> None:
    owner.rollback()
    again = make_roles(owner, PREFIX)
    assert again.created == ()
    assert again.names == tuple(role_name(role, PREFIX) for role in ROLES)


def test_a_user_who_may_not_create_roles_is_told_so(owner: Connection, acting: As) -> None:
    outcome = make_roles(acting("collector"), "other_")
    assert outcome.names == ()
    assert "may not create roles" in outcome.missing
    assert "other_perpmart_builder" in outcome.missing
