"""The odd market has each oddity at the time that its description gives."""

from datetime import datetime, timedelta

import pandas as pd
import pytest

from simulator.presets import DEFAULT_TEST_START as START
from simulator.presets import odd_market
from simulator.synthetic import SyntheticMarket

FIVE = pd.Timedelta(minutes=5)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return START + timedelta(days=day, hours=hour, minutes=minute)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return odd_market(late_statistics=True)


def test_the_benchmark_has_every_bar(market: SyntheticMarket) -> None:
    times = market.frame("ohlcv", "BTC/USDT")["time"]
    assert times.tolist() == list(pd.date_range(START, market.end, freq="5min", inclusive="left"))


def test_funding_interval_of_solana_changes_from_eight_to_four_hours(market: SyntheticMarket) -> None:
    times = market.frame("funding_rate", "SOL/USDT")["funding_time"]
    hours = times.diff().dt.total_seconds() / 3600
    assert (hours[times <= at(5, 16)].dropna() == 8).all()
    assert (hours[times > at(5, 16)] == 4).all()
    assert _interval(market, "SOL/USDT", at(5, 15, 59)) == 8
    assert _interval(market, "SOL/USDT", at(5, 16)) == 4


def test_the_next_settlement_is_announced_by_the_interval_in_force(market: SyntheticMarket) -> None:
    marks = market.frame("mark_price", "SOL/USDT", at(5, 8), at(6)).set_index("time")["next_funding_time"]
    assert marks[at(5, 8)] == at(5, 16)
    assert marks[at(5, 15, 55)] == at(5, 16)
    assert marks[at(5, 16)] == at(5, 20)
    assert marks[at(5, 20)] == at(6)


def test_predicted_rate_ends_near_the_settled_one(market: SyntheticMarket) -> None:
    settled = market.frame("funding_rate", "BTC/USDT", at(3, 8), at(3, 9))["funding_rate"].iloc[0]
    marks = market.frame("mark_price", "BTC/USDT", at(3, 7, 55), at(3, 8)).iloc[0]
    assert marks["predicted_funding_rate"] == pytest.approx(settled, abs=3e-5)


def test_one_announced_settlement_of_ripple_is_missing(market: SyntheticMarket) -> None:
    times = market.frame("funding_rate", "XRP/USDT")["funding_time"].tolist()
    assert at(8, 12) not in times
    assert {at(8, 8), at(8, 16)} <= set(times)
    marks = market.frame("mark_price", "XRP/USDT", at(8, 11), at(8, 12)).set_index("time")
    assert marks["next_funding_time"].iloc[0] == at(8, 12)


def test_settlement_stamps_jitter_by_at_most_sixteen_milliseconds(market: SyntheticMarket) -> None:
    rows = market.frame("funding_rate", "XRP/USDT")
    jitter = (rows["funding_time_raw"] - rows["funding_time"]).dt.total_seconds() * 1000
    assert jitter.between(0, 16).all()
    assert (jitter > 0).any()
    assert (jitter == 0).any()


def test_holes_have_no_klines_but_the_index_goes_on(market: SyntheticMarket) -> None:
    holes = {
        "DOGE/USDT": [(at(3, 10, 10), at(3, 10, 25)), (at(6, 4), at(6, 7))],
        "AVAX/USDT": [(at(7, 3), at(8, 9))],
    }
    for symbol, ranges in holes.items():
        times = set(market.frame("ohlcv", symbol)["time"])
        every = set(pd.date_range(START, market.end, freq="5min", inclusive="left"))
        absent = {
            time for begin, end in ranges for time in pd.date_range(begin, end, freq="5min", inclusive="left")
        }
        assert every - times == absent
        for begin, end in ranges:
            expected = (end - begin) // FIVE
            assert len(market.frame("mark_price", symbol, begin, end)) == expected
            assert len(market.frame("open_interest", symbol, begin, end)) == expected
            assert len(market.frame("liquidations", symbol, begin, end)) == 0
            assert len(market.frame("long_short_ratio", symbol, begin, end, ratio_type="taker_volume")) == 0


def test_chainlink_exists_from_its_listing_on(market: SyntheticMarket) -> None:
    listed = at(4, 9, 35)
    assert market.frame("ohlcv", "LINK/USDT")["time"].min() == listed
    assert market.frame("open_interest", "LINK/USDT")["time"].min() == listed + FIVE
    assert market.frame("funding_rate", "LINK/USDT")["funding_time"].min() == at(4, 16)
    for kind in ("mark_price", "order_book", "liquidations"):
        assert market.frame(kind, "LINK/USDT")["time"].min() >= listed
    known = {one.symbol for one in market.instruments(at=listed - FIVE)}
    assert "LINK/USDT" not in known
    assert {one.valid_from for one in market.instruments() if one.symbol == "LINK/USDT"} == {listed}


def test_litecoin_ends_with_its_delisting(market: SyntheticMarket) -> None:
    gone = at(10, 6)
    assert market.frame("ohlcv", "LTC/USDT")["time"].max() == gone - FIVE
    for kind in ("mark_price", "order_book", "liquidations", "open_interest"):
        assert market.frame(kind, "LTC/USDT")["time"].max() < gone
    before = {one.symbol: one for one in market.instruments(at=gone - FIVE)}["LTC/USDT"]
    after = {one.symbol: one for one in market.instruments(at=gone)}["LTC/USDT"]
    assert (before.status, before.valid_to) == ("TRADING", None)
    assert (after.status, after.valid_to) == ("SETTLING", gone)


def test_late_statistics_come_after_their_documented_lag(market: SyntheticMarket) -> None:
    for kind in ("open_interest", "long_short_ratio"):
        log = market.publication_frame(kind, "1000PEPE/USDT", ratio_type="global_account")
        lag = log["published_at"] - log["time"]
        late = (log["time"] >= at(9, 8)) & (log["time"] < at(9, 12))
        assert (lag[late] >= pd.Timedelta(minutes=6)).all()
        assert (lag[late] <= pd.Timedelta(minutes=20)).all()
        assert (lag[~late] <= pd.Timedelta(minutes=4)).all()
    punctual = odd_market().publication_frame("open_interest", "1000PEPE/USDT")
    assert (punctual["published_at"] - punctual["time"]).max() <= pd.Timedelta(minutes=4)


def test_a_thousand_coins_are_one_contract(market: SyntheticMarket) -> None:
    pepe = {one.symbol: one for one in market.instruments()}["1000PEPE/USDT"]
    assert pepe.multiplier == 1000
    assert pepe.exchange_symbol == "1000PEPEUSDT"


def _interval(market: SyntheticMarket, symbol: str, when: datetime) -> int | None:
    return {one.symbol: one for one in market.instruments(at=when)}[symbol].funding_interval_hours
