"""Tables as the JSON of stream events: the field sets of 2026."""

from __future__ import annotations

from typing import Any

from simulator.payloads import Json, fixed, text
from simulator.table import Table


def kline(
    symbol: str, bar: dict[str, Any], *, open_ms: int, event_ms: int, closed: bool, decimals: tuple[int, int]
) -> Json:
    """Return a ``kline`` event of the bar that opened at `open_ms`; `decimals` of price and quantity."""
    price, quantity = decimals
    return {
        "e": "kline",
        "E": event_ms,
        "s": symbol,
        "k": {
            "t": open_ms,
            "T": open_ms + 299_999,
            "s": symbol,
            "i": "5m",
            "f": 1,
            "L": max(1, int(bar["trades"])),
            "o": fixed(bar["open"], price),
            "c": fixed(bar["close"], price),
            "h": fixed(bar["high"], price),
            "l": fixed(bar["low"], price),
            "v": fixed(bar["volume"], quantity),
            "n": int(bar["trades"]),
            "x": closed,
            "q": text(bar["quote_volume"]),
            "V": fixed(bar["taker_buy_base"], quantity),
            "Q": text(bar["taker_buy_quote"]),
            "B": "0",
        },
    }


def mark_price(symbol: str, table: Table, place: int) -> Json:
    """Return a ``markPriceUpdate`` event from one row of mark prices."""
    mark, index = (float(table.columns[name][place]) for name in ("mark_price", "index_price"))
    return {
        "e": "markPriceUpdate",
        "E": int(table.time[place]),
        "s": symbol,
        "p": fixed(mark, 8),
        "ap": fixed(mark, 8),
        "P": fixed((mark + index) / 2, 8),
        "i": fixed(index, 8),
        "r": fixed(float(table.columns["predicted_funding_rate"][place]), 8),
        "T": int(table.columns["next_funding_time"][place]),
        "st": 1,
    }


def force_order(symbol: str, table: Table, place: int) -> Json:
    """Return a ``forceOrder`` event from one row of liquidations."""

    def number(name: str) -> str:
        return text(float(table.columns[name][place]))

    return {
        "e": "forceOrder",
        "E": int(table.columns["event_time"][place]),
        "o": {
            "s": symbol,
            "S": str(table.columns["side"][place]),
            "o": str(table.columns["order_type"][place]),
            "f": str(table.columns["time_in_force"][place]),
            "q": number("original_quantity"),
            "p": number("original_price"),
            "ap": number("price"),
            "X": str(table.columns["status"][place]),
            "l": number("quantity"),
            "z": number("quantity"),
            "T": int(table.time[place]),
            "ps": symbol,
            "st": 1,
        },
    }


def depth(symbol: str, table: Table, levels: int, decimals: tuple[int, int]) -> Json:
    """Return a partial-depth event (``depthUpdate``) from a table of one book."""
    price_format, quantity_format = (f"%.{places}f" for places in decimals)
    sides = {}
    for side, wire in (("bid", "b"), ("ask", "a")):
        prices = table.columns[f"{side}_price"][0].tolist()[:levels]
        amounts = table.columns[f"{side}_quantity"][0].tolist()[:levels]
        sides[wire] = [
            [price_format % price, quantity_format % amount]
            for price, amount in zip(prices, amounts, strict=True)
        ]
    time, update = int(table.time[0]), int(table.columns["last_update_id"][0])
    return {
        "e": "depthUpdate",
        "E": time,
        "T": time - 3,
        "s": symbol,
        "ps": symbol,
        "st": 1,
        "U": update - 20,
        "u": update,
        "pu": update - 21,
        **sides,
    }
