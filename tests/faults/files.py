# tables of cases, each one line
"""Files that are broken, hostile or half there: left out as a whole, named, imported once they are whole."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from functools import partial

from .bench import HEADER, NOW, Bench, Fault, Outcome, file_outcome, kline_line, taken, tidy

GROUP = "File"
STEM = "SOLUSDT-5m-2026-02-01"
TEXT = "\n".join([HEADER, *(kline_line(bar) for bar in range(3))]) + "\n"


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _whole(suffix: str, content: bytes, bench: Bench, *, name: str = STEM, sent: int = 3) -> Outcome:
    path = bench.folder / (name + suffix)
    path.write_bytes(content)
    outcome = file_outcome(bench, bench.read(path), sent)
    assert bench.count("ohlcv") == outcome.accepted
    return outcome


def _damaged_zip() -> bytes:
    content = bytearray(_zip({f"{STEM}.csv": TEXT.encode()}, zipfile.ZIP_STORED))
    content[content.index(b"1000,")] = ord("2")
    return bytes(content)


def _encrypted_zip() -> bytes:
    content = bytearray(_zip({f"{STEM}.csv": TEXT.encode()}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(mark) + offset
        (flags,) = struct.unpack_from("<H", content, place)
        struct.pack_into("<H", content, place, flags | 1)
    return bytes(content)


def _checksum(text: str, bench: Bench) -> Outcome:
    (bench.folder / f"{STEM}.zip.CHECKSUM").write_text(text)
    return _whole(".zip", _zip({f"{STEM}.csv": TEXT.encode()}), bench)


def _absent(bench: Bench) -> Outcome:
    report = bench.read(bench.folder / f"{STEM}.csv")
    return Outcome(0, 0, 0, 0, tidy(bench, report.error))


def _half_written(bench: Bench) -> Outcome:
    """Imported while somebody is still writing it, and once more when it is whole."""
    path = bench.folder / f"{STEM}.csv"
    path.write_text(TEXT[: len(TEXT) - 30])
    first = bench.read(path)
    path.write_text(TEXT)
    second = bench.read(path)
    assert bench.count("ohlcv") == 3
    refused, accepted = first.result.rejected, taken(first.result) + taken(second.result)
    return Outcome(
        6, accepted, refused, 0, "the cut line is refused; the whole file then fills what was missing"
    )


def _twice(bench: Bench) -> Outcome:
    path = bench.folder / f"{STEM}.csv"
    path.write_text(TEXT)
    results = [bench.read(path).result for _ in range(2)]
    assert results[1].unchanged == 3
    assert bench.count("changes") <= 2
    return Outcome(6, sum(map(taken, results)), 0, 0, "the second time nothing changes")


def _republished(bench: Bench) -> Outcome:
    path = bench.folder / f"{STEM}.csv"
    path.write_text(TEXT)
    first = bench.read(path).result
    path.write_text(TEXT.replace(",105,", ",104,", 1))
    second = bench.read(path).result
    assert (second.updated, bench.count("revisions")) == (1, 1)
    return Outcome(
        6, taken(first) + taken(second), 0, 0, "the newer version stands, the older one is in revisions"
    )


def _bomb(bench: Bench) -> Outcome:
    path = bench.folder / f"{STEM}.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write((HEADER + "\n").encode())
        for _ in range(4):
            file.write(b"\n" * 2**20)
    return file_outcome(bench, bench.read(path), 0)._replace(sent=0, left_out=0)


def _long_line_bomb(bench: Bench) -> Outcome:
    path = bench.folder / f"{STEM}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{STEM}.csv", HEADER + "\n" + "0" * (80 * 2**20))
    return file_outcome(bench, bench.read(path), 0)._replace(sent=0, left_out=0)


_FILES: dict[str, Callable[[Bench], Outcome]] = {
    "empty": partial(_whole, ".csv", b"", sent=0),
    "a header and nothing else": partial(_whole, ".csv", (HEADER + "\n").encode(), sent=0),
    "no zip file under that name": partial(_whole, ".zip", b"<html>404</html>"),
    "a zip file cut short": lambda bench: _whole(".zip", _zip({f"{STEM}.csv": TEXT.encode()})[:-40], bench),
    "a gzip file cut short": lambda bench: _whole(".csv.gz", gzip.compress(TEXT.encode())[:-12], bench),
    "a zip file with a flipped bit": lambda bench: _whole(".zip", _damaged_zip(), bench),
    "an encrypted zip file": lambda bench: _whole(".zip", _encrypted_zip(), bench),
    "an empty zip file": lambda bench: _whole(".zip", _zip({}), bench),
    "a zip file in a zip file": lambda bench: _whole(".zip", _zip({"a.zip": _zip({"b.csv": b"1"})}), bench),
    "a zip file that leads to ../../etc": lambda bench: _whole(
        ".zip", _zip({"../../etc/cron.d/x.csv": TEXT.encode()}), bench
    ),
    "a zip file that leads to /etc": lambda bench: _whole(".zip", _zip({"/etc/x.csv": TEXT.encode()}), bench),
    "a zip file that leads to C:": lambda bench: _whole(".zip", _zip({"C:\\x.csv": TEXT.encode()}), bench),
    "a zip file with a program": lambda bench: _whole(".zip", _zip({"x.exe": b"MZ"}), bench),
    "a gzip bomb of blank lines": _bomb,
    "a zip bomb (one line of 80 MiB)": _long_line_bomb,
    "a checksum that does not fit": partial(_checksum, "0" * 64 + f"  {STEM}.zip\n"),
    "a checksum file that is empty": partial(_checksum, ""),
    "columns that nobody knows": partial(_whole, ".csv", b"a,b,c\n1,2,3\n1,2,3\n1,2,3\n"),
    "random bytes": partial(_whole, ".csv", bytes(range(256)) * 4),
    "text in UTF-16": lambda bench: _whole(".csv", TEXT.encode("utf-16"), bench, sent=5),
    "the 13th month": partial(_whole, ".csv", TEXT.encode(), name="SOLUSDT-5m-2026-13-01"),
    "a name without a symbol": partial(_whole, ".csv", TEXT.encode(), name="5m-2026-02-01"),
    "klines of the mark price": lambda bench: _mark_klines(bench),
    "an unknown suffix": partial(_whole, ".xlsx", b"PK"),
    "not there": _absent,
    "half written, then whole": _half_written,
    "imported twice": _twice,
    "published anew": _republished,
}


def _mark_klines(bench: Bench) -> Outcome:
    folder = bench.folder / "markPriceKlines"
    folder.mkdir()
    path = folder / f"{STEM}.csv"
    path.write_text(TEXT)
    return file_outcome(bench, bench.read(path, now=NOW), 3)


FAULTS = tuple(Fault(GROUP, name, try_it) for name, try_it in _FILES.items())
