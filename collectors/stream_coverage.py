"""Coverage of what is listened to, and the holes in it: the database alone says what was watched when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from collectors.coverage import (
    Connection,
    Gap,
    GapState,
    Segment,
    add_coverage,
    merge_segments,
    note_gaps,
    read_gaps,
    subtract_segments,
)
from collectors.kinds import KINDS
from collectors.rows import Coverage

LISTENED = ("liquidations", "order_book")
"""Streams without a history: a hole in them stays."""

STREAMED = ("mark_price", "ohlcv:5m")
"""Streams that REST can repair."""

SHORTEST_HOLE = timedelta(seconds=1)


class Watched(NamedTuple):
    """A stream whose holes are looked for, and the sources that can cover it."""

    stream: str
    sources: tuple[str, ...]


WATCHED: tuple[Watched, ...] = (
    *(Watched(stream, ("stream", "archive")) for stream in LISTENED),
    *(Watched(stream, ("stream", "rest", "archive")) for stream in STREAMED),
    *(Watched(kind.stream, ("rest", "archive")) for kind in KINDS.values() if kind.stream not in STREAMED),
)


def extend_coverage(connection: Connection, segments: Sequence[Coverage], *, now: datetime) -> None:
    """Note what was listened to; segments that only grew at their end, nearly all, in one statement."""
    by_series: dict[tuple[str, str], list[Segment]] = {}
    for one in segments:
        by_series.setdefault((one.stream, one.symbol), []).append((one.from_time, min(one.to_time, now)))
    merged = {series: merge_segments(found) for series, found in by_series.items()}
    given = [Coverage(*series, *segment) for series in sorted(merged) for segment in merged[series]]
    if not given:
        return
    for stream in sorted({one.stream for one in given}):
        symbols = sorted({one.symbol for one in given if one.stream == stream})
        connection.execute("select lock_stream(%s, %s)", [f"coverage {stream}", symbols])
    columns = [list(column) for column in zip(*given, strict=True)]
    rows = connection.execute(
        "with given as (select * from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])"
        " as g (stream, symbol, from_time, to_time)),"
        " known as (select g.*, c.from_time as start from given as g inner join coverage as c"
        " on c.stream = g.stream and c.symbol = g.symbol and c.source = 'stream'"
        " and c.from_time <= g.from_time and c.to_time >= g.from_time"
        " where c.to_time >= g.to_time or not exists (select from coverage as n where n.stream = g.stream"
        " and n.symbol = g.symbol and n.source = 'stream' and n.from_time > c.from_time"
        " and n.from_time <= g.to_time)),"
        " grown as (update coverage as c set to_time = k.to_time"
        " from (select stream, symbol, start, max(to_time) as to_time from known group by 1, 2, 3) as k"
        " where c.stream = k.stream and c.symbol = k.symbol and c.source = 'stream' and c.from_time = k.start"
        " and c.to_time < k.to_time)"
        " select g.stream, g.symbol, g.from_time, g.to_time from given as g where not exists"
        " (select from known as k"
        " where (k.stream, k.symbol, k.from_time) = (g.stream, g.symbol, g.from_time))",
        columns,
    ).fetchall()
    add_coverage(connection, [Coverage(*row) for row in rows], source="stream", now=now)


def find_stream_holes(
    connection: Connection, symbols: Iterable[str], *, since: datetime, cause: Callable[[str, str], str]
) -> list[Gap]:
    """Give the holes between what is covered, of every stream and symbol, that began after an instant.

    What lies before the first segment was never asked for, what lies behind the last one is still to come.

    Parameters
    ----------
    since : datetime
        Holes that began earlier are left to the backfill.
    cause : callable
        Gives the reason for a hole of a stream and symbol, in words.
    """
    wanted = list(symbols)
    found: dict[tuple[str, str], list[Segment]] = {}
    for stream, symbol, start, end, source in connection.execute(
        "select c.stream, s.symbol, c.from_time, c.to_time, c.source from unnest(%s::text[]) as s (symbol)"
        " inner join coverage as c on c.symbol in (s.symbol, '*')"
        " where c.stream = any(%s) and c.to_time >= %s",
        [wanted, [one.stream for one in WATCHED], since],
    ):
        if source in _SOURCES[stream]:
            found.setdefault((stream, symbol), []).append((start, end))
    gaps = []
    for (stream, symbol), segments in sorted(found.items()):
        merged = merge_segments(segments)
        whole = (merged[0][0], merged[-1][1])
        for start, end in subtract_segments([whole], merged):
            if start >= since and end - start >= SHORTEST_HOLE:
                state: GapState = "unrepairable" if stream in LISTENED else "open"
                gaps.append(Gap(stream, symbol, start, end, cause(stream, symbol), state))
    return gaps


def note_new_holes(connection: Connection, holes: Sequence[Gap], *, now: datetime) -> list[Gap]:
    """Note the parts of holes that are not noted yet; gives what was noted."""
    known: dict[tuple[str, str], list[Segment]] = {}
    for old in read_gaps(connection):
        known.setdefault((old.stream, old.symbol), []).append((old.from_time, old.to_time))
    new = [
        hole._replace(from_time=start, to_time=end)
        for hole in holes
        for start, end in subtract_segments(
            [(hole.from_time, hole.to_time)], known.get((hole.stream, hole.symbol), [])
        )
    ]
    note_gaps(connection, new, now=now)
    return new


_SOURCES: Mapping[str, tuple[str, ...]] = {one.stream: one.sources for one in WATCHED}
