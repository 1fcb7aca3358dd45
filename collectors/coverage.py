"""Which times were answered or listened for, which are missing, and the holes that were noticed.

Segments are half-open, ``[from_time, to_time)``, in UTC. No function here commits: the caller's transaction
decides.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import psycopg

from collectors.rows import WIDTHS, Coverage, Source

Connection: TypeAlias = psycopg.Connection[Any]
Segment: TypeAlias = tuple[datetime, datetime]
GapState: TypeAlias = Literal["open", "repaired_rest", "repaired_archive", "unrepairable"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Gap(NamedTuple):
    """A hole ``[from_time, to_time)`` in a stream, why it is there and what became of it."""

    stream: str
    symbol: str
    from_time: datetime
    to_time: datetime
    cause: str
    state: GapState = "open"


def merge_segments(segments: Iterable[Segment]) -> list[Segment]:
    """Unite segments that touch or overlap; the result is in order of time.

    Examples
    --------
    >>> day = [datetime(2026, 2, n, tzinfo=UTC) for n in range(1, 6)]
    >>> merge_segments([(day[2], day[3]), (day[0], day[1]), (day[1], day[2])]) == [(day[0], day[3])]
    True
    """
    merged: list[Segment] = []
    for start, end in sorted(segments):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def subtract_segments(wanted: Iterable[Segment], present: Iterable[Segment]) -> list[Segment]:
    """Give the parts of ``wanted`` that no segment of ``present`` covers, in order of time."""
    taken = merge_segments(present)
    left: list[Segment] = []
    for start, end in merge_segments(wanted):
        cursor = start
        for taken_start, taken_end in taken:
            if taken_end <= cursor or taken_start >= end:
                continue
            if taken_start > cursor:
                left.append((cursor, taken_start))
            cursor = max(cursor, taken_end)
        if cursor < end:
            left.append((cursor, end))
    return left


def add_coverage(
    connection: Connection, covered: Sequence[Coverage], *, source: Source, now: datetime
) -> None:
    """Note finished segments; they merge with those of the same source that they touch.

    What lies after ``now`` is cut off, and segments of klines and of taker volumes are cut to whole closed
    bars: a bar half covered twice is not a bar covered once.

    Raises
    ------
    ValueError
        When a segment ends before it begins.
    """
    by_series: dict[tuple[str, str], list[Segment]] = {}
    for segment in covered:
        if segment.from_time > segment.to_time:
            raise ValueError(f"coverage of {segment.stream} {segment.symbol} ends before it begins")
        by_series.setdefault((segment.stream, segment.symbol), []).append(
            _finished(segment.stream, segment.from_time, min(segment.to_time, now))
        )
    calls = [
        (stream, symbol, start, end, source)
        for (stream, symbol), segments in sorted(by_series.items())
        for start, end in merge_segments(segments)
    ]
    if calls:
        with connection.cursor() as cursor:
            cursor.executemany("select add_coverage(%s, %s, %s, %s, %s)", calls)


def withdraw_coverage(connection: Connection, segment: Coverage, *, source: Source | None = None) -> None:
    """Take back what coverage says about a segment, of one source or (None) of all."""
    connection.execute("select withdraw_coverage(%s, %s, %s, %s, %s)", [*segment, source])


def read_coverage(
    connection: Connection, stream: str, symbol: str, *, sources: Sequence[Source] = ("rest", "archive")
) -> list[Segment]:
    """Give the segments covered by any of the sources, united; what is covered for all symbols counts."""
    rows = connection.execute(
        "select from_time, to_time from coverage"
        " where stream = %s and symbol in (%s, '*') and source = any(%s)",
        [stream, symbol, list(sources)],
    )
    return merge_segments(rows.fetchall())


def find_holes(
    connection: Connection,
    wanted: Coverage,
    *,
    sources: Sequence[Source] = ("rest", "archive"),
) -> list[Coverage]:
    """Give the parts of a wanted segment that none of the sources covers, in order of time."""
    present = read_coverage(connection, wanted.stream, wanted.symbol, sources=sources)
    missing = subtract_segments([(wanted.from_time, wanted.to_time)], present)
    return [Coverage(wanted.stream, wanted.symbol, start, end) for start, end in missing]


def note_gaps(connection: Connection, gaps: Iterable[Gap], *, now: datetime) -> None:
    """Note holes; one that is known already takes the new cause and state."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into gaps (stream, symbol, from_time, to_time, cause, state, noted_at, resolved_at)"
            " values (%(stream)s, %(symbol)s, %(from_time)s, %(to_time)s, %(cause)s, %(state)s, %(now)s,"
            " case when %(state)s <> 'open' then %(now)s::timestamptz end)"
            " on conflict (stream, symbol, from_time, to_time) do update set cause = excluded.cause,"
            " state = excluded.state, resolved_at = excluded.resolved_at"
            " where (gaps.cause, gaps.state) is distinct from (excluded.cause, excluded.state)",
            [{**gap._asdict(), "now": now} for gap in gaps],
        )


def read_gaps(
    connection: Connection, *, state: GapState | None = None, symbol: str | None = None
) -> list[Gap]:
    """Give the noted holes, all or of one state or symbol, by stream, symbol and time."""
    rows = connection.execute(
        "select stream, symbol, from_time, to_time, cause, state from gaps"
        " where (%(state)s::text is null or state = %(state)s)"
        " and (%(symbol)s::text is null or symbol = %(symbol)s) order by stream, symbol, from_time, to_time",
        {"state": state, "symbol": symbol},
    )
    return [Gap(*row) for row in rows]


def close_gaps(connection: Connection, *, now: datetime) -> list[Gap]:
    """Mark open holes that REST or the archive has filled since; gives those that were closed.

    A hole counts as filled once it is wholly covered; the archive is named only where it was needed.
    """
    closed: list[Gap] = []
    for gap in read_gaps(connection, state="open"):
        wanted = Coverage(*gap[:4])
        state: GapState
        if not find_holes(connection, wanted, sources=("rest",)):
            state = "repaired_rest"
        elif not find_holes(connection, wanted):
            state = "repaired_archive"
        else:
            continue
        closed.append(gap._replace(state=state))
    note_gaps(connection, closed, now=now)
    return closed


def _finished(stream: str, start: datetime, end: datetime) -> Segment:
    table, _, part = stream.partition(":")
    width = WIDTHS.get(part.rpartition(":")[2])
    if width is None or not (table == "ohlcv" or part.startswith("taker_volume:")):
        return start, end
    return start + (_EPOCH - start) % width, end - (end - _EPOCH) % width
