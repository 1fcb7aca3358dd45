"""Errors of collecting, one type a cause; messages are one line, ready for the command line.

::

    PerpmartError
    └── CollectorError                       anything that stops a collection
        ├── RangeError                       a time range that makes no sense (also ValueError)
        └── ExchangeError                    asking the exchange failed; knows the endpoint
            ├── UnreachableError             no answer: name, connection, reset               try again
            │   └── UntrustedError           its certificate does not hold                    final
            ├── ExchangeTimeoutError         no answer, or not all of it, in time             try again
            ├── ServerFaultError             HTTP 5xx, 408, codes that mean the same          try again
            ├── RateLimitError               HTTP 429; knows how long to wait                 try again
            │   └── BanError                 HTTP 418; knows until when nothing may be asked  try again
            ├── RestrictedLocationError      HTTP 451                                         final
            ├── RefusedError                 HTTP 4xx, or an error object under HTTP 200      final
            │   └── UnknownSymbolError       code -1121, or not listed (also LookupError)     final
            └── MalformedError               what came is not what the endpoint gives         final
                ├── NotJsonError             a proxy's page, half a body                      try again
                ├── MissingFieldError        a field is not there; names it                   final
                └── InvalidFieldError        a field is there and unreadable; names it        final

"Try again" is what `is_retryable` says; how long to wait in between is `backoff_delays`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from perpmart.errors import PerpmartError

_SHOWN = 120
_BANNED_UNTIL = re.compile(r"banned until (\d{12,16})")
_SERVER_CODES = frozenset({"-1000", "-1001", "-1006", "-1007", "-1008", "-1016"})


class CollectorError(PerpmartError):
    """Whatever stops a collection on purpose."""


class RangeError(CollectorError, ValueError):
    """A time range that is empty, reversed or unreadable."""


class ExchangeError(CollectorError):
    """Asking the exchange failed.

    Parameters
    ----------
    endpoint : str
        Path of the endpoint, ``/fapi/v1/klines``; with the root where that is what matters.
    reason : str
        What went wrong, part of one line.
    """

    def __init__(self, endpoint: str, reason: str) -> None:
        self.endpoint = endpoint
        self.reason = reason
        super().__init__(f"{endpoint}: {reason}")


class UnreachableError(ExchangeError):
    """The exchange did not answer: unknown name, refused or broken connection."""


class UntrustedError(UnreachableError):
    """The exchange's certificate could not be verified; asking again would not help."""


class ExchangeTimeoutError(ExchangeError):
    """No complete answer within the time allowed."""


class ServerFaultError(ExchangeError):
    """The exchange says that the fault is its own."""


