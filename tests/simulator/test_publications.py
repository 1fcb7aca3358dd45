"""The publication clock: nothing is shown before it can exist, and what is shown later replaces what was."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from simulator.market import KINDS, Kind
from simulator.presets import DEFAULT_TEST_START as START
from simulator.presets import odd_market
from simulator.synthetic import SyntheticMarket

#: Earliest and latest publication after the instant that a row speaks of; what it speaks of ends at `time`
#: plus `width`.
PROMISES: dict[str, tuple[timedelta, timedelta, timedelta]] = {
    "ohlcv": (timedelta(minutes=5), timedelta(0), timedelta(0)),
    "open_interest": (timedelta(0), timedelta(minutes=1), timedelta(minutes=4)),
    "global_account": (timedelta(0), timedelta(minutes=1), timedelta(minutes=4)),
    "taker_volume": (timedelta(minutes=5), timedelta(minutes=1), timedelta(minutes=4)),
    "funding_rate": (timedelta(0), timedelta(seconds=2), timedelta(seconds=15)),
    "liquidations": (timedelta(0), timedelta(seconds=0.6), timedelta(seconds=1.6)),
    "mark_price": (timedelta(0), timedelta(0), timedelta(0)),
    "mark_price_klines": (timedelta(0), timedelta(0), timedelta(0)),
    "order_book": (timedelta(0), timedelta(0), timedelta(0)),
}


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return odd_market(revised_share=0.02)


@pytest.mark.parametrize("name", PROMISES)
def test_rows_are_published_when_the_exchange_promises(market: SyntheticMarket, name: str) -> None:
    width, earliest, latest = PROMISES[name]
    ratio = name if name in ("global_account", "taker_volume") else None
    kind: Kind = "long_short_ratio" if ratio else name  # type: ignore[assignment]
    for symbol in market.symbols:
        log = market.publication_frame(kind, symbol, ratio_type=ratio)
        first = log[log["version"] == 1]
        stamp = first["funding_time_raw" if name == "funding_rate" else "time"]
        lag = first["published_at"] - stamp - width
        assert lag.min() >= earliest, symbol
        assert lag.max() <= latest, symbol


def test_every_row_is_published_once_and_corrections_follow(market: SyntheticMarket) -> None:
    log = market.publication_frame("ohlcv", "BTC/USDT")
    assert log["published_at"].is_monotonic_increasing
    first, second = log[log["version"] == 1], log[log["version"] == 2]
    assert first["time"].is_unique
    assert len(first) == 14 * 288
    assert 0.01 < len(second) / len(first) < 0.03
    both = second.merge(first, on="time", suffixes=("", "_first"))
    gap = both["published_at"] - both["published_at_first"]
    assert gap.between(pd.Timedelta(seconds=20), pd.Timedelta(seconds=100)).all()
    assert (both["close"] != both["close_first"]).all()
    assert (both["volume"] > both["volume_first"]).all()


def test_first_versions_are_possible_bars(market: SyntheticMarket) -> None:
    log = market.publication_frame("ohlcv", "SOL/USDT")
    assert (log["high"] >= log[["open", "close"]].max(axis=1)).all()
    assert (log["low"] <= log[["open", "close"]].min(axis=1)).all()
    assert (log["taker_buy_base"] < log["volume"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_as_of_an_instant_are_what_the_log_says(market: SyntheticMarket, kind: Kind) -> None:
    end = START + timedelta(days=3)
    log = market.publication_frame(kind, "SOL/USDT", START, end)
    key = [name for name in ("ratio_type", "time", "funding_time") if name in log.columns]
    revised = log[log["version"] == 2]
    instants = [START + timedelta(hours=5, seconds=1), START + timedelta(hours=30, minutes=2, seconds=30)]
    if len(revised):
        instants += [
            revised["published_at"].iloc[3],
            revised["published_at"].iloc[3] - timedelta(milliseconds=1),
        ]
    for instant in instants:
        shown = log[log["published_at"] <= instant]
        expected = shown.sort_values("version", kind="stable").groupby(key, as_index=False).last()
        actual = market.frame(kind, "SOL/USDT", START, end, as_of=_plain(instant))
        columns = [name for name in actual.columns if name not in ("bid_price", "ask_price")]
        expected = expected.sort_values(key, ignore_index=True)[columns]
        actual = actual.sort_values(key, ignore_index=True)[columns]
        assert len(actual) > 0
        if kind == "order_book":
            assert actual["bid_quantity"].tolist() == expected["bid_quantity"].tolist()
        else:
            pd.testing.assert_frame_equal(actual, expected, check_dtype=False)


def test_publications_are_the_frame_as_rows(market: SyntheticMarket) -> None:
    end = START + timedelta(days=1)
    log = market.publications("ohlcv", "ETH/USDT", START, end)
    frame = market.publication_frame("ohlcv", "ETH/USDT", START, end)
    assert [one.published_at for one in log] == frame["published_at"].tolist()
    assert [one.version for one in log] == frame["version"].tolist()
    assert [one.row.close for one in log] == frame["close"].tolist()


def test_nothing_is_published_of_the_future(market: SyntheticMarket) -> None:
    instant = START + timedelta(days=5, hours=7, minutes=32, seconds=11)
    for kind in KINDS:
        for symbol in market.symbols:
            rows = market.frame(kind, symbol, as_of=instant)
            stamp = "funding_time_raw" if kind == "funding_rate" else "time"
            assert len(rows) == 0 or rows[stamp].max() <= instant


def test_a_settlement_is_not_known_at_its_own_instant(market: SyntheticMarket) -> None:
    settled = START + timedelta(days=2, hours=8)
    rows = market.frame("funding_rate", "BTC/USDT", as_of=settled)
    assert rows["funding_time"].max() == settled - timedelta(hours=8)


def test_times_need_a_zone(market: SyntheticMarket) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        market.rows("ohlcv", "BTC/USDT", datetime(2026, 3, 2))  # noqa: DTZ001


def _plain(instant: datetime) -> datetime:
    return instant.to_pydatetime() if isinstance(instant, pd.Timestamp) else instant
