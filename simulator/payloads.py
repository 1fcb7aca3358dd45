"""Tables as the exchange's JSON: numbers as text, stamps as numbers, the field sets of 2026."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from collectors.rows import Instrument
from simulator.table import Table

Json: TypeAlias = dict[str, Any]

_PERPETUAL_DELIVERY = 4_133_404_800_000
_ORDER_TYPES = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]


def text(value: float) -> str:
    """Return a number's shortest exact decimal text, never in exponent form."""
    shortest = repr(float(value))
    if "e" in shortest:
        return np.format_float_positional(value, trim="-")
    return shortest.removesuffix(".0")


def fixed(value: float, decimals: int) -> str:
    """Return a number's text with so many decimals."""
    return f"{value:.{decimals}f}"


def klines(table: Table, width_ms: int, *, price_decimals: int, quantity_decimals: int) -> list[list[Any]]:
    """Return `/fapi/v1/klines`: arrays of 12."""
    prices = [_texts(table, name, price_decimals) for name in ("open", "high", "low", "close")]
    volume, taker = (_texts(table, name, quantity_decimals) for name in ("volume", "taker_buy_base"))
    quote, taker_quote = (
        [text(value) for value in table.columns[name].tolist()]
        for name in ("quote_volume", "taker_buy_quote")
    )
    times = table.time.tolist()
    ends = [time + width_ms - 1 for time in times]
    trades = [int(count) for count in table.columns["trades"].tolist()]
    zeros = ["0"] * len(times)
    columns = (times, *prices, volume, ends, quote, trades, taker, taker_quote, zeros)
    return [list(row) for row in zip(*columns, strict=True)]


def price_klines(table: Table, width_ms: int) -> list[list[Any]]:
    """Return `/fapi/v1/markPriceKlines` and `indexPriceKlines`: the same arrays without volumes."""
    prices = [_texts(table, name, 8) for name in ("open", "high", "low", "close")]
    samples = width_ms // 1000
    return [
        [time, *row, "0", time + width_ms - 1, "0", samples, "0", "0", "0"]
        for time, *row in zip(table.time.tolist(), *prices, strict=True)
    ]


def _texts(table: Table, name: str, decimals: int) -> list[str]:
    """Return a column as texts with so many decimals."""
    # The old way of formatting is the quickest by far, and pages are made of nothing else.
    pattern = f"%.{decimals}f"
    return [pattern % value for value in table.columns[name].tolist()]


def open_interest_history(symbol: str, table: Table) -> list[Json]:
    """Return `/futures/data/openInterestHist`."""
    interest, value = (table.columns[name].tolist() for name in ("open_interest", "open_interest_value"))
    return [
        {
            "symbol": symbol,
            "sumOpenInterest": fixed(one, 8),
            "sumOpenInterestValue": fixed(worth, 8),
            "CMCCirculatingSupply": "0.00000000",
            "timestamp": time,
        }
        for time, one, worth in zip(table.time.tolist(), interest, value, strict=True)
    ]


def account_ratios(symbol: str, table: Table) -> list[Json]:
    """Return the three ratios of accounts and positions under `/futures/data`."""
    names = ("long_account", "long_short_ratio", "short_account")
    lists = [table.columns[name].tolist() for name in names]
    return [
        {
            "symbol": symbol,
            "longAccount": fixed(long, 4),
            "longShortRatio": fixed(ratio, 4),
            "shortAccount": fixed(short, 4),
            "timestamp": time,
        }
        for time, long, ratio, short in zip(table.time.tolist(), *lists, strict=True)
    ]


def taker_ratios(table: Table) -> list[Json]:
    """Return `/futures/data/takerlongshortRatio`; it names no symbol."""
    names = ("long_short_ratio", "short_account", "long_account")
    lists = [table.columns[name].tolist() for name in names]
    return [
        {
            "buySellRatio": fixed(ratio, 4),
            "sellVol": fixed(sell, 4),
            "buyVol": fixed(buy, 4),
            "timestamp": time,
        }
        for time, ratio, sell, buy in zip(table.time.tolist(), *lists, strict=True)
    ]


