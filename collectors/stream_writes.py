"""What the stream collector asks of the database, each in one transaction; and for which bar a row counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from collectors.batches import by_table
from collectors.coverage import Connection, Gap, read_gaps
from collectors.kinds import BAR, KEPT
from collectors.rows import (
    Coverage,
    FundingRate,
    Instrument,
    Kline,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OrderBookSnapshot,
    Row,
)
from collectors.stream_coverage import extend_coverage, find_stream_holes, note_new_holes
from collectors.stream_intake import Taken
from collectors.stream_listening import ORDER_LAG
from collectors.stream_polls import REPAIRABLE, Gathered, write_gathered
from collectors.writer import Writer, WriteResult

NOT_RUNNING = "the collector was not running"


def is_late(row: Row, passed: datetime) -> bool:
    """Tell whether a row counts for a bar that was passed on before it came; `passed` is that bar's end."""
    if isinstance(row, Kline):
        return row.time + BAR <= passed
    if isinstance(row, Liquidation):
        return row.time + ORDER_LAG < passed
    return isinstance(row, MarkPrice | OrderBookSnapshot) and row.time <= passed


def counts_from(row: Row) -> datetime:
    """Give the open of the first bar that a polled row can count for; a kline counts for its own."""
    if isinstance(row, FundingRate):
        return row.funding_time
    if isinstance(row, Instrument):
        return row.valid_from
    is_taker = isinstance(row, LongShortRatio) and row.ratio_type == "taker_volume"
    return row.time + BAR if is_taker else row.time


def write_listings(connection: Connection, listings: Sequence[Instrument], now: datetime) -> None:
    """Store the listings of now."""
    Writer(connection).write(listings, source="rest", now=now, origin="exchangeInfo")


def write_taken(
    connection: Connection, taken: Taken, covered: Sequence[Coverage], now: datetime
) -> WriteResult:
    """Store streamed rows, what was refused, and what was listened to."""
    writer = Writer(connection)
    result = writer.write(
        taken.rows, source="stream", now=now, origin="stream", refusals=taken.refusals, keep_open=True
    )
    extend_coverage(connection, covered, now=now)
    connection.commit()
    return result


class Polled(NamedTuple):
    """What became of a poll; ``changes_closed`` tells whether bars that had closed are not what they were."""

    result: WriteResult
    closed: list[Gap]
    changes_closed: bool


def write_polled(connection: Connection, gathered: Gathered, *, origin: str, since: datetime) -> Polled:
    """Store a poll and close the holes that it fills; rows that count for bars before `since` are told apart.

    A hole that is closed without a row changes bars too: nothing was traded in them, which is known now.
    """
    # All locks first, in the order of every writer: the second write needs more of them than the first.
    for batch in by_table(gathered.rows, None, origin):
        symbols = sorted({row.symbol for row in batch.rows})
        connection.execute("select lock_stream(%s, %s)", [batch.table.name, symbols])
    late = [row for row in gathered.rows if counts_from(row) < since]
    changed = Writer(connection).write(late, source="rest", now=gathered.now, origin=origin, keep_open=True)
    expected = replace(gathered, rows=[row for row in gathered.rows if counts_from(row) >= since])
    result, closed = write_gathered(connection, expected, origin=origin)
    return Polled(changed + result, closed, bool(changed.inserted or changed.updated or closed))


def open_gaps(connection: Connection, symbols: Iterable[str]) -> list[Gap]:
    """Give the open holes of some symbols that REST can fill."""
    known = set(symbols)
    gaps = [
        gap for gap in read_gaps(connection, state="open") if gap.symbol in known and gap.stream in REPAIRABLE
    ]
    connection.commit()
    return gaps


def note_holes(
    connection: Connection, symbols: Sequence[str], now: datetime, troubles: Mapping[tuple[str, str], str]
) -> list[Gap]:
    """Note the holes in what was heard, as far as they are new; gives those."""
    holes = find_stream_holes(
        connection, symbols, since=now - KEPT, cause=lambda *series: troubles.get(series, NOT_RUNNING)
    )
    noted = note_new_holes(connection, holes, now=now)
    connection.commit()
    return noted


def note_given(connection: Connection, holes: Sequence[Gap], now: datetime) -> list[Gap]:
    """Note some holes, as far as they are new; gives those."""
    noted = note_new_holes(connection, holes, now=now)
    connection.commit()
    return noted
