"""Answers of the server and the log of its requests, as plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.faults import Fault

_HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True)
class RequestRecord:
    """One request that the simulator got.

    Attributes
    ----------
    at : datetime
        Real time of arrival (UTC).
    exchange_time : datetime
        What the exchange's clock showed (UTC).
    method, path : str
    query : dict
    status : int
        HTTP status of the answer; 0 when the connection was reset on purpose.
    fault : str, optional
        The fault that was injected.
    weight : int
        What the request was charged.
    """

    at: datetime
    exchange_time: datetime
    method: str
    path: str
    query: dict[str, str]
    status: int
    fault: Fault | None
    weight: int


@dataclass(frozen=True)
class Reply:
    """What goes back to a client."""

    status: int
    body: bytes
    headers: dict[str, str]
    fault: Fault | None = None
    weight: int = 0


def json_reply(
    status: int, body: Any, headers: dict[str, str], fault: Fault | None = None, weight: int = 0
) -> Reply:
    """Return an answer with a JSON body."""
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Reply(status, encoded, headers | {"Content-Type": "application/json;charset=UTF-8"}, fault, weight)


def broken_reply(turn: int, headers: dict[str, str], weight: int) -> Reply:
    """Return one of the server errors in turn: two of the exchange, two of what stands before it."""
    status = (500, 502, 503, 504)[turn % 4]
    if status in (502, 504):
        return Reply(status, _HTML_502, headers | {"Content-Type": "text/html"}, "5xx", weight)
    body = {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."}
    return json_reply(status, body, headers, "5xx", weight)


def plain_record(record: RequestRecord) -> dict[str, Any]:
    """Return a record as values that JSON can hold."""
    return {
        "at": record.at.isoformat(),
        "exchange_time": record.exchange_time.isoformat(),
        "method": record.method,
        "path": record.path,
        "query": record.query,
        "status": record.status,
        "fault": record.fault,
        "weight": record.weight,
    }
