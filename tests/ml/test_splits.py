"""Splitters: nothing of the test leaks into the training, on any panel."""

from datetime import timedelta
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import skfolio.model_selection as skfolio
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ml.errors import MlError, UnknownFeatureError
from ml.registry import Feature, Registry
from ml.splits import (
    CombinatorialPurgedCV,
    ExpandingWindow,
    PurgedKFold,
    WalkForward,
    longest_lookback,
    lookback,
    time_series_split,
)
from ml.splits.intervals import SplitError

FIVE = pd.Timedelta(minutes=5)
START = pd.Timestamp("2026-02-01", tz="UTC")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def make_labels(bars: int, horizon: int = 3, symbols: tuple[str, ...] = ("SOL/USDT",)) -> pd.DataFrame:
    times = pd.date_range(START, periods=bars, freq=FIVE)
    index = pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])
    known = index.get_level_values("time") + FIVE
    return pd.DataFrame({"available_at": known, "t_end": known + horizon * FIVE}, index=index)


@st.composite
def panels(draw: st.DrawFn) -> pd.DataFrame:
    """Labels of symbols that begin and end at different times, with holes, odd horizons and null labels."""
    parts = []
    for symbol in draw(st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=3, unique=True)):
        first, bars = draw(st.integers(0, 40)), draw(st.integers(30, 120))
        part = make_labels(bars, 1, (symbol,))
        shift = first * FIVE
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        part["available_at"] += shift
        part["t_end"] = part["available_at"] + pd.to_timedelta(5 * rng.integers(1, 20, bars), unit="min")
        part.index = part.index.set_levels(part.index.levels[1] + shift, level=1)
        part = part[rng.random(bars) > draw(st.sampled_from([0.0, 0.2, 0.6]))].copy()
        part.loc[rng.random(len(part)) < 0.1, "t_end"] = pd.NaT
        parts.append(part)
    labels = pd.concat(parts)
    return labels.sample(frac=1, random_state=draw(st.integers(0, 100)))


def check_split(labels: pd.DataFrame, train: np.ndarray, tests: list[np.ndarray], embargo: timedelta) -> None:
    """No training label touches a test block, and none acts within the embargo after one."""
    rows = labels.iloc[train]
    assert rows["t_end"].notna().all()
    for test in tests:
        block = labels.iloc[test]
        first, last = block["available_at"].min(), block["t_end"].max()
        assert not ((rows["t_end"] >= first) & (rows["available_at"] <= last)).any()
        assert not rows["available_at"].between(last, last + embargo).any()
    assert not set(train) & set(np.concatenate(tests))


@settings(max_examples=60, deadline=None)
@given(labels=panels(), folds=st.integers(2, 5), minutes=st.sampled_from([0, 5, 60]))
def test_purged_k_fold_keeps_every_training_label_away_from_the_test(
    labels: pd.DataFrame, folds: int, minutes: int
) -> None:
    embargo = timedelta(minutes=minutes)
    splitter = PurgedKFold(labels, n_splits=folds, embargo=embargo)
    try:
        splits = list(splitter.split(labels))
    except SplitError:
        assume(False)
    assert len(splits) == splitter.get_n_splits(labels)
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested) == np.flatnonzero(labels["t_end"].notna()).tolist()
    for train, test in splits:
        check_split(labels, train, [test], embargo)


@settings(max_examples=40, deadline=None)
@given(labels=panels(), folds=st.integers(3, 6), chosen=st.integers(1, 2))
def test_combinatorial_splits_keep_away_from_every_block(
    labels: pd.DataFrame, folds: int, chosen: int
) -> None:
    embargo = timedelta(minutes=30)
    splitter = CombinatorialPurgedCV(labels, n_folds=folds, n_test_folds=chosen, embargo=embargo)
    alone = PurgedKFold(labels, n_splits=folds, embargo=timedelta(0))
    try:
        single = [test for _, test in alone.split(labels)]
        splits = list(splitter.split(labels))
    except SplitError:
        assume(False)
    assert splitter.test_folds() == list(combinations(range(folds), chosen))
    for (train, test), numbers in zip(splits, splitter.test_folds(), strict=True):
        assert sorted(test) == sorted(np.concatenate([single[number] for number in numbers]))
        blocks: list[list[int]] = []
        for number in numbers:
            blocks = (
                [*blocks[:-1], [*blocks[-1], number]]
                if blocks and blocks[-1][-1] == number - 1
                else [*blocks, [number]]
            )
        check_split(labels, train, [np.concatenate([single[k] for k in block]) for block in blocks], embargo)


