"""Liquidation, long/short, order-book and quality features worked by hand."""

import math

import pandas as pd
import pytest

from . import liquidations, ls_ratio, order_book, quality
from .bars import align_bars
from .examples import BAR, START, coverage, klines, settlements, table

FORCED = ("time", "side", "price", "quantity")
DAYS_2 = 600


def forced(*events: tuple[int, str, float], watched: int = DAYS_2, bars: int = DAYS_2) -> pd.DataFrame:
    """Compute the group from events (bar, side, quantity) on bars, the first of them `watched`."""
    rows = [(START + bar * BAR, side, 10.0, quantity) for bar, side, quantity in events]
    raw = {
        "ohlcv": klines([10.0] * bars),
        "liquidations": table(FORCED, *rows),
        "coverage": coverage("liquidations", START, START + watched * BAR, source="stream"),
    }
    return liquidations.features(align_bars(raw)).reset_index(drop=True)


def test_liquidations_of_an_hour() -> None:
    row = forced((3, "SELL", 6.0), (4, "BUY", 2.0), (4, "BUY", 1.0)).loc[11]
    assert row["liquidation_vol_1h"] == 90
    assert row["long_liq_vol_1h"] == 60
    assert row["short_liq_vol_1h"] == 30
    assert row["net_liquidation"] == 30
    assert row["liquidation_count_1h"] == 3
    assert row["avg_liq_size"] == 30
    assert row["max_liq_size_1h"] == 60
    assert row["liq_imbalance_1h"] == pytest.approx(1 / 3)
    assert row["liq_to_volume_1h"] == pytest.approx(90 / 1200)


def test_watched_hour_without_liquidations() -> None:
    got = forced((3, "SELL", 6.0))
    row = got.loc[20]
    zeros = [
        "liquidation_vol_1h",
        "net_liquidation",
        "liquidation_count_1h",
        "max_liq_size_1h",
        "liq_imbalance_1h",
    ]
    assert row[zeros].tolist() == [0] * 5
    assert math.isnan(row["avg_liq_size"])
    assert got["liquidation_vol_24h"].first_valid_index() == 287
    assert got["liquidation_vol_24h"][287] == 60


def test_hour_that_was_not_watched_is_unknown() -> None:
    assert forced((3, "SELL", 6.0), watched=10).isna().all().all()


def test_spike_of_liquidations() -> None:
    got = forced((400, "SELL", 6.0), (500, "SELL", 6.0))
    assert got["liq_zscore_24h"].first_valid_index() == 298
    assert got["liq_zscore_24h"][350] == 0  # never any: the deviation is 0
    assert got["liq_spike"][350] == 0
    # one 60 among 288: mean 60/288, sample variance 60^2 (1/288) exactly
    assert got["liq_zscore_24h"][400] == pytest.approx(287 / 288 * math.sqrt(288))
    assert got["liq_spike"][400] == 1


def test_long_short_ratios() -> None:
    rows = [("5m", kind, START + i * BAR, 2.0 + i * step) for i in range(60) for kind, step in RATIOS]
    columns = ("period", "ratio_type", "time", "long_short_ratio")
    raw = {"ohlcv": klines([1.0] * 60), "long_short_ratio": table(columns, *rows)}
    row = ls_ratio.features(align_bars(raw)).iloc[48]
    assert row["ls_ratio_current"] == 50
    assert row["ls_ratio_change_1h"] == pytest.approx(50 / 38 - 1)
    assert row["ls_ratio_change_4h"] == pytest.approx(50 / 2 - 1)
    assert row["ls_top_trader_ratio"] == 98
    assert row["ls_top_vs_global"] == pytest.approx(98 / 50 - 1)


RATIOS = (("global_account", 1.0), ("top_position", 2.0), ("top_account", 3.0))


def test_order_book() -> None:
    columns = ("time", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
    last = BAR - pd.Timedelta(seconds=10)
    rows = [
        (START + i * BAR + last, [99.0] * 6, [1.0] * 6, [101.0] * 6, [3.0] * 5 + [1.0 + i])
        for i in range(300)
    ]
    raw = {"ohlcv": klines([10.0] * 300), "order_book": table(columns, *rows)}
    got = order_book.features(align_bars(raw)).reset_index(drop=True)
    assert got["book_spread_bps"][0] == pytest.approx(200)
    # (101 x 1 + 99 x 3) / 4 = 99.5
    assert got["book_microprice_premium"][0] == pytest.approx(-50)
    assert got["book_imbalance_5"][0] == pytest.approx(-0.5)
    assert got["book_imbalance_20"][0] == pytest.approx(-10 / 22)
    assert got["book_imbalance_change_12"][12] == pytest.approx(-22 / 34 + 10 / 22)
    assert got["book_depth_bid_20"][0] == 594
    assert got["book_depth_ask_20"][0] == 1616
    assert got["book_depth_zscore_288"][287] == pytest.approx(143.5 / math.sqrt(288 * 289 / 12))
    assert got["book_depth_to_turnover"][287] == pytest.approx((594 + 1616 + 101 * 287) / 100)


def test_ages_and_filled_bars() -> None:
    closes: list[float | None] = [1.0] * 300
    closes[2] = closes[250] = None
    raw = {
        "ohlcv": klines(closes),
        "coverage": coverage("ohlcv:5m", START, START + 300 * BAR),
        "funding_rate": settlements(("02 00:00", 0.0001)),
    }
    got = quality.features(align_bars(raw)).reset_index(drop=True)
    assert got["is_filled"].sum() == 2
    assert got["filled_bars_288"].first_valid_index() == 287
    assert got["filled_bars_288"].tolist()[287:291] == [2, 2, 2, 1]
    assert got["funding_age_minutes"].tolist()[:2] == [5, 10]
    assert got["oi_age_minutes"].isna().all()


def test_filled_bars_are_unknown_while_one_is_a_hole_of_ours() -> None:
    closes: list[float | None] = [1.0] * 300
    closes[5] = None
    got = quality.features(align_bars({"ohlcv": klines(closes)})).reset_index(drop=True)
    assert got["filled_bars_288"].first_valid_index() == 293
