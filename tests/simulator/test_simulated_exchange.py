"""The server answers as the exchange does: pages, bounds, defaults, errors."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from simulator.clock import AcceleratedClock, StandingClock
from simulator.presets import odd_market
from simulator.server import Simulator, make_clock, running
from simulator.synthetic import SyntheticMarket

FIVE_MS = 300_000
STATISTICS = {
    "open_interest": "openInterestHist",
    "global_account": "globalLongShortAccountRatio",
    "top_account": "topLongShortAccountRatio",
    "top_position": "topLongShortPositionRatio",
    "taker_volume": "takerlongshortRatio",
}


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return odd_market(days=14)


@pytest.fixture(scope="module")
def exchange(market: SyntheticMarket) -> Iterator[Simulator]:
    clock = StandingClock(market.end + timedelta(minutes=2, seconds=31))
    with running(Simulator(market, clock=clock)) as simulator:
        simulator.limiter.limits = type(simulator.limiter.limits)(
            weight_per_minute=10**9, statistics_per_5m=10**9, funding_per_5m=10**9
        )
        yield simulator


def get(exchange: Simulator, path: str, **query: Any) -> Any:
    with urlopen(f"{exchange.url}{path}?{urlencode(query)}") as answer:
        return json.load(answer)


def refusal(exchange: Simulator, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(HTTPError) as caught:
        get(exchange, path, **query)
    return caught.value.code, json.load(caught.value)


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def test_klines_page_by_page_give_every_row_once(exchange: Simulator, market: SyntheticMarket) -> None:
    now = exchange.clock.now_ms()
    cursor, found = ms(market.start), []
    while page := get(
        exchange, "/fapi/v1/klines", symbol="DOGEUSDT", interval="5m", startTime=cursor, limit=499
    ):
        found += page
        cursor = page[-1][0] + 1
    closed = [row for row in found if row[6] < now]
    assert len(found) == len(closed) + 1
    rows = market.rows("ohlcv", "DOGE/USDT")
    assert [row[0] for row in closed] == [ms(row.time) for row in rows]
    assert [tuple(float(value) for value in row[1:6]) for row in closed] == [row[3:8] for row in rows]
    assert [(float(row[7]), row[8], float(row[9]), float(row[10])) for row in closed] == [
        row[8:12] for row in rows
    ]


def test_the_last_kline_is_the_forming_one(exchange: Simulator, market: SyntheticMarket) -> None:
    for path, name in (("klines", "symbol"), ("markPriceKlines", "symbol"), ("indexPriceKlines", "pair")):
        query = {name: "SOLUSDT", "interval": "5m", "limit": 2}
        closed, forming = get(exchange, f"/fapi/v1/{path}", **query)
        assert closed[0] == ms(market.end) - FIVE_MS
        assert forming[0] == ms(market.end)
        assert forming[6] > exchange.clock.now_ms()


def test_bounds_of_klines_are_inclusive(exchange: Simulator, market: SyntheticMarket) -> None:
    start = ms(market.start + timedelta(days=2))
    query = {"symbol": "SOLUSDT", "interval": "5m", "startTime": start}
    opens = [row[0] for row in get(exchange, "/fapi/v1/klines", **query, endTime=start + 2 * FIVE_MS)]
    assert opens == [start, start + FIVE_MS, start + 2 * FIVE_MS]
    opens = [row[0] for row in get(exchange, "/fapi/v1/klines", **query, endTime=start + 2 * FIVE_MS - 1)]
    assert opens == [start, start + FIVE_MS]


def test_a_page_of_klines_begins_at_its_start_or_ends_at_its_end(
    exchange: Simulator, market: SyntheticMarket
) -> None:
    middle = ms(market.start + timedelta(days=3))
    query = {"symbol": "SOLUSDT", "interval": "5m", "limit": 10}
    after = get(exchange, "/fapi/v1/klines", **query, startTime=middle)
    before = get(exchange, "/fapi/v1/klines", **query, endTime=middle)
    assert (after[0][0], len(after)) == (middle, 10)
    assert (before[-1][0], len(before)) == (middle, 10)
    assert len(get(exchange, "/fapi/v1/klines", symbol="SOLUSDT", interval="5m")) == 500
    assert len(get(exchange, "/fapi/v1/klines", symbol="SOLUSDT", interval="5m", limit=1500)) == 1500


@pytest.mark.parametrize(("interval", "bars"), [("15m", 3), ("1h", 12), ("4h", 48), ("1d", 288)])
def test_wider_klines_are_made_of_the_five_minute_ones(
    exchange: Simulator, market: SyntheticMarket, interval: str, bars: int
) -> None:
    start = market.start + timedelta(days=2)
    rows = market.rows("ohlcv", "SOL/USDT", start, start + timedelta(minutes=5 * bars))
    wide = get(
        exchange, "/fapi/v1/klines", symbol="SOLUSDT", interval=interval, startTime=ms(start), limit=1
    )[0]
    assert wide[0] == ms(start)
    assert wide[6] == ms(start) + bars * FIVE_MS - 1
    assert float(wide[1]) == rows[0].open
    assert float(wide[2]) == max(row.high for row in rows)
    assert float(wide[3]) == min(row.low for row in rows)
    assert float(wide[4]) == rows[-1].close
    assert float(wide[5]) == pytest.approx(sum(row.volume for row in rows))
    assert wide[8] == sum(row.trades for row in rows)


@pytest.mark.parametrize("ratio_type", STATISTICS)
def test_statistics_in_windows_give_every_row_once(
    exchange: Simulator, market: SyntheticMarket, ratio_type: str
) -> None:
    path = f"/futures/data/{STATISTICS[ratio_type]}"
    found: list[int] = []
    start, now = ms(market.start), exchange.clock.now_ms()
    while start <= now:
        end = start + 500 * FIVE_MS - 1
        page = get(exchange, path, symbol="SOLUSDT", period="5m", startTime=start, endTime=end, limit=500)
        found += [row["timestamp"] for row in page]
        start = end + 1
    kind = "open_interest" if ratio_type == "open_interest" else "long_short_ratio"
    shown = market.rows(
        kind,
        "SOL/USDT",
        end=market.end + timedelta(hours=1),
        ratio_type=ratio_type,
        as_of=market.end + timedelta(minutes=2, seconds=31),
    )
    assert found == [ms(row.time) for row in shown]


def test_a_page_of_statistics_ends_at_its_end(exchange: Simulator, market: SyntheticMarket) -> None:
    path = "/futures/data/openInterestHist"
    query = {"symbol": "SOLUSDT", "period": "5m"}
    end = ms(market.start + timedelta(days=6))
    page = get(
        exchange, path, **query, startTime=ms(market.start + timedelta(days=1)), endTime=end, limit=500
    )
    assert (len(page), page[-1]["timestamp"]) == (500, end)
    recent = get(exchange, path, **query)
    assert len(recent) == 30
    assert exchange.clock.now_ms() - recent[-1]["timestamp"] < 10 * 60_000


def test_statistics_older_than_thirty_days_are_gone() -> None:
    market = odd_market(days=40)
    with running(Simulator(market)) as exchange:
        path, query = "/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1d", "limit": 500}
        kept = get(exchange, path, **query, startTime=ms(market.end - timedelta(days=30, hours=12)))
        assert kept[0]["timestamp"] == ms(market.end - timedelta(days=30))
        status, body = refusal(exchange, path, **query, startTime=ms(market.end - timedelta(days=35)))
        assert (status, body) == (400, {"code": -1130, "msg": "parameter 'startTime' is invalid."})


def test_wider_statistics(exchange: Simulator, market: SyntheticMarket) -> None:
    start = market.start + timedelta(days=2)
    query = {"symbol": "SOLUSDT", "period": "1h", "startTime": ms(start), "endTime": ms(start)}
    one = get(exchange, "/futures/data/openInterestHist", **query)
    row = market.rows("open_interest", "SOL/USDT", start, start + timedelta(minutes=5))[0]
    assert [(item["timestamp"], float(item["sumOpenInterest"])) for item in one] == [
        (ms(start), row.open_interest)
    ]
    taker = get(exchange, "/futures/data/takerlongshortRatio", **query)
    rows = market.rows("ohlcv", "SOL/USDT", start, start + timedelta(hours=1))
    assert len(taker) == 1
    assert float(taker[0]["buyVol"]) == pytest.approx(sum(row.taker_buy_base for row in rows), abs=1e-3)


def test_settlements_page_from_their_start(exchange: Simulator, market: SyntheticMarket) -> None:
    path, cursor, found = "/fapi/v1/fundingRate", ms(market.start), []
    while page := get(exchange, path, symbol="SOLUSDT", startTime=cursor, limit=7):
        found += page
        cursor = page[-1]["fundingTime"] + 1
    rows = market.rows("funding_rate", "SOL/USDT", end=market.end + timedelta(minutes=1))
    assert [one["fundingTime"] for one in found] == [ms(row.funding_time_raw) for row in rows]
    assert [float(one["fundingRate"]) for one in found] == [row.funding_rate for row in rows]
    assert [float(one["markPrice"]) for one in found] == [row.mark_price for row in rows]
    assert get(exchange, path, symbol="SOLUSDT", limit=1) == found[-1:]
    everyone = get(exchange, path, limit=1000)
    assert {one["symbol"] for one in everyone} == {symbol.replace("/", "") for symbol in market.symbols}


def test_funding_with_a_limit_too_large_is_an_object_under_http_200(exchange: Simulator) -> None:
    body = get(exchange, "/fapi/v1/fundingRate", symbol="SOLUSDT", limit=1001)
    assert (body["status"], body["code"]) == ("ERROR", "99099990")


def test_funding_info_names_only_who_is_not_on_eight_hours(exchange: Simulator) -> None:
    found = {one["symbol"]: one["fundingIntervalHours"] for one in get(exchange, "/fapi/v1/fundingInfo")}
    assert found == {"SOLUSDT": 4, "XRPUSDT": 4}


def test_exchange_info_lists_what_trades(exchange: Simulator) -> None:
    info = get(exchange, "/fapi/v1/exchangeInfo")
    symbols = {one["symbol"]: one for one in info["symbols"]}
    assert "LTCUSDT" not in symbols
    assert "LINKUSDT" in symbols
    assert info["serverTime"] == exchange.clock.now_ms() == get(exchange, "/fapi/v1/time")["serverTime"]


def test_premium_index_is_an_object_for_one_symbol(exchange: Simulator, market: SyntheticMarket) -> None:
    one = get(exchange, "/fapi/v1/premiumIndex", symbol="SOLUSDT")
    assert one["nextFundingTime"] == ms(market.end + timedelta(hours=4))
    everyone = get(exchange, "/fapi/v1/premiumIndex")
    assert one in everyone
    assert len(everyone) == 8


def test_depth_has_the_levels_asked_for(exchange: Simulator) -> None:
    for limit, levels in ((5, 5), (20, 20), (1000, 20)):
        book = get(exchange, "/fapi/v1/depth", symbol="SOLUSDT", limit=limit)
        assert len(book["bids"]) == len(book["asks"]) == levels
        assert book["T"] <= book["E"] <= exchange.clock.now_ms()
    assert refusal(exchange, "/fapi/v1/depth", symbol="SOLUSDT", limit=7)[1]["code"] == -1130


def test_open_interest_now(exchange: Simulator, market: SyntheticMarket) -> None:
    now = get(exchange, "/fapi/v1/openInterest", symbol="SOLUSDT")
    newest = market.rows("open_interest", "SOL/USDT", market.end, market.end + timedelta(minutes=1))[0]
    assert float(now["openInterest"]) == newest.open_interest


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/fapi/v1/klines", {"symbol": "NOPEUSDT", "interval": "5m"}, -1121),
        ("/fapi/v1/klines", {"symbol": "SOL/USDT", "interval": "5m"}, -1121),
        ("/fapi/v1/klines", {"interval": "5m"}, -1102),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT"}, -1102),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "7m"}, -1120),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "5m", "limit": 1501}, -1130),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "5m", "limit": 0}, -1130),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "5m", "limit": "x"}, -1100),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "5m", "startTime": "now"}, -1100),
        ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "5m", "startTime": 9, "endTime": 8}, -1023),
        ("/fapi/v1/indexPriceKlines", {"symbol": "SOLUSDT", "interval": "5m"}, -1102),
        ("/futures/data/openInterestHist", {"symbol": "SOLUSDT"}, -1102),
        ("/futures/data/openInterestHist", {"symbol": "SOLUSDT", "period": "1m"}, -1130),
        ("/futures/data/openInterestHist", {"symbol": "SOLUSDT", "period": "5m", "limit": 501}, -1130),
        ("/futures/data/takerlongshortRatio", {"symbol": "NOPEUSDT", "period": "5m"}, -1121),
        ("/fapi/v1/fundingRate", {"symbol": "NOPEUSDT"}, -1121),
    ],
)
def test_bad_requests_get_the_exchanges_own_codes(
    exchange: Simulator, path: str, query: dict[str, Any], code: int
) -> None:
    status, body = refusal(exchange, path, **query)
    assert (status, body["code"]) == (400, code)


def test_an_unknown_path_is_no_data(exchange: Simulator) -> None:
    assert refusal(exchange, "/fapi/v1/allForceOrders")[0] == 404


def test_a_symbol_does_not_exist_before_its_listing() -> None:
    market = odd_market()
    listed = market.start + timedelta(days=4, hours=9, minutes=35)
    clock = StandingClock(listed - timedelta(seconds=1))
    with running(Simulator(market, clock=clock)) as exchange:
        query = {"symbol": "LINKUSDT", "interval": "5m"}
        assert refusal(exchange, "/fapi/v1/klines", **query)[1]["code"] == -1121
        clock.advance(timedelta(minutes=6))
        assert [row[0] for row in get(exchange, "/fapi/v1/klines", **query)] == [
            ms(listed),
            ms(listed) + FIVE_MS,
        ]


def test_a_correction_replaces_the_first_version_when_it_is_published() -> None:
    market = odd_market(revised_share=0.02)
    log = market.publication_frame("ohlcv", "ETH/USDT")
    second = log[log["version"] == 2].iloc[0]
    first = log[(log["version"] == 1) & (log["time"] == second["time"])].iloc[0]
    opened = second["time"].to_pydatetime()
    clock = StandingClock(opened + timedelta(minutes=5))
    with running(Simulator(market, clock=clock)) as exchange:
        query = {"symbol": "ETHUSDT", "interval": "5m", "startTime": ms(opened), "endTime": ms(opened)}
        assert float(get(exchange, "/fapi/v1/klines", **query)[0][4]) == first["close"]
        clock.set(second["published_at"].to_pydatetime())
        assert float(get(exchange, "/fapi/v1/klines", **query)[0][4]) == second["close"]


def test_the_clock_can_be_moved_from_outside(market: SyntheticMarket) -> None:
    with running(Simulator(market)) as exchange:
        assert get(exchange, "/_sim/clock")["now"] == market.end.isoformat()
        with urlopen(f"{exchange.url}/_sim/clock", data=b'{"advance_seconds": 90}') as answer:
            moved = json.load(answer)["now"]
        assert moved == (market.end + timedelta(seconds=90)).isoformat()
        assert get(exchange, "/fapi/v1/time")["serverTime"] == ms(market.end) + 90_000


def test_an_accelerated_clock_runs() -> None:
    market = odd_market()
    clock = make_clock(market, speed=1000.0)
    assert isinstance(clock, AcceleratedClock)
    first = clock.now_ms()
    asyncio.run(asyncio.sleep(0.02))
    assert clock.now_ms() - first >= 20_000
    assert isinstance(make_clock(market, speed=0), StandingClock)


def test_requests_are_noted(market: SyntheticMarket) -> None:
    with running(Simulator(market)) as exchange:
        get(exchange, "/fapi/v1/klines", symbol="SOLUSDT", interval="5m", limit=499)
        refusal(exchange, "/fapi/v1/klines", symbol="NOPE", interval="5m")
        noted = [(one.path, one.status, one.weight) for one in exchange.requests]
        assert noted == [("/fapi/v1/klines", 200, 2), ("/fapi/v1/klines", 400, 5)]
        assert exchange.requests[0].query["symbol"] == "SOLUSDT"
        assert exchange.requests[0].exchange_time == market.end
        assert [one["status"] for one in get(exchange, "/_sim/requests")] == [200, 400]