@settings(max_examples=60, deadline=None)
@given(labels=panels(), train=st.integers(60, 200), test=st.integers(20, 80), expanding=st.booleans())
def test_walking_forward_trains_on_the_past_only(
    labels: pd.DataFrame, train: int, test: int, *, expanding: bool
) -> None:
    make = ExpandingWindow if expanding else WalkForward
    splitter = make(labels, train_size=timedelta(minutes=train), test_size=timedelta(minutes=test))
    try:
        splits = list(splitter.split(labels))
    except SplitError:
        assume(False)
    for fitted, tested in splits:
        check_split(labels, fitted, [tested], timedelta(0))
        assert labels["t_end"].iloc[fitted].max() < labels["available_at"].iloc[tested].min()


def test_purged_k_fold_gives_the_expected_rows() -> None:
    labels = make_labels(30, horizon=3)
    splits = list(PurgedKFold(labels, n_splits=3, embargo=10 * FIVE.to_pytimedelta()).split(labels))
    # Test 10..19 looks at bars up to the end of row 22's start: rows 7..9 and 20..22 meet it, 23..32 wait.
    assert [train.tolist() for train, _ in splits] == [
        list(range(23, 30)),
        list(range(7)),
        list(range(17)),
    ]
    assert [(test[0], test[-1]) for _, test in splits] == [(0, 9), (10, 19), (20, 29)]


def test_walk_forward_gives_the_expected_dates() -> None:
    labels = make_labels(10 * 288, horizon=12)
    walk = WalkForward(labels, train_size=4 * DAY, test_size=2 * DAY)
    found = [(labels.iloc[train], labels.iloc[test]) for train, test in walk.split(labels)]
    assert [test["available_at"].iloc[0].day for _, test in found] == [5, 7, 9]
    assert [len(test) for _, test in found] == [576, 576, 576]
    assert [train["available_at"].iloc[0].day for train, _ in found] == [1, 3, 5]
    # The last label of an hour ends before the test begins: 12 rows fewer, and the one that would touch.
    assert [len(train) for train, _ in found] == [4 * 288 - 12] * 3
    grow = ExpandingWindow(labels, train_size=4 * DAY, test_size=2 * DAY)
    assert [len(train) for train, _ in grow.split(labels)] == [days * 288 - 12 for days in (4, 6, 8)]
    assert walk.get_n_splits(labels) == 3
    assert WalkForward(labels, train_size=4 * DAY, test_size=2 * DAY, step=DAY).get_n_splits(labels) == 5


def test_all_symbols_are_cut_at_the_same_instants() -> None:
    late = make_labels(100, symbols=("ETH/USDT",))
    labels = pd.concat([make_labels(300, symbols=("SOL/USDT",)), late])
    train, validation, test = time_series_split(labels, labels=labels)
    times = labels["available_at"]
    assert (
        times.iloc[train].max()
        < times.iloc[validation].min()
        <= times.iloc[validation].max()
        < times.iloc[test].min()
    )
    # Cut by rows, the shorter symbol would be tested at times that the longer one trains on.
    assert set(labels.index[test].get_level_values("symbol")) == {"SOL/USDT"}


def test_a_time_series_split_without_labels_or_horizon_is_refused() -> None:
    labels = make_labels(100)
    with pytest.raises(SplitError, match="labels or a horizon"):
        time_series_split(labels)
    by_horizon = time_series_split(labels[[]], horizon=2, delay=1)
    for one, other in zip(by_horizon, time_series_split(labels, labels=make_labels(100, 3)), strict=True):
        assert one.tolist() == other.tolist()
    assert len(time_series_split(labels, labels=labels, fractions=(0.8, 0.0, 0.2)).validation) == 0
    for fractions in ((0.5, 0.2, 0.2), (1.0, 0.0, 0.0), (0.9, -0.1, 0.2)):
        with pytest.raises(SplitError, match="fractions"):
            time_series_split(labels, labels=labels, fractions=fractions)


