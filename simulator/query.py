"""Reading of request parameters, with the exchange's own complaints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from simulator.errors import ExchangeError, IllegalParamsError, illegal, invalid, missing, unknown_symbol
from simulator.market import Market, to_ms, to_time
from simulator.table import Table
from simulator.widths import STATISTICS_PERIODS, WIDTHS_MS

Anchor: TypeAlias = Literal["start", "end"]
_NUMBER = re.compile(r"^[0-9]{1,20}$")
_MARGIN = 64


@dataclass(frozen=True)
class Span:
    """The page asked for.

    Attributes
    ----------
    start_ms, end_ms : int, optional
        Inclusive bounds.
    limit : int
        Most rows.
    """

    start_ms: int | None
    end_ms: int | None
    limit: int

    def cut(self, table: Table, *, anchor: Anchor) -> Table:
        """Return the page's rows: the first ones from the start, or with the anchor at the end the last ones.

        The exchange anchors klines and settlements at a given start, statistics always at their end.
        """
        if anchor == "start" and self.start_ms is not None:
            return table.first_rows(self.limit)
        return table.last_rows(self.limit)

    def narrow(self, table: Table, *, anchor: Anchor) -> Table:
        """Return somewhat more rows than the page needs: enough to drop those not yet published."""
        return Span(self.start_ms, self.end_ms, self.limit + _MARGIN).cut(table, anchor=anchor)


def read_symbol(query: Mapping[str, str], market: Market, now_ms: int, *, name: str = "symbol") -> str:
    """Return the canonical symbol asked for.

    Raises
    ------
    ExchangeError
        -1102 when it is missing, -1121 when it is unknown or not listed yet.
    """
    wire = query.get(name, "")
    if not wire:
        raise missing(name)
    for symbol in market.symbols:
        if symbol.replace("/", "") == wire and market.instrument(symbol, at=to_time(now_ms)) is not None:
            return symbol
    raise unknown_symbol()


def read_span(query: Mapping[str, str], *, default: int, most: int) -> Span:
    """Return the page asked for.

    Raises
    ------
    ExchangeError
        -1100, -1130 or -1023 for bad numbers, a limit out of range, and a reversed range.
    """
    start, end = read_number(query, "startTime"), read_number(query, "endTime")
    limit = read_number(query, "limit")
    if limit is not None and not 1 <= limit <= most:
        raise invalid("limit")
    if start is not None and end is not None and start > end:
        raise ExchangeError(-1023, "Start time is greater than end time.")
    return Span(start, end, default if limit is None else limit)


def read_funding_span(query: Mapping[str, str]) -> Span:
    """Return the page of settlements asked for; a limit out of range is the HTTP-200 error object."""
    limit = read_number(query, "limit")
    if limit is not None and not 1 <= limit <= 1000:
        raise IllegalParamsError
    recent = "startTime" not in query and "endTime" not in query
    return read_span(query, default=200 if recent else 100, most=1000)


def bounds(span: Span, market: Market, now_ms: int, *, width_ms: int = 1) -> tuple[int, int]:
    """Return the half-open range of row times that a page can come from, on whole widths at its start."""
    start = to_ms(market.start) if span.start_ms is None else max(span.start_ms, to_ms(market.start))
    end = now_ms if span.end_ms is None else min(span.end_ms, now_ms)
    return -(-start // width_ms) * width_ms, end + 1


def read_number(query: Mapping[str, str], name: str) -> int | None:
    """Return an integer parameter, None when it was not sent."""
    value = query.get(name, "")
    if value == "":
        return None
    if not _NUMBER.match(value):
        raise illegal(name)
    return int(value)


def read_interval(query: Mapping[str, str]) -> str:
    """Return the kline interval asked for."""
    interval = query.get("interval", "")
    if not interval:
        raise missing("interval")
    if interval not in WIDTHS_MS:
        raise ExchangeError(-1120, "Invalid interval.")
    return interval


def read_period(query: Mapping[str, str]) -> str:
    """Return the period of a statistic asked for."""
    period = query.get("period", "")
    if not period:
        raise missing("period")
    if period not in STATISTICS_PERIODS:
        raise ExchangeError(-1130, "parameter 'period' is invalid.")
    return period
