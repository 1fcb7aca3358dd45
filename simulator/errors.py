"""Answers of the exchange that are not data."""

from __future__ import annotations

from typing import Any


class ExchangeError(Exception):
    """A refusal that is sent to the client.

    Parameters
    ----------
    code : int
        Binance's error code.
    message : str
        Its text.
    status : int
        HTTP status.
    """

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"code": code, "msg": message}


class IllegalParamsError(ExchangeError):
    """The funding endpoints' way to refuse a parameter: HTTP 200 and an object in place of an array."""

    def __init__(self) -> None:
        super().__init__(0, "illegal params.", status=200)
        self.body = {
            "status": "ERROR",
            "type": "GENERAL",
            "code": "99099990",
            "errorData": "illegal params.",
            "data": None,
            "subData": None,
            "params": None,
        }


def missing(name: str) -> ExchangeError:
    """Return the error for a mandatory parameter that was not sent."""
    return ExchangeError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def invalid(name: str) -> ExchangeError:
    """Return the error for a parameter out of its range."""
    return ExchangeError(-1130, f"Data sent for parameter '{name}' is not valid.")


def illegal(name: str) -> ExchangeError:
    """Return the error for a parameter that is not even a number."""
    legal = "^[0-9]{1,20}$"
    return ExchangeError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def unknown_symbol() -> ExchangeError:
    """Return the error for a symbol that the exchange does not have."""
    return ExchangeError(-1121, "Invalid symbol.")
