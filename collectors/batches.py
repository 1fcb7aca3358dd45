"""Rows on their way into the database: divided by table, with the place where each was read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from collectors.rows import Refusal, Row
from collectors.tables import TABLES, Table


@dataclass(slots=True)
class Batch:
    """Rows of one table in their order of arrival, and where each was read."""

    table: Table
    rows: list[Row]
    origins: list[str]

    def take_unstorable(self) -> list[Refusal]:
        """Take out rows with text or numbers beyond PostgreSQL's types."""
        taken: list[Refusal] = []
        kept: list[tuple[Row, str]] = []
        for row, origin in zip(self.rows, self.origins, strict=True):
            if all(_storable(value) for value in row):
                kept.append((row, origin))
            else:
                reason = "text or number that the database cannot hold"
                taken.append(Refusal(self.table.name, origin, reason, ascii(row)))
        self.rows = [row for row, _ in kept]
        self.origins = [origin for _, origin in kept]
        return taken


@dataclass(frozen=True, slots=True)
class Staged:
    """What the staging table holds, series by series; ``columns`` are series columns, first, last, count."""

    table: Table
    columns: tuple[tuple[Any, ...], ...]

    @property
    def bounds(self) -> list[list[Any]]:
        """Series columns, first and last times, as one list each."""
        return [list(column) for column in self.columns[:-1]]

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(self.columns[-1]) if self.columns else 0

    @property
    def symbols(self) -> list[str]:
        """Symbols in order."""
        return sorted(set(self.columns[0])) if self.columns else []

    @property
    def first(self) -> datetime:
        """Earliest time."""
        first: datetime = min(self.columns[-3])
        return first

    @property
    def last(self) -> datetime:
        """Latest time."""
        last: datetime = max(self.columns[-2])
        return last


def by_table(rows: Iterable[Row], origins: Sequence[str] | None, origin: str) -> list[Batch]:
    """Divide rows by table, in a fixed order of the tables so that two writers cannot block each other."""
    rows = list(rows)
    origins = [origin] * len(rows) if origins is None else list(origins)
    if len(origins) != len(rows):
        raise ValueError(f"{len(origins)} origins for {len(rows)} rows")
    kinds = set(map(type, rows))
    if len(kinds) == 1:
        return [Batch(TABLES[kinds.pop()], rows, origins)]
    return [
        Batch(
            TABLES[kind],
            [row for row in rows if type(row) is kind],
            [place for row, place in zip(rows, origins, strict=True) if type(row) is kind],
        )
        for kind in sorted(kinds, key=lambda kind: TABLES[kind].name)
    ]


def _storable(value: object) -> bool:
    if isinstance(value, str):
        return "\0" not in value and value.encode("utf-8", "ignore").decode() == value
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def printable(text: str, longest: int) -> str:
    """Cut a text and keep it free of what PostgreSQL's text cannot hold."""
    return text[:longest].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
