"""The steps around collecting, wired to the settings: init, build, push, export, report."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, cast, get_args

from psycopg import sql

from collectors.backfill import as_instant
from ml.bars import bar_columns
from ml.data_loader import MarketDataLoader
from ml.feature_store_writer import FeatureStoreWriter
from perpmart import build as dbt_build
from perpmart import export as file_export
from perpmart import push as vector_push
from perpmart import report as page_report
from perpmart.collect import DEFAULT_DAYS
from perpmart.database import connect, require_schema
from perpmart.errors import PerpmartError
from perpmart.hypertables import Upkeep, keep_in_chunks
from perpmart.migrations import migrate
from perpmart.progress import progress
from perpmart.roles import Roles, make_roles
from perpmart.servers import addresses
from perpmart.settings import Settings


class Initialised(NamedTuple):
    """What `init` did.

    Attributes
    ----------
    applied : schema files that ran
    chunks : what was done to the raw tables on TimescaleDB, one phrase each
    roles : the roles that were made, or why they could not be
    """

    applied: list[str]
    chunks: list[str]
    roles: Roles


def init(settings: Settings, *, upkeep: Upkeep | None = None) -> Initialised:
    """Bring schema and roles up to date, and the raw tables into chunks where the server has TimescaleDB.

    Parameters
    ----------
    settings : Settings
        The database.
    upkeep : Upkeep, optional
        What TimescaleDB does with old rows; what is not given stays as it is.

    Raises
    ------
    PerpmartError
        If the database cannot be reached, or refuses a step; the steps before it are done.
    """
    with connect(settings) as connection:
        applied = migrate(connection, settings.schema_prefix)
        with progress("moving rows into chunks") as show:
            chunks = keep_in_chunks(
                connection,
                settings.schema_prefix,
                upkeep=upkeep,
                progress=lambda table, done, total: show(done, total, rows=0, what=table),
            )
        roles = make_roles(connection, settings.schema_prefix)
    return Initialised(applied, chunks, roles)


def build(
    settings: Settings, *, full_refresh: bool = False, test: bool = False, select: str | None = None
) -> list[dbt_build.NodeOutcome]:
    """Build the mart; see `perpmart.build.build`.

    Raises
    ------
    PerpmartError
        If the database cannot be reached, has no raw schema, or a model fails.
    """
    with connect(settings) as connection:
        require_schema(connection, settings.schema_prefix)
    return dbt_build.build(
        addresses.database_url(settings),
        prefix=settings.schema_prefix,
        full_refresh=full_refresh,
        test=test,
        select=select,
        benchmark=settings.benchmark,
        threads=settings.threads,
    )


def push(settings: Settings, *, symbols: Sequence[str] = (), history: int = 0) -> list[vector_push.Pushed]:
    """Send the newest vectors to Redis; see `perpmart.push.push`.

    Raises
    ------
    PerpmartError
        If database or Redis cannot be reached, or the mart was never built.
    """
    writer = FeatureStoreWriter(addresses.redis_url(settings), namespace=f"{settings.schema_prefix}perpmart")
    with connect(settings) as connection:
        return vector_push.push(
            connection,
            writer,
            schema_prefix=settings.schema_prefix,
            symbols=list(symbols) or None,
            history=history,
        )


def export(
    settings: Settings,
    path: Path,
    *,
    symbols: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    content: str = "features",
    timeframe: str = "5m",
    groups: Sequence[str] = (),
    features: Sequence[str] = (),
    comparable: bool = False,
) -> file_export.Exported:
    """Write a file of features or bars; see `perpmart.export.export`. Without times, all there is.

    Raises
    ------
    PerpmartError
        If the database cannot be reached, a name is unknown, or the file cannot be written.
    """
    if content not in get_args(file_export.Content):
        raise PerpmartError(
            f"unknown content {content!r}: choose {' or '.join(get_args(file_export.Content))}"
        )
    return file_export.export(
        MarketDataLoader(settings),
        path,
        symbols=list(symbols) or None,
        start=start or "1970-01-01",
        end=end or "2100-01-01",
        content=cast("file_export.Content", content),
        timeframe=timeframe,
        groups=list(groups) or None,
        features=list(features) or None,
        comparable_only=comparable,
    )


def report(
    settings: Settings,
    path: Path,
    *,
    symbols: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
) -> Path:
    """Write the page about the mart; see `perpmart.report.write_report`. Without times, of its last 30 days.

    Raises
    ------
    PerpmartError
        If the database cannot be reached, the mart holds no such bars, or the file cannot be written.
    """
    with connect(settings) as connection:
        loader = MarketDataLoader(connection, schema_prefix=settings.schema_prefix)
        bar_columns(connection, schema_prefix=settings.schema_prefix)  # says so when there is no mart
        chosen = list(symbols) or loader.symbols()
        bars = sql.Identifier(f"{settings.schema_prefix}bars", "bars_5m")
        row = connection.execute(sql.SQL("select max(available_at) from {}").format(bars)).fetchone()
        last = as_instant(end) if end else row[0] if row else None
        if last is None:
            raise PerpmartError("the mart holds no bars yet: run `perpmart build` first")
        first = as_instant(start) if start else last - timedelta(days=DEFAULT_DAYS)
        return page_report.write_report(
            connection, path, symbols=chosen, start=first, end=last, schema_prefix=settings.schema_prefix
        )
