"""`BinanceFuturesClient`: the REST endpoints of the USD-M perpetuals, as rows.

Each method sends one request (inside the limits, again after what may pass) and gives what `collectors.parse`
makes of the answer. Walking through history page by page is the work of `collectors.backfill`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from collectors import parse, parse_now
from collectors.errors import BanError, ExchangeError, RateLimitError, backoff_delays, is_retryable
from collectors.limits import KLINES_PAGE, Pool, RateLimiter, depth_weight, klines_weight
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
from collectors.transport import Endpoint, Params, Transport

BASE_URL = "https://fapi.binance.com"
STATISTICS_PAGE = 500
"""Rows a page of open interest or ratios, the exchange's maximum."""

FUNDING_PAGE = 1000
"""Rows a page of settlements, the exchange's maximum; one more is answered by an error object."""

TIMEOUT = 20.0
"""Seconds for a whole answer."""

ATTEMPTS = 8
"""Tries of one request before its error is raised: about a minute of outage is ridden out."""

QUIET = 60.0
"""Seconds of silence after a 429 that does not say how long."""

_TIME = Endpoint("/fapi/v1/time", "fapiPublicGetTime")
_EXCHANGE_INFO = Endpoint("/fapi/v1/exchangeInfo", "fapiPublicGetExchangeInfo")
_KLINES = Endpoint("/fapi/v1/klines", "fapiPublicGetKlines")
_MARK_KLINES = Endpoint("/fapi/v1/markPriceKlines", "fapiPublicGetMarkPriceKlines")
_INDEX_KLINES = Endpoint("/fapi/v1/indexPriceKlines", "fapiPublicGetIndexPriceKlines")
_DEPTH = Endpoint("/fapi/v1/depth", "fapiPublicGetDepth")
_PREMIUM_INDEX = Endpoint("/fapi/v1/premiumIndex", "fapiPublicGetPremiumIndex")
_FUNDING_RATE = Endpoint("/fapi/v1/fundingRate", "fapiPublicGetFundingRate", Pool.FUNDING)
_FUNDING_INFO = Endpoint("/fapi/v1/fundingInfo", "fapiPublicGetFundingInfo", Pool.FUNDING)
_OPEN_INTEREST = Endpoint("/futures/data/openInterestHist", "fapiDataGetOpenInterestHist", Pool.STATISTICS)
_RATIO_METHODS = {
    "global_account": "fapiDataGetGlobalLongShortAccountRatio",
    "top_account": "fapiDataGetTopLongShortAccountRatio",
    "top_position": "fapiDataGetTopLongShortPositionRatio",
    "taker_volume": "fapiDataGetTakerlongshortRatio",
}
_RATIOS = {
    ratio_type: Endpoint(parse.RATIO_ENDPOINTS[ratio_type], method, Pool.STATISTICS)
    for ratio_type, method in _RATIO_METHODS.items()
}

_log = logging.getLogger(__name__)


