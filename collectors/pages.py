"""Pages of REST that could not be read: kept as they came, and read again once somebody wants it.

A page that makes no sense stops the reading of its window, which stays uncovered and is asked for again. Its
text goes to ``raw.rejects`` all the same: the exchange may never send it again. What is kept is the path, the
parameters and the body; the exchange's address and the headers are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from collectors import endpoints, parse, parse_now
from collectors.endpoints import Params
from collectors.rows import Refusal, Row
from collectors.symbols import canonical_symbol

LONGEST = 1 << 20
"""Characters of a page that are kept; the longest real one (1500 klines) has a fifth of that."""

_KIND_OF_RATIO = {endpoint.path: ratio_type for ratio_type, endpoint in endpoints.RATIOS.items()}
_TABLES = {
    endpoints.MARK_KLINES.path: "mark_price",
    endpoints.INDEX_KLINES.path: "mark_price",
    endpoints.PREMIUM_INDEX.path: "mark_price",
    endpoints.FUNDING_RATE.path: "funding_rate",
    endpoints.DEPTH.path: "order_book",
    endpoints.EXCHANGE_INFO.path: "instruments",
    endpoints.FUNDING_INFO.path: "instruments",
}


class BrokenPage(NamedTuple):
    """A page that could not be read.

    Attributes
    ----------
    path : str
        Of the endpoint.
    params : mapping
        What was asked for.
    asked_at : datetime
        The exchange's clock (UTC) before the question: what had not ended by then was not final.
    reason : str
        What is wrong with it.
    text : str
        The body as it came.
    """

    path: str
    params: Params
    asked_at: datetime
    reason: str
    text: str

    def refusal(self) -> Refusal:
        """Give the page as a row of ``raw.rejects``."""
        query = urlencode(self.params)
        return Refusal(
            stream=_stream_of(self.path, self.params),
            origin=f"{self.path}?{query}" if query else self.path,
            reason=self.reason,
            payload=self.text,
            context={
                "endpoint": self.path,
                "params": dict(self.params),
                "asked_at": self.asked_at.isoformat(),
                "characters": len(self.text),
            },
            longest=LONGEST,
        )


def is_page(context: Mapping[str, Any] | None) -> bool:
    """Tell whether a refusal, by its context, is a whole page."""
    return context is not None and "endpoint" in context


def read_again(payload: str, context: Mapping[str, Any]) -> list[Row]:
    """Read a page that was refused.

    Parameters
    ----------
    payload : str
        As it was kept.
    context : mapping
        As `BrokenPage.refusal` made it.

    Returns
    -------
    list of row
        Without bars that were forming when the page was asked for.

    Raises
    ------
    MalformedError
        When it still makes no sense.
    ValueError
        When it is no JSON, was kept only in part, or is of no use alone.
    """
    path, params = str(context["endpoint"]), context["params"]
    if int(context["characters"]) > LONGEST:
        raise ValueError(f"of {context['characters']:,} characters {LONGEST:,} were kept: ask for it again")
    read = _reader(path, params, datetime.fromisoformat(context["asked_at"]))
    if read is None:
        raise ValueError(f"a page of {path} is of no use alone: `perpmart backfill` asks for it again")
    try:
        decoded = json.loads(payload)
    except (ValueError, RecursionError):
        raise ValueError("no JSON: `perpmart backfill` asks for it again") from None
    return read(decoded)


def _stream_of(path: str, params: Params) -> str:
    """Name the stream that a page was meant for; a page of no table has the endpoint's name."""
    if path == endpoints.KLINES.path:
        return f"ohlcv:{params['interval']}"
    if path == endpoints.OPEN_INTEREST.path:
        return f"open_interest:{params['period']}"
    if path in _KIND_OF_RATIO:
        return f"long_short_ratio:{_KIND_OF_RATIO[path]}:{params['period']}"
    return _TABLES.get(path, path.rpartition("/")[2])


def _reader(path: str, params: Mapping[str, Any], asked_at: datetime) -> Callable[[object], list[Row]] | None:
    """Give what makes rows of a page; None for one that needs another page beside it."""
    symbol = canonical_symbol(str(params["symbol"])) if "symbol" in params else ""
    if path == endpoints.KLINES.path:
        return lambda page: [
            *parse.closed_klines(
                parse.parse_klines(page, symbol=symbol, timeframe=params["interval"]), now=asked_at
            )
        ]
    if path == endpoints.OPEN_INTEREST.path:
        return lambda page: [*parse.parse_open_interest(page, symbol=symbol, period=params["period"])]
    if path in _KIND_OF_RATIO:
        return lambda page: [
            *parse.parse_long_short_ratio(
                page, symbol=symbol, period=params["period"], ratio_type=_KIND_OF_RATIO[path]
            )
        ]
    if path == endpoints.FUNDING_RATE.path:
        return lambda page: [*parse.parse_funding_rates(page)]
    if path == endpoints.PREMIUM_INDEX.path:
        return lambda page: [*parse_now.parse_premium_index(page)]
    if path == endpoints.DEPTH.path:
        return lambda page: [parse_now.parse_order_book(page, symbol=symbol, levels=params["limit"])]
    return None
