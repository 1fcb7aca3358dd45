"""One self-contained HTML page about a mart: prices, liquidations, coverage, features, counts.

Everything is inside the file: pictures as SVG, styles in the head, no script and no request to anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from perpmart.database import Connection
from perpmart.report_data import Range, RawKind, ReportData, read_report
from perpmart.report_page import (
    ReportError,
    Table,
    figures,
    picture,
    table_html,
    whole_page,
    write_text,
)
from perpmart.report_pictures import coverage_map, feature_lines, price_with_liquidations


def write_report(
    connection: Connection,
    path: Path | str,
    *,
    symbols: Sequence[str],
    start: datetime,
    end: datetime,
    schema_prefix: str = "",
    title: str = "perpmart",
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
    made_at: datetime | None = None,
) -> Path:
    """Write the page.

    Parameters
    ----------
    connection : psycopg.Connection
        Database with a built mart.
    path : Path or str
        The file; its folder is made, a file that was there is replaced.
    symbols : sequence of str
        Which to show, in this order.
    start, end : datetime
        ``[start, end)`` of bar opens, UTC.
    title : str, optional
        Heading.
    tables : sequence of Table, optional
        More tables, such as the seconds of each step.
    notes : sequence of str, optional
        Sentences under the heading.
    made_at : datetime, optional
        When the page was made; the present by default.

    Returns
    -------
    Path
        Absolute path of the page.

    Raises
    ------
    ReportError
        No symbols, or the file cannot be written.
    MlError
        A symbol without bars, or no mart.
    """
    if not symbols:
        raise ReportError("no symbols to report on")
    data = read_report(connection, symbols, Range(start, end), schema_prefix=schema_prefix)
    if without := [report.symbol for report in data.symbols if report.bars.empty]:
        raise ReportError(
            f"no bars of {', '.join(without)} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
        )
    return write_page(data, path, title=title, tables=tables, notes=notes, made_at=made_at)


def write_page(
    data: ReportData,
    path: Path | str,
    *,
    title: str = "perpmart",
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
    made_at: datetime | None = None,
) -> Path:
    """Write the page of data that were read already; see `write_report`."""
    text = _page(data, title, tables, notes, made_at or datetime.now(UTC))
    return write_text(text, path)


def _page(
    data: ReportData, title: str, tables: Sequence[Table], notes: Sequence[str], made_at: datetime
) -> str:
    span = f"{data.span.start:%Y-%m-%d %H:%M} to {data.span.end:%Y-%m-%d %H:%M} UTC"
    parts = [
        f"<header><h1>{escape(title)}</h1><p class='span'>{escape(span)}</p>",
        *(f"<p>{escape(note)}</p>" for note in notes),
        "</header>",
        _figures(data),
        "<h2>Price and liquidations</h2>",
        *(
            picture(
                price_with_liquidations(report), f"Close price and hourly liquidations of {report.symbol}"
            )
            for report in data.symbols
        ),
        "<h2>What is known, day by day</h2>",
        "<p>Share of feature values that are not NULL. A feature is NULL until its window is full, and"
        " wherever its source was not known: nothing is guessed.</p>",
        picture(coverage_map(data.symbols), "Share of known values by feature group and day"),
        "<h2>A few features, last seven days</h2>",
        picture(feature_lines(data.symbols, data.registry), "A few features of each symbol over seven days"),
        *(table_html(table) for table in (*tables, _raw_table(data.raw), _group_table(data))),
        f"<footer>Made {escape(f'{made_at:%Y-%m-%d %H:%M} UTC')} by perpmart. Feature set"
        f" <code>{escape(data.registry.feature_set.hash)}</code>.</footer>",
    ]
    return whole_page(title, parts)


def _figures(data: ReportData) -> str:
    """The handful of numbers at the top."""
    bars = sum(len(report.bars) for report in data.symbols)
    known = [report.known for report in data.symbols]
    holes = sum(kind.holes for kind in data.raw)
    facts = (
        (f"{len(data.symbols)}", "symbols"),
        (f"{sum(kind.rows for kind in data.raw):,}", "raw rows"),
        (f"{bars:,}", "bars of 5 minutes"),
        (f"{len(data.registry.features)}", "features"),
        (f"{100 * sum(known) / len(known):.1f} %", "feature values known"),
        (f"{holes:,}", "holes noted"),
    )
    return figures(facts)


def _raw_table(raw: Iterable[RawKind]) -> Table:
    rows = tuple(
        (kind.symbol, kind.kind, kind.rows, f"{100 * kind.covered:.1f} %", kind.holes) for kind in raw
    )
    return Table(
        "Raw rows",
        ("Symbol", "Kind", "Rows", "Covered", "Holes"),
        rows,
        "Covered: share of the range for which exchange or archive answered, or a stream was listened to.",
    )


def _group_table(data: ReportData) -> Table:
    """Features and known share by group."""
    names: dict[str, int] = {}
    for feature in data.registry.features:
        names[feature.group] = names.get(feature.group, 0) + 1
    rows: list[tuple[str | int | float | None, ...]] = []
    for group, count in names.items():
        shares = (
            report.coverage.loc[group].mean() for report in data.symbols if group in report.coverage.index
        )
        rows.append((group, count, *(f"{100 * share:.1f} %" for share in shares)))
    symbols = tuple(report.symbol for report in data.symbols)
    return Table("Features by group: values known", ("Group", "Features", *symbols), tuple(rows))
