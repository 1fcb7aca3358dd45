"""Asking the checks of a database with raw tables: what breaks a rule, by table, symbol and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

import psycopg

from collectors.quality_checks import CHECKS, Check
from perpmart.errors import DatabaseError

Connection: TypeAlias = psycopg.Connection[Any]

MOST_FINDINGS = 200
"""Findings of a check that are kept; the rest is counted."""

_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Finding(NamedTuple):
    """What broke a rule: ``part`` is a timeframe, period or kind within the table, ``time`` is UTC."""

    symbol: str
    part: str
    time: datetime
    found: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check.

    Parameters
    ----------
    check : Check
        What was asked.
    count : int
        Findings.
    findings : tuple of Finding
        The earliest `MOST_FINDINGS` of them.
    seconds : float
        How long the database took.
    """

    check: Check
    count: int
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def verdict(self) -> str:
        """``pass``, ``warn`` or ``fail``."""
        return self.check.severity if self.count else "pass"


@dataclass(frozen=True, slots=True)
class Validation:
    """What came of all checks, at the clock ``now``; ``rows`` and ``series`` say what each table
    holds in the range: a number of rows, and pairs of symbol and part.
    """

    results: tuple[CheckResult, ...]
    rows: Mapping[str, int]
    series: Mapping[str, tuple[tuple[str, str], ...]]
    since: datetime
    until: datetime
    now: datetime

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """Checks with findings that make the run fail."""
        return tuple(result for result in self.results if result.verdict == "fail")

    @property
    def warned(self) -> tuple[CheckResult, ...]:
        """Checks with findings that are shown only."""
        return tuple(result for result in self.results if result.verdict == "warn")

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed


_PARTS = {
    "ohlcv": "timeframe",
    "open_interest": "period",
    "long_short_ratio": "ratio_type || ':' || period",
}
_CLOCKS = {"funding_rate": "funding_time", "rejects": "received_at"}


def validate(
    connection: Connection,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    symbols: Sequence[str] | None = None,
    checks: Sequence[Check] = CHECKS,
    progress: Callable[[Check, int], None] | None = None,
) -> Validation:
    """Ask every check, in one snapshot of the database.

    Parameters
    ----------
    connection : psycopg.Connection
        With the raw schema on its search path; nothing is written.
    now : datetime
        The exchange's clock, for rows of the future and for freshness.
    since, until : datetime, optional
        ``[since, until)`` of the rows' times, UTC; by default all there are.
    symbols : sequence of str, optional
        Canonical; by default all.
    checks : sequence of Check, optional
        Which, with their severities.
    progress : callable, optional
        Told each check before it is asked, and its place.

    Raises
    ------
    ValueError
        A time without time zone.
    DatabaseError
        When a check cannot be asked.
    """
    first, last = since or _ALWAYS[0], until or _ALWAYS[1]
    if any(moment.tzinfo is None for moment in (now, first, last)):
        raise ValueError("now, since and until must have a time zone")
    values = {"since": first, "until": last, "clock": now, "symbols": list(symbols) if symbols else None}
    results = []
    connection.rollback()
    try:
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local jit = off")
            for place, check in enumerate(checks):
                if progress is not None:
                    progress(check, place)
                results.append(_ask(connection, check, values))
            tables = dict.fromkeys(check.table for check in checks)
            series = {table: _series(connection, table, values) for table in tables}
    except psycopg.Error as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise DatabaseError(f"the raw tables cannot be checked: {said}") from error
    rows = {table: sum(count for *_, count in found) for table, found in series.items()}
    names = {table: tuple((symbol, part) for symbol, part, _ in found) for table, found in series.items()}
    return Validation(tuple(results), rows, names, first, last, now)


def _ask(connection: Connection, check: Check, values: Mapping[str, object]) -> CheckResult:
    began = time.perf_counter()
    query = (
        f"with bad as materialized (select symbol, part, at, found from {check.call})"
        f" select symbol, part, at, found, (select count(*) from bad)"
        f" from bad order by at, symbol, part, found limit {MOST_FINDINGS}"
    )
    rows = connection.execute(query.encode(), values, prepare=False).fetchall()
    findings = tuple(Finding(*row[:4]) for row in rows)
    return CheckResult(check, rows[0][4] if rows else 0, findings, time.perf_counter() - began)


def _series(connection: Connection, table: str, values: Mapping[str, object]) -> list[tuple[str, str, int]]:
    """Symbols and parts that a table holds in the range, each with its number of rows."""
    if table == "rejects":
        query = "select stream, state, count(*) from rejects group by 1, 2 order by 1, 2"
    else:
        clock, part = _CLOCKS.get(table, "time"), _PARTS.get(table, "''")
        query = (
            f"select symbol, {part}, count(*) from {table} where {clock} >= %(since)s and {clock} < %(until)s"
            " and (%(symbols)s::text[] is null or symbol = any(%(symbols)s)) group by 1, 2 order by 1, 2"
        )
    return [(row[0], row[1], row[2]) for row in connection.execute(query.encode(), values, prepare=False)]
