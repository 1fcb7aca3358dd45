"""Where recorded files lie and what their columns mean."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.market import Kind

#: How long after its stamp a recorded statistic counts as published; the recordings do not say.
STATISTIC_LAG_MS = 240_000
_SETTLEMENT_LAG_MS = 15_000
_EVENT_LAG_MS = 1_000


@dataclass(frozen=True)
class Source:
    """How the files of one folder become a table.

    Attributes
    ----------
    folder : str
        Name under the data directory.
    kind : str
        What the rows are.
    period : str
        Width of bars or step of statistics, empty where there is none.
    time : str
        Header of the column with the row's time (epoch ms).
    columns : dict
        Header of the file by name of the raw column.
    lag_ms : int
        From the row's time to its publication.
    """

    folder: str
    kind: Kind
    period: str
    time: str
    columns: dict[str, str]
    lag_ms: int


_BARS = {name: name for name in ("open", "high", "low", "close", "volume")}
_ARCHIVE_BARS = _BARS | {
    "quote_volume": "quote_volume",
    "trades": "count",
    "taker_buy_base": "taker_buy_volume",
    "taker_buy_quote": "taker_buy_quote_volume",
}
_HOURLY_BARS = _BARS | {"quote_volume": "quote_volume", "trades": "trades"}
_RATE = {"funding_rate": "fundingRate"}
_INTEREST = {"open_interest": "sumOpenInterest", "open_interest_value": "sumOpenInterestValue"}
_RATIO = {
    "long_short_ratio": "longShortRatio",
    "long_account": "longAccount",
    "short_account": "shortAccount",
}
_ORDERS = {
    "side": "side",
    "price": "avg_price",
    "quantity": "filled_accum_qty",
    "original_price": "price",
    "original_quantity": "orig_qty",
    "order_type": "order_type",
    "time_in_force": "time_in_force",
    "status": "status",
}
TEXTS = ("side", "order_type", "time_in_force", "status")

#: The layout of the data directory. The first source that has a symbol's kind and period is used.
SOURCES = (
    Source("klines_5m", "ohlcv", "5m", "open_time", _ARCHIVE_BARS, 300_000),
    Source("klines_5m_ohlcv", "ohlcv", "5m", "open_time", _BARS, 300_000),
    Source("klines_1h", "ohlcv", "1h", "open_time", _HOURLY_BARS, 3_600_000),
    Source("funding_rate", "funding_rate", "", "fundingTime", _RATE, _SETTLEMENT_LAG_MS),
    Source("open_interest_4h", "open_interest", "4h", "timestamp", _INTEREST, STATISTIC_LAG_MS),
    Source("long_short_ratio_30m", "long_short_ratio", "30m", "timestamp", _RATIO, STATISTIC_LAG_MS),
    Source("liquidations", "liquidations", "", "trade_time", _ORDERS, _EVENT_LAG_MS),
)
ALL_COLUMNS: dict[str, tuple[str, ...]] = {
    "ohlcv": tuple(_ARCHIVE_BARS),
    "mark_price_klines": ("open", "high", "low", "close", "mark_price", "index_price"),
    "index_price_klines": ("open", "high", "low", "close", "mark_price", "index_price"),
    "open_interest": tuple(_INTEREST),
    "long_short_ratio": tuple(_RATIO),
    "funding_rate": ("funding_rate", "mark_price"),
    "liquidations": tuple(_ORDERS),
    "mark_price": ("mark_price", "index_price", "predicted_funding_rate", "next_funding_time"),
    "order_book": ("bid_price", "bid_quantity", "ask_price", "ask_quantity", "last_update_id"),
}
