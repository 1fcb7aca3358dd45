"""The comparison itself: what it accepts, and what it must notice."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .compare import assert_equal
from .examples import START, klines
from .raw import COLUMNS
from .twin import Twin, compute_features, compute_twin


@pytest.fixture(scope="module")
def twin() -> Twin:
    closes = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, 320)))
    return compute_twin({"ohlcv": klines(closes.tolist())}, benchmark="SOL/USDT")


def test_catalogue_is_complete_and_in_order(shared_data: Path) -> None:
    catalogue = shared_data.parent / "feature_catalogue.csv"
    if not catalogue.exists():
        pytest.skip(f"{catalogue} is absent")
    names = pd.read_csv(catalogue)["feature"].tolist()
    assert list(compute_features({"ohlcv": klines([1.0, 2.0])})) == names
    assert len(names) == 170


def test_raw_tables_without_rows_leave_everything_unknown_but_prices_and_time() -> None:
    empty = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    got = compute_features({**empty, "ohlcv": klines([1.0, 2.0])})
    assert got.filter(regex="^(oi_|funding_|ls_|book_|liq)").isna().all().all()
    assert got["return_1"].tolist()[1] == 1


def test_same_build_is_equal(twin: Twin) -> None:
    report = assert_equal(twin.features.reset_index().sample(frac=1, random_state=1), twin)
    assert report["worst"].max() == 0
    assert len(report) == 170


def test_difference_beyond_the_tolerance_is_named(twin: Twin) -> None:
    actual = twin.features.copy()
    actual.iloc[300, actual.columns.get_loc("sma_20")] *= 1 + 3e-9
    with pytest.raises(AssertionError, match=r"1 features differ(?s:.*)sma_20"):
        assert_equal(actual, twin)
    assert_equal(actual, twin, allowances={"sma_20": 1e-8})


def test_difference_within_the_scale_of_its_addends_is_none(twin: Twin) -> None:
    actual = twin.features.copy()
    actual["macd"] += 5e-10 * 90  # about 100 is subtracted from about 100
    actual["return_1"] += 5e-10
    assert_equal(actual, twin)


def test_null_against_a_value_is_a_difference(twin: Twin) -> None:
    actual = twin.features.copy()
    actual.iloc[300, actual.columns.get_loc("sma_20")] = np.nan
    with pytest.raises(AssertionError, match="sma_20"):
        assert_equal(actual, twin)


def test_other_rows_are_a_difference(twin: Twin) -> None:
    with pytest.raises(AssertionError, match="1 rows are absent"):
        assert_equal(twin.features.iloc[1:], twin)
    with pytest.raises(AssertionError, match="twice"):
        assert_equal(pd.concat([twin.features, twin.features.iloc[:1]]), twin)


def test_absent_feature_is_a_difference(twin: Twin) -> None:
    with pytest.raises(AssertionError, match=r"absent.*adx"):
        assert_equal(twin.features.drop(columns="adx"), twin)


def test_value_at_its_threshold_is_left_out(twin: Twin) -> None:
    marks = twin.undecided.copy()
    marks["oi_quadrant"] = marks.index.get_level_values("time") == START
    features = twin.features.assign(oi_quadrant=1.0)
    actual = features.copy()
    actual.iloc[0, actual.columns.get_loc("oi_quadrant")] = 2.0
    expected = twin._replace(features=features, undecided=marks)
    assert assert_equal(actual, expected).loc["oi_quadrant", "undecided"] == 1
