"""A live run through a broken exchange: at last the mart is that of a batch build over complete data."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from perpmart.database import connect_to
from simulator.presets import wide_market
from simulator.stream_plan import StreamPlan
from tests.dbt_project.mart import Databases
from tests.live.day import EVERY_MS, Day, Lived, lived, prepare
from tests.live.judge import assert_same_mart, build_reference, check_raw, check_served

FAILURES = {
    "least_every_ms": EVERY_MS,
    "silence_seconds": 240.0,
    "duplicate_share": 0.02,
    "disorder_share": 0.02,
    "disorder_ms": 800,
    "seed": 5,
}


def make_day(
    *, symbols: int, bars: int, history: int, speed: float, outage: tuple[int, int], **plan: float
) -> Day:
    """Make a day: `outage` is its first and last minute."""
    market = wide_market(symbols=symbols, days=history + 1)
    start = market.end - timedelta(days=1)
    out = tuple(start + timedelta(minutes=minute) for minute in outage)
    failures = StreamPlan(**FAILURES, **plan, outages=((out[0], out[1]),))  # type: ignore[arg-type]
    return Day(market, start, start + timedelta(minutes=5 * bars), speed, failures)


def judge(databases: Databases, live: Lived, history: str) -> dict[str, int]:
    """Hold everything against everything; gives figures to print."""
    check_raw(live)
    reference = build_reference(databases, live, history)
    rows = assert_same_mart(live.url, reference, start=live.day.market.start, end=live.day.end)
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


@pytest.mark.timeout(240)
def test_half_an_hour_with_every_failure_and_two_kills_ends_as_a_batch_build(
    databases: Databases, redis_url: str, tmp_path: Path
) -> None:
    day = make_day(
        symbols=3, bars=7, history=2, speed=60, outage=(11, 21), drops_per_hour=4.0, silences_per_hour=2.0
    )
    url = prepare(databases, day)
    history = databases.make(of=url)
    kills = (timedelta(minutes=7), timedelta(minutes=26))
    with lived(day, url, redis_url, tmp_path, kills=kills) as live:
        print("\n".join(live.lines))
        print(judge(databases, live, history))
        check_holes(live)
