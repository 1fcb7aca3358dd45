"""Bringing a database to the schema of this version: safe to run again, and to run on an older database."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import psycopg
from psycopg import sql

from perpmart.errors import DatabaseError

Connection: TypeAlias = psycopg.Connection[Any]

LAYERS: tuple[str, ...] = ("raw", "build", "staging", "rollups", "bars", "features", "mart")
"""Schemas in the order of the data's way; each gets the prefix."""

_ROOT = Path(__file__).resolve().parent.parent
RAW_FILES = _ROOT / "collectors" / "schema"
ENGINE_FILES = _ROOT / "dbt_project" / "engine"

_PREFIX = re.compile(r"([a-z_][a-z0-9_]{0,20})?")
_LOCK = 0x7065_7270_6D61_7274  # "perpmart" in ASCII: any constant serves, as long as all versions agree.
_logger = logging.getLogger(__name__)


class SchemaFile(NamedTuple):
    """A SQL file: run ``once``, or again whenever its text changes."""

    name: str
    path: Path
    once: bool
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrate(
    connection: Connection,
    prefix: str = "",
    *,
    raw_files: Path = RAW_FILES,
    engine_files: Path = ENGINE_FILES,
) -> list[str]:
    """Create or upgrade the schemas, raw tables and the build engine.

    Each file is one transaction. Numbered raw files (``001_name.sql``) run once and in order; raw files
    without a number (functions, triggers) whenever their text changed or a numbered one ran; the engine's
    files whenever their text changed. Two migrations at once wait for each other.

    Parameters
    ----------
    connection : psycopg.Connection
        Its open transaction, if any, is committed first. The role must be allowed to create schemas.
    prefix : str
        Put before each schema's name.
    raw_files, engine_files : pathlib.Path
        Folders of SQL files; a folder that is missing counts as empty.

    Returns
    -------
    list of str
        Files that ran, empty when the database was up to date.

    Raises
    ------
    DatabaseError
        When the prefix is malformed, a numbered raw file was changed after it ran here, or a file fails; the
        files before it stay applied.
    """
    if not _PREFIX.fullmatch(prefix):
        raise DatabaseError(f"schema prefix {prefix!r} is not of the form [a-z_][a-z0-9_]{{0,20}}")
    files = [*_files(raw_files, "raw"), *_files(engine_files, "build")]
    connection.commit()
    ran: list[str] = []
    with _only_one(connection):
        try:
            with connection.transaction():
                _create_schemas(connection, prefix)
                applied = _applied(connection, prefix)
            for file in _due(files, applied):
                with connection.transaction():
                    # A crash may lose what is written next, not the tables and functions it is written by.
                    connection.execute("set local synchronous_commit = on")
                    _run(connection, file, prefix)
                ran.append(file.name)
                _logger.info("applied %s", file.name, extra={"schema_prefix": prefix})
        except psycopg.Error as error:
            raise DatabaseError(f"the schema cannot be brought up to date: {_first_line(error)}") from error
    return ran


def _files(folder: Path, layer: str) -> list[SchemaFile]:
    paths = sorted(folder.glob("*.sql"), key=lambda path: (not path.name[0].isdigit(), path.name))
    return [
        SchemaFile(
            f"{layer}/{path.name}",
            path,
            layer == "raw" and path.name[0].isdigit(),
            path.read_text(encoding="utf-8"),
        )
        for path in paths
    ]


@contextmanager
def _only_one(connection: Connection) -> Iterator[None]:
    # A session lock, as every file is its own transaction.
    connection.execute("select pg_advisory_lock(%s)", [_LOCK])
    connection.commit()
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()
            connection.execute("select pg_advisory_unlock(%s)", [_LOCK])
            connection.commit()


def _create_schemas(connection: Connection, prefix: str) -> None:
    present = {row[0] for row in connection.execute("select nspname from pg_namespace")}
    for layer in LAYERS:
        if prefix + layer not in present:
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(prefix + layer)))
    connection.execute(
        sql.SQL(
            """
            create table if not exists {0} (
                name text primary key, checksum text not null, applied_at timestamptz not null default now()
            );
            comment on table {0} is 'SQL files that ran here. One row per file';
            comment on column {0}.name is 'Layer and file';
            comment on column {0}.checksum is 'SHA-256 of the file as it ran last';
            comment on column {0}.applied_at is 'When it ran last'
            """
        ).format(_migrations(prefix))
    )


def _migrations(prefix: str) -> sql.Identifier:
    return sql.Identifier(prefix + "raw", "migrations")


def _applied(connection: Connection, prefix: str) -> dict[str, str]:
    query = sql.SQL("select name, checksum from {}").format(_migrations(prefix))
    return dict(connection.execute(query).fetchall())


def _due(files: list[SchemaFile], applied: dict[str, str]) -> list[SchemaFile]:
    final = [file for file in files if file.once and file.name in applied]
    changed = [file.name for file in final if applied[file.name] != file.checksum]
    if changed:
        raise DatabaseError(
            f"{', '.join(changed)} was changed after it ran on this database: numbered schema files are"
            " final, put changes into a new one"
        )
    # Triggers name the columns of their table, so they are made anew after any numbered file.
    renew = any(file.once and file.name not in applied for file in files)
    return [
        file
        for file in files
        if applied.get(file.name) != file.checksum
        or (renew and file.name.startswith("raw/") and not file.once)
    ]


def _run(connection: Connection, file: SchemaFile, prefix: str) -> None:
    layer = file.name.partition("/")[0]
    other = {"raw": "build", "build": "raw"}[layer]
    connection.execute(
        sql.SQL("set local search_path = {}, {}, public").format(
            sql.Identifier(prefix + layer), sql.Identifier(prefix + other)
        )
    )
    try:
        # No parameters, so a file may hold several statements and its percent signs are left alone.
        connection.execute(file.text.encode())
    except psycopg.Error as error:
        raise DatabaseError(f"{file.path.name}: {_first_line(error)}{_where(error, file.text)}") from error
    connection.execute(
        sql.SQL(
            "insert into {} (name, checksum) values (%s, %s)"
            " on conflict (name) do update set checksum = excluded.checksum, applied_at = now()"
        ).format(_migrations(prefix)),
        [file.name, file.checksum],
    )


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _where(error: psycopg.Error, text: str) -> str:
    position = error.diag.statement_position
    return f" (line {text.count(chr(10), 0, int(position)) + 1})" if position else ""
