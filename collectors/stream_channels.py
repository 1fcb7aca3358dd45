"""What is listened to: channels, the streams' names, and how they are divided over sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from collectors.symbols import exchange_symbol

Root: TypeAlias = Literal["market", "public"]

MOST_STREAMS = 200
"""Streams a socket: the exchange takes more, but one slow reader would then hold up too many."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of message, of every symbol.

    Attributes
    ----------
    stream : str
        Its name in coverage and gaps.
    suffix : str
        What follows the symbol in the stream's name.
    root : str
        Part of the address that carries it; under another one the exchange connects and says nothing.
    patience : timedelta or None
        Silence of one symbol after which its stream counts as broken. None where silence is normal: then the
        other streams of the socket tell whether it is alive.
    """

    stream: str
    suffix: str
    root: Root
    patience: timedelta | None


KLINES = Channel("ohlcv:5m", "@kline_5m", "market", timedelta(minutes=11))
MARK_PRICES = Channel("mark_price", "@markPrice@1s", "market", timedelta(seconds=30))
FORCE_ORDERS = Channel("liquidations", "@forceOrder", "market", None)
BOOKS = Channel("order_book", "@depth20@500ms", "public", timedelta(seconds=60))
CHANNELS = (KLINES, MARK_PRICES, FORCE_ORDERS, BOOKS)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One channel of one symbol."""

    channel: Channel
    symbol: str

    @property
    def name(self) -> str:
        """The stream's name on the wire: lower case."""
        return exchange_symbol(self.symbol).lower() + self.channel.suffix


@dataclass(frozen=True, slots=True)
class Shard:
    """The streams of one socket."""

    root: Root
    subscriptions: tuple[Subscription, ...]

    def url(self, stream_url: str) -> str:
        """Give the address of the combined stream.

        Examples
        --------
        >>> Shard("public", (Subscription(BOOKS, "SOL/USDT"),)).url("wss://fstream.binance.com")
        'wss://fstream.binance.com/public/stream?streams=solusdt@depth20@500ms'
        """
        names = "/".join(subscription.name for subscription in self.subscriptions)
        return f"{stream_url}/{self.root}/stream?streams={names}"


def shards(symbols: Sequence[str], *, most: int = MOST_STREAMS) -> list[Shard]:
    """Divide all channels of some symbols over sockets, one root each.

    A symbol's streams of one root stay together: its mark prices, each second, prove that its forced orders,
    which may be silent for hours, are still heard.

    Raises
    ------
    ValueError
        When one symbol alone has more streams than a socket may have.
    """
    found = []
    for root in ("market", "public"):
        channels = [channel for channel in CHANNELS if channel.root == root]
        group = most // len(channels)
        if group == 0:
            raise ValueError(f"{len(channels)} streams of a symbol do not fit into a socket of {most}")
        for start in range(0, len(symbols), group):
            chosen = symbols[start : start + group]
            found.append(
                Shard(
                    channels[0].root,
                    tuple(Subscription(channel, symbol) for symbol in chosen for channel in channels),
                )
            )
    return found
