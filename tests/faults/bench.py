"""The bench: a database, a folder, and what every fault reports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from collectors.archive import import_files
from collectors.archive_report import FileReport
from collectors.rows import Coverage, Row, Source
from collectors.writer import Writer, WriteResult
from perpmart.database import Connection

START = datetime(2026, 2, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)
TABLES = (
    *("ohlcv", "open_interest", "funding_rate", "liquidations", "long_short_ratio", "order_book"),
    *("mark_price", "instruments", "coverage", "gaps", "rejects", "revisions", "changes"),
)


class Outcome(NamedTuple):
    """What a fault did: rows (lines, messages) sent, taken, refused, left out with their file; in words."""

    sent: int
    accepted: int
    refused: int
    left_out: int
    said: str


@dataclass(frozen=True)
class Bench:
    """Where a fault is tried: an empty raw schema and an empty folder."""

    connection: Connection
    folder: Path

    def write(self, rows: Sequence[Row], *, source: Source = "rest", now: datetime = NOW) -> WriteResult:
        return Writer(self.connection).write(rows, source=source, now=now, origin="bench")

    def read(self, path: Path, *, now: datetime = NOW) -> FileReport:
        (report,) = import_files(self.connection, [path], now=now).files
        return report

    def count(self, table: str) -> int:
        row = self.connection.execute(f"select count(*) from {table}".encode()).fetchone()
        self.connection.rollback()
        assert row is not None
        return int(row[0])

    def reason(self) -> str:
        row = self.connection.execute("select reason from rejects order by id desc limit 1").fetchone()
        self.connection.rollback()
        return row[0] if row else ""

    def clean(self) -> None:
        self.connection.rollback()
        self.connection.execute(f"truncate {', '.join(TABLES)}".encode())
        self.connection.execute("truncate changes")  # truncating is a change, too
        self.connection.commit()


class Fault(NamedTuple):
    """One fault: its group, its name, what does it."""

    group: str
    name: str
    try_it: Callable[[Bench], Outcome]
    long: bool = False


def kline_line(bar: int, **changed: object) -> str:
    """A line of the archive's klines; a keyword replaces a column."""
    opened = int((START + timedelta(minutes=5 * bar)).timestamp() * 1000)
    cells: dict[str, object] = dict(
        zip(
            HEADER.split(","),
            (opened, 100, 110, 90, 105, 1000, opened + 299_999, 100500, 42, 600, 60300, 0),
            strict=True,
        )
    )
    return ",".join(str(value) for value in (cells | changed).values())


def taken(result: WriteResult) -> int:
    """Rows that are in the table now, or were already."""
    return result.inserted + result.updated + result.unchanged + result.superseded


def file_outcome(bench: Bench, report: FileReport, sent: int) -> Outcome:
    """What became of a file with so many lines."""
    accepted, refused = taken(report.result), report.result.rejected
    said = report.error or (bench.reason() if refused else "taken")
    sent -= report.blank
    return Outcome(sent, accepted, refused, sent - accepted - refused, tidy(bench, said))


def tidy(bench: Bench, text: str) -> str:
    """Leave out what differs from run to run."""
    return text.replace(str(bench.folder), "").replace("|", "\\|").strip()


def covered(bench: Bench) -> list[Coverage]:
    rows = bench.connection.execute("select stream, symbol, from_time, to_time from coverage").fetchall()
    bench.connection.rollback()
    return [Coverage(*row) for row in rows]
