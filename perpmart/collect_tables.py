"""What became of a collection or an import, as tables for people and as values for JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from collectors.archive_report import ImportReport
from collectors.collection import CollectionResult


class Table(NamedTuple):
    """Rows, and the names of their columns."""

    rows: list[Sequence[object]]
    columns: tuple[str, ...]


def collection_table(result: CollectionResult) -> Table:
    """Return a line for each symbol and kind."""
    columns = ("symbol", "kind", "received", "new", "changed", "unchanged", "refused", "holes", "seconds")
    rows: list[Sequence[object]] = []
    for kind in result.kinds:
        written = kind.written
        same = written.unchanged + written.superseded
        counts = (written.received, written.inserted, written.updated, same, written.rejected)
        rows.append((kind.symbol, kind.kind, *counts, len(kind.holes), kind.seconds))
    return Table(rows, columns)


def hole_table(result: CollectionResult) -> Table:
    """Return a line for each hole that the exchange could not fill."""
    rows: list[Sequence[object]] = [
        (hole.symbol, hole.stream, _minute(hole.from_time), _minute(hole.to_time), hole.state, hole.cause)
        for hole in result.holes
    ]
    return Table(rows, ("symbol", "stream", "from (UTC)", "to (UTC)", "state", "cause"))


def collection_as_dict(result: CollectionResult) -> dict[str, Any]:
    """Return all of `result`, for JSON."""
    return {
        "rows": result.rows,
        "seconds": result.seconds,
        "requests": result.requests,
        "retries": result.retries,
        "written": asdict(result.written),
        "kinds": [
            {
                "symbol": kind.symbol,
                "kind": kind.kind,
                "written": asdict(kind.written),
                "seconds": kind.seconds,
            }
            for kind in result.kinds
        ],
        "holes": [hole._asdict() for hole in result.holes],
    }


def import_table(report: ImportReport) -> Table:
    """Return a line for each file, and one for their sum."""
    columns = ("file", "holds", "read", "new", "changed", "unchanged", "blank", "refused", "checksum")
    rows: list[Sequence[object]] = []
    for file in report.files:
        result = file.result
        same = result.unchanged + result.superseded
        counts = (file.read, result.inserted, result.updated, same, file.blank, result.rejected)
        rows.append((file.path.name, file.kind or "?", *counts, "fits" if file.checked else "none"))
    total, blank = report.total, sum(file.blank for file in report.files)
    same = total.unchanged + total.superseded
    counts = (total.received + blank, total.inserted, total.updated, same, blank, total.rejected)
    rows.append((f"{len(report.files)} files", "", *counts, ""))
    return Table(rows, columns)


def import_notes(report: ImportReport) -> list[str]:
    """Return what else is to be known: errors of files, notes, and where refused lines are."""
    lines = [f"error: {file.error}" for file in report.failed]
    for file in report.files:
        lines += [f"note: {file.path.name}: {note}" for note in file.notes]
    if report.total.rejected:
        lines.append(f"refused: {report.total.rejected:,}; raw.rejects names file, line and reason of each")
    return lines


def import_as_dict(report: ImportReport) -> dict[str, Any]:
    """Return all of `report`, for JSON."""
    files = [asdict(file) | {"path": str(file.path)} for file in report.files]
    return {"files": files, "total": asdict(report.total), "clean": report.is_clean}


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
