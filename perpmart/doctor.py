"""A look at everything a run needs, with what to do about what is missing."""

import asyncio
import platform
import shutil
import sys
from typing import Literal, NamedTuple, TypeAlias

from perpmart.database import TIER_MEANS, Connection, connect, tier
from perpmart.errors import PerpmartError
from perpmart.hypertables import RAW_TABLES
from perpmart.migrations import LAYERS
from perpmart.settings import Settings
from perpmart.status import Status, ask_status

Verdict: TypeAlias = Literal["ok", "warns", "fails"]

_LEAST_PYTHON = (3, 11)
_LEAST_POSTGRESQL = 15
_LEAST_FREE_GIB = 5.0


class Check(NamedTuple):
    """One thing looked at: what, whether it will do, and what was found or is to be done."""

    subject: str
    verdict: Verdict
    finding: str


def examine(settings: Settings) -> list[Check]:
    """Look at everything; nothing is changed and nothing raised for what is missing."""
    status = ask_status(settings)
    return [
        _python(),
        *_servers(status),
        _schema(settings, status),
        *_extension(settings, status),
        _disk(settings),
        _exchange(settings),
    ]


def _python() -> Check:
    verdict: Verdict = "ok" if sys.version_info >= _LEAST_PYTHON else "fails"
    return Check("Python", verdict, platform.python_version())


def _servers(status: Status) -> list[Check]:
    checks = [Check("server", "fails", problem) for problem in status.problems]
    found = status.versions["postgresql"]
    if found is not None:
        new_enough = int(found.split(".")[0]) >= _LEAST_POSTGRESQL
        text = f"{found}, tier {status.tier}" + (f": {TIER_MEANS[status.tier]}" if status.tier else "")
        wanted = "" if new_enough else f"; {_LEAST_POSTGRESQL} or newer is needed"
        checks.append(Check("PostgreSQL", "ok" if new_enough else "fails", text + wanted))
    if status.versions["redis"] is not None:
        checks.append(Check("Redis", "ok", status.versions["redis"]))
    return checks


def _schema(settings: Settings, status: Status) -> Check:
    if status.tier is None:
        return Check("schema", "warns", "not looked at: the database does not answer")
    wanted = [settings.schema_prefix + layer for layer in LAYERS]
    with connect(settings) as connection:
        rows = connection.execute("select nspname from pg_namespace where nspname = any(%s)", [wanted])
        missing = sorted(set(wanted) - {row[0] for row in rows})
    if missing:
        return Check("schema", "warns", f"no {', '.join(missing)} yet: run `perpmart init`")
    return Check("schema", "ok", ", ".join(wanted))


def _extension(settings: Settings, status: Status) -> list[Check]:
    """Say when the server has TimescaleDB and this database does not use it, or not wholly."""
    if status.tier is None:
        return []
    with connect(settings, autocommit=True) as connection:
        if tier(connection) == "plain":
            found = connection.execute(
                "select default_version from pg_available_extensions where name = 'timescaledb'"
            ).fetchone()
            if found is None:
                return []
            advice = "`create extension timescaledb`, then `perpmart init`"
            return [Check("TimescaleDB", "warns", f"{found[0]} is here but not used: {advice}")]
        return [_chunks(connection, settings.schema_prefix)]


def _chunks(connection: Connection, prefix: str) -> Check:
    row = connection.execute(
        "select count(*) from timescaledb_information.hypertables where hypertable_schema = %s",
        [f"{prefix}raw"],
    ).fetchone()
    count, wanted = (row[0] if row else 0), len(RAW_TABLES)
    text = f"{count} of {wanted} raw tables are cut into chunks"
    return Check(
        "TimescaleDB",
        "ok" if count >= wanted else "warns",
        text if count >= wanted else f"{text}: run `perpmart init`",
    )


def _disk(settings: Settings) -> Check:
    folder = next(path for path in (settings.state_dir, *settings.state_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free / (1 << 30)
    return Check("disk", "ok" if free >= _LEAST_FREE_GIB else "warns", f"{free:.0f} GiB free in {folder}")


def _exchange(settings: Settings) -> Check:
    from collectors.client import BinanceFuturesClient

    async def ask() -> str:
        async with BinanceFuturesClient(base_url=settings.exchange_url) as client:
            return f"{await client.server_time(attempts=1):%Y-%m-%d %H:%M:%S} UTC"

    try:
        clock = asyncio.run(ask())
    except PerpmartError as error:
        return Check("exchange", "warns", str(error))
    return Check("exchange", "ok", f"{settings.exchange_url} answers, its clock says {clock}")
