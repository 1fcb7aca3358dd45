"""Reading files that came from elsewhere, line by line: plain, gzip or zip, within limits, never unpacked."""

import gzip
import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from perpmart.errors import PerpmartError

SUFFIXES = (".csv", ".csv.gz", ".zip")
LONGEST_LINE = 16_384
LARGEST_FILE = 4 * 2**30
_RATIO, _RATIO_FROM = 500, 64 * 2**20
_MOST_BLANK = 100_000
_BROKEN = (
    *(OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError),
    *(ValueError, struct.error),  # what a mangled directory of a zip file makes the library raise
)


class ArchiveError(PerpmartError):
    """A file that cannot be imported; the text names it and says why."""


class Line(NamedTuple):
    """A line of a file: ``origin`` is ``file:number``, ``text`` has no line end; too long ones are cut."""

    origin: str
    text: str
    too_long: bool


class _BombError(Exception):
    pass


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Give the files to import: those named, and all csv, csv.gz and zip files below folders, in order.

    A path that does not exist is given too, so that opening it says so.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and has_suffix(file))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def has_suffix(path: Path) -> bool:
    """Whether the name ends as that of an importable file."""
    return path.name.lower().endswith(SUFFIXES)


def stem_of(path: Path) -> str:
    """Give the name without its suffixes: ``SOLUSDT-5m-2026-02`` of ``SOLUSDT-5m-2026-02.csv.gz``."""
    name = path.name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def verify_checksum(path: Path) -> bool:
    """Compare a file with the ``.CHECKSUM`` beside it.

    Returns
    -------
    bool
        True when it fits, False when there is no checksum file.

    Raises
    ------
    ArchiveError
        When it does not fit or cannot be read.
    """
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return False
    try:
        wanted = beside.read_text(encoding="ascii", errors="replace").split()[:1]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror or error}") from error
    if wanted != [found]:
        raise ArchiveError(f"{path}: does not fit its checksum ({beside.name}): broken, or published anew")
    return True


def read_lines(path: Path) -> Iterator[Line]:
    """Read the lines of a csv, csv.gz or zip file; a zip's csv members follow each other.

    Raises
    ------
    ArchiveError
        When the file is missing, unreadable, damaged, unpacks to absurd sizes, or a member's name leads out
        of the archive.
    """
    if not has_suffix(path):
        raise ArchiveError(f"{path}: not a csv, csv.gz or zip file")
    try:
        size = path.stat().st_size
        with ExitStack() as stack:
            for name, stream in _members(path, stack):
                yield from _lines(name, stream, size)
    except _BombError as bomb:
        raise ArchiveError(f"{path}: {bomb}") from bomb
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ArchiveError(f"{path}: {reason}") from error


def _members(path: Path, stack: ExitStack) -> Iterator[tuple[str, IO[bytes] | gzip.GzipFile]]:
    if path.name.lower().endswith(".csv"):
        yield str(path), stack.enter_context(path.open("rb"))
    elif path.name.lower().endswith(".gz"):
        yield str(path), stack.enter_context(gzip.GzipFile(path, "rb"))
    else:
        archive = stack.enter_context(zipfile.ZipFile(path))
        # Not is_dir(): the library's own stumbles over a member without a name.
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
        for member in members:
            inner = PurePosixPath(member.filename.replace("\\", "/"))
            if inner.is_absolute() or ".." in inner.parts or ":" in member.filename:
                raise ArchiveError(f"{path}: member {member.filename!r} leads out of the archive")
            if inner.suffix.lower() != ".csv":
                raise ArchiveError(f"{path}: member {member.filename!r} is no csv file")
        if not members:
            raise ArchiveError(f"{path}: an empty zip file")
        for member in members:
            name = str(path) if len(members) == 1 else f"{path}/{member.filename}"
            yield name, stack.enter_context(archive.open(member))


def _lines(name: str, stream: IO[bytes] | gzip.GzipFile, size: int) -> Iterator[Line]:
    # What the file claims about its size is not believed: bytes are counted as they come.
    total, number, blank = 0, 0, 0
    readline = io.BufferedReader(stream, 2**20).readline  # type: ignore[type-var]
    while chunk := readline(LONGEST_LINE):
        number += 1
        total += len(chunk)
        too_long = len(chunk) == LONGEST_LINE and not chunk.endswith(b"\n")
        rest = chunk
        while too_long and rest and not rest.endswith(b"\n"):
            rest = readline(LONGEST_LINE)
            total = _counted(total + len(rest), size)
        # A few bytes unpack to a million empty lines, each of which costs us as much as a full one.
        blank = 0 if chunk.strip() else blank + 1
        if blank > _MOST_BLANK:
            raise _BombError(f"more than {_MOST_BLANK:,} blank lines in a row")
        text = chunk.decode("utf-8-sig" if number == 1 else "utf-8", "backslashreplace")
        yield Line(f"{name}:{number}", text.rstrip("\r\n"), too_long)
        _counted(total, size)


def _counted(total: int, size: int) -> int:
    if total > LARGEST_FILE:
        raise _BombError(f"unpacks to more than {LARGEST_FILE // 2**30} GiB")
    if total > _RATIO_FROM and total > size * _RATIO:
        raise _BombError(f"unpacks to more than {_RATIO} times its size")
    return total
