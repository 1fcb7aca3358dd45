"""Connections: session settings, and one line that says what is wrong, without a password in it."""

import psycopg
import pytest

from perpmart.database import connect_to, libpq_environment, server_versions, tier
from perpmart.errors import DatabaseError


def test_session_is_utc_and_finds_the_raw_tables(database_url: str) -> None:
    with connect_to(database_url, prefix="my_") as connection:
        connection.execute("set time zone 'Asia/Tokyo'")
        connection.execute("reset all")
        row = connection.execute(
            "select current_setting('timezone'), current_setting('search_path')"
        ).fetchone()
    assert row == ("UTC", "my_raw,my_build,public")


def test_options_of_the_address_are_kept(database_url: str) -> None:
    separator = "&" if "?" in database_url else "?"
    with connect_to(f"{database_url}{separator}options=-c%20statement_timeout%3D1234") as connection:
        row = connection.execute("show statement_timeout").fetchone()
    assert row == ("1234ms",)


def test_plain_server_is_of_the_plain_tier(database_url: str) -> None:
    with connect_to(database_url) as connection:
        assert tier(connection) == "plain"
        versions = server_versions(connection)
    assert versions["timescaledb"] is None
    assert int(str(versions["postgresql"]).split(".")[0]) >= 15


@pytest.mark.parametrize(
    ("license_name", "expected"), [("timescale", "timescale"), ("apache", "timescale-apache")]
)
def test_tier_follows_the_licence_the_server_runs_under(license_name: str, expected: str) -> None:
    class Answer:
        def __init__(self, row: tuple[object, ...]) -> None:
            self.row = row

        def fetchone(self) -> tuple[object, ...]:
            return self.row

    class Server:
        def execute(self, query: str) -> Answer:
            return Answer((1,) if "pg_extension" in query else (license_name,))

    assert tier(Server()) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://ann:hush@127.0.0.1:1/db", "127.0.0.1:1 .*Connection refused"),
        ("postgresql://ann:hush@no-such-host.invalid/db", "no-such-host.invalid"),
        ("postgresql://ann:hush@/db?host=/nonexistent", "/nonexistent.*No such file"),
        ("postgresql://ann:hush@host/db?nonsense=1", "not a PostgreSQL address"),
    ],
)
def test_unreachable_database_is_one_line_with_the_place_and_without_the_password(
    url: str, says: str
) -> None:
    with pytest.raises(DatabaseError, match=says) as raised:
        connect_to(url)
    assert "\n" not in str(raised.value)
    assert "hush" not in str(raised.value)


def test_missing_database_is_named(database_url: str) -> None:
    missing = psycopg.conninfo.make_conninfo(database_url, dbname="nowhere")
    with pytest.raises(DatabaseError, match='database "nowhere" does not exist') as raised:
        connect_to(missing)
    assert "\n" not in str(raised.value)


def test_environment_for_psql_and_dbt() -> None:
    assert libpq_environment("postgresql://ann:a%2Fb@host:5433/db?sslmode=require") == {
        "PGHOST": "host",
        "PGPORT": "5433",
        "PGUSER": "ann",
        "PGPASSWORD": "a/b",
        "PGDATABASE": "db",
        "PGSSLMODE": "require",
    }
    assert libpq_environment("postgresql://ann@/db?host=/run/pg")["PGHOST"] == "/run/pg"
    assert libpq_environment("postgresql://ann@/db")["PGPORT"] == "5432"
