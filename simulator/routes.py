"""The REST endpoints: what each one costs, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from simulator import payloads
from simulator.errors import ExchangeError, invalid, unknown_symbol
from simulator.limits import Pool, depth_weight, kline_weight
from simulator.market import Kind, Market, to_ms, to_time
from simulator.query import (
    Span,
    bounds,
    read_funding_span,
    read_interval,
    read_number,
    read_period,
    read_span,
    read_symbol,
)
from simulator.table import Table
from simulator.widths import WIDTHS_MS, widen_klines, widen_snapshots, widen_taker

DAY_MS = 86_400_000
#: Statistics are kept for 30 days; a start that is a little older is still accepted.
STATISTICS_KEPT_MS = 30 * DAY_MS
STATISTICS_REFUSED_MS = 31 * DAY_MS
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
Query: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[Market, Query, int], Any]


@dataclass(frozen=True)
class Endpoint:
    """One REST endpoint.

    Attributes
    ----------
    answer : callable
        Takes market, query and the exchange's time (epoch ms), returns what becomes JSON.
    pool : str
        The limit that it counts against.
    weight : callable
        Weight of a query.
    """

    answer: Handler
    pool: Pool = "weight"
    weight: Callable[[Query], int] = lambda query: 1


def server_time(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/time`."""
    del market, query
    return {"serverTime": now_ms}


