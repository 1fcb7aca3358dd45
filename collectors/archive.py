"""Importing files: the bulk archive's klines, metrics and funding, dumps of REST answers, recorded messages.

What a line says goes to raw, a line that makes no sense to ``rejects`` with its file and number. A file whose
checksum does not fit, or that is of no known kind, is left out as a whole; the others go in.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from collectors.archive_files import ArchiveError, Line, find_files, read_lines, verify_checksum
from collectors.archive_kinds import recognise
from collectors.archive_lines import parse_line, split_cells
from collectors.archive_report import FileReport, ImportReport, Progress
from collectors.archive_shape import Shape
from collectors.coverage import Segment, merge_segments
from collectors.rows import Coverage, FundingRate, Instrument, Kline, Refusal, Row
from collectors.writer import Writer, WriteResult

Connection: TypeAlias = psycopg.Connection[Any]

PORTION = 50_000
"""Rows that are committed at once."""

MOST_REFUSED = 100_000
"""Lines of a file that may be refused while none is taken: then it is of another kind than it seems."""

_PEEK = 2_000


def import_files(
    connection: Connection,
    paths: Iterable[Path | str],
    *,
    now: datetime,
    watched: Sequence[Segment] | None = None,
    progress: Callable[[Progress], None] | None = None,
    portion: int = PORTION,
    most_refused: int = MOST_REFUSED,
) -> ImportReport:
    """Import files into the raw tables.

    Parameters
    ----------
    connection : psycopg.Connection
        With the raw schema on its search path. Rows are committed in portions, a file's coverage after its
        last row: what a kill leaves half done is done by importing again.
    paths : iterable of path
        Files (csv, csv.gz, zip), and folders that are searched for such files.
    now : datetime
        The exchange's clock: what is not over by then is refused.
    watched : sequence of (datetime, datetime), optional
        Segments in which recorded liquidations were listened for, for all symbols; without it no coverage of
        liquidations is written, and bars without one stay unknown instead of zero.
    progress : callable, optional
        Called after each portion and each file.
    portion : int
        Rows and refusals that are committed at once.
    most_refused : int
        A file of which so many lines were refused and none taken is left, at the end of a portion.

    Returns
    -------
    ImportReport
        One entry a file.

    Raises
    ------
    ValueError
        When ``now`` has no time zone or a watched segment ends before it begins.
    """
    files = find_files(Path(path) for path in paths)
    for start, end in watched or ():
        if start >= end:
            raise ValueError(f"watched from {start} to {end}: ends before it begins")
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    reports: list[FileReport] = []

    def tell(rows: int, *, finished: bool = False) -> None:
        if progress is not None:
            number = len(reports)
            done, total = sum(sizes[: number + finished]), sum(sizes)
            rows += sum(report.result.received for report in reports)
            progress(Progress(files[number], number + finished, len(files), done, total, rows))

    for path in files:
        reading = _Reading(path, portion)
        report = _import_file(connection, reading, now, watched or (), tell, most_refused)
        tell(report.result.received, finished=True)
        reports.append(report)
    return ImportReport(tuple(reports))


def _import_file(
    connection: Connection,
    reading: "_Reading",
    now: datetime,
    watched: Sequence[Segment],
    tell: Callable[[int], None],
    most_refused: int,
) -> FileReport:
    writer, result, checked = Writer(connection), WriteResult(), False
    try:
        checked = verify_checksum(reading.path)
        for portion in reading.portions():
            result += writer.write(
                portion.rows,
                source=reading.shape.source,
                now=now,
                origins=portion.origins,
                refusals=portion.refusals,
            )
            tell(result.received)
            _stop_if_hopeless(reading.path, result, most_refused)
        covered = _covered(connection, reading, result, watched)
        writer.write([], source=reading.shape.source, now=now, covered=covered)
    except ArchiveError as error:
        return reading.report(result, checked, str(error))
    if reading.shape.kind == "liquidations" and not watched:
        reading.notes.append("nobody says when they were listened for: no coverage written")
    return reading.report(result, checked)


def _stop_if_hopeless(path: Path, result: WriteResult, most_refused: int) -> None:
    """Stop reading a file that is of another kind than it seems: each refused line is kept, and costs."""
    if result.rejected == result.received >= most_refused:
        raise ArchiveError(f"{path}: {result.rejected:,} lines refused and none taken")


@dataclass(slots=True)
class _Portion:
    rows: list[Row]
    origins: list[str]
    refusals: list[Refusal]


class _Reading:
    """One file while it is read: its shape, counts, and first and last time of its rows."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self._size = path, size
        self.notes: list[str] = []
        self.lines = self.blank = 0
        self.bounds: dict[str, Segment] = {}
        self._shape: Shape | None = None

    @property
    def shape(self) -> Shape:
        """What the file holds; known once the first portion was read."""
        if self._shape is None:
            raise ArchiveError(f"{self.path}: empty")
        return self._shape

    def portions(self) -> Iterator[_Portion]:
        """Read the file in portions of rows."""
        lines = read_lines(self.path)
        peeked = list(islice(lines, _PEEK))
        told = [cells for line in peeked if (cells := _told_by(line))]
        self._shape = recognise(self.path, told)
        self.notes += self.shape.notes
        header = next(line.text for line in peeked if not _is_blank(line.text))
        header = header if self.shape.has_header else ""
        portion = _Portion([], [], [])
        for line in chain(peeked, lines):
            if _is_blank(line.text) and not line.too_long:
                self.lines += 1
                self.blank += 1
            elif line.text != header:  # Each member of a zip file may have its own.
                self.lines += 1
                self._read(line, portion)
            if len(portion.rows) + len(portion.refusals) >= self._size:
                yield self._bounded(portion)
                portion = _Portion([], [], [])
        yield self._bounded(portion)

    def _bounded(self, portion: _Portion) -> _Portion:
        times: dict[str, list[datetime]] = {}
        for row in portion.rows:
            times.setdefault(row.symbol, []).append(_time_of(row))
        for symbol, moments in times.items():
            moments += self.bounds.get(symbol, ())
            self.bounds[symbol] = (min(moments), max(moments))
        return portion

    def _read(self, line: Line, portion: _Portion) -> None:
        try:
            rows = _parse(line, self.shape)
        except (ValueError, OverflowError) as error:
            portion.refusals.append(
                Refusal(self.shape.stream, line.origin, str(error), line.text, self._context(line))
            )
            return
        portion.rows += rows
        portion.origins += [line.origin] * len(rows)

    def _context(self, line: Line) -> dict[str, object] | None:
        """Say how the line can be read again without the file; a cut one can't."""
        if line.too_long:
            return None
        return {"file": f"{self.path.parent.name}/{self.path.name}", "columns": self.shape.columns}

    def report(self, result: WriteResult, checked: bool, error: str = "") -> FileReport:
        """Sum up."""
        kind = self._shape.kind if self._shape else ""
        return FileReport(self.path, kind, self.lines, self.blank, result, checked, tuple(self.notes), error)


