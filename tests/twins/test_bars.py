"""The aligned bars, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from .bars import align_bars
from .examples import BAR, START, at, coverage, klines, settlements, table

STATISTIC = ("period", "time", "open_interest", "open_interest_value")
MARK = ("time", "mark_price", "index_price", "predicted_funding_rate", "next_funding_time")


def test_bar_without_kline_is_flat_at_the_previous_close_when_rest_answered_for_it() -> None:
    raw = {
        "ohlcv": klines([10, None, 12]),
        "coverage": coverage("ohlcv:5m", START, START + 3 * BAR),
    }
    bars = align_bars(raw)
    assert bars["is_filled"].tolist() == [0, 1, 0]
    assert bars.loc[1, ["open", "high", "low", "close"]].tolist() == [10, 10, 10, 10]
    amounts = ["volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote"]
    assert bars.loc[1, amounts].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "answered",
    [
        coverage("ohlcv:5m", START, START + BAR),
        coverage("ohlcv:5m", START, START + 3 * BAR, source="stream"),
        coverage("ohlcv:5m", START + 1.2 * BAR, START + 3 * BAR),
    ],
    ids=["not covered", "only by stream", "covered in part"],
)
def test_bar_without_kline_is_unknown_when_nobody_asked(answered: pd.DataFrame) -> None:
    bars = align_bars({"ohlcv": klines([10, None, 12]), "coverage": answered})
    assert bars["close"].isna().tolist() == [False, True, False]
    assert bars["is_filled"].isna().tolist() == [False, True, False]
    assert bars["volume"].isna().tolist() == [False, True, False]


def test_filled_bar_behind_a_hole_of_ours_has_no_known_price() -> None:
    answered = coverage("ohlcv:5m", START + 2 * BAR, START + 3 * BAR)
    bars = align_bars({"ohlcv": klines([10, None, None, 12]), "coverage": answered})
    assert bars["is_filled"].tolist()[2] == 1
    assert bars["volume"].tolist()[2] == 0
    assert np.isnan(bars["close"][2])


@pytest.mark.parametrize(("missing", "rows", "segments"), [(288, 290, 1), (289, 290, 2), (300, 290, 2)])
def test_hole_over_24_hours_ends_the_segment(missing: int, rows: int, segments: int) -> None:
    bars = align_bars({"ohlcv": klines([10, *[None] * missing, 12])})
    assert len(bars) == rows  # the first, 288 of the hole, the last
    assert bars["segment_start"].nunique() == segments
    assert bars["segment_start"].iloc[-1] == (START if segments == 1 else bars["time"].iloc[-1])


def test_grid_ends_with_the_newest_kline_of_any_symbol() -> None:
    frames = [klines([1, 2, 3, 4]), klines([1, 2], symbol="ETH/USDT")]
    bars = align_bars({"ohlcv": pd.concat(frames)})
    assert bars.groupby("symbol").size().to_dict() == {"SOL/USDT": 4, "ETH/USDT": 4}


def test_grid_ends_before_valid_to_and_a_reused_ticker_starts_anew() -> None:
    instruments = table(
        ("valid_from", "valid_to"), (START, START + 3 * BAR), (START + 5 * BAR, None), symbol="LIT/USDT"
    )
    interest = table(STATISTIC, ("5m", START, 7.0, 70.0), symbol="LIT/USDT")
    raw = {
        "ohlcv": klines([1, 2, None, 4, None, 6, 7], symbol="LIT/USDT"),
        "instruments": instruments,
        "open_interest": interest,
    }
    bars = align_bars(raw)
    assert ((bars["time"] - START) / BAR).tolist() == [0, 1, 2, 5, 6]
    assert ((bars["segment_start"] - START) / BAR).tolist() == [0, 0, 0, 5, 5]
    assert bars["open_interest"].tolist()[:3] == [7, 7, 7]
    assert bars["open_interest"].isna().tolist()[3:] == [True, True]


def test_forming_kline_is_left_out() -> None:
    bars = align_bars({"ohlcv": klines([1, 2, 3])}, now=START + 2.5 * BAR)
    assert bars["close"].tolist() == [1, 2]


def test_open_interest_is_known_five_minutes_after_its_stamp() -> None:
    interest = table(STATISTIC, ("5m", START + 2 * BAR, 7.0, 70.0))
    bars = align_bars({"ohlcv": klines([1, 2, 3, 4]), "open_interest": interest})
    assert bars["open_interest"].isna().tolist() == [True, True, False, False]
    assert bars["oi_age_minutes"].tolist()[2:] == [5, 10]


def test_finest_period_wins_at_equal_stamps() -> None:
    rows = [("5m", START, 1.0, 1.0), ("4h", START, 2.0, 2.0), ("30m", START + BAR, 3.0, 3.0)]
    bars = align_bars({"ohlcv": klines([1, 2]), "open_interest": table(STATISTIC, *rows)})
    assert bars["open_interest"].tolist() == [1, 3]


def test_value_older_than_24_hours_is_unknown_and_its_age_goes_on() -> None:
    interest = table(STATISTIC, ("5m", START, 7.0, 70.0))
    bars = align_bars({"ohlcv": klines([1.0] * 290), "open_interest": interest})
    assert bars["open_interest"].isna().tolist() == [False] * 288 + [True] * 2
    assert bars["oi_age_minutes"].tolist()[-2:] == [1445, 1450]


def test_ratios_are_known_after_their_lag_and_the_taker_ratio_after_its_bar() -> None:
    columns = ("period", "ratio_type", "time", "long_short_ratio")
    rows = [("5m", "global_account", START + BAR, 2.0), ("5m", "taker_volume", START + BAR, 3.0)]
    bars = align_bars({"ohlcv": klines([1, 2, 3, 4]), "long_short_ratio": table(columns, *rows)})
    assert bars["long_short_ratio"].isna().tolist() == [True, False, False, False]
    assert bars["taker_volume_ratio"].isna().tolist() == [True, True, False, False]


def test_settlement_is_known_one_minute_later() -> None:
    raw = {"ohlcv": klines([1, 2, 3]), "funding_rate": settlements(("02 00:05", 0.001))}
    bars = align_bars(raw)
    assert bars["funding_rate"].isna().tolist() == [True, False, False]
    assert bars["funding_age_minutes"].tolist()[1:] == [5, 10]


def test_mark_price_is_at_most_sixty_seconds_old() -> None:
    rows = [(START + BAR - pd.Timedelta(seconds=s), 100.0 + s, 100.0, None, None) for s in (59, 30)]
    late = (START + 2 * BAR - pd.Timedelta(seconds=60), 50.0, 50.0, 0.001, at("02 08:00"))
    raw = {"ohlcv": klines([1, 2, 3]), "mark_price": table(MARK, *rows, late)}
    bars = align_bars(raw)
    assert bars["mark_price"].tolist()[0] == 130
    assert bars["mark_price"].isna().tolist() == [False, True, True]
    assert bars["predicted_funding_rate"].isna().tolist() == [True, False, False]
    assert bars["next_funding_time"].tolist()[1:] == [at("02 08:00"), at("02 08:00")]


def test_mark_price_at_the_close_itself_is_known() -> None:
    raw = {"ohlcv": klines([1, 2]), "mark_price": table(MARK, (START + BAR, 9.0, 8.0, None, None))}
    assert align_bars(raw)["mark_price"].tolist()[0] == 9


def test_next_funding_time_comes_from_the_newest_row_that_has_one() -> None:
    rows = [
        (START + BAR - pd.Timedelta(seconds=5), 9.0, 8.0, 0.001, at("02 08:00")),
        (START + BAR, 9.0, 8.0, None, None),
    ]
    raw = {"ohlcv": klines([1, 2, 3]), "mark_price": table(MARK, *rows)}
    bars = align_bars(raw)
    assert bars["next_funding_time"].tolist()[:2] == [at("02 08:00"), at("02 08:00")]
    assert bars["next_funding_time"].isna().tolist()[2]


def test_liquidation_falls_into_the_bar_in_which_it_becomes_known() -> None:
    second = pd.Timedelta(seconds=1)
    rows = [
        (START + BAR - 2 * second, "SELL", 10.0, 2.0),
        (START + BAR - 3 * second, "BUY", 10.0, 1.0),
        (START + BAR + second, "SELL", 5.0, 1.0),
    ]
    raw = {
        "ohlcv": klines([1, 2, 3]),
        "liquidations": table(("time", "side", "price", "quantity"), *rows),
        "coverage": coverage("liquidations", START, START + 3 * BAR, symbol="*", source="archive"),
    }
    bars = align_bars(raw)
    assert bars["long_liquidations"].tolist() == [0, 25, 0]
    assert bars["short_liquidations"].tolist() == [10, 0, 0]
    assert bars["liquidation_count"].tolist() == [1, 2, 0]
    assert bars["max_liquidation"].tolist() == [10, 20, 0]


def test_liquidations_are_unknown_unless_watched_for_295_of_300_seconds() -> None:
    second = pd.Timedelta(seconds=1)
    ranges = [
        coverage("liquidations", START + 5 * second, START + BAR),
        coverage("liquidations", START + BAR, START + BAR + 100 * second, symbol="*"),
        coverage("liquidations", START + BAR + 106 * second, START + 2 * BAR),
    ]
    raw = {"ohlcv": klines([1, 2, 3]), "coverage": pd.concat(ranges)}
    bars = align_bars(raw)
    assert bars["liquidation_count"].isna().tolist() == [False, True, True]


def test_book_is_averaged_over_the_bar_and_its_last_snapshot_is_fresh() -> None:
    columns = ("time", "bid_price", "bid_quantity", "ask_price", "ask_quantity")
    second = pd.Timedelta(seconds=1)
    rows = [
        (START, [99.0], [3.0], [101.0], [1.0]),
        (START + 240 * second, [98.0, 97.0], [1.0, 1.0], [102.0], [1.0]),
        (START + 250 * second, [102.0], [1.0], [101.0], [1.0]),  # crossed
        (START + BAR + 239 * second, [99.0], [1.0], [101.0], [1.0]),
    ]
    bars = align_bars({"ohlcv": klines([1, 2]), "order_book": table(columns, *rows)})
    assert bars["book_spread_bps"].tolist() == [pytest.approx(300), pytest.approx(200)]
    assert bars["book_imbalance_20"][0] == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert bars["book_depth_bid_20"].tolist()[0] == 98 + 97
    assert bars["book_depth_ask_20"].isna().tolist() == [False, True]  # 61 s old
    assert bars["book_microprice_premium"][0] == pytest.approx(0)
