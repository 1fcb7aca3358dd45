"""What was refused: listed, explained, and submitted once more.

A refused row comes back as what it was: a line of a file (read again by the columns noted with it, the file
is not needed), a row that broke a rule of its table, a message of a stream, a whole page of REST. Rules may
have changed since, a bar that was forming has closed, a parser has been mended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

import psycopg

from collectors import pages, parse_stream
from collectors.archive_files import ArchiveError
from collectors.archive_kinds import recognise_again
from collectors.archive_lines import parse_line
from collectors.coverage import read_coverage
from collectors.errors import MalformedError
from collectors.rows import Coverage, Row, Source, stream_of
from collectors.tables import TABLES
from collectors.writer import Writer
from perpmart.errors import PerpmartError

Connection: TypeAlias = psycopg.Connection[Any]
State: TypeAlias = Literal["open", "accepted", "dropped"]

_COLUMNS = "id, stream, received_at, source, origin, reason, payload, state, context, tried_at"
_EVENTS: dict[str, Callable[[object], Row | None]] = {
    "forceOrder": parse_stream.parse_force_order,
    "markPriceUpdate": parse_stream.parse_mark_price_update,
    "kline": parse_stream.parse_kline_event,
    "depthUpdate": parse_stream.parse_partial_depth,
}


class RejectError(PerpmartError):
    """There is no such refusal, or nothing can be made of it."""


class Reject(NamedTuple):
    """One row of ``raw.rejects``; times are UTC."""

    id: int
    stream: str
    received_at: datetime
    source: Source
    origin: str
    reason: str
    payload: str
    state: State
    context: dict[str, Any] | None
    tried_at: datetime | None


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a refusal: ``accepted`` (of a page: its rows are told), or why it is refused still."""

    reject: Reject
    accepted: bool
    reason: str = ""


def read_rejects(
    connection: Connection,
    *,
    state: State | None = "open",
    stream: str = "",
    ids: Sequence[int] = (),
    limit: int | None = None,
) -> list[Reject]:
    """Give refusals, oldest first.

    Parameters
    ----------
    connection : psycopg.Connection
        With the raw schema on its search path.
    state : str or None
        Only those in this state; None: in any.
    stream : str
        Only of this table, or stream (``ohlcv``, ``ohlcv:5m``).
    ids : sequence of int
        Only these.
    limit : int, optional
        At most so many.
    """
    rows = connection.execute(
        f"select {_COLUMNS} from rejects where (%(state)s::text is null or state = %(state)s)"
        " and (%(stream)s = '' or stream = %(stream)s or stream like %(stream)s || ':%%')"
        " and (%(all)s or id = any(%(ids)s)) order by id limit %(limit)s".encode(),
        {"state": state, "stream": stream, "all": not ids, "ids": list(ids), "limit": limit},
    )
    return [Reject(*row) for row in rows]


def read_reject(connection: Connection, number: int) -> Reject:
    """Give one refusal.

    Raises
    ------
    RejectError
        When there is none of this number.
    """
    found = read_rejects(connection, state=None, ids=[number])
    if not found:
        raise RejectError(f"no refusal has number {number}; `perpmart rejects list` shows them")
    return found[0]


def retry(connection: Connection, rejects: Sequence[Reject], *, now: datetime) -> list[Retried]:
    """Submit refusals once more, each in a transaction of its own.

    What is taken goes through the same rules as ever and gets the state ``accepted``; what is refused stays
    open, with the time of the attempt.

    Parameters
    ----------
    connection : psycopg.Connection
        With the raw schema on its search path.
    rejects : sequence of Reject
        Which; those that are not open are left alone.
    now : datetime
        The exchange's clock: what is not over by then is refused.
    """
    writer = Writer(connection)
    return [_retry(connection, writer, reject, now) for reject in rejects if reject.state == "open"]


def drop(connection: Connection, rejects: Sequence[Reject]) -> int:
    """Note that open refusals are no data; they stay in the table. Gives their number."""
    numbers = [reject.id for reject in rejects]
    gone = connection.execute(
        "update rejects set state = 'dropped', tried_at = now() where id = any(%s) and state = 'open'",
        [numbers],
    ).rowcount
    connection.commit()
    return gone


def rows_of(reject: Reject) -> tuple[list[Row], list[Coverage]]:
    """Read a refused payload again: its rows, and what they cover.

    Raises
    ------
    ValueError
        When it still makes no sense.
    RejectError
        When it is not kept in a form that can be read again.
    """
    if reject.context is not None and pages.is_page(reject.context):
        return pages.read_again(reject.payload, reject.context), []
    if reject.context is not None and "columns" in reject.context:
        return _line_again(reject)
    try:
        payload = json.loads(reject.payload)
    except ValueError:
        raise RejectError("kept as text only: import or ask for it again") from None
    if event := parse_stream.event_name(payload):
        read = _EVENTS.get(event)
        row = read(payload) if read is not None else None
        return ([row] if row is not None else []), []
    return [_row_again(reject.stream, payload)], []


