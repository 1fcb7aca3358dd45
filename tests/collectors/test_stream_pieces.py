"""Streams piece by piece: shards, what was heard, what is kept of messages, the exchange's clock."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from collectors.rows import Kline, Liquidation, MarkPrice, OrderBookSnapshot, Row
from collectors.stream_channels import BOOKS, FORCE_ORDERS, KLINES, MARK_PRICES, Subscription, shards
from collectors.stream_clock import ExchangeClock
from collectors.stream_intake import Intake
from collectors.stream_listening import Listening
from collectors.stream_polls import Poller
from tests.collectors.exchange import Answer, Quick, scripted
from tests.collectors.samples import INSTRUMENT

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)
SYMBOLS = tuple(f"X{number}/USDT" for number in range(150))
MARK, ORDERS, KLINE = (Subscription(one, "SOL/USDT") for one in (MARK_PRICES, FORCE_ORDERS, KLINES))
BOOK = Subscription(BOOKS, "SOL/USDT")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


# -- shards


def test_every_stream_is_on_one_socket_of_its_root_and_no_socket_has_more_than_200() -> None:
    found = shards(SYMBOLS)
    names = [one.name for shard in found for one in shard.subscriptions]
    assert len(names) == len(set(names)) == 4 * len(SYMBOLS)
    assert max(len(shard.subscriptions) for shard in found) <= 200
    for shard in found:
        assert {one.channel.root for one in shard.subscriptions} == {shard.root}


def test_a_symbols_forced_orders_share_the_socket_of_its_mark_prices() -> None:
    home = {one: shard for shard in shards(SYMBOLS) for one in shard.subscriptions}
    for symbol in SYMBOLS:
        assert home[Subscription(FORCE_ORDERS, symbol)] is home[Subscription(MARK_PRICES, symbol)]


def test_addresses_are_combined_under_the_split_roots() -> None:
    market, public = shards(["SOL/USDT"])
    assert market.url("wss://x") == (
        "wss://x/market/stream?streams=solusdt@kline_5m/solusdt@markPrice@1s/solusdt@forceOrder"
    )
    assert public.url("wss://x") == "wss://x/public/stream?streams=solusdt@depth20@500ms"


# -- listening


def heard(*seconds: float) -> Listening:
    listening = Listening([MARK, ORDERS, KLINE], NOON)
    for one in seconds:
        listening.hear(MARK.name, at(one))
    return listening


def segments(listening: Listening, stream: str) -> list[tuple[float, float]]:
    return [
        ((one.from_time - NOON).total_seconds(), (one.to_time - NOON).total_seconds())
        for one in listening.covered()
        if one.stream == stream
    ]


def test_nothing_is_covered_before_the_first_message() -> None:
    assert heard().covered() == []
    assert segments(heard(7, 8, 9), "mark_price") == [(7, 9)]


def test_silent_forced_orders_are_covered_as_long_as_the_socket_speaks() -> None:
    # Those filled in the 2 s before the first message were missed, those of the last 2 s may be on their way.
    assert segments(heard(*range(0, 61, 5)), "liquidations") == [(2, 58)]


def test_a_silence_beyond_patience_cuts_the_coverage_where_it_was_last_heard() -> None:
    listening = heard(1, 2, 3, 100, 101, 110)
    assert segments(listening, "mark_price") == [(1, 3), (100, 110)]
    assert segments(listening, "liquidations") == [(102, 108)]
    listening.forget_finished(at(110))
    assert segments(listening, "mark_price") == [(100, 110)]


def test_old_and_repeated_messages_do_not_shrink_what_was_heard() -> None:
    assert segments(heard(10, 20, 15, 20, 11), "mark_price") == [(10, 20)]


def test_a_connection_takes_over_once_forced_orders_too_are_covered_without_a_hole() -> None:
    old = heard(*range(60, 101))
    assert not Listening([MARK, ORDERS, KLINE], at(90)).takes_over_from(old)
    assert not heard(101, 102, 103).takes_over_from(old)  # its first message came after the old one's last
    assert not heard(97, 98, 99, 100).takes_over_from(old)  # orders filled before 99 s may have been missed
    assert heard(95, 96, 97, 98, 99, 100).takes_over_from(old)


def test_a_book_slot_that_can_still_change_is_not_covered() -> None:
    listening = Listening([BOOK], NOON)
    for second in (1, 9, 19, 31):
        listening.hear(BOOK.name, at(second))
    assert segments(listening, "order_book") == [(1, 20)]


def test_silence_names_the_stream_or_all_of_a_dead_socket() -> None:
    listening = heard(*range(0, 30))
    for second in range(30, 70):
        listening.hear(KLINE.name, at(second))
    assert listening.silent(at(50)) == []
    assert listening.silent(at(70)) == [MARK]
    assert len(listening.silent(at(120))) == 3
    assert listening.silent(at(120), least=timedelta(minutes=5)) == []


def test_rows_that_were_lost_cover_nothing() -> None:
    listening = heard(1, 2, 3)
    listening.start_anew()
    assert listening.covered() == []
    listening.hear(MARK.name, at(9))
    listening.hear(MARK.name, at(10))
    assert segments(listening, "mark_price") == [(9, 10)]


# -- intake


def mark_message(seconds: float, price: str = "150.5") -> str:
    stamp = int(at(seconds).timestamp() * 1000)
    data = {
        "e": "markPriceUpdate",
        "E": stamp,
        "s": "SOLUSDT",
        "p": price,
        "i": "150.6",
        "r": "0.0001",
        "T": 0,
    }
    return json.dumps({"stream": MARK.name, "data": data})


def book_message(seconds: float, bid: str) -> str:
    stamp = int(at(seconds).timestamp() * 1000)
    data = {"e": "depthUpdate", "E": stamp, "s": "SOLUSDT", "u": 7, "b": [[bid, "1"]], "a": [["151", "1"]]}
    return json.dumps({"stream": BOOK.name, "data": data})


@pytest.fixture
def told() -> list[Row]:
    return []


@pytest.fixture
def intake(told: list[Row]) -> Intake:
    return Intake(told.append)


LISTENING = Listening([MARK, ORDERS, KLINE, BOOK], NOON)


def test_of_mark_prices_the_first_second_of_each_slot_is_kept(intake: Intake) -> None:
    for second in range(25):
        intake.take_in(mark_message(second), LISTENING)
    rows = intake.take(books_until=at(0)).rows
    assert [row.time for row in rows if isinstance(row, MarkPrice)] == [at(0), at(10), at(20)]


def test_of_books_the_newest_of_each_slot_is_kept_once_the_slot_is_over(intake: Intake) -> None:
    for second, bid in ((1, "150"), (9, "149"), (5, "148"), (12, "147")):
        intake.take_in(book_message(second, bid), LISTENING)
    first = intake.take(books_until=at(12)).rows
    assert [row.bid_price for row in first if isinstance(row, OrderBookSnapshot)] == [[149.0]]
    assert [row.bid_price for row in intake.take(books_until=at(20)).rows] == [[147.0]]  # type: ignore[union-attr]


def test_broken_messages_are_kept_with_their_payload_and_the_next_is_read(intake: Intake) -> None:
    lacking = json.loads(mark_message(0))
    del lacking["data"]["p"]
    no_time = json.loads(mark_message(0))
    del no_time["data"]["E"]
    broken = ["{no json", json.dumps(lacking), json.dumps(no_time)]
    for text in [*broken, mark_message(10)]:
        intake.take_in(text, LISTENING)
    taken = intake.take(books_until=at(0))
    assert [one.payload for one in taken.refusals] == broken
    assert "p" in taken.refusals[1].reason
    assert len(taken.rows) == 1


def test_new_fields_and_unknown_streams_are_no_errors(intake: Intake) -> None:
    message = json.loads(mark_message(0))
    message["data"]["brandNew"] = {"a": 1}
    intake.take_in(json.dumps(message), LISTENING)
    intake.take_in('{"result": null, "id": 1}', LISTENING)
    intake.take_in('{"stream": "solusdt@aggTrade", "data": {"E": 1}}', LISTENING)
    taken = intake.take(books_until=at(0))
    assert (len(taken.rows), len(taken.refusals), intake.ignored) == (1, 0, 2)


def test_rows_are_told_as_they_arrive(intake: Intake, told: list[Row]) -> None:
    intake.take_in(mark_message(0), LISTENING)
    assert [type(row) for row in told] == [MarkPrice]
    assert not any(isinstance(row, Kline | Liquidation) for row in told)


# -- clock


def test_a_fast_clock_shortens_every_sleep() -> None:
    now = [0.0]
    clock = ExchangeClock(NOON, speed=60, monotonic=lambda: now[0])
    now[0] = 2.0
    assert clock.now() == at(120)
    clock.set(at(600))
    assert clock.now() == at(600)

    async def nap() -> float:
        real = ExchangeClock(NOON, speed=1000)
        began = asyncio.get_running_loop().time()
        await real.sleep_until(NOON + timedelta(seconds=50))
        return asyncio.get_running_loop().time() - began

    assert 0.04 < asyncio.run(nap()) < 5


@pytest.mark.parametrize(("start", "speed"), [(NOON.replace(tzinfo=None), 1.0), (NOON, 0.0)])
def test_a_clock_without_zone_or_motion_is_refused(start: datetime, speed: float) -> None:
    with pytest.raises(ValueError, match=r"zone|forward"):
        ExchangeClock(start, speed=speed)


# -- polls


def test_settlements_asked_for_after_each_hour_are_covered_without_a_hole() -> None:
    async def covered(now: datetime) -> list[tuple[datetime, datetime]]:
        quick = Quick()
        async with scripted(Answer(body=[])) as exchange, quick.client(exchange.url) as client:
            gathered = await Poller(client, {INSTRUMENT.symbol: INSTRUMENT}).poll_klines(now)
        return [(one.from_time, one.to_time) for one in gathered.covered if one.stream == "funding_rate"]

    [(_, first_end)] = asyncio.run(covered(NOON + timedelta(minutes=5, seconds=5)))
    [(next_start, next_end)] = asyncio.run(covered(NOON + timedelta(hours=1, seconds=5)))
    assert next_start <= first_end < next_end
    assert asyncio.run(covered(NOON + timedelta(minutes=30))) == []