def test_rows_that_cannot_be_looked_up_are_refused() -> None:
    labels = make_labels(60)
    splitter = PurgedKFold(labels, n_splits=3, embargo=timedelta(0))
    for X, words in (  # noqa: N806
        (labels.to_numpy(), "DataFrame"),
        (labels.reset_index(drop=True), "indexed by"),
        (make_labels(61), "1 rows of X are not among the labels"),
    ):
        with pytest.raises(SplitError, match=words):
            list(splitter.split(X))
    with pytest.raises(SplitError, match="repeat"):
        list(PurgedKFold(pd.concat([labels, labels]), embargo=timedelta(0)).split(labels))
    with pytest.raises(SplitError, match="labels are needed"):
        list(PurgedKFold(None, embargo=timedelta(0)).split(labels))  # type: ignore[arg-type]


def test_a_part_of_the_rows_in_another_order_is_looked_up_by_index() -> None:
    labels = make_labels(90)
    part = labels.iloc[::2].sample(frac=1, random_state=3)
    for train, test in PurgedKFold(labels, n_splits=3, embargo=timedelta(0)).split(part):
        check_split(part, train, [test], timedelta(0))


@pytest.mark.parametrize(
    ("folds", "chosen", "purge", "embargo"), [(6, 2, 0, 0), (6, 2, 3, 0), (5, 3, 2, 4), (8, 2, 5, 7)]
)
def test_combinatorial_splits_agree_with_skfolio_where_rows_are_times(
    folds: int, chosen: int, purge: int, embargo: int
) -> None:
    """One symbol without holes: there counting rows, as skfolio does, and counting time are one."""
    theirs = skfolio.CombinatorialPurgedCV(
        n_folds=folds, n_test_folds=chosen, purged_size=purge, embargo_size=embargo
    )
    bars = 40 * folds
    # Touching counts as meeting, so a label that is p bars long meets the p rows on each side.
    labels = make_labels(bars, purge)
    ours = CombinatorialPurgedCV(
        labels, n_folds=folds, n_test_folds=chosen, embargo=embargo * FIVE.to_pytimedelta()
    )
    assert ours.n_paths == theirs.n_test_paths
    assert ours.get_n_splits() == theirs.n_splits
    for (train, test), (their_train, their_tests) in zip(
        ours.split(labels), theirs.split(np.zeros((bars, 1))), strict=True
    ):
        assert test.tolist() == np.concatenate(their_tests).tolist()
        assert train.tolist() == np.asarray(their_train).tolist()


def test_combinatorial_paths_use_each_fold_once_a_path() -> None:
    cv = CombinatorialPurgedCV(make_labels(60), n_folds=6, n_test_folds=2)
    paths = cv.path_splits()
    assert paths.shape == (cv.n_paths, 6) == (5, 6)
    for path in paths:
        for fold, split in enumerate(path):
            assert fold in cv.test_folds()[split]
    assert len({(split, fold) for path in paths for fold, split in enumerate(path)}) == 30


REGISTRY = Registry(
    tuple(
        Feature(name, "g", "ratio", warmup, True, formula)
        for name, warmup, formula in (
            ("return_1", "1", "close / lag(close;1) - 1"),
            ("rsi_14_1h", "15 x 1h", "rsi(14) on the 1h bars"),
            ("funding_zscore", "11 settlements", "r8 over the settlements with known_at in (A - 30 d; A]"),
            ("funding_percentile", "11 settlements", "count over the same settlements"),
            ("funding_extreme", "11 settlements", "1 when funding_percentile >= 0.95"),
            ("beta", "288", "covar(return_1; x;288)"),
            ("residual", "300", "return - lag(beta;12)"),
        )
    )
)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("return_1", timedelta(minutes=10)),
        ("rsi_14_1h", 15 * HOUR),
        ("funding_zscore", 30 * DAY),
        ("funding_percentile", 30 * DAY),
        ("funding_extreme", 30 * DAY),
        ("beta", 289 * timedelta(minutes=5)),
        ("residual", 589 * timedelta(minutes=5)),
    ],
)
def test_look_back_follows_warm_up_named_durations_and_other_features(name: str, least: timedelta) -> None:
    feature = next(one for one in REGISTRY.features if one.name == name)
    assert least <= lookback(feature, REGISTRY) <= 4 * least


