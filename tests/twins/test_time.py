"""Time features at closes whose place in day and week is plain."""

import pandas as pd
import pytest

from . import time
from .bars import align_bars
from .examples import at, klines


def at_close(close: pd.Timestamp) -> pd.Series:
    bars = align_bars({"ohlcv": klines([1.0], start=close - pd.Timedelta(minutes=5))})
    return time.features(bars).iloc[0]


def test_midnight_of_monday_begins_day_and_week() -> None:
    row = at_close(at("02 00:00"))
    assert row[["hour_sin", "hour_cos", "dow_sin", "dow_cos"]].tolist() == [0, 1, 0, 1]
    assert row["is_weekend"] == 0


def test_six_in_the_morning_is_a_quarter_of_the_day() -> None:
    row = at_close(at("02 06:00"))
    assert row["hour_sin"] == 1
    assert row["hour_cos"] == pytest.approx(0, abs=1e-15)


def test_half_of_the_iso_week_is_thursday_noon() -> None:
    row = at_close(at("05 12:00"))
    assert row["dow_cos"] == -1


@pytest.mark.parametrize(
    ("close", "weekend"), [("07 00:00", 1), ("08 23:55", 1), ("09 00:00", 0), ("06 23:55", 0)]
)
def test_weekend(close: str, weekend: int) -> None:
    assert at_close(at(close))["is_weekend"] == weekend


@pytest.mark.parametrize(
    ("close", "sessions"),
    [
        ("03 00:00", (1, 0, 0)),
        ("03 07:00", (1, 1, 0)),
        ("03 08:00", (0, 1, 0)),
        ("03 13:00", (0, 1, 1)),
        ("03 16:00", (0, 0, 1)),
        ("03 22:00", (0, 0, 0)),
    ],
)
def test_sessions(close: str, sessions: tuple[int, int, int]) -> None:
    assert tuple(at_close(at(close))[["session_asia", "session_europe", "session_us"]]) == sessions