def _retry(connection: Connection, writer: Writer, reject: Reject, now: datetime) -> Retried:
    reason = ""
    try:
        rows, covered = rows_of(reject)
        if pages.is_page(reject.context):
            return _retry_page(connection, writer, reject, rows, now)
        if rows:
            result = writer.write(rows, source=reject.source, now=now, origin=reject.origin)
            reason = "" if result.rejected == 0 else _last_reason(connection, reject)
            if not reason:
                writer.write([], source=reject.source, now=now, covered=covered)
        else:
            reason = "says nothing"
    except (ValueError, OverflowError, MalformedError, ArchiveError, RejectError) as error:
        reason = str(error)
    connection.execute(
        "update rejects set tried_at = clock_timestamp(),"
        " state = case when %s then state else 'accepted' end where id = %s",
        [bool(reason), reject.id],
    )
    connection.commit()
    return Retried(reject, not reason, reason)


def _retry_page(
    connection: Connection, writer: Writer, reject: Reject, rows: list[Row], now: datetime
) -> Retried:
    """Write the rows of a page that the exchange has not been asked for again since."""
    known = {
        (stream, symbol): read_coverage(connection, stream, symbol)
        for stream, symbol in {(stream_of(row), row.symbol) for row in rows}
    }
    # The later answer is the newer one: a page of the past must not replace it.
    lacking = [
        row
        for row in rows
        if not any(start <= _time_of(row) < end for start, end in known[stream_of(row), row.symbol])
    ]
    result = writer.write(lacking, source=reject.source, now=now, origin=reject.origin, keep_open=True)
    connection.execute(
        "update rejects set tried_at = clock_timestamp(), state = 'accepted' where id = %s", [reject.id]
    )
    connection.commit()
    told = [f"{len(rows):,} rows"]
    told += [f"{len(rows) - len(lacking):,} answered for since"] if len(lacking) < len(rows) else []
    told += [f"{result.rejected:,} refused one by one"] if result.rejected else []
    return Retried(reject, True, ", ".join(told))


def _last_reason(connection: Connection, reject: Reject) -> str:
    """Why the writer refused the rows just now: it notes it under the same origin."""
    row = connection.execute(
        "select reason from rejects where origin = %s and split_part(stream, ':', 1) = split_part(%s, ':', 1)"
        " order by payload = %s desc, id desc limit 1",
        [reject.origin, reject.stream, reject.payload],
    ).fetchone()
    return row[0] if row else reject.reason


def _line_again(reject: Reject) -> tuple[list[Row], list[Coverage]]:
    context = reject.context or {}
    shape = recognise_again(Path(context["file"]), tuple(context["columns"]), reject.stream)
    rows = parse_line(reject.payload, shape)
    covered = [
        Coverage(stream, row.symbol, _time_of(row), _time_of(row) + width)
        for stream, width in shape.covers
        for row in rows
    ]
    return rows, covered


def _time_of(row: Row) -> datetime:
    time = getattr(row, TABLES[type(row)].clock if not TABLES[type(row)].slotted else "time")
    if not isinstance(time, datetime):
        raise TypeError(f"{time!r} is no time")
    return time


def _row_again(stream: str, payload: object) -> Row:
    """Make a row of the columns that the writer noted when it refused it."""
    table = stream.partition(":")[0]
    kinds = {of.name: kind for kind, of in TABLES.items()}
    if table not in kinds or not isinstance(payload, dict):
        raise RejectError("no row of a raw table: ask for it again with `perpmart backfill`")
    kind = kinds[table]
    hints = get_type_hints(kind)
    if unknown := set(payload) ^ set(kind._fields):
        raise RejectError(f"columns that {table} has not, or that are missing: {', '.join(sorted(unknown))}")
    return kind(**{name: _value(payload[name], hints[name], name) for name in kind._fields})


def _value(value: object, hint: Any, name: str) -> Any:
    """Turn a value of JSON into that of a field; NaN and infinity come as text."""
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return [_value(one, get_args(hint)[0], name) for one in value]
    if NoneType in get_args(hint):
        return None if value is None else _value(value, get_args(hint)[0], name)
    if value is None:
        raise ValueError(f"{name} is missing")
    return datetime.fromisoformat(str(value)) if hint is datetime else hint(value)
