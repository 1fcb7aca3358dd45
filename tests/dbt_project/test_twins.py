"""Every feature equals a version written independently in pandas and TA-Lib, NULLs included.

Tolerance 1e-9 (see `tests.twins.compare`); no feature needs more.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib

from collectors.archive import import_files
from perpmart.database import Connection
from perpmart.engine import run_pending
from simulator.presets import demo_market, odd_market
from tests.twins.compare import assert_equal
from tests.twins.raw import read_raw
from tests.twins.twin import compute_twin

from .mart import feature_names, load_market, read_frame, read_mart, read_universe

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def hold_against_twins(connection: Connection) -> pd.DataFrame:
    """Compare all features on all rows; gives the report (see `tests.twins.compare.differences`)."""
    twin = compute_twin(read_raw(connection), universe=read_universe(connection))
    features = feature_names(connection)
    assert len(features) == 170
    return assert_equal(read_mart(connection), twin, features=features)


def bars_of(connection: Connection, symbol: str) -> pd.DataFrame:
    return read_frame(
        connection,
        "select m.*, b.open, b.high, b.low, b.close from mart.feature_mart as m"
        " join bars.bars_5m as b using (symbol, time) where symbol = %s order by time",
        [symbol],
    )


def test_all_features_equal_their_twins_on_a_market_with_every_oddity(world: Connection) -> None:
    report = hold_against_twins(world)
    assert (report["values"] > 100).all()


@pytest.mark.proof
@pytest.mark.parametrize("seed", [3, 5])
@pytest.mark.parametrize("restless", [True, False], ids=["restless", "quiet"])
def test_all_features_equal_their_twins_on_other_markets(
    mart: Connection, seed: int, *, restless: bool
) -> None:
    load_market(mart, odd_market(days=20, seed=seed, restless=restless))
    run_pending(mart)
    hold_against_twins(mart)


def test_features_of_a_quiet_market_with_level_stretches_equal_their_twins(mart: Connection) -> None:
    # Equal closes, no liquidations, funding at its default: what divides by a deviation must be NULL.
    market = odd_market(days=12, restless=False)
    load_market(mart, market, symbols=["BTC/USDT", "XRP/USDT"])
    flat = "time >= '2026-03-09Z' and time < '2026-03-11Z' and symbol = 'XRP/USDT'"
    mart.execute(
        f"update ohlcv set open = 1.5, high = 1.5, low = 1.5, close = 1.5, volume = 0, quote_volume = 0,"
        f" trades = 0, taker_buy_base = 0, taker_buy_quote = 0 where {flat}".encode()
    )
    mart.execute(
        "update open_interest as o"
        " set open_interest = f.open_interest, open_interest_value = f.open_interest_value"
        " from (select * from open_interest where symbol = 'XRP/USDT' and time = '2026-03-09Z') as f"
        " where o.symbol = f.symbol and o.time >= '2026-03-09Z' and o.time < '2026-03-11Z'"
    )
    mart.execute(f"update long_short_ratio set long_short_ratio = 1.25 where {flat}".encode())
    run_pending(mart)
    hold_against_twins(mart)


def test_all_features_equal_their_twins_on_real_bars_funding_and_open_interest(
    mart: Connection, shared_data: Path
) -> None:
    import_files(mart, [*shared_data.glob("klines_5m/*LTC*"), *shared_data.glob("klines_5m/*LINK*")], now=NOW)
    import_files(mart, [shared_data / "open_interest_4h", *shared_data.glob("funding_rate/*2026*")], now=NOW)
    mart.execute("delete from ohlcv where time < '2026-02-14Z'")
    run_pending(mart)
    hold_against_twins(mart)


@pytest.mark.proof
def test_all_features_equal_their_twins_on_seven_real_symbols(mart: Connection, shared_data: Path) -> None:
    files = [shared_data / "klines_5m", shared_data / "open_interest_4h", shared_data / "funding_rate"]
    import_files(mart, files, now=NOW)
    run_pending(mart)
    hold_against_twins(mart)


@pytest.mark.proof
def test_all_features_equal_their_twins_over_half_a_year_and_the_crash_of_october(
    mart: Connection, shared_data: Path
) -> None:
    files = [shared_data / "klines_5m_ohlcv", *shared_data.glob("funding_rate/SOL*")]
    import_files(mart, files, now=NOW)
    import_files(mart, [shared_data / "liquidations"], now=NOW, watched=[(NOW.replace(2025, 6, 23), NOW)])
    mart.execute("delete from liquidations where symbol <> 'SOL/USDT'")
    run_pending(mart)
    hold_against_twins(mart)


@pytest.mark.parametrize(
    ("folder", "end"),
    [
        ("btc_price_oi_taker_5m", datetime(2026, 6, 5, tzinfo=UTC)),
        ("long_short_ratio_30m", datetime(2024, 8, 28, tzinfo=UTC)),
    ],
)
def test_all_features_equal_their_twins_on_real_open_interest_and_ratios(
    mart: Connection, shared_data: Path, folder: str, end: datetime
) -> None:
    # There are no klines of those days: simulated ones make the grid.
    load_market(mart, demo_market(days=16, end=end), symbols=["BTC/USDT"], kinds=["ohlcv"])
    import_files(mart, [shared_data / folder], now=NOW)
    mart.execute(
        "update open_interest as o set open_interest = o.open_interest_value / k.open from ohlcv as k"
        " where o.symbol = k.symbol and o.time = k.time"
    )
    run_pending(mart)
    report = hold_against_twins(mart)
    named = "oi_zscore" if folder.startswith("btc") else "ls_ratio_zscore"
    assert report.loc[named, "values"] > 300


def test_rsi_atr_and_ema_are_those_of_talib_from_their_first_row(world: Connection) -> None:
    bars = bars_of(world, "ETH/USDT")
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
    expected = {
        "rsi_14": talib.RSI(close, 14),
        "rsi_50": talib.RSI(close, 50),
        "atr_14": talib.ATR(high, low, close, 14),
        "ema_12": talib.EMA(close, 12),
        "ema_26": talib.EMA(close, 26),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(bars[name], values, rtol=1e-10, atol=0, err_msg=name)
