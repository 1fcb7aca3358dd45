"""Filling the raw tables: from the exchange, and from files."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collectors.archive import import_files
from collectors.archive_report import ImportReport, Progress
from collectors.backfill import OptimizedDataCollector, When, as_instant
from collectors.client import BinanceFuturesClient
from collectors.collection import CollectionResult, Step
from collectors.kinds import KINDS
from perpmart.database import connect, require_schema
from perpmart.errors import PerpmartError
from perpmart.progress import Show, progress
from perpmart.settings import Settings

DEFAULT_DAYS = 30


def backfill(
    settings: Settings,
    *,
    symbols: Sequence[str] = (),
    start: When | None = None,
    end: When | None = None,
    kinds: Sequence[str] = (),
) -> CollectionResult:
    """Collect what the raw tables lack of ``[start, end)``, all kinds and symbols at once.

    Parameters
    ----------
    settings : Settings
        Database, exchange and, unless `symbols` are given, the symbols.
    symbols : sequence of str, optional
        In any spelling.
    start, end : datetime, date or str, optional
        UTC; by default the exchange's last 30 days.
    kinds : sequence of str, optional
        Names of `collectors.kinds.KINDS`; all by default.

    Raises
    ------
    PerpmartError
        If the database or the exchange cannot be reached, or a symbol or kind is unknown.
    """

    async def collect(show: Show) -> CollectionResult:
        async with BinanceFuturesClient(base_url=settings.exchange_url) as client:
            collector = OptimizedDataCollector(
                client, connection, kinds=kinds or tuple(KINDS), progress=_Pages(show)
            )
            first = start or (await client.server_time(attempts=3)) - timedelta(days=DEFAULT_DAYS)
            return await collector.collect_all_data_concurrent(symbols or settings.symbols, first, end)

    with connect(settings) as connection, progress("collecting") as show:
        require_schema(connection, settings.schema_prefix)
        return asyncio.run(collect(show))


def import_archive(
    settings: Settings, paths: Sequence[Path], *, watched: Sequence[tuple[str, str]] = ()
) -> ImportReport:
    """Import files and folders of files into the raw tables.

    Parameters
    ----------
    settings : Settings
        The database.
    paths : sequence of path
        csv, csv.gz and zip files, and folders of such.
    watched : sequence of (str, str), optional
        Segments ``[from, to)``, UTC, in which recorded liquidations were listened for.

    Raises
    ------
    PerpmartError
        If the database cannot be reached, a path does not exist, or a segment makes no sense. A file that
        cannot be read is reported in the result.
    """
    for path in paths:
        if not path.exists():
            raise PerpmartError(f"{path}: there is no such file or folder")
    segments = [(as_instant(first), as_instant(last)) for first, last in watched]
    for first, last in segments:
        if first >= last:
            raise PerpmartError(f"--watched {first:%FT%H:%M} {last:%FT%H:%M}: ends before it begins")
    with connect(settings) as connection, progress("importing") as show:
        require_schema(connection, settings.schema_prefix)

        def tell(step: Progress) -> None:
            show(step.bytes_done, step.bytes, rows=step.rows, what=step.path.name)

        return import_files(connection, paths, now=datetime.now(UTC), watched=segments or None, progress=tell)


class _Pages:
    """Adds up the steps of all symbols and kinds that are read at once."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._latest: dict[tuple[str, str], Step] = {}

    def __call__(self, step: Step) -> None:
        self._latest[step.symbol, step.kind] = step
        steps = self._latest.values()
        self._show(
            sum(one.pages_done for one in steps),
            sum(one.pages_total for one in steps),
            rows=sum(one.rows for one in steps),
            what=f"{step.symbol} {step.kind}",
        )
