"""The steps after collecting, wired to the settings: build, push, export, report."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast, get_args

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
from perpmart.servers import addresses
from perpmart.settings import Settings


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