def exchange_info(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/exchangeInfo`: the contracts that trade now; delisted ones have vanished."""
    del query
    trading = [one for one in market.instruments(at=to_time(now_ms)) if one.status == "TRADING"]
    return payloads.exchange_info(trading, now_ms, 2400)


def klines(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/klines`; the last row is the one still forming."""
    symbol, interval = read_symbol(query, market, now_ms), read_interval(query)
    span = read_span(query, default=500, most=1500)
    table = _klines(market, "ohlcv", symbol, interval, span, now_ms)
    price, quantity = _decimals(market, symbol, now_ms)
    return payloads.klines(table, WIDTHS_MS[interval], price_decimals=price, quantity_decimals=quantity)


def mark_price_klines(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/markPriceKlines`."""
    return _price_klines(market, query, now_ms, "mark_price_klines", "symbol")


def index_price_klines(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/indexPriceKlines`, which takes a pair instead of a symbol."""
    return _price_klines(market, query, now_ms, "index_price_klines", "pair")


def open_interest_history(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/futures/data/openInterestHist`."""
    symbol, table = _statistic(market, query, now_ms, "open_interest", "")
    return payloads.open_interest_history(symbol.replace("/", ""), table)


def account_ratio(ratio_type: str) -> Handler:
    """Return the endpoint of one ratio of accounts or positions."""

    def answer(market: Market, query: Query, now_ms: int) -> Any:
        symbol, table = _statistic(market, query, now_ms, "long_short_ratio", ratio_type)
        return payloads.account_ratios(symbol.replace("/", ""), table)

    return answer


def taker_ratio(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/futures/data/takerlongshortRatio`: a stamp is the start of the period that it speaks of."""
    _, table = _statistic(market, query, now_ms, "long_short_ratio", "taker_volume")
    return payloads.taker_ratios(table)


def funding_rate(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/fundingRate`, of all symbols when none is named."""
    span = read_funding_span(query)
    start, end = bounds(span, market, now_ms)
    known = (
        [read_symbol(query, market, now_ms)]
        if "symbol" in query
        else [one.symbol for one in market.instruments(at=to_time(now_ms))]
    )
    rows = []
    for symbol in known:
        table = market.table("funding_rate", symbol, start_ms=start, end_ms=end).as_of(now_ms)
        rows += payloads.funding_rates(symbol.replace("/", ""), table)
    rows.sort(key=lambda row: int(row["fundingTime"]))
    return rows[: span.limit] if span.start_ms is not None else rows[-span.limit :]


def funding_info(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/fundingInfo`: only contracts whose interval is not 8 hours."""
    del query
    trading = [one for one in market.instruments(at=to_time(now_ms)) if one.status == "TRADING"]
    return [
        payloads.funding_info(one, to_ms(one.valid_from))
        for one in trading
        if one.funding_interval_hours != 8
    ]


def premium_index(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/premiumIndex`: an object for one symbol, else an array."""
    if "symbol" in query:
        return _premium(market, read_symbol(query, market, now_ms), now_ms)
    trading = {one.symbol for one in market.instruments(at=to_time(now_ms)) if one.status == "TRADING"}
    found = [_premium(market, symbol, now_ms) for symbol in market.symbols if symbol in trading]
    return [one for one in found if one]


def depth(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/depth`: at most 20 levels, as many as there are."""
    symbol = read_symbol(query, market, now_ms)
    limit = read_number(query, "limit")
    if limit is not None and limit not in DEPTHS:
        raise invalid("limit")
    table = market.book(symbol, now_ms)
    if len(table) == 0:
        return {"lastUpdateId": 0, "E": now_ms, "T": now_ms, "bids": [], "asks": []}
    price, quantity = _decimals(market, symbol, now_ms)
    return payloads.depth(table, limit or 500, price_decimals=price, quantity_decimals=quantity)


def open_interest(market: Market, query: Query, now_ms: int) -> Any:
    """Answer `/fapi/v1/openInterest`: the newest snapshot, published or not."""
    symbol = read_symbol(query, market, now_ms)
    period = market.recorded_period("open_interest", symbol, "1d")
    start = to_ms(market.start)
    table = market.table("open_interest", symbol, start_ms=start, end_ms=now_ms + 1, period=period)
    if len(table) == 0:
        # A zero would be a lie about a market of which nothing is known.
        raise unknown_symbol()
    newest = float(table.columns["open_interest"][-1])
    return {"symbol": symbol.replace("/", ""), "openInterest": payloads.text(newest), "time": now_ms}


def _klines(market: Market, kind: Kind, symbol: str, interval: str, span: Span, now_ms: int) -> Table:
    width = WIDTHS_MS[interval]
    start, end = bounds(span, market, now_ms, width_ms=width)
    # An inclusive end on the last bar's open asks for the whole bar, and a wide bar reaches past it.
    reach = end if interval == "5m" else min((end - 1) // width * width + width, now_ms + 1)
    table = market.table(kind, symbol, start_ms=start, end_ms=reach)
    if interval == "5m":
        table = span.narrow(table, anchor="start")
    table = _expressible(table.as_of(now_ms))
    forming_open = now_ms // WIDTHS_MS["5m"] * WIDTHS_MS["5m"]
    if start <= forming_open < reach and not (len(table) and int(table.time[-1]) >= forming_open):
        table = _with_forming(table, market.forming_kline(kind, symbol, now_ms), forming_open, now_ms)
    wide = table if interval == "5m" else widen_klines(table, width)
    return span.cut(wide, anchor="start")


def _with_forming(table: Table, forming: Mapping[str, float] | None, open_ms: int, now_ms: int) -> Table:
    """Return a table with the kline that is still open as its last row."""
    if forming is None:
        return table
    columns = {
        name: np.append(table.columns[name], value)
        for name, value in forming.items()
        if name in table.columns
    }
    return Table(np.append(table.time, open_ms), np.append(table.published_at, now_ms), columns)


def _expressible(table: Table) -> Table:
    """Leave out klines of unknown quote volume: the protocol cannot say so, and 0 would be a lie."""
    quote = table.columns.get("quote_volume")
    return table if quote is None or not np.isnan(quote).any() else table.where(~np.isnan(quote))


def _price_klines(market: Market, query: Query, now_ms: int, kind: Kind, name: str) -> Any:
    symbol, interval = read_symbol(query, market, now_ms, name=name), read_interval(query)
    span = read_span(query, default=500, most=1500)
    return payloads.price_klines(_klines(market, kind, symbol, interval, span, now_ms), WIDTHS_MS[interval])


def _statistic(market: Market, query: Query, now_ms: int, kind: Kind, ratio_type: str) -> tuple[str, Table]:
    """Return the symbol and the page of a statistic under `/futures/data`."""
    symbol, period = read_symbol(query, market, now_ms), read_period(query)
    span = read_span(query, default=30, most=500)
    if span.start_ms is not None and span.start_ms < now_ms - STATISTICS_REFUSED_MS:
        raise ExchangeError(-1130, "parameter 'startTime' is invalid.")
    kept = Span(max(span.start_ms or 0, now_ms - STATISTICS_KEPT_MS), span.end_ms, span.limit)
    width = WIDTHS_MS[period]
    start, end = bounds(kept, market, now_ms, width_ms=width)
    taker = ratio_type == "taker_volume"
    base = market.recorded_period(kind, symbol, period)
    reach = min((end - 1) // width * width + width, now_ms + 1) if taker else end
    table = market.table(
        kind, symbol, start_ms=start, end_ms=reach, period=base, ratio_type=ratio_type or "global_account"
    ).as_of(now_ms)
    if base != period:
        table = widen_taker(table, width, now_ms) if taker else widen_snapshots(table, width)
    return symbol, kept.cut(table, anchor="end")


def _premium(market: Market, symbol: str, now_ms: int) -> dict[str, Any] | list[Any]:
    table = market.mark(symbol, now_ms)
    return payloads.premium_index(symbol.replace("/", ""), table, now_ms) if len(table) else []


def _decimals(market: Market, symbol: str, now_ms: int) -> tuple[int, int]:
    listing = market.instrument(symbol, at=to_time(now_ms))
    if listing is None:
        raise unknown_symbol()
    return payloads.decimals_of(listing.price_tick), payloads.decimals_of(listing.quantity_step)


def _page_weight(query: Query) -> int:
    limit = query.get("limit", "500")
    return kline_weight(int(limit) if limit.isdigit() else 500)


def _book_weight(query: Query) -> int:
    limit = query.get("limit", "500")
    return depth_weight(int(limit) if limit.isdigit() else 500)


ENDPOINTS: dict[str, Endpoint] = {
    "/fapi/v1/time": Endpoint(server_time),
    "/fapi/v1/exchangeInfo": Endpoint(exchange_info),
    "/fapi/v1/klines": Endpoint(klines, weight=_page_weight),
    "/fapi/v1/markPriceKlines": Endpoint(mark_price_klines, weight=_page_weight),
    "/fapi/v1/indexPriceKlines": Endpoint(index_price_klines, weight=_page_weight),
    "/fapi/v1/premiumIndex": Endpoint(premium_index, weight=lambda query: 1 if "symbol" in query else 10),
    "/fapi/v1/depth": Endpoint(depth, weight=_book_weight),
    "/fapi/v1/openInterest": Endpoint(open_interest),
    "/fapi/v1/fundingRate": Endpoint(funding_rate, pool="funding"),
    "/fapi/v1/fundingInfo": Endpoint(funding_info, pool="funding"),
    "/futures/data/openInterestHist": Endpoint(open_interest_history, pool="statistics"),
    "/futures/data/globalLongShortAccountRatio": Endpoint(account_ratio("global_account"), pool="statistics"),
    "/futures/data/topLongShortAccountRatio": Endpoint(account_ratio("top_account"), pool="statistics"),
    "/futures/data/topLongShortPositionRatio": Endpoint(account_ratio("top_position"), pool="statistics"),
    "/futures/data/takerlongshortRatio": Endpoint(taker_ratio, pool="statistics"),
}
