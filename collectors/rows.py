"""Rows of the raw tables, as plain values: what parsers make, and what the writer stores.

Every field is named as the column it goes to. Symbols are canonical (``SOL/USDT``, the USDT-margined
perpetual), times are aware datetimes in UTC, measures are floats (finite), counts are ints. ``source`` and
``ingested_at`` are no fields: the writer adds them.

A field typed ``| None`` may be unknown: None means "this source does not say", never zero.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

Source = Literal["rest", "stream", "archive"]
"""Where a row came from; archive beats rest beats stream, then the newer version."""

SOURCES: tuple[Source, ...] = ("stream", "rest", "archive")
"""All sources, weakest first."""

WIDTHS: Mapping[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "3m": timedelta(minutes=3),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "4h": timedelta(hours=4),
    "6h": timedelta(hours=6),
    "8h": timedelta(hours=8),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
}
"""Width of each timeframe or period that the raw tables accept; all of them divide a UTC day."""

RATIO_TYPES: tuple[str, ...] = ("global_account", "top_account", "top_position", "taker_volume")
"""Kinds of ``long_short_ratio`` rows."""


class Kline(NamedTuple):
    """One closed bar of table ``ohlcv``.

    ``time`` is the bar's open, on the grid of ``timeframe`` (a key of `WIDTHS`). Prices in quote currency;
    ``volume`` and ``taker_buy_base`` in base currency, ``quote_volume`` and ``taker_buy_quote`` in quote
    currency; ``trades`` counts trades.
    """

    symbol: str
    timeframe: str
    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float | None
    trades: int | None
    taker_buy_base: float | None
    taker_buy_quote: float | None


class OpenInterest(NamedTuple):
    """Snapshot of the open interest at ``time``, published on the grid of ``period``.

    ``open_interest`` in contracts of the exchange symbol (base currency), ``open_interest_value`` in USD. One
    of the two may be unknown.
    """

    symbol: str
    period: str
    time: datetime
    open_interest: float | None
    open_interest_value: float | None


class FundingRate(NamedTuple):
    """One settlement of funding.

    ``funding_time`` is ``funding_time_raw`` floored to the minute (the exchange's stamp jitters by
    milliseconds); ``funding_rate`` is the fraction paid at this settlement (0.0001 = 1 basis point), whatever
    the interval; ``mark_price`` in quote currency.
    """

    symbol: str
    funding_time: datetime
    funding_time_raw: datetime
    funding_rate: float
    mark_price: float | None


class Liquidation(NamedTuple):
    """One forced order (``forceOrder``).

    ``side`` is the order's: SELL closes a long, BUY a short. ``price`` is the average fill (``ap``) and
    ``quantity`` the filled amount in base currency (``z``); the order's own limit and size are
    ``original_price`` and ``original_quantity``. ``time`` is the trade time (``T``), ``event_time`` the push
    time (``E``).
    """

    symbol: str
    time: datetime
    side: str
    price: float
    quantity: float
    original_price: float | None = None
    original_quantity: float | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    status: str | None = None
    event_time: datetime | None = None


class LongShortRatio(NamedTuple):
    """One long/short statistic stamped ``time``, of kind ``ratio_type`` (one of `RATIO_TYPES`).

    For the account and position kinds ``long_account`` and ``short_account`` are shares (0..1) at ``time``;
    for ``taker_volume`` they are the takers' buy and sell volume (base currency) of the bar that starts at
    ``time``.
    """

    symbol: str
    period: str
    ratio_type: str
    time: datetime
    long_short_ratio: float
    long_account: float | None
    short_account: float | None


class OrderBookSnapshot(NamedTuple):
    """The best levels of the book at ``time``: bids from the highest down, asks from the lowest up.

    Prices in quote currency, quantities in base currency; the arrays of a side are equally long. The writer
    keeps the newest snapshot of each 10 s slot.
    """

    symbol: str
    time: datetime
    bid_price: list[float]
    bid_quantity: list[float]
    ask_price: list[float]
    ask_quantity: list[float]
    last_update_id: int | None = None


class MarkPrice(NamedTuple):
    """Mark and index price at the instant ``time`` (quote currency).

    A row made from 5m mark- and index-price klines carries their close at their open + 5 min, both prices in
    one row. ``predicted_funding_rate`` is the fraction expected for the settlement at ``next_funding_time``.
    The writer keeps the newest row of each 10 s slot.
    """

    symbol: str
    time: datetime
    mark_price: float | None
    index_price: float | None
    predicted_funding_rate: float | None = None
    next_funding_time: datetime | None = None


class Instrument(NamedTuple):
    """One listing of a perpetual: a ticker that is used again has a second row.

    Traded from ``valid_from`` until ``valid_to`` (None: still listed). ``multiplier`` is the number of coins
    in one unit of ``base`` (1000 for ``1000PEPE/USDT``); ``price_tick`` in quote and ``quantity_step`` in
    base currency; ``funding_interval_hours`` the interval now in force.
    """

    symbol: str
    exchange_symbol: str
    valid_from: datetime
    valid_to: datetime | None
    multiplier: int
    base: str
    quote: str
    status: str
    price_tick: float | None
    quantity_step: float | None
    funding_interval_hours: int | None


class Coverage(NamedTuple):
    """A finished segment ``[from_time, to_time)`` for which a source gave everything that there is.

    ``stream`` names a table and its part: ``ohlcv:5m``, ``open_interest:5m``, ``funding_rate``,
    ``liquidations``, ``long_short_ratio:global_account:5m``, ``order_book``, ``mark_price``. ``symbol`` ``*``
    means all symbols.
    """

    stream: str
    symbol: str
    from_time: datetime
    to_time: datetime


class Refusal(NamedTuple):
    """Something received that makes no sense: goes to table ``rejects``.

    ``stream`` is the table (with its part where known) it was meant for, ``origin`` the place it was read
    (``file:line`` or address), ``reason`` says in words why it was refused, ``payload`` is what was received.
    ``context`` is what is needed to read it again without its source: a file's name and columns, the question
    that a page answers. ``longest`` is how many characters of the payload are kept.
    """

    stream: str
    origin: str
    reason: str
    payload: str
    context: Mapping[str, object] | None = None
    longest: int = 16_384


Row = (
    Kline
    | OpenInterest
    | FundingRate
    | Liquidation
    | LongShortRatio
    | OrderBookSnapshot
    | MarkPrice
    | Instrument
)
"""Any row that the writer takes."""

_TABLES: Mapping[type[Row], str] = {
    Kline: "ohlcv",
    OpenInterest: "open_interest",
    FundingRate: "funding_rate",
    Liquidation: "liquidations",
    LongShortRatio: "long_short_ratio",
    OrderBookSnapshot: "order_book",
    MarkPrice: "mark_price",
    Instrument: "instruments",
}


def table_of(row_type: type[Row]) -> str:
    """Give the raw table's name for a row type.

    Parameters
    ----------
    row_type : type
        One of the named tuples of this module.

    Returns
    -------
    str
        Unqualified table name, ``ohlcv`` for `Kline`.

    Raises
    ------
    TypeError
        When ``row_type`` is no raw row.
    """
    try:
        return _TABLES[row_type]
    except KeyError:
        raise TypeError(f"{row_type!r} is not a row of a raw table") from None


def stream_of(row: Row) -> str:
    """Give the stream's name, as `Coverage` uses it, that a row belongs to.

    Examples
    --------
    >>> from datetime import datetime, UTC
    >>> stream_of(OpenInterest("SOL/USDT", "5m", datetime(2026, 2, 1, tzinfo=UTC), 1.0, 100.0))
    'open_interest:5m'
    """
    table = table_of(type(row))
    if isinstance(row, Kline):
        return f"{table}:{row.timeframe}"
    if isinstance(row, OpenInterest):
        return f"{table}:{row.period}"
    if isinstance(row, LongShortRatio):
        return f"{table}:{row.ratio_type}:{row.period}"
    return table
