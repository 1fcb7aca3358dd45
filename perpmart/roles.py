"""Database roles: who may write raw, who builds, who only reads the mart.

They are groups without login: a person or a program gets one by ``grant perpmart_analyst to ann``. Whoever
has none of them reaches nothing, since our schemas grant nothing to everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import psycopg
from psycopg import sql

from perpmart.database import tier
from perpmart.errors import DatabaseError
from perpmart.migrations import LAYERS

Connection: TypeAlias = psycopg.Connection[Any]
Role: TypeAlias = Literal["collector", "builder", "analyst", "ml"]

ROLES: tuple[Role, ...] = get_args(Role)

_MARKET = (
    *("ohlcv", "open_interest", "funding_rate", "liquidations", "long_short_ratio"),
    *("order_book", "mark_price", "instruments"),
)
_BUILT = ("build", "staging", "rollups", "bars", "features", "mart", "seeds", "failures")
# What is refused, replaced or changed is written once and never taken back by a collector.
_COLLECTOR: dict[tuple[str, ...], str] = {
    (*_MARKET, "gaps", "rejects"): "select, insert, update",
    ("coverage",): "select, insert, update, delete",
    ("revisions",): "select, insert",
    ("changes",): "insert",
}


class Roles(NamedTuple):
    """What became of the roles: their names, which were created now, and why some are missing, if so."""

    names: tuple[str, ...]
    created: tuple[str, ...]
    missing: str = ""


def role_name(role: Role, prefix: str = "") -> str:
    """Name of a role in the database: ``perpmart_analyst``, behind the prefix of the installation."""
    return f"{prefix}perpmart_{role}"


def make_roles(connection: Connection, prefix: str = "") -> Roles:
    """Create the roles where the connected user may, and give each what it needs and nothing more.

    Parameters
    ----------
    connection : psycopg.Connection
        As an owner of the schemas, after `perpmart.migrations.migrate`; committed here.
    prefix : str
        Of the schemas and of the roles.

    Returns
    -------
    Roles
        With the reason when the user may not create roles; nothing was changed then, unless the roles exist.

    Raises
    ------
    DatabaseError
        When the server refuses a grant.
    """
    names = {role: role_name(role, prefix) for role in ROLES}
    try:
        with connection.transaction():
            missing = [name for name in names.values() if not _exists(connection, name)]
            if missing and not _may_create(connection):
                return Roles((), (), _cannot(connection, missing))
            for name in missing:
                connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
            for statement in _statements(connection, names, prefix):
                connection.execute(sql.Composed([statement]))
    except psycopg.Error as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise DatabaseError(f"the roles cannot be made: {said}") from error
    connection.commit()
    return Roles(tuple(names.values()), tuple(missing))


def _exists(connection: Connection, name: str) -> bool:
    return connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone() is not None


def _may_log_in(connection: Connection, name: str) -> bool:
    row = connection.execute("select rolcanlogin from pg_roles where rolname = %s", [name]).fetchone()
    return bool(row and row[0])


def _may_create(connection: Connection) -> bool:
    row = connection.execute(
        "select rolsuper or rolcreaterole from pg_roles where rolname = current_user"
    ).fetchone()
    return bool(row and row[0])


def _cannot(connection: Connection, missing: list[str]) -> str:
    row = connection.execute("select current_user").fetchone()
    return (
        f"user {row[0] if row else '?'} may not create roles, so {', '.join(missing)} were not made:"
        " run `perpmart init` once as a user that may (createrole)"
    )


def _statements(connection: Connection, names: dict[Role, str], prefix: str) -> Iterator[sql.Composable]:
    """Give the grants; each may be repeated."""
    role = {one: sql.Identifier(name) for one, name in names.items()}
    schema = {layer: sql.Identifier(prefix + layer) for layer in (*LAYERS, "seeds", "failures")}
    for layer in ("seeds", "failures"):  # dbt's own, which a builder may not make
        yield sql.SQL("create schema if not exists {}").format(schema[layer])
    for identifier in schema.values():
        yield sql.SQL("revoke all on schema {} from public").format(identifier)
    if tier(connection) == "timescale" and not _may_log_in(connection, names["builder"]):
        # Jobs that refresh roll-ups run as their owner, who must be able to log in; no session may be it.
        yield sql.SQL("alter role {} login password null connection limit 0").format(role["builder"])
    # Objects made later, by whoever builds: this user, or a member acting as the builder.
    yield sql.SQL("grant {} to current_user").format(role["builder"])
    yield from _collector(role["collector"], schema["raw"], prefix, connection.info.dbname)
    yield from _builder(role["builder"], schema, prefix)
    for reader, layers in (
        (role["analyst"], ["mart", "failures"]),
        (role["ml"], ["mart", "failures", "bars"]),
    ):
        for layer in layers:
            yield sql.SQL("grant usage on schema {} to {}").format(schema[layer], reader)
            yield sql.SQL("grant select on all tables in schema {} to {}").format(schema[layer], reader)
            for maker in (sql.SQL(""), sql.SQL("for role {}").format(role["builder"])):
                yield sql.SQL("alter default privileges {} in schema {} grant select on tables to {}").format(
                    maker, schema[layer], reader
                )
    # The loader must know which bars are complete, and reads what was served.
    yield sql.SQL("grant usage on schema {} to {}").format(schema["build"], role["ml"])
    for table in ("published", "served", "served_sets"):
        yield sql.SQL("grant select on {} to {}").format(sql.Identifier(f"{prefix}build", table), role["ml"])


def _collector(
    role: sql.Identifier, raw: sql.Identifier, prefix: str, database: str
) -> Iterator[sql.Composable]:
    yield sql.SQL("grant usage on schema {} to {}").format(raw, role)
    # The writer's staging tables.
    yield sql.SQL("grant connect, temporary on database {} to {}").format(sql.Identifier(database), role)
    for tables, privileges in _COLLECTOR.items():
        yield sql.SQL("grant {} on {} to {}").format(
            sql.SQL(privileges),
            sql.SQL(", ").join(sql.Identifier(f"{prefix}raw", table) for table in tables),
            role,
        )


def _builder(
    role: sql.Identifier, schema: dict[str, sql.Identifier], prefix: str
) -> Iterator[sql.Composable]:
    yield sql.SQL("grant usage on schema {} to {}").format(schema["raw"], role)
    yield sql.SQL("grant select on all tables in schema {} to {}").format(schema["raw"], role)
    yield sql.SQL("grant delete on {} to {}").format(sql.Identifier(f"{prefix}raw", "changes"), role)
    for layer in _BUILT:
        yield sql.SQL("grant usage, create on schema {} to {}").format(schema[layer], role)
        yield sql.SQL(
            "grant select, insert, update, delete, truncate on all tables in schema {} to {}"
        ).format(schema[layer], role)
