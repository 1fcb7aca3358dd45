"""What is known of a file before its rows are read: its name, its shape, its cells; no I/O here."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from collectors.archive_files import ArchiveError, stem_of
from collectors.rows import WIDTHS, Row, Source
from collectors.symbols import SymbolError, canonical_symbol

Parse = Callable[[list[str]], list[Row]]

UNKNOWN = frozenset({"", "None", "none", "null", "NULL"})
"""Cells that mean: not known."""

_NAME = re.compile(r"(?P<symbol>[^-]+)-(?P<what>[^-]+)-(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2}))?")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a file holds and how to read it.

    Parameters
    ----------
    kind : str
        For people: ``klines 5m``, ``metrics``, ...
    stream : str
        The stream that its lines are meant for, the first if there are several.
    source : str
        Who said it: ``archive`` for files of the bulk archive, ``rest`` for dumps of REST answers, ``stream``
        for recorded messages.
    columns : tuple of str
        Columns of a line.
    parse : callable
        Makes the rows of a line; raises ValueError on what makes no sense.
    covers : tuple of (str, timedelta)
        Streams for which the file is everything there is, and how much time one row stands for.
    symbol : str
        Canonical symbol that the name tells, or empty when each row names its own.
    whole : tuple of datetime, optional
        The day or month that a file of the bulk archive speaks of.
    has_header : bool
        Whether the first line names the columns.
    notes : tuple of str
        What the reader should know: columns not taken, doubts.
    last_is_doubtful : bool
        Whether the last bar may have been unclosed when the file was made.
    """

    kind: str
    stream: str
    source: Source
    columns: tuple[str, ...]
    parse: Parse
    covers: tuple[tuple[str, timedelta], ...] = ()
    symbol: str = ""
    whole: tuple[datetime, datetime] | None = None
    has_header: bool = True
    notes: tuple[str, ...] = ()
    last_is_doubtful: bool = False


@dataclass(frozen=True)
class FileName:
    """What a path says: symbol, kind and date of an archive file, and all words of its name and folder."""

    path: Path
    symbol_text: str
    words: tuple[str, ...]
    what: str = ""
    whole: tuple[datetime, datetime] | None = None

    @property
    def symbol(self) -> str:
        """Canonical symbol; raises ArchiveError when the name begins with none."""
        try:
            return canonical_symbol(self.symbol_text)
        except SymbolError as error:
            raise ArchiveError(f"{self.path}: the file's name must begin with a symbol: {error}") from error

    @property
    def width(self) -> str | None:
        """Timeframe or period, when the name or the folder tells it."""
        return next((word for word in self.words if word in WIDTHS), None)


def read_name(path: Path) -> FileName:
    """Take a path apart.

    Raises
    ------
    ArchiveError
        When it is named as an archive file of an impossible date.
    """
    stem, folder = stem_of(path), path.parent.name
    parts = (*stem.split("-"), folder)
    words = (
        *re.split(r"[-_]", stem),
        *re.split(r"[-_]", folder),
        *(p.replace("_", "").lower() for p in parts),
    )
    match = _NAME.fullmatch(stem)
    if match is None:
        return FileName(path, parts[0], words)
    try:
        start = datetime(int(match["year"]), int(match["month"]), int(match["day"] or 1), tzinfo=UTC)
    except ValueError as error:
        raise ArchiveError(f"{path}: no such date as in its name") from error
    next_month = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    end = start + timedelta(days=1) if match["day"] else next_month
    return FileName(path, parts[0], words, match["what"], (start, end))


def spacing(name: FileName, column: int, body: Sequence[list[str]]) -> str:
    """Give the period: what the name tells, else the most frequent distance of the stamps.

    Raises
    ------
    ArchiveError
        When neither tells a period that the raw tables know.
    """
    if name.width is not None:
        return name.width
    stamps = sorted({int(cells[column]) for cells in body if len(cells) > column and cells[column].isdigit()})
    distances = Counter(later - earlier for earlier, later in pairwise(stamps))
    for distance, _ in distances.most_common(1):
        for period, width in WIDTHS.items():
            if width == timedelta(milliseconds=distance):
                return period
    raise ArchiveError(f"{name.path}: neither its name nor its rows tell the period (5m, 1h, ...)")


def instant(text: str) -> datetime:
    """Read epoch milliseconds, or ``YYYY-MM-DD HH:MM:SS`` in UTC.

    Raises
    ------
    ValueError
        When it is neither, or outside the calendar.
    """
    if text.isdigit():
        seconds, milliseconds = divmod(int(text), 1000)
        try:
            whole = datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError) as error:
            raise ValueError(f"time {text[:40]} outside the calendar") from error
        return whole.replace(microsecond=milliseconds * 1000) if milliseconds else whole
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def optional(text: str) -> float | None:
    """Read a number that may be missing."""
    return None if text in UNKNOWN else float(text)


def whole_number(text: str) -> int | None:
    """Read a count that may be missing; raises ValueError when it is no whole number."""
    if text in UNKNOWN:
        return None
    number = float(text)
    if number != int(number):
        raise ValueError(f"{text} is no whole number")
    return int(number)
