"""Backfills through the simulator: complete, repeatable, resumable, honest about what there is not."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from collectors.backfill import HistoricalDataCollector, OptimizedDataCollector, as_instant
from collectors.client import BinanceFuturesClient
from collectors.collection import Step
from collectors.errors import CollectorError, RangeError, RefusedError, UnknownSymbolError, UnreachableError
from collectors.kinds import kind_named
from collectors.rows import Coverage, OpenInterest
from collectors.writer import Writer
from perpmart.database import connect_to
from perpmart.errors import DatabaseError
from simulator.clock import StandingClock
from simulator.faults import FaultPlan
from simulator.presets import demo_market, odd_market
from simulator.recorded import RecordedMarket
from simulator.server import Simulator, running
from simulator.synthetic import SyntheticMarket
from tests.collectors.backfill_run import assert_same_tables, backfill, raw_tables
from tests.conftest import NewDatabase

DAY = timedelta(days=1)
BAR = timedelta(minutes=5)
FAULTS = FaultPlan(
    rate_429=0.01, rate_418=0.005, rate_5xx=0.1, rate_reset=0.08, rate_slow=0.02, slow_seconds=0.1,
    ban_seconds=1.0, seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return demo_market(days=2)


def count(database_url: str, query: str) -> Any:
    with connect_to(database_url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def test_every_kind_arrives_whole(migrated_url: str, market: SyntheticMarket) -> None:
    with running(Simulator(market)) as exchange:
        result = backfill(migrated_url, exchange.url, ["SOL/USDT", "BTCUSDT"], market.start)
    for symbol in ("SOL/USDT", "BTC/USDT"):
        assert result.of(symbol, "klines").written.inserted == 2 * 288
        # The first price is the close of the first bar, the newest one the close of the last.
        assert result.of(symbol, "mark_price").rows == 2 * 288
        assert result.of(symbol, "funding_rate").rows in (6, 7)
        for kind in ("open_interest", "global_account", "top_account", "top_position"):
            assert result.of(symbol, kind).rows >= 2 * 288 - 1
        assert result.of(symbol, "taker_volume").rows >= 2 * 288 - 1
        assert result.of(symbol, "order_book").written.inserted == 1
        assert result.of(symbol, "instruments").written.inserted == 1
        assert result.of(symbol, "premium_index").rows == 1
    assert result.written.rejected == 0
    tables = raw_tables(migrated_url)
    assert len(tables["ohlcv"]) == 2 * 2 * 288
    assert len(tables["instruments"]) == 2
    assert ("ohlcv:5m", "SOL/USDT", market.start, market.end, "rest") in tables["coverage"]


def test_mark_prices_are_stamped_when_they_were_true(migrated_url: str, market: SyntheticMarket) -> None:
    with running(Simulator(market)) as exchange:
        backfill(migrated_url, exchange.url, "SOL/USDT", market.end - DAY, kinds=["klines", "mark_price"])
    # The market's mark price follows the last trade: it is nearer to the close of the bar that ends at its
    # stamp than to the close of the next one.
    near, far = (
        count(
            migrated_url,
            "select avg(abs(m.mark_price / o.close - 1)) from mark_price as m inner join ohlcv as o"
            f" on o.symbol = m.symbol and o.time = m.time - interval '{minutes} minutes'"
            " where m.next_funding_time is null",
        )
        for minutes in (5, 0)
    )
    assert near < far


def test_one_by_one_and_all_at_once_leave_the_same_tables(
    new_database: NewDatabase, market: SyntheticMarket
) -> None:
    one, other = new_database(migrated=True), new_database(migrated=True)
    with running(Simulator(market)) as exchange:
        backfill(one, exchange.url, ["SOL/USDT", "ETH/USDT"], market.start)
        backfill(other, exchange.url, ["SOL/USDT", "ETH/USDT"], market.start, one_by_one=True)
    assert_same_tables(raw_tables(one), raw_tables(other))


def test_a_second_run_asks_little_and_changes_nothing(migrated_url: str, market: SyntheticMarket) -> None:
    with running(Simulator(market)) as exchange:
        first = backfill(migrated_url, exchange.url, "SOL/USDT", market.start)
        before, changes = raw_tables(migrated_url), count(migrated_url, "select max(id) from changes")
        second = backfill(migrated_url, exchange.url, "SOL/USDT", market.start)
    assert_same_tables(raw_tables(migrated_url), before)
    assert count(migrated_url, "select max(id) from changes") == changes
    assert (second.written.inserted, second.written.updated) == (0, 0)
    assert second.rows < first.rows / 20
    assert second.holes == first.holes


def test_no_bar_is_stored_while_it_forms(migrated_url: str, market: SyntheticMarket) -> None:
    now = market.end - DAY + timedelta(minutes=3)
    with running(Simulator(market, clock=StandingClock(now))) as exchange:
        result = backfill(migrated_url, exchange.url, "SOL/USDT", now - timedelta(hours=2), kinds=["klines"])
    assert count(migrated_url, "select max(time) from ohlcv") == market.end - DAY - BAR
    assert result.written.rejected == 0


def test_a_later_run_goes_on_and_learns_what_was_revised_or_late(new_database: NewDatabase) -> None:
    market = odd_market(revised_share=0.2, late_statistics=True)
    once, often = new_database(migrated=True), new_database(migrated=True)
    symbols = ["SOL/USDT", "DOGE/USDT", "1000PEPE/USDT"]
    start = market.start + 2 * DAY
    clock = StandingClock(start + timedelta(hours=6))
    with running(Simulator(market, clock=clock)) as exchange:
        for minutes in (5, 5, 13, 122, 480, 30):
            backfill(often, exchange.url, symbols, start)
            clock.advance(timedelta(minutes=minutes))
        backfill(often, exchange.url, symbols, start)
        backfill(once, exchange.url, symbols, start)
    several, one = raw_tables(often), raw_tables(once)
    for table in ("ohlcv", "open_interest", "long_short_ratio", "funding_rate"):
        assert several[table] == one[table], table
    assert [row for row in several["coverage"] if row[0] != "mark_price"] == [
        row for row in one["coverage"] if row[0] != "mark_price"
    ]


def test_nothing_is_asked_before_a_listing(migrated_url: str) -> None:
    market = odd_market()
    listed = market.start + 4 * DAY + timedelta(hours=9, minutes=35)
    with running(Simulator(market, clock=StandingClock(listed + DAY))) as exchange:
        result = backfill(migrated_url, exchange.url, "LINK/USDT", market.start)
        asked = [int(one.query["startTime"]) for one in exchange.requests if "startTime" in one.query]
    assert min(asked) >= (listed - BAR).timestamp() * 1000
    assert result.of("LINK/USDT", "klines").rows == 288
    assert all(hole.from_time >= listed for hole in result.holes)


def test_a_quiet_market_is_covered_and_no_hole(migrated_url: str) -> None:
    market = odd_market()
    quiet = market.start + 3 * DAY + timedelta(hours=10, minutes=10)
    with running(Simulator(market, clock=StandingClock(quiet + timedelta(hours=3)))) as exchange:
        result = backfill(
            migrated_url, exchange.url, "DOGE/USDT", quiet - timedelta(hours=1), kinds=["klines"]
        )
    assert result.of("DOGE/USDT", "klines").rows == 4 * 12 - 3
    assert count(migrated_url, "select count(*) from coverage where stream = 'ohlcv:5m'") == 1


def test_what_the_exchange_no_longer_has_is_a_hole(migrated_url: str) -> None:
    market = demo_market(days=33)
    with running(Simulator(market)) as exchange:
        result = backfill(migrated_url, exchange.url, "SOL/USDT", market.start, kinds=["open_interest"])
        (hole,) = result.of("SOL/USDT", "open_interest").holes
        assert (hole.from_time, hole.to_time) == (market.start, market.end - 30 * DAY)
        assert "30 days" in hole.cause
        gaps = raw_tables(migrated_url)["gaps"]
        backfill(migrated_url, exchange.url, "SOL/USDT", market.start, kinds=["open_interest"])
    assert raw_tables(migrated_url)["gaps"] == gaps
    assert {row[0] for row in gaps} == {"open_interest:5m", "liquidations", "order_book"}


def test_what_the_archive_has_given_is_no_hole(migrated_url: str) -> None:
    market = demo_market(days=33)
    edge = market.end - 30 * DAY
    with connect_to(migrated_url) as connection, running(Simulator(market)) as exchange:
        row = OpenInterest("SOL/USDT", "5m", market.start, 1.0, 150.0)
        Writer(connection).write(
            [row],
            source="archive",
            now=market.end,
            covered=[Coverage("open_interest:5m", "SOL/USDT", market.start, edge + timedelta(hours=2))],
        )
        result = backfill(migrated_url, exchange.url, "SOL/USDT", market.start, kinds=["open_interest"])
    assert result.of("SOL/USDT", "open_interest").holes == ()


def test_liquidations_and_books_of_the_past_are_holes_unless_somebody_listened(
    migrated_url: str, market: SyntheticMarket
) -> None:
    with connect_to(migrated_url) as connection, running(Simulator(market)) as exchange:
        heard = Coverage("liquidations", "*", market.start, market.start + DAY)
        Writer(connection).write([], source="stream", now=market.end, covered=[heard])
        result = backfill(migrated_url, exchange.url, "SOL/USDT", market.start, kinds=["funding_rate"])
    (liquidations,) = result.of("SOL/USDT", "liquidations").holes
    assert (liquidations.from_time, liquidations.to_time) == (market.start + DAY, market.end)
    (book,) = result.of("SOL/USDT", "order_book").holes
    assert book.from_time == market.start


@pytest.mark.parametrize("symbol", ["NOPE/USDT", "solusd", "", "SOL/EUR"])
def test_an_unknown_symbol_is_named_before_anything_is_collected(
    migrated_url: str, market: SyntheticMarket, symbol: str
) -> None:
    with (
        running(Simulator(market)) as exchange,
        pytest.raises(UnknownSymbolError, match=f"unknown symbol '{symbol}'"),
    ):
        backfill(migrated_url, exchange.url, ["SOL/USDT", symbol], market.start)
    assert not any(raw_tables(migrated_url).values())


def test_an_exchange_that_is_not_there_is_named_soon(migrated_url: str) -> None:
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9/fapi/v1/time"):
        backfill(migrated_url, "http://127.0.0.1:9", "SOL/USDT", "2026-06-30")


def test_an_empty_range_is_refused(migrated_url: str, market: SyntheticMarket) -> None:
    with running(Simulator(market)) as exchange, pytest.raises(RangeError, match="is empty"):
        backfill(migrated_url, exchange.url, "SOL/USDT", market.end, market.start)


def test_an_unknown_kind_is_refused(connection: Any) -> None:
    with pytest.raises(CollectorError, match="unknown kind 'candles'; known are klines, mark_price"):
        HistoricalDataCollector(BinanceFuturesClient("http://127.0.0.1:9"), connection, kinds=["candles"])


@pytest.mark.parametrize("kind", ["open_interest:4h", "global_account:30m", "taker_volume:1h"])
def test_statistics_come_in_other_periods_too(migrated_url: str, market: SyntheticMarket, kind: str) -> None:
    width = {"4h": 4, "30m": 0.5, "1h": 1}[kind.partition(":")[2]]
    with running(Simulator(market)) as exchange:
        result = backfill(migrated_url, exchange.url, "SOL/USDT", market.start, kinds=[kind])
        again = backfill(migrated_url, exchange.url, "SOL/USDT", market.start, kinds=[kind])
    # The stamp of the market's very first instant may be wanting, that of its last may be there.
    assert abs(result.of("SOL/USDT", kind).rows - 48 / width) <= 1
    assert again.of("SOL/USDT", kind).written.inserted == 0


@pytest.mark.parametrize("kind", ["candles", "open_interest:7m", "klines:1h", ":5m", "open_interest:"])
def test_a_kind_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(CollectorError, match=f"unknown kind '{kind}'"):
        kind_named(kind)


def test_recorded_data_arrive_whole(migrated_url: str, shared_data: Path) -> None:
    with running(Simulator(RecordedMarket(shared_data))) as exchange:
        result = backfill(
            migrated_url,
            exchange.url,
            ["AVAX/USDT", "NEAR/USDT"],
            "2026-02-01",
            kinds=["klines", "funding_rate", "open_interest:4h", "global_account"],
        )
    for symbol in ("AVAX/USDT", "NEAR/USDT"):
        assert result.of(symbol, "klines").written.inserted == 8064
        assert result.of(symbol, "funding_rate").written.inserted == 84
        assert result.of(symbol, "open_interest:4h").written.inserted == 53
        # What the files lack is a hole of the whole month.
        (hole,) = result.of(symbol, "global_account").holes
        assert hole.to_time - hole.from_time == 28 * DAY
    assert result.written.rejected == 0


def test_progress_tells_pages_and_rows(migrated_url: str, market: SyntheticMarket) -> None:
    steps: list[Step] = []
    with running(Simulator(market)) as exchange:
        backfill(
            migrated_url, exchange.url, "SOL/USDT", market.start, kinds=["klines"], progress=steps.append
        )
    assert [(step.pages_done, step.pages_total, step.rows) for step in steps] == [
        (0, 2, 0), (1, 2, 499), (2, 2, 576),
    ]  # fmt: skip


def test_an_error_in_one_kind_ends_the_run_and_keeps_what_was_read(
    migrated_url: str, market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> list[OpenInterest]:
        raise RefusedError("/futures/data/openInterestHist", "HTTP 400", code="-1")

    monkeypatch.setattr(BinanceFuturesClient, "fetch_open_interest_history", refuse)
    with running(Simulator(market)) as exchange:
        with pytest.raises(RefusedError, match="openInterestHist"):
            backfill(migrated_url, exchange.url, "SOL/USDT", market.start, one_by_one=True)
        assert len(raw_tables(migrated_url)["ohlcv"]) == 576
        monkeypatch.undo()
        backfill(migrated_url, exchange.url, "SOL/USDT", market.start)
    assert len(raw_tables(migrated_url)["open_interest"]) >= 575


def test_a_run_through_faults_leaves_the_same_tables(
    new_database: NewDatabase, market: SyntheticMarket
) -> None:
    calm, stormy = new_database(migrated=True), new_database(migrated=True)
    with running(Simulator(market)) as exchange:
        backfill(calm, exchange.url, ["SOL/USDT", "BTC/USDT"], market.start)
    with running(Simulator(market, faults=FAULTS)) as exchange:
        result = backfill(stormy, exchange.url, ["SOL/USDT", "BTC/USDT"], market.start)
    assert result.retries > 0
    assert_same_tables(raw_tables(stormy), raw_tables(calm))


def test_what_expires_while_we_wait_is_a_hole_and_no_error(
    migrated_url: str, market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = demo_market(days=31)
    oldest = market.end - 30 * DAY
    fetch = BinanceFuturesClient.fetch_open_interest_history

    async def refuse(client: BinanceFuturesClient, symbol: str, period: str = "5m", **range_: Any) -> Any:
        if range_["start"] < oldest + 2 * BAR:
            raise RefusedError("/futures/data/openInterestHist", "startTime is invalid", code="-1130")
        return await fetch(client, symbol, period, **range_)

    monkeypatch.setattr(BinanceFuturesClient, "fetch_open_interest_history", refuse)
    with running(Simulator(market)) as exchange:
        result = backfill(migrated_url, exchange.url, "SOL/USDT", oldest, kinds=["open_interest"])
    (hole,) = result.of("SOL/USDT", "open_interest").holes
    assert (hole.from_time, hole.to_time) == (oldest, oldest + 2 * BAR)


def test_a_cancelled_run_leaves_a_connection_that_works(migrated_url: str, market: SyntheticMarket) -> None:
    async def run(url: str) -> int:
        with connect_to(migrated_url) as connection:
            async with BinanceFuturesClient(url) as client:
                ended = asyncio.Event()
                collector = OptimizedDataCollector(
                    client,
                    connection,
                    pages_per_write=1,
                    progress=lambda step: ended.set() if step.pages_done else None,
                )
                work = asyncio.ensure_future(collector.collect_all_data_concurrent("SOL/USDT", market.start))
                await ended.wait()
                work.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await work
                rows = connection.execute("select count(*) from coverage").fetchone()
                return rows[0] if rows else 0

    with running(Simulator(market)) as exchange:
        assert asyncio.run(run(exchange.url)) >= 1
        result = backfill(migrated_url, exchange.url, "SOL/USDT", market.start)
    assert result.of("SOL/USDT", "klines").kind == "klines"
    assert len(raw_tables(migrated_url)["ohlcv"]) == 576


def test_two_runs_at_once_leave_the_same_tables(new_database: NewDatabase, market: SyntheticMarket) -> None:
    alone, together = new_database(migrated=True), new_database(migrated=True)
    with running(Simulator(market)) as exchange:
        backfill(alone, exchange.url, "SOL/USDT", market.start)
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(backfill, together, exchange.url, "SOL/USDT", market.start, pages_per_write=1)
                for _ in range(2)
            ]
            assert [run.result().written.rejected for run in runs] == [0, 0]
    assert_same_tables(raw_tables(together), raw_tables(alone))


def test_a_database_that_goes_away_is_one_line(migrated_url: str, market: SyntheticMarket) -> None:
    def hang_up(step: Step) -> None:
        if step.pages_done == 1:
            with connect_to(migrated_url) as other:
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )

    with running(Simulator(market)) as exchange, pytest.raises(DatabaseError) as caught:
        backfill(migrated_url, exchange.url, "SOL/USDT", market.start, progress=hang_up, pages_per_write=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "when",
    [
        "2026-02-01",
        "2026-02-01T00:00",
        "2026-02-01T00:00:00Z",
        "2026-02-01T05:30+05:30",
        date(2026, 2, 1),
        datetime(2026, 2, 1),  # noqa: DTZ001
        datetime(2026, 2, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_every_way_to_write_an_instant_means_utc(when: Any) -> None:
    assert as_instant(when) == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_text_that_is_no_date_is_refused() -> None:
    with pytest.raises(RangeError, match="'last week' is no date"):
        as_instant("last week")


def test_the_concurrent_collector_can_do_what_the_plain_one_does() -> None:
    assert issubclass(OptimizedDataCollector, HistoricalDataCollector)
