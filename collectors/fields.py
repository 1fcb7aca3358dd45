"""Reading one field of a payload: numbers come as text or as numbers, and what is absent has a name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from collectors.errors import (
    ExchangeError,
    InvalidFieldError,
    MalformedError,
    MissingFieldError,
    error_from_response,
)
from collectors.symbols import SymbolError, canonical_symbol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_2200 = 7_258_118_400_000


class Fields:
    """One object or array of a payload, read field by field.

    Parameters
    ----------
    payload : object
        What JSON gave: a mapping, or a sequence whose positions have names.
    endpoint : str
        Where it came from; errors name it.
    names : sequence of str
        Meaning of each position, for arrays.
    prefix : str
        Put before a field's name in errors, for objects inside others.

    Raises
    ------
    MalformedError
        When the payload is neither of the two.
    """

    __slots__ = ("_endpoint", "_prefix", "_values")

    def __init__(
        self, payload: object, endpoint: str, *, names: Sequence[str] = (), prefix: str = ""
    ) -> None:
        self._endpoint = endpoint
        self._prefix = prefix
        if names and isinstance(payload, list):
            self._values: Mapping[str, object] = dict(zip(names, payload, strict=False))
        elif not names and isinstance(payload, dict):
            self._values = payload
        else:
            wanted = "an array" if names else "an object"
            raise MalformedError(endpoint, f"expected {wanted}, got {type(payload).__name__}")

    def value(self, name: str) -> object:
        """Give a field as it came.

        Raises
        ------
        MissingFieldError
            When it is absent or null.
        """
        value = self._values.get(name)
        if value is None:
            raise MissingFieldError(self._endpoint, self._prefix + name)
        return value

    def has(self, name: str) -> bool:
        """Tell whether a field says anything: it is there, not null and not an empty text."""
        return self._values.get(name) not in (None, "")

    def number(self, name: str) -> float:
        """Give a finite number, written as such or as text."""
        value = self.value(name)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                return number
        raise InvalidFieldError(self._endpoint, self._prefix + name, value)

    def number_or_none(self, name: str) -> float | None:
        """Give a finite number, or None when the field says nothing."""
        return self.number(name) if self.has(name) else None

    def count(self, name: str) -> int:
        """Give a whole number."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InvalidFieldError(self._endpoint, self._prefix + name, value)
        try:
            return int(value)
        except ValueError:
            raise InvalidFieldError(self._endpoint, self._prefix + name, value) from None

    def flag(self, name: str) -> bool:
        """Give a true or a false."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise InvalidFieldError(self._endpoint, self._prefix + name, value)
        return value

    def text(self, name: str) -> str:
        """Give a non-empty text."""
        value = self.value(name)
        if not isinstance(value, str) or not value:
            raise InvalidFieldError(self._endpoint, self._prefix + name, value)
        return value

    def symbol(self, name: str) -> str:
        """Give the canonical symbol of a perpetual that the exchange names."""
        try:
            return canonical_symbol(self.text(name))
        except SymbolError:
            raise InvalidFieldError(self._endpoint, self._prefix + name, self.value(name)) from None

    def time(self, name: str) -> datetime:
        """Give an instant (UTC) from epoch milliseconds."""
        milliseconds = self.count(name)
        if not 0 < milliseconds < _YEAR_2200:
            raise InvalidFieldError(self._endpoint, self._prefix + name, milliseconds)
        # fromtimestamp(x / 1000) would round through a float; stamps are exact.
        return _EPOCH + timedelta(milliseconds=milliseconds)

    def time_or_none(self, name: str) -> datetime | None:
        """Give an instant (UTC), or None where the field is absent or 0."""
        return self.time(name) if self._values.get(name) not in (None, "", 0, "0") else None

    def child(self, name: str) -> Fields:
        """Give an object inside this one."""
        return Fields(self.value(name), self._endpoint, prefix=f"{self._prefix}{name}.")

    def children(self, name: str) -> list[object]:
        """Give an array inside this object."""
        value = self.value(name)
        if not isinstance(value, list):
            raise InvalidFieldError(self._endpoint, self._prefix + name, value)
        return value

    def objects(self, name: str) -> list[Fields]:
        """Give an array of objects inside this object."""
        prefix = f"{self._prefix}{name}."
        return [Fields(item, self._endpoint, prefix=prefix) for item in self.children(name)]


def expect_array(payload: object, endpoint: str) -> list[object]:
    """Give the payload when it is an array.

    The exchange sometimes answers HTTP 200 with an error *object* where an array belongs.

    Raises
    ------
    RefusedError, UnknownSymbolError, ServerFaultError, RateLimitError
        When the payload is such an object, by its code.
    MalformedError
        When it is something else.
    """
    if isinstance(payload, list):
        return payload
    if (error := error_of(payload, endpoint)) is not None:
        raise error
    raise MalformedError(endpoint, f"expected an array, got {type(payload).__name__}")


def expect_object(payload: object, endpoint: str) -> Fields:
    """Give the payload when it is an object and no error.

    Raises
    ------
    RefusedError, UnknownSymbolError, ServerFaultError, RateLimitError
        When the payload is an error object, by its code.
    MalformedError
        When it is no object.
    """
    if (error := error_of(payload, endpoint)) is not None:
        raise error
    return Fields(payload, endpoint)


def error_of(payload: object, endpoint: str, *, status: int = 200, symbol: str = "") -> ExchangeError | None:
    """Give the typed error that a payload is, or None when it is data.

    Both shapes are known: ``{"code": -1121, "msg": "..."}`` and ``{"status": "ERROR", "code": "99099990",
    "errorData": "..."}``.
    """
    if not isinstance(payload, dict):
        return None
    code = payload.get("code")
    if code is None or not ("msg" in payload or "errorData" in payload):
        return None
    message = payload.get("msg") or payload.get("errorData") or ""
    return error_from_response(endpoint, status, code=str(code), message=str(message), symbol=symbol)
