"""The parts that our self-contained pages are put together from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from uuid import uuid4

from perpmart.errors import PerpmartError
from perpmart.report_style import STYLE

Cell = str | int | float | None


class ReportError(PerpmartError):
    """The page cannot be written, or there is nothing to show."""


@dataclass(frozen=True)
class Table:
    """A table of the page; numbers stand at the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def write_text(text: str, path: Path | str) -> Path:
    """Put a page into place as a whole; gives its absolute path.

    Raises
    ------
    ReportError
        The file cannot be written.
    """
    target = Path(path).absolute()
    part = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise ReportError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def whole_page(title: str, parts: Iterable[str]) -> str:
    """A page with our styles, from its parts in HTML."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def figures(facts: Iterable[tuple[str, str]]) -> str:
    """The handful of numbers at the top, each a value and what it is."""
    cards = (f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in facts)
    return f"<section class='facts'>{''.join(cards)}</section>"


def picture(svg: str, text: str) -> str:
    """A picture with the words that stand for it."""
    return f"<figure role='img' aria-label='{escape(text)}'>{svg}</figure>"


def table_html(table: Table) -> str:
    """A table under its heading."""
    numeric = [_is_number(cell) for cell in table.rows[0]] if table.rows else [False] * len(table.columns)
    head = "".join(
        f"<th{' class=number' if right else ''}>{escape(column)}</th>"
        for column, right in zip(table.columns, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    return (
        f"<h2>{escape(table.title)}</h2>{note}<div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _is_number(value: Cell) -> bool:
    return not isinstance(value, str) or value.endswith(" %")


def _cell(value: Cell) -> str:
    if value is None:
        text = "-"
    elif isinstance(value, str):
        text = escape(value)
    else:
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"<td{' class=number' if _is_number(value) else ''}>{text}</td>"