class RateLimitError(ExchangeError):
    """HTTP 429: too many requests.

    Parameters
    ----------
    endpoint, reason : str
        As in `ExchangeError`.
    retry_after : float or None
        Seconds to keep quiet; None when the answer does not say.
    """

    def __init__(self, endpoint: str, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(endpoint, reason)
        self.retry_after = retry_after


class BanError(RateLimitError):
    """HTTP 418: this address is banned, and each further request makes it longer.

    ``until`` is the end of the ban by the exchange's clock (UTC), from the message.
    """

    def __init__(
        self,
        endpoint: str,
        reason: str,
        *,
        retry_after: float | None = None,
        until: datetime | None = None,
    ) -> None:
        super().__init__(endpoint, reason, retry_after=retry_after)
        self.until = until


class RestrictedLocationError(ExchangeError):
    """HTTP 451: the exchange does not serve this country."""


class RefusedError(ExchangeError):
    """The exchange understood the request and refused it.

    ``code`` is its own error code, ``-1130``; empty when it gave none.
    """

    def __init__(self, endpoint: str, reason: str, *, code: str = "") -> None:
        super().__init__(endpoint, reason)
        self.code = code


class UnknownSymbolError(RefusedError, LookupError):
    """The exchange has no such perpetual.

    ``symbol`` is the one asked for.
    """

    def __init__(self, endpoint: str, reason: str, *, code: str = "-1121", symbol: str = "") -> None:
        super().__init__(endpoint, reason, code=code)
        self.symbol = symbol


class MalformedError(ExchangeError):
    """The answer is not what this endpoint gives."""


class NotJsonError(MalformedError):
    """The answer is no JSON: a page of something in between, or a body cut short.

    ``body`` is what came; empty when it was cut short.
    """

    def __init__(self, endpoint: str, reason: str, *, body: str = "") -> None:
        super().__init__(endpoint, reason)
        self.body = body


class MissingFieldError(MalformedError):
    """A field that the endpoint always gives is absent.

    ``field`` is its name, for arrays its position and meaning.
    """

    def __init__(self, endpoint: str, field: str) -> None:
        super().__init__(endpoint, f"field {field} is missing")
        self.field = field


class InvalidFieldError(MalformedError):
    """A field holds something that it cannot mean.

    ``field`` as in `MissingFieldError`, ``value`` is what was found.
    """

    def __init__(self, endpoint: str, field: str, value: object) -> None:
        super().__init__(endpoint, f"field {field} is unreadable: {shorten(repr(value))}")
        self.field = field
        self.value = value


_RETRYABLE = (UnreachableError, ExchangeTimeoutError, ServerFaultError, RateLimitError, NotJsonError)


def is_retryable(error: BaseException) -> bool:
    """Tell whether the same request may succeed later.

    Parameters
    ----------
    error : BaseException
        What a request raised.

    Returns
    -------
    bool
        True for outages, time-outs, limits and broken bodies; False for refusals and for what is no error of
        the exchange at all.

    Examples
    --------
    >>> is_retryable(ServerFaultError("/fapi/v1/klines", "HTTP 502")), is_retryable(KeyError("x"))
    (True, False)
    """
    return isinstance(error, _RETRYABLE) and not isinstance(error, UntrustedError)


def backoff_delays(
    *,
    retries: int,
    first: float = 0.5,
    factor: float = 2.0,
    ceiling: float = 30.0,
    jitter: Callable[[], float] = random.random,
) -> Iterator[float]:
    """Give the waits between attempts: growing, bounded, and spread so that clients do not march in step.

    Parameters
    ----------
    retries : int
        How many waits to give.
    first, factor, ceiling : float
        First wait in seconds, growth per attempt, longest wait.
    jitter : callable
        Gives a number in [0, 1); the wait is that far between half and the whole of its nominal length.

    Yields
    ------
    float
        Seconds.

    Examples
    --------
    >>> list(backoff_delays(retries=3, first=1.0, jitter=lambda: 0.5))
    [0.75, 1.5, 3.0]
    """
    nominal = first
    for _ in range(retries):
        yield nominal * (1 + jitter()) / 2
        nominal = min(nominal * factor, ceiling)


def error_from_response(
    endpoint: str,
    status: int,
    *,
    code: str = "",
    message: str = "",
    retry_after: float | None = None,
    answered_at: datetime | None = None,
    symbol: str = "",
) -> ExchangeError:
    """Give the typed error for an answer that is one; pure, it raises nothing itself.

    Parameters
    ----------
    endpoint : str
        Path of the endpoint.
    status : int
        HTTP status; 200 when the body was an error object.
    code, message : str
        The exchange's own code and text, empty when the body had none.
    retry_after : float, optional
        Seconds from the ``Retry-After`` header.
    answered_at : datetime, optional
        The exchange's clock when it answered (``Date`` header): a ban lasts from then to its stamp.
    symbol : str
        The symbol asked for, if any.

    Returns
    -------
    ExchangeError
        Of the type that the tree of this module shows.
    """
    said = ", ".join(part for part in (f"code {code}" if code else "", shorten(message)) if part)
    reason = f"HTTP {status}" + (f" ({said})" if said else "")
    if status == 418:
        until = banned_until(message)
        if until is not None and answered_at is not None:
            # A header's date has whole seconds: one more, or we would knock too early.
            retry_after = max(retry_after or 0.0, (until - answered_at).total_seconds() + 1.0)
        return BanError(endpoint, reason, retry_after=retry_after, until=until)
    if status == 429 or code == "-1003":
        return RateLimitError(endpoint, reason, retry_after=retry_after)
    if status == 451:
        return RestrictedLocationError(endpoint, f"not served from this location: {reason}")
    if code == "-1121":
        return UnknownSymbolError(endpoint, f"unknown symbol {symbol}: {reason}", symbol=symbol)
    if status >= 500 or status == 408 or code in _SERVER_CODES:
        return ServerFaultError(endpoint, reason)
    return RefusedError(endpoint, reason, code=code)


def banned_until(message: str) -> datetime | None:
    """Read the end of a ban out of the exchange's message.

    Examples
    --------
    >>> banned_until("Way too many requests; IP(198.51.100.1) banned until 1750000000000. Please")
    datetime.datetime(2025, 6, 15, 15, 6, 40, tzinfo=datetime.timezone.utc)
    """
    match = _BANNED_UNTIL.search(message)
    return datetime.fromtimestamp(int(match[1]) / 1000, tz=UTC) if match else None


def shorten(text: str) -> str:
    """Give a text of unknown origin as a short single line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
