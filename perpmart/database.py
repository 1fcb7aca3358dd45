"""Connections to PostgreSQL, errors that say in one line what is wrong, and what the server can do."""

from typing import Any, Literal, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from perpmart.errors import DatabaseError
from perpmart.servers.addresses import database_url
from perpmart.settings import Settings
from perpmart.urls import mask_password

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Tier: TypeAlias = Literal["plain", "timescale-apache", "timescale"]

TIER_MEANS: dict[Tier, str] = {
    "plain": "roll-ups are tables kept up to date by range, nothing is cut into chunks or compressed",
    "timescale-apache": "raw, bars and features are cut into chunks; roll-ups are tables kept up to date by"
    " range and nothing is compressed, which the Community licence would do",
    "timescale": "raw, bars and features are cut into chunks, old raw rows compressed, roll-ups continuous"
    " aggregates",
}
"""What each tier does otherwise than the others; the numbers are the same on all."""

_CONNECT_TIMEOUT = "10"
_ENVIRONMENT_NAMES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def connect(settings: Settings, *, autocommit: bool = False) -> Connection:
    """Connect to the database of the settings: the one given, else the embedded one.

    Raises
    ------
    DatabaseError
        If there is none, or it cannot be reached; the text says where and why, without a password.
    """
    url = database_url(settings)
    try:
        return connect_to(url, prefix=settings.schema_prefix, autocommit=autocommit)
    except DatabaseError as error:
        if settings.database_url:
            raise
        raise DatabaseError(f"{error}; `perpmart up` starts the embedded server") from error


def connect_to(url: str, *, prefix: str = "", autocommit: bool = False) -> Connection:
    """Connect to `url` with our session settings: UTC, our name, and the raw and build schemas in the path.

    Parameters
    ----------
    url : str
        A ``postgresql://`` address.
    prefix : str
        Put before the name of each schema in the search path.
    autocommit : bool
        As psycopg's.

    Raises
    ------
    DatabaseError
        If the server cannot be reached or refuses us.
    """
    conninfo = _parse(url)
    conninfo.setdefault("connect_timeout", _CONNECT_TIMEOUT)
    conninfo.setdefault("application_name", "perpmart")
    # As start-up options they outlive a `reset all` and a rollback, which a `set` does not.
    ours = f"-c TimeZone=UTC -c search_path={prefix}raw,{prefix}build,public"
    conninfo["options"] = f"{conninfo.get('options') or ''} {ours}".strip()
    try:
        return psycopg.connect(make_conninfo(**conninfo), autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise DatabaseError(f"no connection to {_place(conninfo)}: {_reason(error)}") from error


def tier(connection: Connection) -> Tier:
    """Ask the server which of the three kinds it is.

    Returns
    -------
    str
        ``plain`` without the timescaledb extension in this database, ``timescale-apache`` where it runs under
        the Apache licence (hypertables, `time_bucket`), ``timescale`` under the Community one (continuous
        aggregates, compression).
    """
    installed = connection.execute("select 1 from pg_extension where extname = 'timescaledb'").fetchone()
    if installed is None:
        return "plain"
    # The setting, not the package: the licence can be given on the server's command line.
    row = connection.execute("select current_setting('timescaledb.license', true)").fetchone()
    return "timescale" if row is not None and row[0] == "timescale" else "timescale-apache"


def server_versions(connection: Connection) -> dict[str, str | None]:
    """Return the versions of PostgreSQL and of the timescaledb extension (None where it is not installed)."""
    row = connection.execute("""
        select current_setting('server_version'),
               (select extversion from pg_extension where extname = 'timescaledb')
    """).fetchone()
    if row is None:
        raise DatabaseError("the server did not tell its version")
    return {"postgresql": row[0], "timescaledb": row[1]}


def require_schema(connection: Connection, prefix: str = "") -> None:
    """Raise DatabaseError unless `perpmart init` was run on this database."""
    found = connection.execute("select to_regclass(%s)", [f"{prefix}raw.coverage"]).fetchone()
    connection.rollback()
    if found is None or found[0] is None:
        raise DatabaseError(
            f"no table {prefix}raw.coverage in database {connection.info.dbname}: run `perpmart init` first"
        )


def libpq_environment(url: str) -> dict[str, str]:
    """Return the ``PG*`` variables that make psql and dbt use the database of `url`.

    Host and port are always among them, so that a value left over from another shell does not get in.
    """
    conninfo: dict[str, Any] = {"host": "localhost", "port": 5432} | _parse(url)
    return {name: str(conninfo[key]) for key, name in _ENVIRONMENT_NAMES.items() if conninfo.get(key)}


def _parse(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        # libpq quotes parts of the address it cannot read, a password among them perhaps.
        raise DatabaseError(f"not a PostgreSQL address: {mask_password(url)}") from None


def _place(conninfo: dict[str, Any]) -> str:
    host = conninfo.get("host") or conninfo.get("hostaddr") or "localhost"
    return (
        f"PostgreSQL at {host}:{conninfo.get('port') or 5432}"
        f" (database {conninfo.get('dbname') or 'unnamed'}, user {conninfo.get('user') or 'unnamed'})"
    )


def _reason(error: psycopg.OperationalError) -> str:
    """Return the telling part of libpq's text, which repeats address and attempts over several lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "failed: " in line] or lines or [type(error).__name__]
    return telling[-1].rpartition("failed: ")[2].removeprefix("FATAL:").strip()
