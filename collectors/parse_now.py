"""The state of now from the REST endpoints, made into rows: listings, intervals, book, mark price; pure.

Reads payloads as `collectors.parse` does, and raises what it raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from collectors.fields import Fields, expect_array, expect_object
from collectors.rows import Instrument, MarkPrice, OrderBookSnapshot
from collectors.symbols import SymbolError, canonical_symbol, multiplier_of

DEPTH_LEVELS = 20
"""Levels of a side that a snapshot keeps."""

DEFAULT_FUNDING_HOURS = 8
"""Interval of every perpetual that ``fundingInfo`` does not list."""

_NEVER = datetime(2100, 1, 1, tzinfo=UTC)


def parse_funding_info(payload: object) -> dict[str, int]:
    """Read ``/fapi/v1/fundingInfo``: hours between settlements, for the symbols whose terms were adjusted.

    ::

        [{"symbol": "SOLUSDT", "adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02",
          "fundingIntervalHours": 4, "disclaimer": false, "updateTime": null}]

    Returns
    -------
    dict of str to int
        By exchange symbol. Who is absent settles every `DEFAULT_FUNDING_HOURS` hours.
    """
    endpoint = "/fapi/v1/fundingInfo"
    items = [Fields(item, endpoint) for item in expect_array(payload, endpoint)]
    return {item.text("symbol"): item.count("fundingIntervalHours") for item in items}


def parse_order_book(payload: object, *, symbol: str, levels: int = DEPTH_LEVELS) -> OrderBookSnapshot:
    """Read ``/fapi/v1/depth``.

    ::

        {"lastUpdateId": 77001, "E": 1760000100250, "T": 1760000100241,
         "bids": [["150.10", "12.5"], ["150.09", "3"]], "asks": [["150.11", "8"], ["150.12", "40.25"]]}

    Parameters
    ----------
    payload : object
        Decoded JSON.
    symbol : str
        What was asked for.
    levels : int
        Levels of each side to keep, from the best.

    Returns
    -------
    OrderBookSnapshot
        At ``E``, the instant of the answer.
    """
    endpoint = "/fapi/v1/depth"
    book = expect_object(payload, endpoint)
    bids = read_levels(book.children("bids")[:levels], endpoint, "bids")
    asks = read_levels(book.children("asks")[:levels], endpoint, "asks")
    return OrderBookSnapshot(
        symbol=symbol,
        time=book.time("E"),
        bid_price=[price for price, _ in bids],
        bid_quantity=[quantity for _, quantity in bids],
        ask_price=[price for price, _ in asks],
        ask_quantity=[quantity for _, quantity in asks],
        last_update_id=book.count("lastUpdateId"),
    )


def read_levels(levels: list[object], endpoint: str, side: str) -> list[tuple[float, float]]:
    """Read one side of a book: ``[["150.10", "12.5"], ...]`` to prices and quantities."""
    names = (f"{side} price", f"{side} quantity")
    items = [Fields(level, endpoint, names=names) for level in levels]
    return [(item.number(names[0]), item.number(names[1])) for item in items]


def parse_premium_index(payload: object) -> list[MarkPrice]:
    """Read ``/fapi/v1/premiumIndex``, of one symbol (an object) or of all (an array).

    ::

        {"symbol": "SOLUSDT", "markPrice": "150.52", "indexPrice": "150.60", "estimatedSettlePrice": "150.58",
         "lastFundingRate": "0.00008100", "interestRate": "0.00010000", "nextFundingTime": 1760025600000,
         "time": 1760000101000}

    ``lastFundingRate`` is, against its name, the rate expected for ``nextFundingTime``. Dated contracts and
    quotes that we do not carry are left out.
    """
    endpoint = "/fapi/v1/premiumIndex"
    items = expect_array(payload, endpoint) if isinstance(payload, list) else [payload]
    rows = []
    for item in items:
        price = expect_object(item, endpoint)
        symbol = _symbol_or_none(price)
        if symbol is not None:
            rows.append(
                MarkPrice(
                    symbol=symbol,
                    time=price.time("time"),
                    mark_price=price.number("markPrice"),
                    index_price=price.number("indexPrice"),
                    predicted_funding_rate=price.number_or_none("lastFundingRate"),
                    next_funding_time=price.time_or_none("nextFundingTime"),
                )
            )
    return rows


def parse_server_time(payload: object) -> datetime:
    """Read ``/fapi/v1/time``, ``{"serverTime": 1760000100123}``: the exchange's clock (UTC)."""
    return expect_object(payload, "/fapi/v1/time").time("serverTime")


def parse_exchange_info(
    payload: object, *, funding_hours: Mapping[str, int] | None = None
) -> list[Instrument]:
    """Read ``/fapi/v1/exchangeInfo``: the perpetuals listed now.

    ::

        {"symbols": [{"symbol": "SOLUSDT", "contractType": "PERPETUAL", "status": "TRADING",
          "onboardDate": 1600000000000, "deliveryDate": 4133404800000,
          "baseAsset": "SOL", "quoteAsset": "USDT",
          "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                      {"filterType": "LOT_SIZE", "stepSize": "0.1"}]}]}

    Parameters
    ----------
    payload : object
        Decoded JSON.
    funding_hours : mapping of str to int, optional
        What `parse_funding_info` gave. Without it the interval stays unknown.

    Returns
    -------
    list of Instrument
        ``valid_from`` is ``onboardDate``; ``valid_to`` the delivery date once one is announced. Dated
        contracts and quotes that we do not carry are left out.
    """
    endpoint = "/fapi/v1/exchangeInfo"
    rows = []
    for listing in expect_object(payload, endpoint).objects("symbols"):
        symbol = _symbol_or_none(listing)
        # TRADIFI_PERPETUAL and its like are perpetuals too.
        if symbol is None or not listing.text("contractType").endswith("PERPETUAL"):
            continue
        name = listing.text("symbol")
        rows.append(
            Instrument(
                symbol=symbol,
                exchange_symbol=name,
                valid_from=listing.time("onboardDate"),
                valid_to=_announced_end(listing),
                multiplier=multiplier_of(symbol),
                base=listing.text("baseAsset"),
                quote=listing.text("quoteAsset"),
                status=listing.text("status"),
                price_tick=_filter(listing, "PRICE_FILTER", "tickSize"),
                quantity_step=_filter(listing, "LOT_SIZE", "stepSize"),
                funding_interval_hours=(
                    None if funding_hours is None else funding_hours.get(name, DEFAULT_FUNDING_HOURS)
                ),
            )
        )
    return rows


def _announced_end(listing: Fields) -> datetime | None:
    delivery = listing.time_or_none("deliveryDate")
    return None if delivery is None or delivery >= _NEVER else delivery


def _filter(listing: Fields, kind: str, name: str) -> float | None:
    """Give one number of the named filter; None when the contract has no such filter."""
    for item in listing.objects("filters"):
        if item.has("filterType") and item.text("filterType") == kind:
            return item.number(name)
    return None


def _symbol_or_none(item: Fields) -> str | None:
    """Give the canonical symbol, None for contracts that we do not carry."""
    try:
        return canonical_symbol(item.text("symbol"))
    except SymbolError:
        return None
