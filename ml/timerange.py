"""Time ranges and timeframes as the mart understands them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from ml.errors import RangeError, TimeframeError

#: Width of every timeframe that the mart can serve. All are aligned to 00:00 UTC.
TIMEFRAMES: dict[str, timedelta] = {
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}
BASE_TIMEFRAME = "5m"
BASE_WIDTH = TIMEFRAMES[BASE_TIMEFRAME]

Time = str | date | datetime | pd.Timestamp


class TimeRange(NamedTuple):
    """A half-open range ``[start, end)`` of bar opens, UTC."""

    start: datetime
    end: datetime


def timeframe_width(timeframe: str) -> timedelta:
    """Width of a bar.

    Raises
    ------
    TimeframeError
        The mart has no such timeframe.
    """
    try:
        return TIMEFRAMES[timeframe]
    except (KeyError, TypeError):
        raise TimeframeError(f"no timeframe {timeframe!r}: choose one of {', '.join(TIMEFRAMES)}") from None


def utc(value: Time, *, name: str) -> datetime:
    """Read a time as UTC.

    A value without a zone is UTC: every time of the product is UTC, and a date means its 00:00 UTC.
    A value with a zone is converted. ``name`` is the argument's name for the message.

    Raises
    ------
    RangeError
        The value is not a time.

    Examples
    --------
    >>> utc("2026-02-01", name="start_date")
    datetime.datetime(2026, 2, 1, 0, 0, tzinfo=datetime.timezone.utc)
    >>> utc("2026-02-01T02:00+02:00", name="start_date")
    datetime.datetime(2026, 2, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if not isinstance(value, (str, date, datetime)) or pd.isna(value):
        raise RangeError(f"{name} must be a date, a datetime or text, not {value!r}")
    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError):
        raise RangeError(f"{name} is not a time: {value!r}") from None
    stamp = stamp.tz_localize(UTC) if stamp.tzinfo is None else stamp.tz_convert(UTC)
    return stamp.to_pydatetime(warn=False)


def time_range(start: Time, end: Time) -> TimeRange:
    """Read a half-open range ``[start, end)``.

    Raises
    ------
    RangeError
        An end that is not a time, or not after the start.
    """
    read = TimeRange(utc(start, name="start_date"), utc(end, name="end_date"))
    if read.end <= read.start:
        raise RangeError(
            f"end_date {read.end:%Y-%m-%d %H:%M} is not after start_date {read.start:%Y-%m-%d %H:%M} (UTC)"
        )
    return read
