"""Judging what a live run left: raw against the market, mart against a batch build, Redis against the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from collectors.coverage import Segment
from collectors.rows import OrderBookSnapshot, Row
from collectors.writer import Writer
from ml.feature_vector import pack_values, to_microseconds
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from perpmart.push import find_drift
from simulator.market import to_ms
from simulator.shape import to_rows
from tests.dbt_project.mart import Databases, analyse, read_mart
from tests.live.day import BAR, EVERY_MS, Lived, cover

LISTENED = ("liquidations", "order_book")
SLOT = timedelta(seconds=10)
REST_KINDS = ("ohlcv", "open_interest", "long_short_ratio", "funding_rate")


def holes_of(connection: Connection, stream: str) -> dict[str, list[Segment]]:
    """Give the holes that are listed, by symbol."""
    found: dict[str, list[Segment]] = defaultdict(list)
    for symbol, start, end in connection.execute(
        "select symbol, from_time, to_time from gaps where stream = %s order by 1, 2", [stream]
    ):
        found[symbol].append((start, end))
    return found


def market_books(lived: Lived, symbol: str) -> dict[datetime, OrderBookSnapshot]:
    """Give the newest book of each slot that the stream shows at its cadence."""
    books, at = {}, lived.day.start
    while at < lived.day.end:
        last = at + SLOT - timedelta(milliseconds=EVERY_MS)
        table = lived.day.market.book(symbol, to_ms(last))
        books[at] = to_rows("order_book", symbol, table)[0]
        at += SLOT
    return books


def check_raw(lived: Lived) -> None:
    """Compare raw with the market: equal outside the listed holes, nothing strange inside, no row twice."""
    day = lived.day
    span = [day.start, day.end]
    with connect_to(lived.url) as connection:
        left = connection.execute(
            "select stream, symbol, from_time, to_time, cause from gaps"
            " where state = 'open' and to_time < %s",
            [lived.day.end],
        ).fetchall()
        assert left == []
        for symbol in day.market.symbols:
            wanted = _rest_rows(lived, "ohlcv", symbol)
            stored = connection.execute(
                "select symbol, timeframe, time, open, high, low, close, volume, quote_volume, trades,"
                " taker_buy_base, taker_buy_quote from ohlcv where symbol = %s and time >= %s and time < %s"
                " order by time",
                [symbol, *span],
            ).fetchall()
            assert stored == [tuple(row) for row in wanted], symbol
            orders = {
                (row.time, row.side, row.price, row.quantity)  # type: ignore[union-attr]
                for row in day.market.rows("liquidations", symbol, *span)
            }
            _agree(connection, "liquidations", symbol, orders, "time, side, price, quantity", span)
            books = {(book.time, tuple(book.bid_price)) for book in market_books(lived, symbol).values()}
            any_book = set(_instants(day.start, day.end))
            _agree(connection, "order_book", symbol, books, "time, bid_price", span, known=any_book)


def _agree(
    connection: Connection,
    table: str,
    symbol: str,
    wanted: set[Any],
    columns: str,
    span: Sequence[datetime],
    *,
    known: set[datetime] | None = None,
) -> None:
    stored = {
        tuple(tuple(value) if isinstance(value, list) else value for value in row)
        for row in connection.execute(
            f"select {columns} from {table} where symbol = %s and time >= %s and time < %s".encode(),
            [symbol, *span],
        )
    }
    holes = holes_of(connection, table)[symbol]
    # A hole ends where hearing is proven again: two seconds after the first message.
    outside = {row for row in wanted if not _within(row[0], holes)}
    assert outside <= stored, f"{table} {symbol}: {sorted(outside - stored)[:3]}"
    strange = {row for row in stored - wanted if known is None or row[0] not in known}
    assert not strange, f"{table} {symbol}: {sorted(strange)[:3]}"
    if known is not None:
        assert all(_within(row[0], holes) for row in stored - wanted)


def _within(at: datetime, holes: Sequence[Segment]) -> bool:
    return any(start - SLOT <= at < end + SLOT for start, end in holes)


def _instants(start: datetime, end: datetime) -> list[datetime]:
    step = timedelta(milliseconds=EVERY_MS)
    return [start + n * step for n in range((end - start) // step)]


def _rest_rows(lived: Lived, kind: Any, symbol: str) -> list[Row]:
    return lived.day.market.rows(kind, symbol, lived.day.start, lived.day.end, as_of=lived.stopped_at)


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


def _listened(live: Connection, lived: Lived, symbol: str) -> list[Row]:
    """Give what the streams say: complete outside holes; inside, what was received after all."""
    day, until = lived.day, lived.stopped_at
    found: list[Row] = [
        row
        for row in day.market.rows("mark_price", symbol, day.start, until, every=SLOT)
        if not _in(row.time, holes_of(live, "mark_price")[symbol])  # type: ignore[union-attr]
    ]
    received = _received(live, symbol, day.start)
    holes = holes_of(live, "liquidations")[symbol]
    found += [
        row
        for row in day.market.rows("liquidations", symbol, day.start, until)
        if not _within(row.time, holes) or (row.time, row.price, row.quantity) in received  # type: ignore[union-attr]
    ]
    books = dict(market_books(lived, symbol))
    for slot, row in _received_books(live, symbol, day.start).items():
        if slot not in books or _within(slot, holes_of(live, "order_book")[symbol]):
            books[slot] = row
    missing = [slot for slot in books if not _slot_received(live, symbol, slot)]
    found += [book for slot, book in books.items() if slot not in missing]
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


def _slot_received(live: Connection, symbol: str, slot: datetime) -> bool:
    found = live.execute("select 1 from order_book where symbol = %s and slot = %s", [symbol, slot])
    return found.fetchone() is not None


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


def assert_same_mart(one: str, other: str, *, start: datetime, end: datetime) -> int:
    """Compare two marts bit for bit; gives the number of rows."""
    frames = []
    for url in (one, other):
        with connect_to(url) as connection:
            frames.append(read_mart(connection, where=f"time >= '{start}' and time < '{end}'"))
    left, right = frames
    pd.testing.assert_frame_equal(left[["symbol", "time"]], right[["symbol", "time"]])
    for name in left.columns[3:]:
        a, b = left[name].to_numpy(), right[name].to_numpy()
        differing = ~((a == b) | (pd.isna(a) & pd.isna(b)))
        if differing.any():
            place = int(np.flatnonzero(differing)[0])
            raise AssertionError(
                f"{name}: {int(differing.sum())} of {len(a)} differ, first {left['symbol'][place]}"
                f" {left['time'][place]}: {a[place]} != {b[place]}"
            )
    return len(left)


def check_served(lived: Lived) -> dict[str, int]:
    """Compare what readers saw with the log, and the log with the mart; gives counts of both."""
    with connect_to(lived.url) as connection:
        assert find_drift(connection, since=lived.day.start) == []
        unexplained = connection.execute("select count(*) from served where cause = 'unexplained'").fetchone()
        assert unexplained == (0,)
        logged = {
            (symbol, to_microseconds(time), revision): (feature_set, pack_values(np.array(values)))
            for symbol, time, revision, feature_set, values in connection.execute(
                "select symbol, time, revision, feature_set, v from served"
            )
        }
        revised = connection.execute("select count(*) from served where revision > 1").fetchone()
    for one in lived.seen:
        assert logged[one.symbol, one.time, one.revision] == (one.feature_set, one.values), one[:3]
    assert lived.seen
    return {"seen": len(lived.seen), "logged": len(logged), "revised": revised[0] if revised else 0}
