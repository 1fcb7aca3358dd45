# ruff: noqa: E501  # tables of cases, each one line
"""Answers and messages of the exchange that are not what they should be."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from collectors.client import BinanceFuturesClient
from collectors.errors import CollectorError, ExchangeError
from collectors.parse_stream import (
    parse_force_order,
    parse_kline_event,
    parse_mark_price_update,
    parse_partial_depth,
)
from tests.collectors.exchange import Answer, Scripted, ask

from .bench import Bench, Fault, Outcome

REST = "Answer of the exchange"
STREAM = "Message of a stream"

_BAR: list[object] = [
    *(1769904000000, "100", "110", "90", "105", "1000", 1769904299999, "100500", 42, "600", "60300", "0"),
]
_PAGE = [_BAR, [1769904300000, *_BAR[1:]], [1769904600000, *_BAR[1:]]]


def _bars(client: BinanceFuturesClient) -> Any:
    return client.fetch_klines("SOL/USDT", limit=3)


def _rates(client: BinanceFuturesClient) -> Any:
    return client.fetch_funding_rates("SOL/USDT")


def _asked(
    answers: list[Answer], call: Callable[[BinanceFuturesClient], Any], sent: int, bench: Bench
) -> Outcome:
    """Ask once; what is not taken is not covered either, so that the next backfill asks again."""
    scripted: Scripted | None = None
    try:
        rows, scripted = ask(call, *answers, attempts=3, timeout=0.5)
    except (ExchangeError, CollectorError) as error:
        text = str(error)
        place = text.find("http://")
        shown = text if place < 0 else text[:place] + text[place:].partition(": ")[2]
        return Outcome(sent, 0, 0, sent, f"{type(error).__name__}: {shown[:150]}".replace("|", "\\|"))
    return Outcome(sent, len(rows), 0, sent - len(rows), f"taken at request {len(scripted.asked)}")


def _page(bar: object) -> list[Answer]:
    return [Answer(body=[_PAGE[0], bar, _PAGE[2]])]


def _bar(**changed: object) -> list[Answer]:
    return _page([changed.get(f"c{place}", cell) for place, cell in enumerate(_BAR)])


_GOOD = Answer(body=_PAGE)
_ANSWERS: dict[str, tuple[list[Answer], int]] = {
    "an error object under HTTP 200": ([Answer(body={"code": -1130, "msg": "limit"})], 0),
    "null": ([Answer(body="null")], 0),
    "a proxy's page": ([Answer(body="<html>hello</html>")], 0),
    "half a body, then the line is cut": ([Answer(body=_PAGE, how="half")], 3),
    "the line is cut once, then all is well": ([Answer(how="reset"), _GOOD], 3),
    "a body that takes too long": ([Answer(body=_PAGE, how="slow")], 3),
    "HTTP 502, then all is well": ([Answer(502, "bad gateway"), _GOOD], 3),
    "HTTP 503 for ever": ([Answer(503, "down")], 0),
    "HTTP 429, then all is well": ([Answer(429, {"code": -1003, "msg": "slow"}, {"Retry-After": "1"}), _GOOD], 3),
    "HTTP 418 until further notice": ([Answer(418, {"code": -1003, "msg": "banned until 1999999999999"})], 0),
    "HTTP 451": ([Answer(451, {"code": 0, "msg": "Service unavailable from a restricted location"})], 0),
    "HTTP 404": ([Answer(404, "<html>not found</html>")], 0),
    "a bar of too few fields": (_page(_BAR[:5]), 3),
    "a bar that is an object": (_page({"open": 1}), 3),
    "a bar that is null": (_page(None), 3),
    "a price of null": (_bar(c1=None), 3),
    "a price in words": (_bar(c1="ten"), 3),
    "a price of NaN": (_bar(c4="NaN"), 3),
    "a price that is a list": (_bar(c2=[1]), 3),
    "a price that is true": (_bar(c2=True), 3),
    "a stamp of the year 5138": (_bar(c0=99_999_999_999_999), 3),
    "a stamp of 5,000 digits": (_bar(c0="9" * 5000), 3),
    "a new field at the end": ([Answer(body=[[*bar, "new"] for bar in _PAGE])], 3),
}  # fmt: skip

_KLINE = {
    "e": "kline", "E": 1769904300021, "s": "SOLUSDT",
    "k": {"t": 1769904000000, "T": 1769904299999, "s": "SOLUSDT", "i": "5m", "o": "100", "c": "105", "h": "110",
          "l": "90", "v": "1000", "n": 42, "x": True, "q": "100500", "V": "600", "Q": "60300"},
}  # fmt: skip
_ORDER = {
    "e": "forceOrder", "E": 1769904000950,
    "o": {"s": "SOLUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "30", "p": "148", "ap": "149", "X": "FILLED",
          "z": "30", "T": 1769904000012},
}  # fmt: skip
_MARK = {
    "e": "markPriceUpdate",
    "E": 1769904000000,
    "s": "SOLUSDT",
    "p": "100",
    "i": "100",
    "r": "0.0001",
    "T": 0,
}
_BOOK = {
    "e": "depthUpdate",
    "E": 1769904000000,
    "s": "SOLUSDT",
    "u": 7,
    "b": [["99", "1"]],
    "a": [["101", "1"]],
}


def _read(parse: Callable[[object], object], message: object, bench: Bench) -> Outcome:
    try:
        row = parse(json.loads(json.dumps(message)))
    except ExchangeError as error:
        return Outcome(1, 0, 1, 0, f"{type(error).__name__}: {error}"[:160])
    return Outcome(1, int(row is not None), int(row is None), 0, "taken" if row else "of no use, left alone")


_MESSAGES: dict[str, tuple[Callable[[object], object], object]] = {
    "a bar that is forming": (parse_kline_event, _KLINE | {"k": _KLINE["k"] | {"x": False}}),  # type: ignore[operator]
    "a bar without its inner object": (parse_kline_event, {"e": "kline", "s": "SOLUSDT"}),
    "a bar whose closed flag is a word": (parse_kline_event, _KLINE | {"k": _KLINE["k"] | {"x": "yes"}}),  # type: ignore[operator]
    "an order of the other contract family": (parse_force_order, _ORDER | {"o": _ORDER["o"] | {"st": 2}}),  # type: ignore[operator]
    "an order that was not filled": (parse_force_order, _ORDER | {"o": _ORDER["o"] | {"z": "0"}}),  # type: ignore[operator]
    "an order of an unknown symbol": (parse_force_order, _ORDER | {"o": _ORDER["o"] | {"s": "<b>"}}),  # type: ignore[operator]
    "an order with new fields": (parse_force_order, _ORDER | {"o": _ORDER["o"] | {"nq": "1", "ps": "x"}}),  # type: ignore[operator]
    "a mark price without a price": (parse_mark_price_update, {**_MARK, "p": ""}),
    "a book with a level of one number": (parse_partial_depth, {**_BOOK, "b": [["99"]]}),
    "a book that is a text": (parse_partial_depth, {**_BOOK, "a": "none"}),
    "a list in the place of an event": (parse_partial_depth, [1, 2, 3]),
}

FAULTS = (
    *(Fault(REST, name, partial(_asked, answers, _bars, sent)) for name, (answers, sent) in _ANSWERS.items()),
    Fault(REST, "a funding page that is an error object", partial(
        _asked, [Answer(body={"status": "ERROR", "code": "99099990", "errorData": "limit"})], _rates, 0)),
    *(Fault(STREAM, name, partial(_read, *how)) for name, how in _MESSAGES.items()),
)  # fmt: skip
