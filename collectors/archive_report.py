"""What became of imported files, for people and machines."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from collectors.writer import WriteResult


class Progress(NamedTuple):
    """How far an import is: files done, bytes of the files done, and rows so far."""

    path: Path
    files_done: int
    files: int
    bytes_done: int
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    kind : str
        What it holds, empty when that is not known.
    lines : int
        Lines read, without a header.
    blank : int
        Lines without content.
    result : WriteResult
        What became of the rows; a line that makes no sense counts as one rejected row, a line of metrics
        makes up to five rows.
    checked : bool
        Whether a checksum was there, and fitted.
    notes : tuple of str
        What the reader should know.
    error : str
        Why the file was left out or broken off, empty when it was not.
    """

    path: Path
    kind: str = ""
    lines: int = 0
    blank: int = 0
    result: WriteResult = field(default_factory=WriteResult)
    checked: bool = False
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def read(self) -> int:
        """Everything read: rows, lines that make no sense, blank lines."""
        return self.result.received + self.blank


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of all files, in the order of their import."""

    files: tuple[FileReport, ...]

    @property
    def total(self) -> WriteResult:
        """Counts of all files."""
        return sum((file.result for file in self.files), WriteResult())

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """Files that were left out or broken off."""
        return tuple(file for file in self.files if file.error)

    @property
    def is_clean(self) -> bool:
        """Whether every file and every line went in."""
        return not self.failed and self.total.rejected == 0
