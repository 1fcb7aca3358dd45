"""`BinanceFuturesClient`: the REST endpoints of the USD-M perpetuals, as rows.

Each method sends one request (inside the limits, again after what may pass) and gives what `collectors.parse`
makes of the answer. Walking through history page by page is the work of `collectors.backfill`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from collectors import endpoints, parse, parse_now
from collectors.endpoints import Params
from collectors.limits import KLINES_PAGE, depth_weight, klines_weight
from collectors.questioner import Questioner
from collectors.rows import (
    FundingRate,
    Instrument,
    Kline,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    OrderBookSnapshot,
)
from collectors.symbols import canonical_symbol, exchange_symbol

STATISTICS_PAGE = 500
"""Rows a page of open interest or ratios, the exchange's maximum."""

FUNDING_PAGE = 1000
"""Rows a page of settlements, the exchange's maximum; one more is answered by an error object."""


class BinanceFuturesClient(Questioner):
    """Asks the exchange for market data; use it as ``async with BinanceFuturesClient() as client``.

    Its parameters are those of `Questioner`.

    Notes
    -----
    Every method raises the typed errors of `collectors.errors`: what may pass (`is_retryable`) only after
    ``attempts`` tries, the rest at once. Symbols are taken in any spelling and given back as ``SOL/USDT``;
    ranges are half-open ``[start, end)`` in aware datetimes.

    Examples
    --------
    >>> async def newest() -> list[Kline]:
    ...     async with BinanceFuturesClient() as client:
    ...         return await client.fetch_klines("SOL/USDT", limit=3)
    """

    async def server_time(self, *, attempts: int | None = None) -> datetime:
        """Ask the exchange's clock (UTC), and remember how far ours is off."""
        time = await self._ask(endpoints.TIME, {}, parse_now.parse_server_time, attempts=attempts)
        self._offset = time - datetime.now(UTC)
        return time

    async def fetch_klines(
        self,
        symbol: str,
        timeframe: str = "5m",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = KLINES_PAGE,
    ) -> list[Kline]:
        """Fetch bars that open in ``[start, end)``, oldest first; the forming one is among them."""
        params = {**_asked(symbol, limit, start, end), "interval": timeframe}
        read = partial(parse.parse_klines, symbol=canonical_symbol(symbol), timeframe=timeframe)
        return await self._ask(endpoints.KLINES, params, read, cost=klines_weight(limit))

    async def fetch_mark_price_klines(
        self,
        symbol: str,
        timeframe: str = "5m",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = KLINES_PAGE,
    ) -> list[parse.PricePoint]:
        """Fetch the mark price at the end of each bar that opens in ``[start, end)``."""
        params = {**_asked(symbol, limit, start, end), "interval": timeframe}
        read = partial(parse.parse_price_klines, endpoint=endpoints.MARK_KLINES.path, timeframe=timeframe)
        return await self._ask(endpoints.MARK_KLINES, params, read, cost=klines_weight(limit))

    async def fetch_index_price_klines(
        self,
        symbol: str,
        timeframe: str = "5m",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = KLINES_PAGE,
    ) -> list[parse.PricePoint]:
        """Fetch the index price at the end of each bar that opens in ``[start, end)``."""
        params = {**_asked(symbol, limit, start, end), "interval": timeframe}
        # This endpoint alone asks for a pair.
        params["pair"] = params.pop("symbol")
        read = partial(parse.parse_price_klines, endpoint=endpoints.INDEX_KLINES.path, timeframe=timeframe)
        return await self._ask(endpoints.INDEX_KLINES, params, read, cost=klines_weight(limit))

    async def fetch_open_interest_history(
        self,
        symbol: str,
        period: str = "5m",
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = STATISTICS_PAGE,
    ) -> list[OpenInterest]:
        """Fetch open interest stamped in ``[start, end)``; the exchange keeps 30 days."""
        params = {**_asked(symbol, limit, start, end), "period": period}
        read = partial(parse.parse_open_interest, symbol=canonical_symbol(symbol), period=period)
        return await self._ask(endpoints.OPEN_INTEREST, params, read)

    async def fetch_long_short_ratio(
        self,
        symbol: str,
        period: str = "5m",
        *,
        ratio_type: str = "global_account",
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = STATISTICS_PAGE,
    ) -> list[LongShortRatio]:
        """Fetch ratios of a kind (`collectors.rows.RATIO_TYPES`) stamped in ``[start, end)``; 30 days."""
        params = {**_asked(symbol, limit, start, end), "period": period}
        read = partial(
            parse.parse_long_short_ratio,
            symbol=canonical_symbol(symbol),
            period=period,
            ratio_type=ratio_type,
        )
        return await self._ask(endpoints.RATIOS[ratio_type], params, read)

    async def fetch_funding_rates(
        self,
        symbol: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = FUNDING_PAGE,
    ) -> list[FundingRate]:
        """Fetch settlements stamped in ``[start, end)``, oldest first."""
        params = _asked(symbol, limit, start, end)
        return await self._ask(endpoints.FUNDING_RATE, params, parse.parse_funding_rates)

    async def fetch_funding_info(self) -> dict[str, int]:
        """Fetch the hours between settlements, by exchange symbol; who is absent has 8."""
        return await self._ask(endpoints.FUNDING_INFO, {}, parse_now.parse_funding_info)

    async def fetch_order_book(
        self, symbol: str, *, levels: int = parse_now.DEPTH_LEVELS
    ) -> OrderBookSnapshot:
        """Fetch the best levels of the book as they are now."""
        params: Params = {"symbol": exchange_symbol(symbol), "limit": levels}
        read = partial(parse_now.parse_order_book, symbol=canonical_symbol(symbol), levels=levels)
        return await self._ask(endpoints.DEPTH, params, read, cost=depth_weight(levels))

    async def fetch_premium_index(self, symbol: str | None = None) -> list[MarkPrice]:
        """Fetch mark price, index price and expected funding as they are now, of one symbol or of all."""
        params: Params = {} if symbol is None else {"symbol": exchange_symbol(symbol)}
        cost = 10 if symbol is None else 1
        return await self._ask(endpoints.PREMIUM_INDEX, params, parse_now.parse_premium_index, cost=cost)

    async def fetch_exchange_info(self) -> list[Instrument]:
        """Fetch the perpetuals listed now, with their funding intervals: two requests."""
        hours = await self.fetch_funding_info()
        read = partial(parse_now.parse_exchange_info, funding_hours=hours)
        return await self._ask(endpoints.EXCHANGE_INFO, {}, read)


def _asked(symbol: str, limit: int, start: datetime | None, end: datetime | None) -> dict[str, str | int]:
    """Give the parameters of a page: the exchange's ``endTime`` is inclusive."""
    params: dict[str, str | int] = {"symbol": exchange_symbol(symbol), "limit": limit}
    if start is not None:
        params["startTime"] = _milliseconds(start)
    if end is not None:
        params["endTime"] = _milliseconds(end) - 1
    return params


def _milliseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
