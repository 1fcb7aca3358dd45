"""REST payloads to rows: made-up ones for every rule, recorded ones for what the exchange really sends."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors import parse, parse_now
from collectors.errors import (
    ExchangeError,
    InvalidFieldError,
    MalformedError,
    MissingFieldError,
    RefusedError,
    UnknownSymbolError,
)
from tests.collectors.recorded import payload

SYMBOL = "SOL/USDT"
T = 1_760_000_100_000
AT = datetime(2025, 10, 9, 8, 55, tzinfo=UTC)

KLINE: list[Any] = [
    T, "150.10", "150.90", "149.80", "150.55", "1200.5", T + 299_999,
    "180500.25", 840, "640.0", "96210.50", "0",
]  # fmt: skip
PRICE_KLINE: list[Any] = [T, "150.1", "150.9", "149.8", "150.5", "0", T + 299_999, "0", 300, "0", "0", "0"]
OPEN_INTEREST = {
    "symbol": "SOLUSDT",
    "sumOpenInterest": "82.5",
    "sumOpenInterestValue": "12307",
    "timestamp": T,
}
RATIO = {
    "symbol": "SOLUSDT",
    "longAccount": "0.62",
    "longShortRatio": "1.6316",
    "shortAccount": "0.38",
    "timestamp": T,
}
TAKER = {"buySellRatio": "1.25", "buyVol": "500", "sellVol": "400", "timestamp": T}
FUNDING = {"symbol": "SOLUSDT", "fundingTime": T + 7, "fundingRate": "-0.0001", "markPrice": "151.2"}
FUNDING_INFO = {"symbol": "SOLUSDT", "fundingIntervalHours": 4, "updateTime": None}
BOOK = {
    "lastUpdateId": 77, "E": T + 250, "T": T + 241,
    "bids": [["150.10", "12.5"], ["150.09", "3"]], "asks": [["150.11", "8"], ["150.12", "40.25"]],
}  # fmt: skip
PREMIUM = {
    "symbol": "SOLUSDT", "markPrice": "150.52", "indexPrice": "150.6", "lastFundingRate": "0.000081",
    "nextFundingTime": T + 3_600_000, "time": T + 1000,
}  # fmt: skip
LISTING = {
    "symbol": "SOLUSDT", "contractType": "PERPETUAL", "status": "TRADING", "onboardDate": 1_600_000_000_000,
    "deliveryDate": 4_133_404_800_000, "baseAsset": "SOL", "quoteAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "stepSize": "0.1"},
    ],
}  # fmt: skip


def klines(data: object) -> Any:
    return parse.parse_klines(data, symbol=SYMBOL, timeframe="5m")


def price_klines(data: object) -> Any:
    return parse.parse_price_klines(data, endpoint="/fapi/v1/markPriceKlines", timeframe="5m")


def open_interest(data: object) -> Any:
    return parse.parse_open_interest(data, symbol=SYMBOL, period="5m")


def ratio(data: object) -> Any:
    return parse.parse_long_short_ratio(data, symbol=SYMBOL, period="5m", ratio_type="global_account")


def taker(data: object) -> Any:
    return parse.parse_long_short_ratio(data, symbol=SYMBOL, period="5m", ratio_type="taker_volume")


def book(data: object) -> Any:
    return parse_now.parse_order_book(data, symbol=SYMBOL)


ARRAYS: list[tuple[Callable[[object], Any], dict[str, Any], list[str]]] = [
    (open_interest, OPEN_INTEREST, ["sumOpenInterest", "sumOpenInterestValue", "timestamp"]),
    (ratio, RATIO, ["longAccount", "shortAccount", "longShortRatio", "timestamp"]),
    (taker, TAKER, ["buySellRatio", "buyVol", "sellVol", "timestamp"]),
    (parse.parse_funding_rates, FUNDING, ["symbol", "fundingTime", "fundingRate"]),
    (parse_now.parse_funding_info, FUNDING_INFO, ["symbol", "fundingIntervalHours"]),
    (parse_now.parse_premium_index, PREMIUM, ["symbol", "markPrice", "indexPrice", "time"]),
]
REQUIRED = [(parser, item, name) for parser, item, names in ARRAYS for name in names]


def test_a_kline_becomes_a_row_with_all_its_columns() -> None:
    (row,) = klines([KLINE])
    assert row == parse.Kline(
        SYMBOL, "5m", AT, 150.1, 150.9, 149.8, 150.55, 1200.5, 180500.25, 840, 640.0, 96210.5
    )


def test_the_forming_bar_is_dropped_by_the_exchanges_clock() -> None:
    rows = klines([KLINE, [T + 300_000, *KLINE[1:]]])
    closed_at = AT + timedelta(minutes=10)
    assert len(parse.closed_klines(rows, now=closed_at)) == 2
    assert parse.closed_klines(rows, now=closed_at - timedelta(milliseconds=1)) == rows[:1]


@pytest.mark.parametrize("position", [n for n in range(11) if n != 6])
def test_a_kline_cut_short_names_the_position_that_is_missing(position: int) -> None:
    with pytest.raises(MissingFieldError, match=rf"/fapi/v1/klines: field {position} \("):
        klines([[None if n == position else value for n, value in enumerate(KLINE)]])


def test_a_mark_price_is_true_at_the_end_of_its_bar() -> None:
    assert price_klines([PRICE_KLINE]) == [parse.PricePoint(AT + timedelta(minutes=5), 150.5)]


def test_only_instants_with_both_prices_become_mark_price_rows() -> None:
    mark = price_klines([PRICE_KLINE, [T + 300_000, *PRICE_KLINE[1:]]])
    index = price_klines([[T + 300_000, "1", "1", "1", "150.7"], [T + 600_000, "1", "1", "1", "150.8"]])
    at = AT + timedelta(minutes=10)
    assert parse.pair_prices(mark, index, symbol=SYMBOL) == [parse.MarkPrice(SYMBOL, at, 150.5, 150.7)]


def test_a_settlement_is_keyed_by_its_minute_and_keeps_its_stamp() -> None:
    (row,) = parse.parse_funding_rates([FUNDING])
    assert row == parse.FundingRate(SYMBOL, AT, AT + timedelta(milliseconds=7), -0.0001, 151.2)


@pytest.mark.parametrize("gone", [{"markPrice": ""}, {"markPrice": None}, {}])
def test_an_early_settlement_without_a_mark_price_leaves_it_unknown(gone: dict[str, object]) -> None:
    item = {name: value for name, value in FUNDING.items() if name != "markPrice"} | gone
    assert parse.parse_funding_rates([item])[0].mark_price is None


def test_takers_volumes_stand_where_shares_of_accounts_stand() -> None:
    (row,) = taker([TAKER])
    assert (row.ratio_type, row.long_short_ratio, row.long_account, row.short_account) == (
        "taker_volume", 1.25, 500.0, 400.0,
    )  # fmt: skip


def test_a_book_keeps_the_levels_asked_for_from_the_best() -> None:
    row = parse_now.parse_order_book(BOOK, symbol=SYMBOL, levels=1)
    assert row == parse_now.OrderBookSnapshot(
        SYMBOL, AT + timedelta(milliseconds=250), [150.1], [12.5], [150.11], [8.0], 77
    )


def test_the_premium_index_comes_as_one_object_or_as_an_array_and_leaves_out_dated_contracts() -> None:
    dated = {**PREMIUM, "symbol": "BTCUSDT_260925", "lastFundingRate": "", "nextFundingTime": 0}
    assert parse_now.parse_premium_index(PREMIUM) == parse_now.parse_premium_index([PREMIUM, dated])
    (row,) = parse_now.parse_premium_index(PREMIUM)
    assert (row.time, row.mark_price, row.predicted_funding_rate) == (
        AT + timedelta(seconds=1), 150.52, 0.000081,
    )  # fmt: skip


def test_listings_are_perpetuals_with_their_filters() -> None:
    dated = {**LISTING, "symbol": "SOLUSDT_260925", "contractType": "CURRENT_QUARTER"}
    (row,) = parse_now.parse_exchange_info({"symbols": [LISTING, dated]}, funding_hours={"SOLUSDT": 4})
    assert row == parse_now.Instrument(
        SYMBOL, "SOLUSDT", datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC), None, 1, "SOL", "USDT", "TRADING",
        0.01, 0.1, 4,
    )  # fmt: skip


def test_a_symbol_that_funding_info_does_not_list_settles_every_eight_hours() -> None:
    assert (
        parse_now.parse_exchange_info({"symbols": [LISTING]}, funding_hours={})[0].funding_interval_hours == 8
    )
    assert parse_now.parse_exchange_info({"symbols": [LISTING]})[0].funding_interval_hours is None


def test_an_announced_end_of_trading_ends_the_listing() -> None:
    ending = {**LISTING, "status": "SETTLING", "deliveryDate": T}
    assert parse_now.parse_exchange_info({"symbols": [ending]})[0].valid_to == AT


def test_a_thousand_coin_contract_carries_its_multiplier() -> None:
    listing = {**LISTING, "symbol": "1000PEPEUSDT", "baseAsset": "1000PEPE"}
    (row,) = parse_now.parse_exchange_info({"symbols": [listing]})
    assert (row.symbol, row.multiplier) == ("1000PEPE/USDT", 1000)


@pytest.mark.parametrize(("parser", "item", "name"), REQUIRED)
def test_a_missing_field_is_named(parser: Callable[[object], Any], item: dict[str, Any], name: str) -> None:
    with pytest.raises(MissingFieldError) as caught:
        parser([{key: value for key, value in item.items() if key != name}])
    assert caught.value.field == name
    assert caught.value.endpoint in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(("parser", "item", "name"), [case for case in REQUIRED if case[2] != "symbol"])
@pytest.mark.parametrize("nonsense", ["abc", "NaN", "Infinity", True, [], {}])
def test_an_unreadable_field_is_named(
    parser: Callable[[object], Any], item: dict[str, Any], name: str, nonsense: object
) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        parser([{**item, name: nonsense}])
    assert caught.value.field == name


@pytest.mark.parametrize(("parser", "item", "names"), ARRAYS)
def test_unknown_keys_are_ignored_and_numbers_may_be_text(
    parser: Callable[[object], Any], item: dict[str, Any], names: list[str]
) -> None:
    other = {
        name: str(value) if isinstance(value, int) and not isinstance(value, bool) else as_number(value)
        for name, value in item.items()
    }
    assert parser([other | {"brandNew": {"a": 1}}]) == parser([item])


def as_number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def test_a_number_too_many_digits_long_is_no_time() -> None:
    for stamp in (0, -5, 10**16):
        with pytest.raises(InvalidFieldError, match="timestamp"):
            open_interest([{**OPEN_INTEREST, "timestamp": stamp}])


ALL: list[Callable[[object], Any]] = [
    klines, price_klines, open_interest, ratio, taker, book, parse.parse_funding_rates,
    parse_now.parse_funding_info, parse_now.parse_premium_index, parse_now.parse_exchange_info,
    parse_now.parse_server_time,
]  # fmt: skip


@pytest.mark.parametrize("parser", ALL)
def test_an_error_object_under_http_200_is_its_typed_error(parser: Callable[[object], Any]) -> None:
    refusal = {"status": "ERROR", "type": "GENERAL", "code": "99099990", "errorData": "no", "data": None}
    with pytest.raises(RefusedError, match="99099990"):
        parser(refusal)
    with pytest.raises(UnknownSymbolError, match="-1121"):
        parser({"code": -1121, "msg": "Invalid symbol."})


@pytest.mark.parametrize("parser", ALL)
@pytest.mark.parametrize("nonsense", ["text", 5, None, True, [5], ["x"], [None], [[]], {"a": 1}])
def test_another_shape_is_a_typed_error(parser: Callable[[object], Any], nonsense: object) -> None:
    with pytest.raises(MalformedError):
        parser(nonsense)


@pytest.mark.parametrize("parser", [klines, price_klines, *(parser for parser, _, _ in ARRAYS)])
def test_an_empty_answer_is_no_rows(parser: Callable[[object], Any]) -> None:
    assert not parser([])


def test_recorded_open_interest() -> None:
    first, second = open_interest(payload("futures_data_openInterestHist")["payload_1h"])
    assert (first.open_interest, first.open_interest_value) == (109026.205, 6869451556.047107)
    assert second.time - first.time == timedelta(hours=1)


def test_recorded_ratios() -> None:
    recorded = payload("futures_data_globalLongShortAccountRatio")
    first, _ = ratio(recorded["payload_1h"])
    assert (first.long_account, first.long_short_ratio, first.short_account) == (0.6561, 1.9078, 0.3439)
    (single,) = ratio([recorded["single_5m_2026_09"]["payload"]])
    assert single.long_short_ratio == 0.9493


def test_recorded_taker_ratio() -> None:
    first, _ = taker(payload("futures_data_takerlongshortRatio")["payload"])
    assert (first.long_short_ratio, first.long_account, first.short_account) == (0.7586, 1507.04, 1986.606)


def test_recorded_settlements_jitter_and_are_floored() -> None:
    for items in payload("fapi_v1_fundingRate")["payload"].values():
        rows = parse.parse_funding_rates(items)
        assert len(rows) == len(items)
        assert {row.funding_time.second for row in rows} == {0}
        assert any(row.funding_time_raw > row.funding_time for row in rows)
        assert all(row.funding_time_raw - row.funding_time < timedelta(seconds=1) for row in rows)


def test_recorded_books() -> None:
    for item in payload("fapi_v1_depth")["payloads"].values():
        row = book(item["payload"])
        assert len(row.bid_price) == len(row.ask_quantity) == 20
        assert sorted(row.bid_price, reverse=True) == row.bid_price
        assert row.bid_price[0] < row.ask_price[0]


def test_recorded_premium_index() -> None:
    rows = parse_now.parse_premium_index(payload("fapi_v1_premiumIndex")["payload"])
    assert [row.symbol for row in rows] == ["ETH/USDT", "BTC/USDT", "SOL/USDT"]
    assert rows[2].predicted_funding_rate == 0.00004793


def test_recorded_listings_and_intervals() -> None:
    hours = parse_now.parse_funding_info(payload("fapi_v1_fundingInfo")["payload"])
    assert hours["LPTUSDT"] == 4
    rows = parse_now.parse_exchange_info(payload("fapi_v1_exchangeInfo")["payload"], funding_hours=hours)
    assert [(row.symbol, row.price_tick, row.quantity_step) for row in rows] == [
        ("BTC/USDT", 0.1, 0.001), ("ETH/USDT", 0.01, 0.001), ("SOL/USDT", 0.01, 0.01),
    ]  # fmt: skip
    assert all(row.valid_to is None for row in rows)


def test_recorded_shapes_of_the_documentation() -> None:
    files = payload("nautilus_fixtures_docstyle")["files"]
    named = {name.rsplit("http_futures_market_", 1)[-1]: body for name, body in files.items()}
    assert klines(named["klines.json"])[0].trades == 308
    assert price_klines(named["mark_price_klines.json"])[0].price == 9653.07367333
    assert open_interest(named["open_interest_historical.json"])[0].time.minute == 45
    assert taker(named["taker_long_short_ratio.json"])[0].long_account == 387.33
    assert ratio(named["top_long_short_position_ratio.json"])[0].short_account == 0.4108
    assert [row.mark_price for row in parse.parse_funding_rates(named["funding_rate.json"])] == [None, None]
    listed = parse_now.parse_exchange_info(named["exchange_info.json"])
    assert [row.symbol for row in listed] == ["BTC/USDT", "ETH/USDT"]
    assert all(row.valid_to is None for row in listed)


def test_recorded_error_bodies_are_errors() -> None:
    for entry in payload("errors")["entries"]:
        with pytest.raises(ExchangeError):
            klines(entry["body"])


@pytest.mark.proof
def test_no_damage_to_a_payload_gives_anything_but_rows_or_a_typed_error() -> None:
    items: dict[Callable[[object], Any], object] = {
        klines: [KLINE], price_klines: [PRICE_KLINE], book: BOOK,
        parse_now.parse_exchange_info: {"symbols": [LISTING]},
        **{parser: [item] for parser, item, _ in ARRAYS},
    }  # fmt: skip
    for parser, item in items.items():
        for damaged in damages(item):
            try:
                parser(json.loads(json.dumps(damaged)))
            except ExchangeError:
                continue


def damages(item: Any) -> list[Any]:
    """Give every copy of a payload with one value replaced or removed."""
    found: list[Any] = [None, 5, "x", [], {}]
    keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else []
    for key in keys:
        for value in damages(item[key]):
            copy = deepcopy(item)
            copy[key] = value
            found.append(copy)
        copy = deepcopy(item)
        del copy[key]
        found.append(copy)
    return found
