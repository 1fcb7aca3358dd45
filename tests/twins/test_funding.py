"""Funding features worked by hand: intervals of 8 h and 4 h, a change between them, a missing settlement."""

import math
from collections.abc import Mapping

import pandas as pd
import pytest

from . import funding
from .bars import align_bars
from .examples import BAR, START, at, klines, settlements, table

MARK = ("time", "mark_price", "index_price", "predicted_funding_rate", "next_funding_time")
HOUR = pd.Timedelta(hours=1)


def compute(
    rates: pd.DataFrame, *, days: float = 3, marks: pd.DataFrame | None = None, start: pd.Timestamp = START
) -> pd.DataFrame:
    """Compute the funding group on flat klines, indexed by the bars' close."""
    raw: Mapping[str, pd.DataFrame] = {
        "ohlcv": klines([10.0] * int(days * 288), start=start),
        "funding_rate": rates,
        "mark_price": marks if marks is not None else table(MARK),
    }
    got = funding.features(align_bars(raw), raw)
    return got.set_axis(got.index.get_level_values("time") + BAR)


def every(hours: float, rates: list[float], *, first: pd.Timestamp = START) -> pd.DataFrame:
    rows = [(first + i * hours * HOUR, rate) for i, rate in enumerate(rates)]
    return table(("funding_time", "funding_rate"), *rows)


def test_settlement_counts_one_minute_after_it() -> None:
    got = compute(settlements(("02 08:00", 0.001)))["funding_rate_current"]
    assert got.first_valid_index() == at("02 08:05")


def test_rates_at_four_hours_are_scaled_to_eight() -> None:
    row = compute(every(4, [0.0001, 0.0002, 0.0005])).loc[at("02 08:05")]
    assert row["funding_rate_current"] == 0.0005
    assert row["funding_rate_change"] == pytest.approx(2 * 0.0003)
    assert row["funding_annualized"] == pytest.approx(2 * 0.0005 * 3 * 365)
    assert row["minutes_to_funding"] == 235
    assert row["funding_interval_hours"] == 4


def test_symbol_that_changes_from_eight_hours_to_four() -> None:
    rates = settlements(
        ("02 00:00", 0.0004), ("02 08:00", 0.0004), ("02 16:00", 0.0004), ("02 20:00", 0.0003)
    )
    got = compute(rates)
    before, after = got.loc[at("02 16:05")], got.loc[at("02 20:05")]
    assert (before["minutes_to_funding"], before["funding_interval_hours"]) == (475, 8)
    assert (after["minutes_to_funding"], after["funding_interval_hours"]) == (235, 4)
    assert before["funding_annualized"] == pytest.approx(0.0004 * 1095)
    assert after["funding_annualized"] == pytest.approx(0.0006 * 1095)
    assert after["funding_rate_change"] == pytest.approx(0.0002)


def test_first_settlement_has_no_interval() -> None:
    got = compute(every(8, [0.0001, 0.0001]))
    assert got["funding_interval_hours"].first_valid_index() == at("02 08:05")
    assert got["minutes_to_funding"].first_valid_index() == at("02 08:05")


def test_missing_settlement_leaves_its_interval_unknown() -> None:
    rates = settlements(
        ("02 00:00", 0.0001), ("02 08:00", 0.0001), ("03 00:00", 0.0001), ("03 08:00", 0.0001)
    )
    got = compute(rates)
    behind = got.loc[at("03 00:05")]
    unknown = ["funding_annualized", "minutes_to_funding", "funding_interval_hours", "funding_rate_change"]
    assert behind[unknown].isna().all()
    assert behind["funding_rate_current"] == 0.0001
    later = got.loc[at("03 08:05")]
    assert later["funding_interval_hours"] == 8
    assert math.isnan(later["funding_rate_change"])


def test_overdue_settlement_is_expected_at_the_next_multiple() -> None:
    got = compute(every(8, [0.0001, 0.0001]))["minutes_to_funding"]
    assert got[at("02 15:55")] == 5
    assert got[at("02 16:00")] == 480
    assert got[at("02 16:05")] == 475


def test_change_against_a_day_before() -> None:
    got = compute(every(8, [0.0001, 0.0002, 0.0003, 0.0004, 0.0007]))["funding_rate_change_24h"]
    assert got.first_valid_index() == at("03 08:05")  # the first r8 was known 24 h before
    assert got[at("03 08:05")] == pytest.approx(0.0005)


def test_cumulative_rates_count_settlements_known_in_the_last_24_hours() -> None:
    got = compute(every(8, [0.0001, 0.0002, 0.0004, 0.0008, 0.0016]))["cumulative_funding_24h"]
    assert got.first_valid_index() == at("03 00:05")  # only then is one known 24 h before
    assert got[at("03 00:05")] == pytest.approx(0.0002 + 0.0004 + 0.0008)
    assert got[at("03 08:00")] == pytest.approx(0.0002 + 0.0004 + 0.0008)
    assert got[at("03 08:05")] == pytest.approx(0.0004 + 0.0008 + 0.0016)


