"""A page of REST that cannot be read is kept as it came, explained, and goes in once it can be read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors import parse
from collectors.client import BinanceFuturesClient
from collectors.errors import ExchangeError, InvalidFieldError, MalformedError, MissingFieldError
from collectors.pages import LONGEST, BrokenPage
from collectors.rejects import Reject, read_reject, read_rejects, retry
from collectors.rows import Refusal
from collectors.writer import Writer
from perpmart.database import Connection
from simulator.presets import demo_market
from simulator.server import Simulator, running
from simulator.synthetic import SyntheticMarket
from tests.collectors.backfill_run import backfill, raw_tables
from tests.collectors.exchange import Answer, ask
from tests.collectors.samples import NOW, SOL
from tests.faults.pages import KLINES, Spoiling, another_page

T = 1_769_904_000_000
OPENED = datetime(2026, 2, 1, tzinfo=UTC)
BAR = timedelta(minutes=5)


def bar(place: int, close: str = "105") -> list[Any]:
    opened = T + place * 300_000
    return [opened, "100", "110", "90", close, "10", opened + 299_999, "1000", 4, "6", "600", "0"]


def page(rows: object, *, asked_at: datetime = NOW, path: str = KLINES, **params: Any) -> Refusal:
    asked = params or {"symbol": "SOLUSDT", "limit": 3, "interval": "5m"}
    text = rows if isinstance(rows, str) else json.dumps(rows)
    return BrokenPage(path, asked, asked_at, "an older version could not read it", text).refusal()


def kept(connection: Connection, refusal: Refusal) -> Reject:
    Writer(connection).write([], source="rest", now=NOW, refusals=[refusal])
    return read_rejects(connection)[-1]


def closes(connection: Connection) -> list[Any]:
    found = connection.execute("select close from ohlcv order by time").fetchall()
    connection.rollback()
    return [close for (close,) in found]


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return demo_market(days=2)


def test_the_body_is_kept_as_it_came_with_the_question() -> None:
    async def broken(client: BinanceFuturesClient) -> list[Refusal]:
        with pytest.raises(MissingFieldError):
            await client.fetch_klines("SOL/USDT", limit=2)
        return client.take_broken() + client.take_broken()

    body = '[ [1769904000000, "100",  110.10] ]'  # its blanks and its bare number survive
    (refusal,), _ = ask(broken, Answer(body=body))
    assert (refusal.stream, refusal.payload) == ("ohlcv:5m", body)
    assert refusal.origin == "/fapi/v1/klines?symbol=SOLUSDT&limit=2&interval=5m"
    assert refusal.reason.startswith("/fapi/v1/klines: field 3 (low) is missing")
    assert refusal.context is not None
    assert refusal.context["params"] == {"symbol": "SOLUSDT", "limit": 2, "interval": "5m"}


def test_an_outage_fills_neither_memory_nor_table() -> None:
    async def broken(client: BinanceFuturesClient) -> list[Refusal]:
        for _ in range(130):
            with pytest.raises(ExchangeError):
                await client.fetch_premium_index("SOL/USDT")
        return client.take_broken()

    refusals, _ = ask(broken, Answer(body="<html>"), attempts=1)
    assert len(refusals) == 100


def test_a_page_goes_in_once_the_parser_can_read_it(
    migrated_url: str, connection: Connection, market: SyntheticMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(*_: Any, **__: Any) -> Any:
        raise InvalidFieldError(KLINES, "5 (volume)", "1e3")

    with running(Simulator(market)) as exchange:
        with monkeypatch.context() as patch:
            patch.setattr(parse, "parse_klines", older)
            with pytest.raises(InvalidFieldError):
                backfill(migrated_url, exchange.url, SOL, market.start, kinds=["klines"])
        (reject,) = read_rejects(connection)[:1]
        connection.rollback()
        (outcome,) = retry(connection, [reject], now=market.end)
        assert (outcome.accepted, outcome.reason) == (True, "499 rows")
        assert read_reject(connection, reject.id).state == "accepted"
        connection.rollback()
        early = raw_tables(migrated_url)
        assert len(early["ohlcv"]) == 499
        assert not early["coverage"]  # the next backfill asks all the same
        again = backfill(migrated_url, exchange.url, SOL, market.start, kinds=["klines"])
    written = again.of(SOL, "klines").written
    assert (written.inserted, written.unchanged, written.updated) == (2 * 288 - 499, 499, 0)


def test_a_bar_that_was_forming_is_not_taken_for_closed_later(connection: Connection) -> None:
    asked_at = OPENED + 2 * BAR + timedelta(minutes=1)
    reject = kept(connection, page([bar(0), bar(1), bar(2)], asked_at=asked_at))
    assert retry(connection, [reject], now=NOW)[0].accepted
    assert len(closes(connection)) == 2


def test_what_the_exchange_answered_since_stands(
    migrated_url: str, connection: Connection, market: SyntheticMarket
) -> None:
    with running(Simulator(market)) as exchange:
        backfill(migrated_url, exchange.url, SOL, market.start, kinds=["klines"])
        before = closes(connection)
        opened = int(market.start.timestamp() * 1000)
        old = [[opened, "1", "1", "1", "1", "0", opened + 299_999, "0", 0, "0", "0", "0"]]
        (outcome,) = retry(connection, [kept(connection, page(old, asked_at=market.end))], now=market.end)
    assert outcome.accepted
    assert outcome.reason == "1 rows, 1 answered for since"
    assert closes(connection) == before


def test_a_row_that_breaks_a_rule_is_refused_by_itself(connection: Connection) -> None:
    reject = kept(connection, page([bar(0), bar(1, close="500"), bar(2)]))
    (outcome,) = retry(connection, [reject], now=NOW)
    assert (outcome.accepted, outcome.reason) == (True, "3 rows, 1 refused one by one")
    (alone,) = read_rejects(connection)
    assert (alone.stream, alone.origin) == ("ohlcv:5m", reject.origin)
    assert "close" in alone.payload
    assert len(closes(connection)) == 2


def test_a_page_that_makes_no_sense_still_stays_open(connection: Connection) -> None:
    params = {"symbol": "SOLUSDT", "limit": 1, "period": "5m"}
    refusals = [
        page([bar(0)[:4]]),
        page(another_page(None)),
        page([bar(0)] * 15_000),  # beyond a megabyte: kept in part
        page([bar(0)], path="/fapi/v1/markPriceKlines"),
        page([{"symbol": "SOLUSDT"}], path="/futures/data/openInterestHist", **params),
    ]
    rejects = [kept(connection, refusal) for refusal in refusals]
    assert max(len(reject.payload) for reject in rejects) == LONGEST
    outcomes = retry(connection, rejects, now=NOW)
    assert not any(outcome.accepted for outcome in outcomes)
    assert [outcome.reason.split(":")[0] for outcome in outcomes] == [
        KLINES,
        "no JSON",
        f"of {len(refusals[2].payload):,} characters {LONGEST:,} were kept",
        "a page of /fapi/v1/markPriceKlines is of no use alone",
        "/futures/data/openInterestHist",
    ]
    assert len(read_rejects(connection)) == 5


@pytest.mark.parametrize(
    ("path", "params", "body", "stream"),
    [
        (
            "/futures/data/openInterestHist", {"symbol": "SOLUSDT", "period": "5m"},
            [{"symbol": "SOLUSDT", "sumOpenInterest": "1", "sumOpenInterestValue": "2", "timestamp": T}],
            "open_interest:5m",
        ),
        (
            "/futures/data/topLongShortAccountRatio", {"symbol": "SOLUSDT", "period": "5m"},
            [{"symbol": "SOLUSDT", "longShortRatio": "1", "longAccount": "0.5", "shortAccount": "0.5",
              "timestamp": T}],
            "long_short_ratio:top_account:5m",
        ),
        (
            "/fapi/v1/fundingRate", {"symbol": "SOLUSDT", "limit": 9},
            [{"symbol": "SOLUSDT", "fundingTime": T, "fundingRate": "0.0001", "markPrice": "151.2"}],
            "funding_rate",
        ),
        (
            "/fapi/v1/premiumIndex", {"symbol": "SOLUSDT"},
            {"symbol": "SOLUSDT", "markPrice": "150.5", "indexPrice": "150.6", "lastFundingRate": "0.0001",
             "nextFundingTime": T + 28_800_000, "time": T},
            "mark_price",
        ),
        (
            "/fapi/v1/depth", {"symbol": "SOLUSDT", "limit": 20},
            {"lastUpdateId": 7, "E": T, "T": T, "bids": [["99", "1"]], "asks": [["101", "1"]]},
            "order_book",
        ),
    ],
)  # fmt: skip
def test_every_kind_of_page_can_be_submitted_again(
    connection: Connection, path: str, params: dict[str, Any], body: object, stream: str
) -> None:
    reject = kept(connection, page(body, path=path, **params))
    assert reject.stream == stream
    (outcome,) = retry(connection, [reject], now=NOW)
    assert (outcome.accepted, outcome.reason) == (True, "1 rows")
    row = connection.execute(f"select symbol, source from {stream.partition(':')[0]}".encode()).fetchall()
    assert row == [(SOL, "rest")]


def test_a_page_of_no_table_is_kept_too(migrated_url: str, connection: Connection) -> None:
    market = demo_market(days=2)
    spoiling = Spoiling(market, "/fapi/v1/exchangeInfo", lambda _: {"symbols": 5})
    with running(spoiling) as exchange, pytest.raises(MalformedError):
        backfill(migrated_url, exchange.url, SOL, market.start, kinds=["klines"])
    (reject,) = read_rejects(connection)
    assert (reject.stream, reject.origin, reject.payload) == (
        "instruments",
        "/fapi/v1/exchangeInfo",
        '{"symbols": 5}',
    )