def test_a_warm_up_that_is_not_understood_is_refused() -> None:
    for text in ("a while", "", "3 moons", "2 settlements and more", "12 bars"):
        odd = Feature("odd", "g", "ratio", text, True, "made up")
        with pytest.raises(MlError, match="feature odd: warm-up"):
            lookback(odd, Registry((odd,)))
    for text, length in (
        ("2 settlements + 24 h", 40 * HOUR),
        ("3 x 4h", 12 * HOUR),
        ("12 + 7 d", 7 * DAY + HOUR),
    ):
        plain = Feature("plain", "g", "ratio", text, True, "made up")
        assert lookback(plain, Registry((plain,))) == length + FIVE
    named = Feature("named", "g", "ratio", "5", True, "the sum over the last 7 days")
    assert lookback(named, Registry((named,))) == 7 * DAY


def test_the_embargo_defaults_to_the_longest_look_back_of_the_features_used() -> None:
    labels = make_labels(60)
    X = pd.DataFrame({"return_1": 0.0, "rsi_14_1h": 0.0}, index=labels.index)  # noqa: N806
    longest = longest_lookback(X.columns, REGISTRY)
    by_default = PurgedKFold(labels, n_splits=3, registry=REGISTRY)
    given_one = PurgedKFold(labels, n_splits=3, embargo=longest)
    for one, other in zip(by_default.split(X), given_one.split(X), strict=True):
        assert one[0].tolist() == other[0].tolist()
    with pytest.raises(SplitError, match="embargo"):
        list(PurgedKFold(labels, n_splits=3).split(X))
    with pytest.raises(UnknownFeatureError, match="mine"):
        list(by_default.split(X.assign(mine=1.0)))


def test_they_work_inside_scikit_learn() -> None:
    labels = make_labels(600)
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 3)), columns=list("abc"), index=labels.index)  # noqa: N806
    y = pd.Series((X["a"] + rng.normal(size=600) > 0).astype(int), index=labels.index)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    for cv in (
        PurgedKFold(labels, n_splits=4, embargo=timedelta(0)),
        CombinatorialPurgedCV(labels, n_folds=4, n_test_folds=2, embargo=timedelta(0)),
        WalkForward(labels, train_size=DAY, test_size=8 * HOUR),
    ):
        scores = cross_val_score(model, X, y, cv=cv, scoring="roc_auc")
        assert len(scores) == cv.get_n_splits(X)
        assert scores.mean() > 0.6
    inner = PurgedKFold(labels, n_splits=3, embargo=timedelta(0))
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=inner)
    nested = cross_val_score(clone(search), X, y, cv=PurgedKFold(labels, n_splits=3, embargo=timedelta(0)))
    assert np.isfinite(nested).all()


@pytest.mark.proof
def test_without_the_purge_overlapping_labels_flatter_a_level_feature() -> None:
    def score(labels: pd.DataFrame, level: pd.DataFrame, y: pd.Series) -> float:
        cv = PurgedKFold(labels, n_splits=10, embargo=timedelta(0))
        model = KNeighborsClassifier(25)
        return float(
            np.mean(
                [
                    model.fit(level.iloc[a], y.iloc[a]).score(level.iloc[b], y.iloc[b])
                    for a, b in cv.split(level)
                ]
            )
        )

    purged = make_labels(3000, horizon=288)
    unpurged = purged.assign(t_end=purged["available_at"])
    rises = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        walk = np.cumsum(rng.normal(size=3000 + 288))
        y = pd.Series((walk[288:] > walk[:-288]).astype(int), index=purged.index)
        level = pd.DataFrame({"level": np.cumsum(rng.normal(size=3000))}, index=purged.index)
        rises.append(score(unpurged, level, y) - score(purged, level, y))
    assert np.mean(rises) > 3 * np.std(rises, ddof=1) / np.sqrt(len(rises))
