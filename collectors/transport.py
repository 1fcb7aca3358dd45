"""One request to the exchange through ccxt: bytes out, decoded JSON in, every failure a typed error.

ccxt gives the connection pool, proxies, certificate checks and names of the endpoints. Its own limiter,
retries and reading of error bodies are not used: the limiter knows one pool where the exchange has three, and
418 and 429 are one class there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import ccxt
from ccxt.async_support import binanceusdm

from collectors.endpoints import Endpoint, Params
from collectors.errors import (
    CollectorError,
    ExchangeError,
    ExchangeTimeoutError,
    MalformedError,
    NotJsonError,
    UnreachableError,
    UntrustedError,
    error_from_response,
    shorten,
)
from collectors.fields import error_of

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_USED_WEIGHT = "x-mbx-used-weight-1m"

_body: ContextVar[str] = ContextVar("body")
"""Body of the answer that this task got last: ccxt gives the decoded one alone."""


class _Exchange(binanceusdm):
    """ccxt's exchange, with our own reading of answers that are errors."""

    def __init__(self, config: dict[str, object], *, on_used_weight: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_used_weight = on_used_weight

    def handle_errors(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: str,
        response: object,
        request_headers: object,
        request_body: object,
    ) -> None:
        """Raise the typed error of this answer, if it is one; ccxt calls this once per answer."""
        _body.set(body)
        lowered = {name.lower(): value for name, value in headers.items()}
        with contextlib.suppress(KeyError, ValueError):
            self._on_used_weight(int(lowered[_USED_WEIGHT]))
        endpoint, query = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
        symbol = query.get("symbol") or query.get("pair", "")
        code_and_message = response if isinstance(response, dict) else {}
        if code >= 400:
            raise error_from_response(
                endpoint,
                code,
                code=str(code_and_message.get("code", "")),
                message=str(code_and_message.get("msg") or body),
                retry_after=_seconds(lowered.get("retry-after")),
                answered_at=_date(lowered.get("date")),
                symbol=symbol,
            )
        if not isinstance(response, (dict, list)):
            raise NotJsonError(endpoint, f"HTTP {code}, but no JSON: {shorten(body)!r}", body=body)
        if (error := error_of(response, endpoint, status=code, symbol=symbol)) is not None:
            raise error


class Transport:
    """Sends single requests; no limits and no retries, see `collectors.client`.

    Parameters
    ----------
    base_url : str
        Root of the exchange, ``https://fapi.binance.com`` or a simulator on loopback.
    timeout : float
        Seconds for a whole answer, its body included.
    on_used_weight : callable
        Told the used weight that each answer's header carries.

    Raises
    ------
    CollectorError
        When ``base_url`` is no http or https address.
    """

    def __init__(self, base_url: str, *, timeout: float, on_used_weight: Callable[[int], None]) -> None:
        self.base_url = base_url.rstrip("/")
        parts = urlsplit(self.base_url)
        local = parts.hostname in _LOOPBACK
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CollectorError(f"exchange address {base_url!r} is no http or https address")
        config: dict[str, object] = {
            "enableRateLimit": False,
            "timeout": int(timeout * 1000),
            "aiohttp_trust_env": not local,
            "verify": True,
        }
        self._exchange = _Exchange(config, on_used_weight=on_used_weight)
        api = dict(self._exchange.urls["api"])
        api["fapiPublic"] = f"{self.base_url}/fapi/v1"
        api["fapiData"] = f"{self.base_url}/futures/data"
        self._exchange.urls["api"] = api
        # ccxt waits this long after closing, for TLS to say goodbye.
        self._exchange.timeout_on_exit = 0 if parts.scheme == "http" else 250

    async def get(self, endpoint: Endpoint, params: Params) -> tuple[object, str]:
        """Send one GET.

        Parameters
        ----------
        endpoint : Endpoint
            What to ask.
        params : mapping
            Query parameters, under the exchange's names.

        Returns
        -------
        payload : object
            Decoded JSON: a list or a dict that is no error object.
        text : str
            The body as it came.

        Raises
        ------
        ExchangeError
            Of the type that `collectors.errors` draws.
        """
        call = getattr(self._exchange, endpoint.method)
        try:
            payload = await call(dict(params))
        except ExchangeError:
            raise
        except ccxt.RequestTimeout as error:
            raise ExchangeTimeoutError(self._where(endpoint), "no complete answer in time") from error
        except ccxt.BaseError as error:
            raise self._translate(endpoint, error.__cause__ or error) from error
        return payload, _body.get()

    def _where(self, endpoint: Endpoint) -> str:
        return self.base_url + endpoint.path

    def _translate(self, endpoint: Endpoint, cause: BaseException) -> ExchangeError:
        """Give the typed error for what ccxt wraps in a single class."""
        where, what = self._where(endpoint), shorten(str(cause) or type(cause).__name__)
        if isinstance(cause, aiohttp.ClientSSLError):
            return UntrustedError(where, f"its certificate cannot be verified: {what}")
        if isinstance(cause, aiohttp.ClientPayloadError):
            return NotJsonError(where, f"body cut short: {what}")
        if isinstance(cause, (aiohttp.ClientError, OSError)):
            return UnreachableError(where, what)
        return MalformedError(where, what)

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()


def _seconds(header: str | None) -> float | None:
    """Read a ``Retry-After`` header; a date instead of seconds counts as absent."""
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None


def _date(header: str | None) -> datetime:
    """Read a ``Date`` header; our own clock stands in for one that is absent or unreadable."""
    with contextlib.suppress(ValueError):
        if header is not None:
            return parsedate_to_datetime(header).astimezone(UTC)
    return datetime.now(UTC)
