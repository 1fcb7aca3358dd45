"""The same day built otherwise: by one batch of complete data, and by dbt from the rows of the live run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from collectors.coverage import Segment
from collectors.rows import OrderBookSnapshot, Row
from collectors.writer import Writer
from perpmart.build import run_dbt
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from simulator.market import to_ms
from simulator.shape import to_rows
from tests.dbt_project.mart import Databases, analyse
from tests.live.day import BAR, EVERY_MS, Lived, cover

LISTENED = ("liquidations", "order_book")
SLOT = timedelta(seconds=10)
REST_KINDS = ("ohlcv", "open_interest", "long_short_ratio", "funding_rate")
TABLES = ("instruments", *REST_KINDS, *LISTENED, "mark_price")


def build_reference(databases: Databases, lived: Lived, history: str) -> str:
    """Make the same day by one batch build of complete data, less the holes that are listed as unrepairable.

    `history` is the address of a copy of the database from before the day.
    """
    day, url = lived.day, databases.make(of=history)
    until = lived.stopped_at
    with connect_to(lived.url) as live, connect_to(url) as connection:
        writer = Writer(connection)
        for symbol in day.market.symbols:
            rest: list[Row] = []
            for kind in REST_KINDS:
                # Also what came before the day and was published, or corrected, during it.
                rest += day.market.rows(kind, symbol, day.start - timedelta(hours=1), until, as_of=until)
            writer.write(rest, source="rest", now=until)
            writer.write(_listened(live, lived, symbol), source="stream", now=until)
            writer.write(_repaired_marks(live, lived, symbol), source="rest", now=until)
        cover(connection, day.market, day.start, until)
        for stream in LISTENED:
            for symbol, holes in holes_of(live, stream).items():
                for start, end in holes:
                    connection.execute(
                        "select withdraw_coverage(%s, %s, %s, %s, null)", [stream, symbol, start, end]
                    )
        connection.commit()
        run_pending(connection)
        analyse(connection)
    return url


def rebuild_with_dbt(databases: Databases, lived: Lived) -> str:
    """Copy the rows of raw, as the live run wrote them, to an empty database, and let dbt build all of it."""
    url = databases.make()
    with connect_to(lived.url) as live, connect_to(url) as connection:
        for table in ("seeds.universe", *(f"raw.{name}" for name in (*TABLES, "coverage"))):
            connection.execute(f"truncate {table}".encode())
            reading, writing = f"copy {table} to stdout", f"copy {table} from stdin"
            with (
                live.cursor().copy(reading.encode()) as rows,
                connection.cursor().copy(writing.encode()) as copy,
            ):
                for block in rows:
                    copy.write(block)
        connection.commit()
        analyse(connection)
    run_dbt(["run", "--full-refresh"], url)
    return url


def rest_rows(lived: Lived, kind: Any, symbol: str) -> list[Row]:
    return lived.day.market.rows(kind, symbol, lived.day.start, lived.day.end, as_of=lived.stopped_at)


def market_books(lived: Lived, symbol: str) -> dict[datetime, OrderBookSnapshot]:
    """Give the newest book of each slot that the stream shows at its cadence."""
    books, at = {}, lived.day.start
    while at < lived.day.end:
        last = at + SLOT - timedelta(milliseconds=EVERY_MS)
        table = lived.day.market.book(symbol, to_ms(last))
        books[at] = to_rows("order_book", symbol, table)[0]
        at += SLOT
    return books


def holes_of(connection: Connection, stream: str) -> dict[str, list[Segment]]:
    """Give the holes that are listed, by symbol."""
    found: dict[str, list[Segment]] = defaultdict(list)
    for symbol, start, end in connection.execute(
        "select symbol, from_time, to_time from gaps where stream = %s order by 1, 2", [stream]
    ):
        found[symbol].append((start, end))
    return found


def is_within(at: datetime, holes: Sequence[Segment]) -> bool:
    return any(start - SLOT <= at < end + SLOT for start, end in holes)


def _listened(live: Connection, lived: Lived, symbol: str) -> list[Row]:
    """Give what the streams say: complete outside holes; inside, what was received after all."""
    day, until = lived.day, lived.stopped_at
    # Only a stream tells the predicted rate: where there is one it was heard, at the edge of a hole say.
    heard = {
        at
        for (at,) in live.execute(
            "select time from mark_price"
            " where symbol = %s and time >= %s and predicted_funding_rate is not null",
            [symbol, day.start],
        )
    }
    unheard = holes_of(live, "mark_price")[symbol]
    found: list[Row] = [
        row
        for row in day.market.rows("mark_price", symbol, day.start, until, every=SLOT)
        if row.time in heard or not _in(row.time, unheard)  # type: ignore[union-attr]
    ]
    received = _received(live, symbol, day.start)
    holes = holes_of(live, "liquidations")[symbol]
    found += [
        row
        for row in day.market.rows("liquidations", symbol, day.start, until)
        if not is_within(row.time, holes) or (row.time, row.price, row.quantity) in received  # type: ignore[union-attr]
    ]
    books, unseen = market_books(lived, symbol), holes_of(live, "order_book")[symbol]
    # In a hole, and after the day, what was received; slots of which nothing was received are not there.
    for slot, row in _received_books(live, symbol, day.start).items():
        found.append(row if slot not in books or is_within(slot, unseen) else books[slot])
    return found


def _in(at: datetime, holes: Sequence[Segment]) -> bool:
    return any(start <= at < end for start, end in holes)


def _received(live: Connection, symbol: str, since: datetime) -> set[tuple[datetime, float, float]]:
    query = "select time, price, quantity from liquidations where symbol = %s and time >= %s"
    return set(live.execute(query, [symbol, since]))  # type: ignore[arg-type]


def _received_books(live: Connection, symbol: str, since: datetime) -> dict[datetime, OrderBookSnapshot]:
    query = (
        "select slot, symbol, time, bid_price, bid_quantity, ask_price, ask_quantity, last_update_id"
        " from order_book where symbol = %s and slot >= %s"
    )
    return {slot: OrderBookSnapshot(*row) for slot, *row in live.execute(query, [symbol, since])}


def _repaired_marks(live: Connection, lived: Lived, symbol: str) -> list[Row]:
    """Give the REST rows at the instants at which a repair has read them; their values are the market's."""
    instants = {
        at
        for (at,) in live.execute(
            "select time from mark_price where symbol = %s and time >= %s and source = 'rest'",
            [symbol, lived.day.start],
        )
    }
    rows = lived.day.market.rows(
        "mark_price_klines", symbol, lived.day.start - 2 * BAR, lived.stopped_at, as_of=lived.stopped_at
    )
    return [row for row in rows if row.time in instants]  # type: ignore[union-attr]
