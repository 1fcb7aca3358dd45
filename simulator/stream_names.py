"""Names of streams: ``btcusdt@kline_5m`` and what they mean, and the root that carries each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Channel: TypeAlias = Literal["kline", "mark_price", "force_order", "depth"]
Root: TypeAlias = Literal["market", "public"]

_NAME = re.compile(
    r"(?P<symbol>[a-z0-9]+)@(?:(?P<kline>kline_5m)|(?P<mark>markPrice)(?P<second>@1s)?"
    r"|(?P<force>forceOrder)|depth(?P<levels>5|10|20)(?:@(?P<speed>100|250|500)ms)?)"
)
ALL_FORCE_ORDERS = "!forceOrder@arr"
KLINE_EVERY_MS = 250


@dataclass(frozen=True)
class Stream:
    """One stream that a client may subscribe to.

    Attributes
    ----------
    name : str
        As on the wire.
    channel : str
        What it carries.
    exchange_symbol : str
        Upper case; empty where it carries all symbols.
    every_ms : int
        How often it speaks; 0 where events decide.
    levels : int
        Of a book.
    """

    name: str
    channel: Channel
    exchange_symbol: str
    every_ms: int = 0
    levels: int = 20

    @property
    def root(self) -> Root:
        """Root of the address that carries it; under the other one, and under none, it stays silent."""
        return "public" if self.channel == "depth" else "market"


def read_stream(name: str) -> Stream | None:
    """Return the stream that a name means, None when the exchange knows no such one.

    Examples
    --------
    >>> read_stream("btcusdt@markPrice@1s").every_ms
    1000
    """
    if name == ALL_FORCE_ORDERS:
        return Stream(name, "force_order", "")
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    symbol = match["symbol"].upper()
    if match["kline"]:
        return Stream(name, "kline", symbol, KLINE_EVERY_MS)
    if match["mark"]:
        return Stream(name, "mark_price", symbol, 1000 if match["second"] else 3000)
    if match["force"]:
        return Stream(name, "force_order", symbol)
    return Stream(name, "depth", symbol, int(match["speed"] or 250), int(match["levels"]))