def funding_rates(symbol: str, table: Table) -> list[Json]:
    """Return `/fapi/v1/fundingRate`; an unknown mark price is an empty text, as for old settlements."""
    rates, marks = (table.columns[name].tolist() for name in ("funding_rate", "mark_price"))
    return [
        {
            "symbol": symbol,
            "fundingTime": time,
            "fundingRate": fixed(rate, 8),
            "markPrice": "" if np.isnan(mark) else fixed(mark, 8),
        }
        for time, rate, mark in zip(table.time.tolist(), rates, marks, strict=True)
    ]


def funding_info(instrument: Instrument, updated_ms: int) -> Json:
    """Return one entry of `/fapi/v1/fundingInfo`."""
    return {
        "symbol": instrument.exchange_symbol,
        "adjustedFundingRateCap": "0.02000000",
        "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": instrument.funding_interval_hours,
        "disclaimer": False,
        "updateTime": updated_ms,
    }


def premium_index(symbol: str, table: Table, now_ms: int) -> Json:
    """Return one entry of `/fapi/v1/premiumIndex` from a table of one mark price."""
    mark, index, rate = (
        float(table.columns[name][0]) for name in ("mark_price", "index_price", "predicted_funding_rate")
    )
    return {
        "symbol": symbol,
        "markPrice": fixed(mark, 8),
        "indexPrice": fixed(index, 8),
        "estimatedSettlePrice": fixed((mark + index) / 2, 8),
        "lastFundingRate": fixed(rate, 8),
        "interestRate": "0.00010000",
        "nextFundingTime": int(table.columns["next_funding_time"][0]),
        "time": now_ms,
    }


def depth(table: Table, limit: int, *, price_decimals: int, quantity_decimals: int) -> Json:
    """Return `/fapi/v1/depth` from a table of one book."""
    sides = {}
    for side, wire in (("bid", "bids"), ("ask", "asks")):
        prices, amounts = (table.columns[f"{side}_{name}"][0].tolist() for name in ("price", "quantity"))
        levels = list(zip(prices, amounts, strict=True))[:limit]
        sides[wire] = [
            [fixed(price, price_decimals), fixed(amount, quantity_decimals)] for price, amount in levels
        ]
    time = int(table.time[0])
    return {"lastUpdateId": int(table.columns["last_update_id"][0]), "E": time, "T": time - 3, **sides}


def exchange_info(instruments: list[Instrument], now_ms: int, weight_per_minute: int) -> Json:
    """Return `/fapi/v1/exchangeInfo` of the contracts that trade."""
    limits = [
        ("REQUEST_WEIGHT", "MINUTE", 1, weight_per_minute),
        ("ORDERS", "MINUTE", 1, 1200),
        ("ORDERS", "SECOND", 10, 300),
    ]
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": kind, "interval": unit, "intervalNum": count, "limit": limit}
            for kind, unit, count, limit in limits
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [contract(instrument) for instrument in instruments],
    }


def contract(instrument: Instrument) -> Json:
    """Return one contract of `exchangeInfo`."""
    return {
        "symbol": instrument.exchange_symbol,
        "pair": instrument.exchange_symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_DELIVERY,
        "onboardDate": int(instrument.valid_from.timestamp() * 1000),
        "status": instrument.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": decimals_of(instrument.price_tick),
        "quantityPrecision": decimals_of(instrument.quantity_step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["Simulated"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(instrument),
        "orderTypes": _ORDER_TYPES,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def decimals_of(step: float | None) -> int:
    """Return the number of decimals of a tick or lot step."""
    return 0 if step is None else max(0, -round(float(np.log10(step))))


def _filters(instrument: Instrument) -> list[Json]:
    tick = fixed(instrument.price_tick or 1.0, decimals_of(instrument.price_tick))
    lot = fixed(instrument.quantity_step or 1.0, decimals_of(instrument.quantity_step))
    return [
        {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": tick, "maxPrice": "4529764"},
        {"filterType": "LOT_SIZE", "stepSize": lot, "minQty": lot, "maxQty": "10000000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": lot, "minQty": lot, "maxQty": "1000000"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]
