"""The synthetic market: the same for everyone, sane, and restless where it says so."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from simulator.config import MarketConfig, SymbolConfig
from simulator.market import KINDS, Market
from simulator.presets import DEFAULT_TEST_START, demo_market, odd_market, wide_market
from simulator.synthetic import SyntheticMarket

START = DEFAULT_TEST_START
FIVE = timedelta(minutes=5)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return START + timedelta(days=day, hours=hour, minutes=minute)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return odd_market()


@pytest.fixture(scope="module")
def quiet() -> SyntheticMarket:
    return demo_market(days=20)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_rows(market: Market, kind: str) -> None:
    pd.testing.assert_frame_equal(market.frame(kind, "SOL/USDT"), odd_market().frame(kind, "SOL/USDT"))


def test_another_seed_gives_other_prices(market: Market) -> None:
    other = odd_market(seed=12).frame("ohlcv", "SOL/USDT")
    assert (market.frame("ohlcv", "SOL/USDT")["close"] != other["close"]).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_holds_what_the_whole_history_holds_there(market: Market, kind: str) -> None:
    start, end = at(5, 15, 35), at(5, 17)
    whole = market.frame(kind, "SOL/USDT")
    stamp = "funding_time_raw" if kind == "funding_rate" else "time"
    # Mark klines give their price at the bar's end; a book lies at the end of the step that it is asked for.
    late = FIVE if kind.endswith("klines") or kind == "order_book" else timedelta(0)
    early = timedelta(0) if kind != "order_book" else -FIVE
    inside = whole[(whole[stamp] >= start + late + early) & (whole[stamp] < end + late + early)]
    part = market.frame(kind, "SOL/USDT", start, end)
    pd.testing.assert_frame_equal(part, inside.reset_index(drop=True))
    assert len(part) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_asking_beyond_the_end_changes_nothing_before_it(kind: str) -> None:
    fresh, grown = odd_market(), odd_market()
    grown.frame(kind, "XRP/USDT", fresh.end + timedelta(days=30), fresh.end + timedelta(days=31))
    pd.testing.assert_frame_equal(fresh.frame(kind, "XRP/USDT"), grown.frame(kind, "XRP/USDT"))
    assert len(grown.frame("ohlcv", "XRP/USDT", fresh.end, fresh.end + timedelta(days=1))) == 288


def test_a_symbol_does_not_depend_on_which_others_there_are(market: Market) -> None:
    alone = SyntheticMarket(
        MarketConfig((market.config.symbols[3],), start=START, days=14, seed=11, restless=True)  # type: ignore[attr-defined]
    )
    pd.testing.assert_frame_equal(alone.frame("ohlcv", "XRP/USDT"), market.frame("ohlcv", "XRP/USDT"))


def test_rows_and_frames_agree(market: Market) -> None:
    for kind in KINDS:
        if kind == "index_price_klines":
            continue
        rows = market.rows(kind, "DOGE/USDT", at(3), at(4))
        frame = market.frame(kind, "DOGE/USDT", at(3), at(4))
        assert len(rows) == len(frame)
        for name in set(rows[0]._fields) & set(frame.columns):
            left = pd.Series([getattr(row, name) for row in rows])
            assert left.tolist() == frame[name].tolist() or left.isna().all(), (kind, name)


def test_bars_are_possible(market: Market, quiet: Market) -> None:
    for one in (market, quiet):
        for symbol in one.symbols:
            bars = one.frame("ohlcv", symbol)
            assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
            assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
            assert (bars["low"] > 0).all()
            assert (bars["volume"] > bars["taker_buy_base"]).all()
            assert (bars["taker_buy_base"] > 0).all()
            assert (bars["trades"] > 0).all()
            average = bars["quote_volume"] / bars["volume"]
            assert (average >= bars["low"] * (1 - 1e-6)).all()
            assert (average <= bars["high"] * (1 + 1e-6)).all()


def test_prices_lie_on_the_tick_grid_as_text_would_give_them(market: SyntheticMarket) -> None:
    for config in market.config.symbols:
        close = market.frame("ohlcv", config.symbol)["close"]
        assert [float(f"{price:.{config.price_decimals}f}") for price in close] == close.tolist()


def test_symbols_move_together_but_not_alike(market: Market) -> None:
    returns = pd.DataFrame(
        {
            symbol: np.log(market.frame("ohlcv", symbol).set_index("time")["close"]).diff()
            for symbol in market.symbols
        }
    )
    correlations = returns.corr()["BTC/USDT"].drop("BTC/USDT")
    assert correlations.between(0.4, 0.97).all()
    assert returns.std().between(0.0005, 0.006).all()


def test_returns_have_fat_tails(quiet: Market) -> None:
    close = quiet.frame("ohlcv", "SOL/USDT")["close"]
    returns = np.log(close).diff().dropna()
    assert returns.kurt() > 2


def test_open_interest_moves_with_trading(market: Market) -> None:
    bars = market.frame("ohlcv", "ETH/USDT").set_index("time")
    interest = market.frame("open_interest", "ETH/USDT").set_index("time")["open_interest"]
    change = interest.pct_change().shift(-1).reindex(bars.index)
    calm = np.log(bars["close"]).diff().abs() < 0.004
    assert change[calm].corr(np.log(bars["close"]).diff().abs()[calm]) > 0.1


def test_open_interest_is_valued_at_the_mark_price_of_its_stamp(market: Market) -> None:
    interest = market.frame("open_interest", "SOL/USDT").set_index("time")
    marks = market.frame("mark_price", "SOL/USDT").set_index("time")["mark_price"]
    implied = interest["open_interest_value"] / interest["open_interest"]
    assert np.allclose(implied, marks.reindex(implied.index), rtol=1e-9)


def test_taker_ratio_is_the_bars_own_volume(market: Market) -> None:
    bars = market.frame("ohlcv", "SOL/USDT").set_index("time")
    taker = market.frame("long_short_ratio", "SOL/USDT", ratio_type="taker_volume").set_index("time")
    assert (taker["long_account"] == bars["taker_buy_base"]).all()
    assert np.allclose(taker["long_account"] + taker["short_account"], bars["volume"], rtol=1e-12)


def test_mark_klines_end_where_the_mark_price_is_at_that_instant(market: Market) -> None:
    ends = market.frame("mark_price_klines", "SOL/USDT").set_index("time")
    marks = market.frame("mark_price", "SOL/USDT").set_index("time")
    shared = ends.index.intersection(marks.index)
    assert len(shared) == len(marks) - 1
    for name in ("mark_price", "index_price"):
        assert (ends.loc[shared, name] == marks.loc[shared, name]).all()


def test_a_mark_kline_contains_the_mark_price_inside_it(market: SyntheticMarket) -> None:
    start = int(at(2).timestamp() * 1000)
    klines = market.table("mark_price_klines", "SOL/USDT", start_ms=start, end_ms=start + 86_400_000)
    for position in range(0, len(klines), 37):
        for seconds in (1, 60, 150, 299):
            now = market.mark("SOL/USDT", int(klines.time[position]) + seconds * 1000)
            price = float(now.columns["mark_price"][0])
            assert klines.columns["low"][position] <= price <= klines.columns["high"][position]


def test_every_input_changes_at_every_bar_of_a_restless_market(market: Market) -> None:
    for symbol in market.symbols:
        bars = market.frame("ohlcv", symbol)
        for name in bars.columns.drop(["symbol", "timeframe"]):
            assert _always_changes(bars[name]), (symbol, name)
        interest = market.frame("open_interest", symbol)
        assert _always_changes(interest["open_interest"]), symbol
        assert _always_changes(interest["open_interest_value"]), symbol
        for ratio_type in ("global_account", "top_account", "top_position", "taker_volume"):
            ratios = market.frame("long_short_ratio", symbol, ratio_type=ratio_type)
            for name in ("long_short_ratio", "long_account", "short_account"):
                assert _always_changes(ratios[name]), (symbol, ratio_type, name)
        marks = market.frame("mark_price", symbol)
        for name in ("mark_price", "index_price", "predicted_funding_rate"):
            assert _always_changes(marks[name]), (symbol, name)
        assert _always_changes(market.frame("funding_rate", symbol)["funding_rate"]), symbol
        books = market.frame("order_book", symbol)
        for side in ("bid", "ask"):
            sides = zip(books[f"{side}_price"], books[f"{side}_quantity"], strict=True)
            notional = pd.Series([float(np.dot(prices, amounts)) for prices, amounts in sides])
            assert _always_changes(notional), (symbol, side)


def test_first_versions_are_restless_too() -> None:
    market = odd_market(revised_share=0.1)
    for symbol in ("BTC/USDT", "1000PEPE/USDT"):
        log = market.publication_frame("ohlcv", symbol)
        first = log[log["version"] == 1].sort_values("time")
        assert _always_changes(first["close"])
        assert _always_changes(first["volume"])


def test_every_restless_bar_has_a_liquidation_and_many_end_with_one(market: Market) -> None:
    orders = market.frame("liquidations", "BTC/USDT")
    per_bar = orders.groupby(orders["time"].dt.floor("5min")).agg(
        notional=("price", lambda price: float((price * orders.loc[price.index, "quantity"]).sum())),
    )
    assert len(per_bar) == 14 * 288
    assert _always_changes(per_bar["notional"])
    last_second = orders["time"].dt.ceil("5min") - orders["time"] <= pd.Timedelta(seconds=1)
    assert last_second.sum() > 14 * 288 // 3


def test_a_quiet_market_repeats_itself_now_and_then(quiet: Market) -> None:
    rates = quiet.frame("funding_rate", "SOL/USDT")["funding_rate"]
    assert 0.1 < (rates == 0.0001).mean() < 0.95
    orders = quiet.frame("liquidations", "SOL/USDT")
    bars_with_orders = orders["time"].dt.floor("5min").nunique()
    assert 0.02 < bars_with_orders / (20 * 288) < 0.7


def test_liquidations_cluster_on_large_moves_against_the_loser(quiet: Market) -> None:
    bars = quiet.frame("ohlcv", "SOL/USDT").set_index("time")
    move = np.log(bars["close"] / bars["open"])
    orders = quiet.frame("liquidations", "SOL/USDT")
    counts = orders.groupby([orders["time"].dt.floor("5min"), "side"]).size().unstack(fill_value=0)
    counts = counts.reindex(bars.index, fill_value=0)
    large = move.abs() > 3 * move.std()
    assert counts.sum(axis=1)[large].mean() > 5 * counts.sum(axis=1)[~large].mean()
    assert counts["SELL"][move < -2 * move.std()].sum() > 2 * counts["BUY"][move < -2 * move.std()].sum()
    assert counts["BUY"][move > 2 * move.std()].sum() > 2 * counts["SELL"][move > 2 * move.std()].sum()


def test_one_liquidation_at_most_per_symbol_and_second(market: Market) -> None:
    times = market.frame("liquidations", "SOL/USDT")["time"]
    assert times.dt.floor("s").is_unique
    assert times.is_monotonic_increasing


def test_books_are_sorted_and_uncrossed(market: Market) -> None:
    for row in market.rows("order_book", "1000PEPE/USDT", at(6), at(7)):
        assert len(row.bid_price) == len(row.ask_quantity) == 20
        assert all(left > right for left, right in zip(row.bid_price, row.bid_price[1:], strict=False))
        assert all(left < right for left, right in zip(row.ask_price, row.ask_price[1:], strict=False))
        assert row.bid_price[0] < row.ask_price[0]
        assert min(row.bid_quantity + row.ask_quantity) > 0


def test_books_stand_around_the_price_of_their_instant(market: SyntheticMarket) -> None:
    forming = market.forming_kline("ohlcv", "BTC/USDT", int(at(2, 3, 2).timestamp() * 1000))
    book = market.book("BTC/USDT", int(at(2, 3, 2).timestamp() * 1000))
    middle = (book.columns["bid_price"][0, 0] + book.columns["ask_price"][0, 0]) / 2
    assert forming is not None
    assert middle == pytest.approx(forming["close"], rel=1e-4)


def test_snapshots_each_ten_seconds_take_a_slot_each(market: Market) -> None:
    every = timedelta(seconds=10)
    for kind in ("order_book", "mark_price"):
        times = pd.Series([row.time for row in market.rows(kind, "SOL/USDT", at(2), at(2, 1), every=every)])
        assert len(times) == 360
        assert times.dt.floor("10s").is_unique
    with pytest.raises(ValueError, match="whole 10 s slots"):
        market.rows("order_book", "SOL/USDT", every=timedelta(seconds=15))


def test_the_forming_kline_becomes_the_closed_one(market: SyntheticMarket) -> None:
    opened = int(at(4, 12).timestamp() * 1000)
    closed = market.rows("ohlcv", "ETH/USDT", at(4, 12), at(4, 12, 5))[0]
    assert market.forming_kline("ohlcv", "ETH/USDT", opened) is None
    before = market.forming_kline("ohlcv", "ETH/USDT", opened + 1_000)
    assert before is not None
    for elapsed in (60_000, 150_000, 299_999):
        now = market.forming_kline("ohlcv", "ETH/USDT", opened + elapsed)
        assert now is not None
        assert now["open"] == closed.open
        assert closed.low <= now["low"] <= now["close"] <= now["high"] <= closed.high
        assert now["low"] <= before["low"]
        assert now["high"] >= before["high"]
        assert before["volume"] < now["volume"] < closed.volume
        before = now
    assert before["close"] == pytest.approx(closed.close, rel=1e-4)


def test_a_symbol_must_be_known(market: Market) -> None:
    with pytest.raises(KeyError):
        market.rows("ohlcv", "LUNA/USDT")


def test_a_configuration_that_makes_no_sense_is_refused() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="written like"):
        SymbolConfig("SOLUSDT", 80.0)
    with pytest.raises(ValueError, match="tick is too coarse"):
        SymbolConfig("PEPE/USDT", 0.01)
    with pytest.raises(ValueError, match="grid"):
        SymbolConfig("SOL/USDT", 80.0, listed=day + timedelta(minutes=3))
    with pytest.raises(ValueError, match="not in UTC"):
        SymbolConfig("SOL/USDT", 80.0, listed=day.replace(tzinfo=None))
    with pytest.raises(ValueError, match="each named once"):
        MarketConfig((SymbolConfig("SOL/USDT", 80.0),) * 2, start=day)
    with pytest.raises(ValueError, match="beginning of a UTC day"):
        MarketConfig((SymbolConfig("SOL/USDT", 80.0),), start=day + timedelta(hours=1))
    with pytest.raises(ValueError, match="need 12 days"):
        odd_market(days=5)


def test_the_wide_market_has_as_many_symbols_as_asked() -> None:
    market = wide_market(symbols=25, days=1)
    assert len(market.symbols) == 25
    assert len(market.frame("ohlcv", market.symbols[-1])) == 288


def _always_changes(values: "pd.Series[float]") -> bool:
    array = values.to_numpy()
    return len(array) > 1 and bool((array[1:] != array[:-1]).all())