class BinanceFuturesClient:
    """Asks the exchange for market data; use it as ``async with BinanceFuturesClient() as client``.

    Parameters
    ----------
    base_url : str
        Root of the exchange, or of a simulator.
    limiter : RateLimiter, optional
        Share one between clients behind the same address.
    timeout : float
        Seconds for a whole answer.
    attempts : int
        Tries of one request in all.
    connections : int
        Requests in flight at once.
    first_delay : float
        Seconds before the second try; it doubles from then on.
    sleep : callable
        Sleeps so many seconds; tests pass one that does not.

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

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        limiter: RateLimiter | None = None,
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        connections: int = 16,
        first_delay: float = 0.5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.base_url = base_url
        self.limiter = limiter or RateLimiter()
        self.requests = 0
        self.retries = 0
        self._attempts = attempts
        self._first_delay = first_delay
        self._sleep = sleep
        self._offset = timedelta(0)
        self._in_flight = asyncio.Semaphore(connections)
        self._transport = Transport(base_url, timeout=timeout, on_used_weight=self.limiter.learn_weight)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.close()

    def now(self) -> datetime:
        """Give the exchange's clock (UTC), as far as the last `server_time` told it."""
        return datetime.now(UTC) + self._offset

    async def server_time(self, *, attempts: int | None = None) -> datetime:
        """Ask the exchange's clock (UTC), and remember how far ours is off."""
        payload = await self._request(_TIME, {}, attempts=attempts)
        time = parse_now.parse_server_time(payload)
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
        payload = await self._request(_KLINES, params, cost=klines_weight(limit))
        return parse.parse_klines(payload, symbol=canonical_symbol(symbol), timeframe=timeframe)

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
        payload = await self._request(_MARK_KLINES, params, cost=klines_weight(limit))
        return parse.parse_price_klines(payload, endpoint=_MARK_KLINES.path, timeframe=timeframe)

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
        payload = await self._request(_INDEX_KLINES, params, cost=klines_weight(limit))
        return parse.parse_price_klines(payload, endpoint=_INDEX_KLINES.path, timeframe=timeframe)

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
        payload = await self._request(_OPEN_INTEREST, params)
        return parse.parse_open_interest(payload, symbol=canonical_symbol(symbol), period=period)

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
        payload = await self._request(_RATIOS[ratio_type], params)
        return parse.parse_long_short_ratio(
            payload, symbol=canonical_symbol(symbol), period=period, ratio_type=ratio_type
        )

    async def fetch_funding_rates(
        self,
        symbol: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = FUNDING_PAGE,
    ) -> list[FundingRate]:
        """Fetch settlements stamped in ``[start, end)``, oldest first."""
        return parse.parse_funding_rates(
            await self._request(_FUNDING_RATE, _asked(symbol, limit, start, end))
        )

    async def fetch_funding_info(self) -> dict[str, int]:
        """Fetch the hours between settlements, by exchange symbol; who is absent has 8."""
        return parse_now.parse_funding_info(await self._request(_FUNDING_INFO, {}))

    async def fetch_order_book(
        self, symbol: str, *, levels: int = parse_now.DEPTH_LEVELS
    ) -> OrderBookSnapshot:
        """Fetch the best levels of the book as they are now."""
        params: Params = {"symbol": exchange_symbol(symbol), "limit": levels}
        payload = await self._request(_DEPTH, params, cost=depth_weight(levels))
        return parse_now.parse_order_book(payload, symbol=canonical_symbol(symbol), levels=levels)

    async def fetch_premium_index(self, symbol: str | None = None) -> list[MarkPrice]:
        """Fetch mark price, index price and expected funding as they are now, of one symbol or of all."""
        params: Params = {} if symbol is None else {"symbol": exchange_symbol(symbol)}
        payload = await self._request(_PREMIUM_INDEX, params, cost=10 if symbol is None else 1)
        return parse_now.parse_premium_index(payload)

    async def fetch_exchange_info(self) -> list[Instrument]:
        """Fetch the perpetuals listed now, with their funding intervals: two requests."""
        hours = await self.fetch_funding_info()
        payload = await self._request(_EXCHANGE_INFO, {})
        return parse_now.parse_exchange_info(payload, funding_hours=hours)

    async def _request(
        self, endpoint: Endpoint, params: Params, *, cost: int = 1, attempts: int | None = None
    ) -> object:
        """Send a request until it is answered, at most ``attempts`` times."""
        tries = attempts or self._attempts
        delays = backoff_delays(retries=tries - 1, first=self._first_delay)
        while True:
            await self.limiter.acquire(endpoint.pool, cost)
            try:
                async with self._in_flight:
                    self.requests += 1
                    return await self._transport.get(endpoint, params)
            except ExchangeError as error:
                self._keep_quiet(error)
                delay = next(delays, None)
                if delay is None or not is_retryable(error):
                    raise
                self.retries += 1
                _log.info("asking again", extra={"endpoint": endpoint.path, "error": str(error)})
            await self._sleep(delay)

    def _keep_quiet(self, error: ExchangeError) -> None:
        """Close the limiter's gate for as long as the answer says."""
        if isinstance(error, BanError):
            self.limiter.stop(error, seconds=error.retry_after or QUIET)
        elif isinstance(error, RateLimitError):
            self.limiter.pause(QUIET if error.retry_after is None else error.retry_after)


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