def _covered(
    connection: Connection, reading: _Reading, result: WriteResult, watched: Sequence[Segment]
) -> list[Coverage]:
    """Say for which times the file is everything there is."""
    shape = reading.shape
    if shape.kind == "liquidations":
        return [Coverage("liquidations", "*", *segment) for segment in watched]
    wanted = reading.bounds if shape.whole is None else {shape.symbol: shape.whole}
    covered: list[Coverage] = []
    for stream, width in shape.covers:
        for symbol, (start, end) in sorted(wanted.items()):
            until = end if shape.whole is not None else _end_of_dump(reading, end, width)
            segments = [(start, until)] if start < until else []
            if result.rejected:
                segments = _stored(connection, stream, symbol, start, until, width)
            covered += [Coverage(stream, symbol, *segment) for segment in segments]
    if result.rejected and shape.covers:
        reading.notes.append("lines were refused: coverage is written only around the rows that went in")
    return covered


def _end_of_dump(reading: _Reading, last: datetime, width: timedelta) -> datetime:
    if not reading.shape.last_is_doubtful:
        return last + width
    reading.notes.append(
        f"the last bar ({last:%Y-%m-%d %H:%M}) may have been unclosed when the file was made:"
        " taken, but not counted as covered"
    )
    return last


def _stored(
    connection: Connection, stream: str, symbol: str, start: datetime, end: datetime, width: timedelta
) -> list[Segment]:
    """Give the segments for which the table has rows: a refused line leaves its own time open."""
    table, _, part = stream.partition(":")
    kind, _, period = part.rpartition(":")
    time = "funding_time" if table == "funding_rate" else "time"
    conditions = {
        "ohlcv": " and timeframe = %(period)s",
        "open_interest": " and period = %(period)s",
        "long_short_ratio": " and ratio_type = %(kind)s and period = %(period)s",
    }.get(table, "")
    rows = connection.execute(
        f"select {time} from {table} where symbol = %(symbol)s"
        f" and {time} >= %(start)s and {time} < %(end)s{conditions}".encode(),
        {"symbol": symbol, "start": start, "end": end, "kind": kind, "period": period},
    )
    return merge_segments((moment, moment + width) for (moment,) in rows)


def _parse(line: Line, shape: Shape) -> list[Row]:
    if line.too_long:
        raise ValueError("line too long")
    return parse_line(line.text, shape)


def _time_of(row: Row) -> datetime:
    if isinstance(row, Kline):
        return row.time
    if isinstance(row, FundingRate):
        return row.funding_time
    return row.valid_from if isinstance(row, Instrument) else row.time


def _told_by(line: Line) -> list[str]:
    """Give the fields of a line that can be split; nothing of one that can't or is blank."""
    if line.too_long or _is_blank(line.text):
        return []
    with contextlib.suppress(ValueError):
        return split_cells(line.text)
    return []


def _is_blank(text: str) -> bool:
    return not text or (text[0] in ", \t\r" and not text.strip(", \t\r"))