def test_cumulative_rates_of_a_week() -> None:
    got = compute(every(8, [0.0001] * 30), days=9)["cumulative_funding_7d"]
    assert got.first_valid_index() == at("09 00:05")
    assert got[at("09 00:05")] == pytest.approx(21 * 0.0001)


def test_standing_among_thirty_days_needs_ten_scaled_rates() -> None:
    got = compute(every(8, [0.0001 * i for i in range(1, 12)]), days=4)
    row = got.loc[at("05 08:05")]  # r8 of 2 ... 11
    assert got["funding_zscore"].first_valid_index() == at("05 08:05")
    assert row["funding_zscore"] == pytest.approx(4.5 / math.sqrt(10 * 11 / 12))
    assert row["funding_percentile"] == pytest.approx(0.95)
    assert row["funding_extreme_positive"] == 1
    assert row["funding_extreme_negative"] == 0


def test_standing_of_equal_rates() -> None:
    row = compute(every(8, [0.0001] * 11), days=4).loc[at("05 08:05")]
    assert math.isnan(row["funding_zscore"])
    assert row["funding_percentile"] == 0.5
    assert row["funding_extreme_positive"] == 0


def test_the_default_rate_is_never_extreme() -> None:
    row = compute(every(8, [*[0.00005] * 20, 0.0001]), days=8).loc[at("08 16:05")]
    assert row["funding_percentile"] > 0.95
    assert row["funding_extreme_positive"] == 0


def test_lowest_rate_is_extreme_only_when_negative() -> None:
    for rate, extreme in ((-0.0001, 1), (0.00001, 0)):
        row = compute(every(8, [*[0.00005] * 20, rate]), days=8).loc[at("08 16:05")]
        assert row["funding_percentile"] == pytest.approx(0.5 / 20)
        assert row["funding_extreme_negative"] == extreme


def test_settlement_older_than_24_hours_is_unknown() -> None:
    got = compute(every(8, [0.0001, 0.0002]), days=2)
    assert got["funding_rate_current"].last_valid_index() == at("03 08:00")
    assert got["cumulative_funding_24h"].last_valid_index() == at("03 08:00")
    assert got["minutes_to_funding"].last_valid_index() == at("03 08:00")


def at_close(close: str, following: str | None, predicted: float | None = None) -> tuple[object, ...]:
    """Make a row of mark_price one second before a close."""
    time = at(close) - pd.Timedelta(seconds=1)
    return (time, 10.0, 10.0, predicted, at(following) if following else None)


def test_announced_settlement_goes_before_the_computed_one() -> None:
    marks = table(MARK, at_close("02 08:05", "02 12:00", 0.0003))
    got = compute(every(8, [0.0001, 0.0001]), marks=marks)
    row = got.loc[at("02 08:05")]
    assert row["minutes_to_funding"] == 235
    assert row["funding_interval_hours"] == 4
    assert row["predicted_funding_8h"] == pytest.approx(0.0006)
    assert got.loc[at("02 08:10"), "minutes_to_funding"] == 230  # the row is 5 min old
    assert got.loc[at("02 08:15"), "minutes_to_funding"] == 465  # over 10 min: by the interval
    assert math.isnan(got.loc[at("02 08:15"), "predicted_funding_8h"])


def test_interval_counts_from_the_announced_settlement_that_is_over_but_not_yet_known() -> None:
    marks = table(MARK, at_close("02 07:55", "02 08:00"), at_close("02 08:00", "02 16:00"))
    got = compute(every(8, [0.0001]), marks=marks)  # 08:00 becomes known at 08:01
    assert got.loc[at("02 08:00"), "funding_interval_hours"] == 8
    assert got.loc[at("02 08:00"), "minutes_to_funding"] == 480
    assert got.loc[at("02 07:55"), "funding_interval_hours"] == 8


def test_announcement_that_is_over_is_no_next_settlement() -> None:
    marks = table(MARK, at_close("02 16:05", "02 16:00"))
    row = compute(every(8, [0.0001, 0.0001, 0.0001]), marks=marks).loc[at("02 16:05")]
    assert row["minutes_to_funding"] == 475
    assert row["funding_interval_hours"] == 8


def test_premium_since_the_settlement() -> None:
    rows = [(START + (i + 1) * BAR, 10.0, 10 / (1 + 0.01 * i), None, None) for i in range(100)]
    got = compute(every(8, [0.0001, 0.0001]), marks=table(MARK, *rows))["premium_since_funding"]
    assert got[at("02 00:05")] == 0
    assert got[at("02 00:15")] == pytest.approx(0.01)  # of 0, 0.01, 0.02
    assert got[at("02 08:00")] == pytest.approx(0.01 * 95 / 2)
    assert got[at("02 08:05")] == pytest.approx(0.96)  # the bar that opened at 08:00
    assert math.isnan(got[at("02 08:30")])  # one index price is unknown


def test_premiums_at_the_close() -> None:
    marks = table(MARK, (START + BAR, 8.0, 5.0, None, None))
    row = compute(every(8, [0.0001]), marks=marks).iloc[0]
    assert row["mark_premium"] == pytest.approx(0.25)
    assert row["mark_index_premium"] == pytest.approx(0.6)
