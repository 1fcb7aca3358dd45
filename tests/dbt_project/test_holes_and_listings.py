"""Holes of the exchange, holes of ours, listings and delistings, worked by hand.

Every close is 100 plus the number of the bar, every bar trades 2 for 20.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending

from .by_hand import BAR, START, add_klines, at, cover, features
from .mart import Databases, read_frame

BENCHMARK, WHOLE, LATE, DELISTED, VANISHED, CLOSED, DEAF = (
    f"{name}/USDT" for name in ("BTC", "ETH", "LINK", "LTC", "AVAX", "DOGE", "SOL")
)
KLINE = "is_filled, open, high, low, close, volume, quote_volume, trades, taker_buy_base"
DAYS = 5
HOLE = (at(2, 4), at(2, 7))
MISSING_DAY = (at(3), at(4))


def price(number: int) -> float:
    return 100.0 + number


def number_of(day: int, hour: int = 0, minute: int = 0) -> int:
    return (at(day, hour, minute) - START) // BAR


@pytest.fixture(scope="module")
def holed(databases: Databases) -> Iterator[Connection]:
    """Mart of the cases, one a symbol."""
    with databases.lent() as url, connect_to(url) as connection:
        end = at(DAYS)
        add_klines(connection, BENCHMARK, until=MISSING_DAY[0])
        add_klines(connection, BENCHMARK, since=MISSING_DAY[1], until=end)
        add_klines(connection, WHOLE, until=end)
        add_klines(connection, LATE, since=at(1, 9, 35), until=end)
        add_klines(connection, DELISTED, until=at(3, 6))
        add_klines(connection, VANISHED, until=at(3, 6))
        for symbol, listed, delisted in ((LATE, at(1, 9, 35), None), (DELISTED, START, at(3, 6))):
            connection.execute(
                "insert into instruments (symbol, exchange_symbol, valid_from, valid_to, multiplier, base,"
                " quote, status, source) values (%s, %s, %s, %s, 1, %s, 'USDT', 'TRADING', 'rest')",
                [symbol, symbol.replace("/", ""), listed, delisted, symbol.split("/")[0]],
            )
        cover(connection, DELISTED, START, end)
        cover(connection, VANISHED, START, end)
        for symbol in (CLOSED, DEAF):
            add_klines(connection, symbol, until=HOLE[0])
            add_klines(connection, symbol, since=HOLE[1], until=end)
        cover(connection, CLOSED, START, end)
        run_pending(connection)
        yield connection
        connection.rollback()


def test_a_listing_begins_with_its_first_kline(holed: Connection) -> None:
    first = at(1, 9, 35)
    rows = holed.execute("select min(time), count(*) from bars.bars_5m where symbol = %s", [LATE]).fetchone()
    assert rows == (first, (at(DAYS) - first) // BAR)
    n = number_of(1, 9, 35)
    assert features(holed, LATE, first, "return_1", "obv", "cvd", "volume_sma_20") == (None, 0, 1, None)
    assert features(holed, LATE, first + BAR, "return_1", "obv", "cvd") == (price(n + 1) / price(n) - 1, 2, 2)
    assert features(holed, LATE, first + 19 * BAR, "sma_20") == (pytest.approx(price(n) + 9.5),)
    assert features(holed, LATE, first + 287 * BAR, "relative_strength_288") == (None,)


def test_a_delisted_symbol_ends_with_its_listing(holed: Connection) -> None:
    assert holed.execute("select max(time) from bars.bars_5m where symbol = %s", [DELISTED]).fetchone() == (
        at(3, 6) - BAR,
    )
    assert features(holed, DELISTED, at(3, 6) - BAR, "is_filled", "filled_bars_288") == (0, 0)


def test_a_symbol_that_vanishes_is_filled_for_a_day(holed: Connection) -> None:
    last = at(3, 6) - BAR
    assert holed.execute("select max(time) from bars.bars_5m where symbol = %s", [VANISHED]).fetchone() == (
        last + timedelta(days=1),
    )
    flat = ("is_filled", "return_1", "filled_bars_288", "volume_sma_20", "sma_200")
    close = price(number_of(3, 6) - 1)
    assert features(holed, VANISHED, last + 288 * BAR, *flat) == (1, 0, 288, 0, close)
    # Nothing moves and nothing trades any more: what divides by it is unknown, and a direction is even.
    names = ("price_zscore_50", "bb_position", "taker_imbalance_12", "return_autocorr_50", "realized_vol_20")
    assert features(holed, VANISHED, last + 288 * BAR, *names) == (None, None, None, None, 0)


def test_three_hours_without_trading_are_filled_flat(holed: Connection) -> None:
    before = price(number_of(2, 4) - 1)
    rows = read_frame(
        holed,
        f"select {KLINE} from bars.bars_5m where symbol = %s and time >= %s and time < %s",
        [CLOSED, *HOLE],
    )
    assert len(rows) == 36
    assert (rows == [1, before, before, before, before, 0, 0, 0, 0]).all(axis=None)
    assert features(holed, CLOSED, HOLE[0], "return_1", "taker_buy_ratio", "volume_change") == (0, None, -1)
    after = price(number_of(2, 7))
    assert features(holed, CLOSED, HOLE[1], "return_1", "filled_bars_288", "volume_sma_20") == (
        pytest.approx(after / before - 1),
        36,
        pytest.approx(0.1),
    )
    assert features(holed, CLOSED, HOLE[0] + timedelta(days=1), "filled_bars_288") == (35,)
    assert features(holed, CLOSED, HOLE[1] - BAR, "return_20", "sma_20", "cvd") == (
        0,
        before,
        number_of(2, 4),
    )


def test_three_hours_in_which_nobody_listened_are_unknown(holed: Connection) -> None:
    rows = read_frame(
        holed,
        f"select {KLINE} from bars.bars_5m where symbol = %s and time >= %s and time < %s",
        [DEAF, *HOLE],
    )
    assert len(rows) == 36
    assert rows.isna().all(axis=None)
    n = number_of(2, 7)
    assert features(holed, DEAF, HOLE[1], "return_1", "sma_20", "is_filled", "filled_bars_288") == (
        *(None, None, 0, None),
    )
    assert features(holed, DEAF, HOLE[1] + BAR, "return_1") == (pytest.approx(price(n + 1) / price(n) - 1),)
    assert features(holed, DEAF, HOLE[1] + 18 * BAR, "sma_20", "return_20") == (None, None)
    assert features(holed, DEAF, HOLE[1] + 19 * BAR, "sma_20", "return_20") == (price(n) + 9.5, None)
    # 36 unknown bars are more than 12: the average starts anew, with the mean of the first twelve.
    assert features(holed, DEAF, HOLE[1] + 10 * BAR, "ema_12") == (None,)
    assert features(holed, DEAF, HOLE[1] + 11 * BAR, "ema_12") == (pytest.approx(price(n) + 5.5),)
    # 36 are less than 50: the smoothing goes on where it stood, with nothing but gains.
    assert features(holed, DEAF, HOLE[1] + BAR, "rsi_50", "rsi_14") == (100, None)
    # Cumulative sums miss what was traded then.
    assert features(holed, DEAF, HOLE[1], "cvd") == (number_of(2, 4) + 1,)
    last_unknown = HOLE[1] - BAR
    assert features(holed, DEAF, last_unknown + 287 * BAR, "volume_zscore_288", "filled_bars_288") == (
        None,
        None,
    )
    assert features(holed, DEAF, last_unknown + 288 * BAR, "filled_bars_288") == (0,)


def test_an_incomplete_hour_is_no_hour(holed: Connection) -> None:
    n = number_of(2, 3)
    # At 08:05 the last complete hour began at 07:00; the one before it began at 03:00, ahead of the hole.
    expected = price(number_of(2, 8) - 1) / price(n + 11) - 1
    assert features(holed, CLOSED, at(2, 8), "return_1h_htf") == (pytest.approx(expected),)
    assert features(holed, DEAF, at(2, 8), "return_1h_htf") == (pytest.approx(expected),)


def test_a_day_without_the_benchmark_leaves_the_others_their_own_features(holed: Connection) -> None:
    inside, last = at(3, 12), MISSING_DAY[1] - BAR
    against = ("btc_return_1", "btc_return_12", "beta_to_btc_288", "corr_to_btc_288", "relative_strength_288")
    assert features(holed, WHOLE, inside, *against) == (None, None, None, None, None)
    n = number_of(3, 12)
    assert features(holed, WHOLE, inside, "return_1") == (pytest.approx(price(n) / price(n - 1) - 1),)
    # The first return after it needs the bar before; the day's windows need a whole day of returns.
    assert features(holed, WHOLE, last + BAR, "btc_return_1") == (None,)
    assert features(holed, WHOLE, last + 2 * BAR, "btc_return_1") == (
        pytest.approx(price(number_of(4) + 1) / price(number_of(4)) - 1),
    )
    # Both go up by one a bar, so before the hole they move as one.
    beta, correlation = features(holed, WHOLE, at(2), "beta_to_btc_288", "corr_to_btc_288")
    assert beta == pytest.approx(1, abs=1e-9)
    assert correlation == pytest.approx(1, abs=1e-9)


def test_a_repaired_hole_leaves_no_trace(holed: Connection) -> None:
    add_klines(holed, DEAF, since=HOLE[0], until=HOLE[1])
    run_pending(holed)
    names = holed.execute("select feature from mart.feature_registry where feature !~ '^xs_'").fetchall()
    mine, others = (", ".join(f"{table}.{name}" for (name,) in names) for table in ("a", "b"))
    different = holed.execute(
        f"""
        select count(*) from mart.feature_mart as a join mart.feature_mart as b using (time)
        where a.symbol = %s and b.symbol = %s and ({mine}) is distinct from ({others})
        """.encode(),
        [DEAF, WHOLE],
    ).fetchone()
    assert different == (0,)
