"""Targets on made-up bars, against loops that a reader can check."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.targets import (
    QuantileLabeler,
    create_target_classification,
    create_target_regression,
    overlap_weights,
    rl_rewards,
    triple_barrier,
)
from ml.targets.grid import TargetError

FIVE = pd.Timedelta(minutes=5)
START = pd.Timestamp("2026-02-01", tz="UTC")
NO_SETTLEMENTS = pd.DataFrame(columns=["symbol", "funding_time", "funding_rate", "mark_price"])


def make_bars(prices: list[tuple[float, float, float, float]], symbol: str = "SOL/USDT") -> pd.DataFrame:
    index = pd.MultiIndex.from_product([[symbol], pd.date_range(START, periods=len(prices), freq=FIVE)])
    frame = pd.DataFrame(
        prices, columns=["open", "high", "low", "close"], index=index.set_names(["symbol", "time"])
    )
    return frame.assign(is_filled=0.0)


def random_bars(count: int, seed: int, *, spread: float = 0.01, symbol: str = "SOL/USDT") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, spread, count)))
    opened = np.r_[100, close[:-1]] * np.exp(rng.normal(0, spread / 4, count))
    high = np.maximum(opened, close) * (1 + rng.exponential(spread / 3, count))
    low = np.minimum(opened, close) * (1 - rng.exponential(spread / 3, count))
    return make_bars(list(zip(opened, high, low, close, strict=True)), symbol)


def test_the_entry_is_the_open_two_bars_on_and_the_exit_the_close_of_the_last_bar_held() -> None:
    bars = make_bars([(k, k + 0.9, k - 0.9, k + 0.5) for k in range(10, 20)])
    labels = create_target_regression(bars, 3)
    first = labels.iloc[0]
    assert (first["entry_price"], first["exit_price"], first["y"]) == (12.0, 14.5, 14.5 / 12 - 1)
    assert first["available_at"] == START + FIVE
    assert first["entry_time"] == START + 2 * FIVE
    assert first["t_end"] == START + 5 * FIVE
    assert labels["y"].notna().tolist() == [True] * 6 + [False] * 4
    assert labels["t_end"].isna().tolist() == [False] * 6 + [True] * 4
    assert create_target_regression(bars, 1, delay=0)["entry_price"].iloc[0] == 11.0


def test_kinds_of_return() -> None:
    bars = random_bars(50, 1)
    simple = create_target_regression(bars, 4)["y"]
    np.testing.assert_allclose(create_target_regression(bars, 4, kind="log")["y"], np.log1p(simple))
    volatility = pd.Series(0.02, index=bars.index)
    scaled = create_target_regression(bars, 4, kind="volatility_scaled", volatility=volatility)["y"]
    np.testing.assert_allclose(scaled, simple / 0.04)
    direction = create_target_classification(bars, 4, threshold=0.5, volatility=volatility)
    known = simple.notna()
    assert np.array_equal(direction["y"][known], np.sign(simple[known]) * (simple[known].abs() > 0.02))
    assert direction["y"][~known].isna().all()


@pytest.mark.parametrize("flag", [1.0, float("nan")], ids=["filled", "unknown"])
def test_labels_over_filled_or_unknown_bars_are_null(flag: float) -> None:
    bars = random_bars(20, 2)
    bars.iloc[10, bars.columns.get_loc("is_filled")] = flag
    null = create_target_regression(bars, 3)["y"].isna().to_numpy()
    # Rows 6..9 hold bar 10 or wait for their entry during it; the last four have no whole horizon.
    assert np.flatnonzero(null).tolist() == [6, 7, 8, 9, 16, 17, 18, 19]


def test_a_missing_bar_ends_every_horizon_that_meets_it() -> None:
    bars = random_bars(20, 3)
    null = create_target_regression(bars.drop(bars.index[10]), 3)["y"].isna()
    assert np.flatnonzero(null.reindex(bars.index, fill_value=False)).tolist() == [6, 7, 8, 9, 16, 17, 18, 19]


def test_a_delisting_ends_the_horizon_at_the_last_price_and_is_kept() -> None:
    bars = make_bars([(k, k + 0.9, k - 0.9, k + 0.5) for k in range(10, 20)])
    gone = {"SOL/USDT": (START + 10 * FIVE).to_pydatetime()}
    labels = create_target_regression(bars, 3, delisted=gone)
    assert labels["exit_price"].tolist()[5:8] == [19.5, 19.5, 19.5]
    assert labels["t_end"].iloc[7] == START + 10 * FIVE
    assert labels["y"].isna().tolist() == [False] * 8 + [True] * 2
    late = {"SOL/USDT": datetime(2027, 1, 1, tzinfo=UTC)}
    pd.testing.assert_frame_equal(
        create_target_regression(bars, 3, delisted=late), create_target_regression(bars, 3)
    )


def test_symbols_never_mix_and_the_order_of_rows_does_not_matter() -> None:
    one, two = random_bars(30, 4), random_bars(25, 5, symbol="ETH/USDT")
    both = create_target_regression(pd.concat([one, two]), 3)
    pd.testing.assert_frame_equal(both.loc[["SOL/USDT"]], create_target_regression(one, 3))
    pd.testing.assert_frame_equal(both.loc[["ETH/USDT"]], create_target_regression(two, 3))
    shuffled = pd.concat([one, two]).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(create_target_regression(shuffled, 3), both)


def test_what_comes_after_the_interval_changes_no_label() -> None:
    bars = random_bars(60, 6)
    changed = bars.copy()
    changed.iloc[40:, :4] *= 3.0
    for make in (
        lambda frame: create_target_regression(frame, 5),
        lambda frame: triple_barrier(frame, 5, upper=1, lower=1, volatility=0.01),
    ):
        before, after = make(bars), make(changed)
        unchanged = before["t_end"] <= START + 40 * FIVE
        pd.testing.assert_frame_equal(
            before[unchanged].drop(columns="weight"), after[unchanged].drop(columns="weight")
        )


def test_overlapping_labels_share_their_weight() -> None:
    labels = create_target_regression(random_bars(400, 7), 10)
    # Interval of 11 bars (one of delay), one label a bar.
    assert labels["weight"].iloc[100] == pytest.approx(1 / 11)
    assert labels["weight"].iloc[0] > labels["weight"].iloc[5] > 1 / 11
    assert labels["weight"].isna().equals(labels["y"].isna())
    alone = labels.iloc[::20]
    assert np.allclose(overlap_weights(alone)[alone["y"].notna()], 1.0)


def brute_barrier(
    bars: pd.DataFrame, row: int, horizon: int, up: float, down: float, side: int | None, timeout: str
) -> tuple[float, float, int] | None:
    """Label, exit price and last bar of one row, by the book."""
    opened, high, low, close = (bars[name].to_list() for name in ("open", "high", "low", "close"))
    entry = row + 2
    if entry + horizon > len(bars) or any(bars["is_filled"].to_numpy()[row + 1 : entry + horizon] != 0):
        return None
    start = opened[entry]
    top, bottom = (
        (start * (1 + up), start * (1 - down)) if side != -1 else (start * (1 + down), start * (1 - up))
    )
    sign = -1 if side == -1 else 1
    for bar in range(entry, entry + horizon):
        if opened[bar] >= top:
            return sign, opened[bar], bar
        if opened[bar] <= bottom:
            return -sign, opened[bar], bar
        if high[bar] >= top and low[bar] <= bottom:
            return None if side is None else (-1.0, bottom if side == 1 else top, bar)
        if high[bar] >= top:
            return sign, top, bar
        if low[bar] <= bottom:
            return -sign, bottom, bar
    last = entry + horizon - 1
    move = sign * (close[last] / start - 1)
    return float(np.sign(move)) if timeout == "sign" else 0.0, close[last], last


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    horizon=st.integers(1, 8),
    upper=st.floats(0.2, 3),
    lower=st.floats(0.2, 3),
    side=st.sampled_from([None, 1, -1]),
    timeout=st.sampled_from(["sign", "zero"]),
    holes=st.lists(st.integers(0, 39), max_size=3),
    wild=st.floats(0.002, 0.06),
)
def test_the_triple_barrier_agrees_with_a_loop(
    seed: int,
    horizon: int,
    upper: float,
    lower: float,
    side: int | None,
    timeout: str,
    holes: list[int],
    wild: float,
) -> None:
    bars = random_bars(40, seed, spread=wild)
    bars.iloc[holes, bars.columns.get_loc("is_filled")] = 1.0
    labels = triple_barrier(
        bars,
        horizon,
        upper=upper,
        lower=lower,
        volatility=0.01,
        side=side,
        timeout=timeout,  # type: ignore[arg-type]
    )
    unit = 0.01 * np.sqrt(horizon)
    for row in range(40):
        expected = brute_barrier(bars, row, horizon, upper * unit, lower * unit, side, timeout)
        got = labels.iloc[row]
        if expected is None:
            assert np.isnan(got["y"])
            assert pd.isna(got["t_end"])
            continue
        label, price, last = expected
        assert got["y"] == label
        assert got["exit_price"] == pytest.approx(price, rel=1e-12)
        assert got["t_end"] == START + (last + 1) * FIVE
        assert got["return"] == pytest.approx((side or 1) * (price / got["entry_price"] - 1), abs=1e-12)


def test_ties_gaps_and_delistings_at_the_barriers() -> None:
    quiet = (100.0, 100.1, 99.9, 100.0)
    both = (100.0, 103.0, 97.0, 100.0)
    gap = (104.0, 105.0, 90.0, 95.0)
    options = {"upper": 2, "lower": 2, "volatility": 0.01}

    def label(bars: pd.DataFrame, **more: object) -> pd.Series:
        return triple_barrier(bars, 1, **(options | more)).iloc[0]  # type: ignore[arg-type]

    assert np.isnan(label(make_bars([quiet, quiet, both, quiet]))["y"])
    assert label(make_bars([quiet, quiet, both, quiet]), side=1)[["y", "exit_price", "touch"]].tolist() == [
        -1,
        98,
        "lower",
    ]
    assert label(make_bars([quiet, quiet, both, quiet]), side=-1)[["y", "exit_price"]].tolist() == [-1, 102]
    two = triple_barrier(make_bars([quiet, quiet, quiet, gap]), 2, upper=1, lower=1, volatility=0.01).iloc[0]
    assert two[["y", "exit_price", "touch"]].tolist() == [1, 104.0, "upper"]
    gone = {"SOL/USDT": (START + 4 * FIVE).to_pydatetime()}
    last = triple_barrier(
        make_bars([quiet] * 3 + [(100, 100.2, 99.9, 100.1)]), 9, delisted=gone, **options
    ).iloc[1]  # type: ignore[arg-type]
    assert last[["y", "exit_price", "touch"]].tolist() == [1, 100.1, "timeout"]


def test_rows_without_a_side_or_a_volatility_have_no_label() -> None:
    bars = random_bars(20, 8)
    side = pd.Series([1, -1, 0, np.nan] * 5, index=bars.index)
    volatility = pd.Series([0.01] * 10 + [np.nan, 0.0] * 5, index=bars.index)
    labels = triple_barrier(bars, 2, upper=1, lower=1, volatility=volatility, side=side)
    expected = side.isin([1, -1]) & (volatility > 0) & (np.arange(20) < 17)
    assert labels["y"].notna().equals(expected)
    assert labels["touch"].notna().equals(expected)


def test_quantiles_are_learnt_from_the_training_rows_alone() -> None:
    labeler = QuantileLabeler((0.25, 0.75)).fit([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    assert labeler.thresholds_.tolist() == [2.0, 4.0]
    classes = labeler.transform([-100.0, 2.0, 3.0, 4.0, 100.0, np.nan])
    assert np.array_equal(classes, [0, 1, 1, 2, 2, np.nan], equal_nan=True)
    for wrong in ((), (0.5, 0.5), (0.0, 0.5), (0.5, 1.5)):
        with pytest.raises(ValueError, match="quantiles"):
            QuantileLabeler(wrong).fit([1.0])


def test_a_constant_long_pays_one_settlement_exactly_once() -> None:
    bars = random_bars(30, 9)
    at = START + 12 * FIVE
    settlements = pd.DataFrame(
        {"symbol": "SOL/USDT", "funding_time": [at], "funding_rate": [0.001], "mark_price": [123.0]}
    )
    rewards = rl_rewards(bars, 1.0, settlements, fee=0.0)
    paid = rewards["funding"].fillna(0)
    assert (paid != 0).sum() == 1
    row = rewards[paid != 0].iloc[0]
    assert row["entry_time"] < at <= row["t_end"]
    assert row["funding"] == pytest.approx(0.001 * 123.0 / bars["open"].iloc[11])
    short = rl_rewards(bars, -1.0, settlements, fee=0.0)["funding"]
    assert short.sum() == pytest.approx(-row["funding"])


def test_a_held_position_pays_fees_only_when_it_is_opened() -> None:
    rewards = rl_rewards(random_bars(30, 10), 1.0, NO_SETTLEMENTS, fee=0.001)
    assert rewards["fee"].dropna().round(15).tolist() == [0.001] + [0.0] * 26
    assert rewards["reward"].isna().tolist() == [False] * 27 + [True] * 3
    flipping = pd.Series([1.0, -1.0] * 15, index=rewards.index)
    flipped = rl_rewards(random_bars(30, 10), flipping, NO_SETTLEMENTS, fee=0.001)
    assert (flipped["fee"].dropna().iloc[1:] > 0.0019).all()


def test_following_the_last_return_of_a_random_walk_earns_minus_its_costs() -> None:
    rng = np.random.default_rng(11)
    count, fee = 60_000, 0.0005
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
    opened = np.r_[100.0, close[:-1]]
    bars = (
        make_bars([])
        if count == 0
        else pd.DataFrame(
            {
                "open": opened,
                "high": np.maximum(opened, close),
                "low": np.minimum(opened, close),
                "close": close,
            },
            index=pd.MultiIndex.from_product(
                [["SOL/USDT"], pd.date_range(START, periods=count, freq=FIVE)], names=["symbol", "time"]
            ),
        ).assign(is_filled=0.0)
    )
    policy = np.sign(bars["close"].pct_change())
    rewards = rl_rewards(bars, policy, NO_SETTLEMENTS, fee=fee).dropna(subset="reward")
    error = rewards["reward"].std() / np.sqrt(len(rewards))
    assert rewards["reward"].mean() == pytest.approx(-rewards["fee"].mean(), abs=3 * error)
    assert rewards["fee"].mean() == pytest.approx(fee, rel=0.05)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda bars: create_target_regression(bars, 0), "horizon"),
        (lambda bars: create_target_regression(bars.drop(columns="high"), 1), "no column high"),
        (lambda bars: create_target_regression(pd.concat([bars, bars]), 1), "twice"),
        (lambda bars: create_target_regression(bars.reset_index(drop=True), 1), "index"),
        (lambda bars: create_target_regression(bars, 1, kind="other"), "other"),
        (lambda bars: create_target_regression(bars, 1, kind="volatility_scaled"), "volatility is needed"),
        (lambda bars: create_target_classification(bars, 1, threshold=-1), "negative"),
        (lambda bars: triple_barrier(bars, 1, upper=0, lower=1, volatility=0.1), "no sense"),
        (lambda bars: triple_barrier(bars, 1, upper=1, lower=1, volatility=pd.Series([1.0])), "indexed"),
        (lambda bars: rl_rewards(bars, 1.0, NO_SETTLEMENTS, fee=-1), "negative"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[pd.DataFrame], object], words: str) -> None:
    with pytest.raises(TargetError, match=words):
        make(random_bars(10, 12))
