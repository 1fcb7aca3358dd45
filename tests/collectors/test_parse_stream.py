"""Websocket messages to rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors import parse_stream
from collectors.errors import ExchangeError, MissingFieldError
from collectors.rows import Kline, Liquidation, MarkPrice, OrderBookSnapshot
from tests.collectors.recorded import payload

T = 1_760_000_100_000
AT = datetime(2025, 10, 9, 8, 55, tzinfo=UTC)

ORDER: dict[str, Any] = {
    "s": "SOLUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "30", "p": "148.2", "ap": "148.75",
    "X": "FILLED", "l": "4", "z": "28", "T": T + 12, "ps": "SOLUSDT", "st": 1,
}  # fmt: skip
FORCE_ORDER = {"e": "forceOrder", "E": T + 950, "o": ORDER}
MARK = {
    "e": "markPriceUpdate", "E": T + 1000, "s": "SOLUSDT", "p": "150.52", "ap": "1", "P": "150.58",
    "i": "150.6", "r": "0.000081", "T": T + 3_600_000, "st": 1,
}  # fmt: skip
BAR: dict[str, Any] = {
    "t": T, "T": T + 299_999, "s": "SOLUSDT", "i": "5m", "f": 10, "L": 849, "o": "150.1", "c": "150.55",
    "h": "150.9", "l": "149.8", "v": "1200.5", "n": 840, "x": True, "q": "180500.25", "V": "640",
    "Q": "96210.5", "B": "0",
}  # fmt: skip
KLINE = {"e": "kline", "E": T + 300_021, "s": "SOLUSDT", "k": BAR}
DEPTH = {
    "e": "depthUpdate", "E": T + 250, "T": T + 241, "s": "SOLUSDT", "U": 70, "u": 77, "pu": 69,
    "b": [["150.10", "12.5"]], "a": [["150.11", "8"]],
}  # fmt: skip

PARSERS: list[tuple[Callable[[object], Any], dict[str, Any]]] = [
    (parse_stream.parse_force_order, FORCE_ORDER),
    (parse_stream.parse_mark_price_update, MARK),
    (parse_stream.parse_kline_event, KLINE),
    (parse_stream.parse_partial_depth, DEPTH),
]


def test_a_liquidation_is_what_was_filled_at_its_average_price() -> None:
    row = parse_stream.parse_force_order(FORCE_ORDER)
    at, pushed = AT + timedelta(milliseconds=12), AT + timedelta(milliseconds=950)
    assert row == Liquidation(
        "SOL/USDT", at, "SELL", 148.75, 28.0, 148.2, 30.0, "LIMIT", "IOC", "FILLED", pushed
    )


def test_a_coin_margined_order_in_the_same_stream_is_no_row() -> None:
    coin = {**FORCE_ORDER, "o": {**ORDER, "s": "BTCUSD_PERP", "st": 2}}
    assert parse_stream.parse_force_order(coin) is None


def test_an_order_of_which_nothing_was_filled_is_no_liquidation() -> None:
    assert parse_stream.parse_force_order({**FORCE_ORDER, "o": {**ORDER, "z": "0", "ap": "0"}}) is None


def test_messages_of_before_2026_do_not_say_their_family() -> None:
    order = {name: value for name, value in ORDER.items() if name not in {"st", "ps"}}
    old = {**FORCE_ORDER, "o": order}
    assert parse_stream.parse_force_order(old) == parse_stream.parse_force_order(FORCE_ORDER)


def test_a_mark_price_update_carries_the_expected_funding() -> None:
    assert parse_stream.parse_mark_price_update(MARK) == MarkPrice(
        "SOL/USDT", AT + timedelta(seconds=1), 150.52, 150.6, 0.000081, AT + timedelta(hours=1)
    )


def test_only_a_closed_bar_is_a_row() -> None:
    assert parse_stream.parse_kline_event({**KLINE, "k": {**BAR, "x": False}}) is None
    assert parse_stream.parse_kline_event(KLINE) == Kline(
        "SOL/USDT", "5m", AT, 150.1, 150.9, 149.8, 150.55, 1200.5, 180500.25, 840, 640.0, 96210.5
    )


def test_a_partial_book_is_a_snapshot() -> None:
    assert parse_stream.parse_partial_depth(DEPTH) == OrderBookSnapshot(
        "SOL/USDT", AT + timedelta(milliseconds=250), [150.1], [12.5], [150.11], [8.0], 77
    )


@pytest.mark.parametrize(("parser", "message"), PARSERS)
def test_envelopes_and_unknown_keys_change_nothing(
    parser: Callable[[object], Any], message: dict[str, Any]
) -> None:
    wrapped = {"stream": "solusdt@anything", "data": {**message, "brandNew": 1}}
    assert parser(wrapped) == parser(message)
    assert parse_stream.event_name(wrapped) == message["e"]


@pytest.mark.parametrize(("parser", "message"), PARSERS)
def test_the_other_family_is_left_out(parser: Callable[[object], Any], message: dict[str, Any]) -> None:
    assert parser({**message, "st": 2}) is None


@pytest.mark.parametrize("name", ["s", "S", "o", "f", "q", "p", "ap", "X", "z", "T"])
def test_a_missing_field_of_an_order_is_named(name: str) -> None:
    order = {key: value for key, value in ORDER.items() if key != name}
    with pytest.raises(MissingFieldError, match=rf"forceOrder: field o\.{name} is missing"):
        parse_stream.parse_force_order({**FORCE_ORDER, "o": order})


@pytest.mark.parametrize(("parser", "_"), PARSERS)
@pytest.mark.parametrize("nonsense", [None, 5, "x", [], {}, {"stream": "x", "data": None}])
def test_nonsense_is_a_typed_error(parser: Callable[[object], Any], _: object, nonsense: object) -> None:
    with pytest.raises(ExchangeError):
        parser(nonsense)


def test_answers_to_our_own_requests_are_no_events() -> None:
    assert parse_stream.event_name({"result": None, "id": 1}) == ""
    assert parse_stream.event_name([1]) == ""


def test_recorded_forced_orders_of_2026() -> None:
    rows = [parse_stream.parse_force_order(item["msg"]) for item in payload("ws_2026")["forceOrder"]]
    assert [(row.symbol, row.side, row.price, row.quantity) for row in rows if row] == [
        ("XRP/USDT", "BUY", 1.4912, 127.2),
        ("MANTA/USDT", "SELL", 0.0722187, 2049.1),
        ("BTC/USDT", "SELL", 82651.9, 0.19),
    ]


def test_recorded_mark_prices_of_2026() -> None:
    rows = [
        parse_stream.parse_mark_price_update(item["msg"]) for item in payload("ws_2026")["markPriceUpdate"]
    ]
    assert [(row.mark_price, row.index_price) for row in rows if row] == [
        (84551.10762319, 84590.87304348),
        (85296.6026087, 85345.93826087),
    ]


def test_recorded_klines_old_and_new() -> None:
    old = [
        parse_stream.parse_kline_event(message)
        for message in payload("ws_cryptofeed_2021")["messages"]["kline"]
    ]
    assert [row.symbol if row else None for row in old] == [
        "SUSHI/USDT", "CTK/USDT", "AKRO/USDT", "KEEP/USDT", None, None, None,
    ]  # fmt: skip
    (forming,) = (item["msg"] for item in payload("ws_2026")["kline_open"])
    assert parse_stream.parse_kline_event(forming) is None
    closed = parse_stream.parse_kline_event({**forming, "k": {**forming["k"], "x": True}})
    assert closed is not None
    assert closed.trades == 321


def test_recorded_depth_messages() -> None:
    for item in payload("ws_hftbacktest_2024")["messages"]["depthUpdate"]:
        row = parse_stream.parse_partial_depth(item["msg"])
        assert row is not None
        assert row.symbol == "BTC/USDT"
