"""Websocket messages, made into rows; pure. Payloads are read as `collectors.parse` reads them.

A message comes bare or wrapped as ``{"stream": "...", "data": {...}}``; both are taken. One that is of no use
to us (a bar still forming, another contract family) gives None, one that is broken raises.
"""

from __future__ import annotations

from collectors.fields import Fields
from collectors.parse_now import DEPTH_LEVELS, read_levels
from collectors.rows import Kline, Liquidation, MarkPrice, OrderBookSnapshot

_COIN_MARGINED = 2


def unwrap(message: object) -> object:
    """Give the event itself, out of the envelope of a combined stream when there is one.

    Examples
    --------
    >>> unwrap({"stream": "solusdt@kline_5m", "data": {"e": "kline"}})
    {'e': 'kline'}
    """
    if isinstance(message, dict) and "stream" in message and "data" in message:
        return message["data"]
    return message


def event_name(message: object) -> str:
    """Give the kind of an event (``forceOrder``, ``kline``, ...); empty for answers to our own requests."""
    event = unwrap(message)
    name = event.get("e") if isinstance(event, dict) else None
    return name if isinstance(name, str) else ""


def parse_force_order(message: object) -> Liquidation | None:
    """Read one ``forceOrder`` event.

    ::

        {"e": "forceOrder", "E": 1760000100950, "o": {"s": "SOLUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC",
         "q": "30.0", "p": "148.20", "ap": "148.75", "X": "FILLED", "l": "4.0", "z": "30.0",
         "T": 1760000100012, "ps": "SOLUSDT", "st": 1}}

    Returns
    -------
    Liquidation or None
        Price is the average fill ``ap`` and quantity the filled ``z``: their product is what was really
        liquidated. None for COIN-M orders (``st`` = 2), which share the stream, and for orders not filled at
        all.

    Raises
    ------
    MissingFieldError, InvalidFieldError
        Naming the field.
    """
    event = Fields(unwrap(message), "forceOrder")
    order = event.child("o")
    if _is_coin_margined(order) or _is_coin_margined(event):
        return None
    filled = order.number("z")
    if filled == 0:
        return None
    return Liquidation(
        symbol=order.symbol("s"),
        time=order.time("T"),
        side=order.text("S"),
        price=order.number("ap"),
        quantity=filled,
        original_price=order.number("p"),
        original_quantity=order.number("q"),
        order_type=order.text("o"),
        time_in_force=order.text("f"),
        status=order.text("X"),
        event_time=event.time("E"),
    )


def parse_mark_price_update(message: object) -> MarkPrice | None:
    """Read one ``markPriceUpdate`` event.

    ::

        {"e": "markPriceUpdate", "E": 1760000101000, "s": "SOLUSDT", "p": "150.52", "ap": "150.50",
         "P": "150.58", "i": "150.60", "r": "0.00008100", "T": 1760025600000, "st": 1}

    Returns
    -------
    MarkPrice or None
        At ``E``; the rate ``r`` is the one expected for the settlement at ``T``. None for COIN-M contracts.

    Raises
    ------
    MissingFieldError, InvalidFieldError
        Naming the field.
    """
    event = Fields(unwrap(message), "markPriceUpdate")
    if _is_coin_margined(event):
        return None
    return MarkPrice(
        symbol=event.symbol("s"),
        time=event.time("E"),
        mark_price=event.number("p"),
        index_price=event.number("i"),
        predicted_funding_rate=event.number_or_none("r"),
        next_funding_time=event.time_or_none("T"),
    )


def parse_kline_event(message: object) -> Kline | None:
    """Read one ``kline`` event; only a closed bar (``x`` true) is a row.

    ::

        {"e": "kline", "E": 1760000400021, "s": "SOLUSDT", "k": {"t": 1760000100000, "T": 1760000399999,
         "s": "SOLUSDT", "i": "5m", "f": 10, "L": 849, "o": "150.10", "c": "150.55", "h": "150.90",
         "l": "149.80", "v": "1200.5", "n": 840, "x": true, "q": "180500.25", "V": "640.0", "Q": "96210.50",
         "B": "0"}}

    Returns
    -------
    Kline or None
        None while the bar is forming, and for COIN-M contracts.

    Raises
    ------
    MissingFieldError, InvalidFieldError
        Naming the field.
    """
    event = Fields(unwrap(message), "kline")
    bar = event.child("k")
    if _is_coin_margined(event) or not bar.flag("x"):
        return None
    return Kline(
        symbol=bar.symbol("s"),
        timeframe=bar.text("i"),
        time=bar.time("t"),
        open=bar.number("o"),
        high=bar.number("h"),
        low=bar.number("l"),
        close=bar.number("c"),
        volume=bar.number("v"),
        quote_volume=bar.number("q"),
        trades=bar.count("n"),
        taker_buy_base=bar.number("V"),
        taker_buy_quote=bar.number("Q"),
    )


def parse_partial_depth(message: object, *, levels: int = DEPTH_LEVELS) -> OrderBookSnapshot | None:
    """Read one partial-depth event (``<symbol>@depth20``): a whole book of few levels, not a difference.

    ::

        {"e": "depthUpdate", "E": 1760000100250, "T": 1760000100241, "s": "SOLUSDT", "U": 76990, "u": 77001,
         "pu": 76989, "b": [["150.10", "12.5"], ["150.09", "3"]], "a": [["150.11", "8"], ["150.12", "40"]]}

    Differences (``<symbol>@depth``) look the same: only the stream's name tells them apart.

    Returns
    -------
    OrderBookSnapshot or None
        At ``E``. None for COIN-M contracts.

    Raises
    ------
    MissingFieldError, InvalidFieldError
        Naming the field.
    """
    event = Fields(unwrap(message), "depthUpdate")
    if _is_coin_margined(event):
        return None
    bids = read_levels(event.children("b")[:levels], "depthUpdate", "b")
    asks = read_levels(event.children("a")[:levels], "depthUpdate", "a")
    return OrderBookSnapshot(
        symbol=event.symbol("s"),
        time=event.time("E"),
        bid_price=[price for price, _ in bids],
        bid_quantity=[quantity for _, quantity in bids],
        ask_price=[price for price, _ in asks],
        ask_quantity=[quantity for _, quantity in asks],
        last_update_id=event.count("u"),
    )


def _is_coin_margined(fields: Fields) -> bool:
    """Tell COIN-M events (``st`` = 2); messages before 2026 do not say, and were never mixed."""
    return fields.has("st") and fields.count("st") == _COIN_MARGINED
