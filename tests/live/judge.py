"""Judging what a live run left: raw against the market, mart against a batch build, Redis against the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml.data_loader import MarketDataLoader
from ml.feature_store import FeatureStore
from ml.feature_vector import pack_values, to_microseconds
from perpmart.database import Connection, connect_to
from perpmart.live_serving import HISTORY
from perpmart.push import find_drift
from perpmart.push_queries import _SOURCES
from tests.dbt_project.mart import Databases, read_mart
from tests.live.day import EVERY_MS, Lived
from tests.live.reference import (
    build_reference,
    holes_of,
    is_within,
    market_books,
    rebuild_with_dbt,
    rest_rows,
)


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
            wanted = rest_rows(lived, "ohlcv", symbol)
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
    outside = {row for row in wanted if not is_within(row[0], holes)}
    assert outside <= stored, f"{table} {symbol}: {sorted(outside - stored)[:3]}"
    strange = {row for row in stored - wanted if known is None or row[0] not in known}
    assert not strange, f"{table} {symbol}: {sorted(strange)[:3]}"
    if known is not None:
        assert all(is_within(row[0], holes) for row in stored - wanted)


def _instants(start: datetime, end: datetime) -> list[datetime]:
    step = timedelta(milliseconds=EVERY_MS)
    return [start + n * step for n in range((end - start) // step)]


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
    day = lived.day
    with connect_to(lived.url) as connection:
        # What came after the day may still be on its way when the run ends.
        assert [one for one in find_drift(connection, since=day.start) if one.time < day.end] == []
        unexplained = connection.execute(
            "select count(*) from served where revision > 1 and cause in ('', 'unexplained')"
        ).fetchone()
        assert unexplained == (0,)
        logged = {
            (symbol, to_microseconds(time), revision): (feature_set, pack_values(np.array(values)))
            for symbol, time, revision, feature_set, values in connection.execute(
                "select symbol, time, revision, feature_set, v from served"
            )
        }
        doubled = connection.execute("select count(*) - count(distinct (symbol, time, revision)) from served")
        assert doubled.fetchone() == (0,)
    for one in lived.seen:
        assert logged[one.symbol, one.time, one.revision] == (one.feature_set, one.values), one[:3]
    assert lived.seen
    revised = {(symbol, time) for symbol, time, revision in logged if revision > 1}
    return {
        "seen": len(lived.seen),
        "logged": len(logged),
        "bars revised": len(revised),
        "bars as served first": _check_first(lived, revised),
        "bars in sequences": _check_sequences(lived),
    }


def _check_first(lived: Lived, revised: set[tuple[str, int]]) -> int:
    """Hold what was served first, as a loader gives it, against the mart; gives the number of bars."""
    loader, span = MarketDataLoader(lived.url), (lived.day.start, lived.day.end)
    served = loader.load_features(None, *span, comparable_only=False, as_of="served")
    mart = loader.load_features(None, *span, comparable_only=False)
    unrevised = [key for key in served.index if (key[0], to_microseconds(key[1])) not in revised]
    assert unrevised
    pd.testing.assert_frame_equal(served.loc[unrevised], mart.loc[unrevised], check_exact=True)
    return len(unrevised)


def _check_sequences(lived: Lived) -> int:
    """Hold the past bars that the store keeps against the mart, served or not; gives the number of bars."""
    span = (lived.day.start, lived.day.end)
    store = FeatureStore(lived.redis_url, namespace=lived.namespace, accept_unknown=list(_SOURCES))
    mart = MarketDataLoader(lived.url).load_features(None, *span, comparable_only=False)
    compared = 0
    for symbol in lived.day.market.symbols:
        kept = store.get_sequence(symbol, "5m", HISTORY, max_age=None)
        rows = [row for row, time in enumerate(kept.times) if span[0] <= time < span[1]]
        values = kept.values[rows]
        wanted = mart.loc[[(symbol, kept.times[row]) for row in rows], list(kept.names)].to_numpy()
        differing = ~((values == wanted) | (np.isnan(values) & np.isnan(wanted))).all(axis=1)
        bars = [f"{kept.times[rows[place]]:%d %H:%M}" for place in np.flatnonzero(differing)]
        assert not bars, f"{symbol}: the store's past bars are not the mart's: {bars}"
        compared += len(rows)
    assert compared
    return compared


def judge(databases: Databases, live: Lived, history: str, *, by_dbt: bool = True) -> dict[str, int]:
    """Hold everything against everything; gives figures to print.

    Raw is held against the market; the mart against a batch build of complete data, and against what dbt
    makes of the same raw rows (`by_dbt`); the log against what readers saw, and against the mart.
    """
    check_raw(live)
    reference = build_reference(databases, live, history)
    rows = assert_same_mart(live.url, reference, start=live.day.market.start, end=live.day.end)
    if by_dbt:
        rebuilt = rebuild_with_dbt(databases, live)
        assert assert_same_mart(live.url, rebuilt, start=live.day.market.start, end=live.day.end) == rows
    return {"mart rows": rows, **check_served(live)}


def check_holes(live: Lived) -> None:
    """The outage is listed for every stream and symbol, and null in the features that hang on it."""
    ((start, end),) = live.day.plan.outages
    with connect_to(live.url) as connection:
        for stream in ("liquidations", "order_book", "mark_price", "ohlcv:5m"):
            found = connection.execute(
                "select distinct symbol, state from gaps"
                " where stream = %s and from_time < %s and to_time > %s",
                [stream, end - timedelta(minutes=1), start + timedelta(minutes=1)],
            ).fetchall()
            state = "unrepairable" if stream in ("liquidations", "order_book") else "repaired_rest"
            assert sorted(found) == [(symbol, state) for symbol in sorted(live.day.market.symbols)], stream
        nulls = connection.execute(
            "select count(*), count(liquidation_vol_1h), count(book_imbalance_20), count(rsi_14),"
            " count(oi_value)"
            " from mart.feature_mart where time >= %s and time + interval '5 min' <= %s",
            [start, end],
        ).fetchone()
        assert nulls is not None
        bars, liquidations, books, prices, interest = nulls
        assert bars > 0
        assert (liquidations, books) == (0, 0)
        assert (prices, interest) == (bars, bars)
