"""Checking the raw tables, wired to the settings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from collectors.backfill import When, as_instant
from collectors.collection import CollectionResult
from collectors.quality import Validation
from collectors.quality import validate as ask
from collectors.quality_checks import Check, configured
from collectors.symbols import canonical_symbol
from perpmart.database import Connection, connect, require_schema
from perpmart.errors import PerpmartError
from perpmart.progress import progress
from perpmart.settings import Settings
from perpmart.validation_page import write_validation_page

FOLDER = "validation"
PAGE = "index.html"


class Validated(NamedTuple):
    """What the checks found, and the page about it, None when none was asked for."""

    validation: Validation
    page: Path | None


def validate(
    settings: Settings,
    *,
    symbols: Sequence[str] = (),
    start: When | None = None,
    end: When | None = None,
    now: When | None = None,
    page: bool = True,
    folder: Path | None = None,
) -> Validated:
    """Check the raw tables and write the pages.

    Parameters
    ----------
    settings : Settings
        Database, severities (`checks`), state folder.
    symbols : sequence of str, optional
        In any spelling; all by default.
    start, end : datetime, date or str, optional
        ``[start, end)`` of the rows' times, UTC; all by default.
    now : datetime, date or str, optional
        The exchange's clock; the machine's by default.
    page : bool, optional
        Whether Great Expectations judges the findings too and pages are written.
    folder : Path, optional
        Where the pages go; ``validation`` in the state folder by default.

    Raises
    ------
    PerpmartError
        If the database cannot be reached or asked, a setting is unknown, or a page cannot be written.
    """
    checks = configured(settings.checks)
    names = [canonical_symbol(symbol) for symbol in symbols]
    with connect(settings) as connection, progress("checking") as show:
        require_schema(connection, settings.schema_prefix)
        _require_checks(connection)

        def tell(check: Check, place: int) -> None:
            show(place, len(checks), rows=0, what=check.name)

        found = ask(
            connection,
            now=as_instant(now) if now else datetime.now(UTC),
            since=as_instant(start) if start else None,
            until=as_instant(end) if end else None,
            symbols=names,
            checks=checks,
            progress=tell,
        )
    if not page:
        return Validated(found, None)
    target = (folder or settings.state_dir / FOLDER).absolute()
    return Validated(found, write_pages(found, target))


def validate_collection(settings: Settings, result: CollectionResult) -> Validation:
    """Check the symbols that were just collected, by the exchange's clock; no page is written.

    Raises
    ------
    PerpmartError
        If the database cannot be reached or asked.
    """
    symbols = list(dict.fromkeys(kind.symbol for kind in result.kinds))
    # A minute more: what was the present when the collection ended is later than its start.
    now = max(result.now, result.now + timedelta(seconds=result.seconds)) + timedelta(minutes=1)
    return validate(settings, symbols=symbols, now=now, page=False).validation


def write_pages(found: Validation, folder: Path) -> Path:
    """Let Great Expectations judge what was found, write its Data Docs and our page into a folder.

    Raises
    ------
    PerpmartError
        When a page cannot be written, or the two verdicts differ.
    """
    from collectors.quality_docs import judge

    try:
        folder.mkdir(parents=True, exist_ok=True)
        judgement = judge(found, folder)
    except OSError as error:
        raise PerpmartError(f"{folder} cannot be written: {error.strerror or error}") from error
    broken = {result.check.name for result in found.results if result.count}
    if judgement.unexpected != broken:
        names = ", ".join(sorted(judgement.unexpected ^ broken))
        raise PerpmartError(f"Great Expectations and the database judge differently about {names}")
    return write_validation_page(found, folder / PAGE, judgement.page)


def _require_checks(connection: Connection) -> None:
    found = connection.execute("select to_regproc('check_rejects')").fetchone()
    connection.rollback()
    if found is None or found[0] is None:
        raise PerpmartError("this database has no checks yet: run `perpmart init` first")
