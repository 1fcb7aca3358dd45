"""Selectors: what is kept, why the rest goes, and what a choice may not be tested on."""

import sys
import warnings
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from ml.errors import UnknownFeatureError
from ml.registry import Feature, Registry
from ml.selection import (
    CorrelationFilter,
    FalseDiscoveryFilter,
    FeatureSelector,
    MissingExtraError,
    PermutationImportance,
    SelectionError,
    ShapImportance,
    TopFeatures,
    TreeImportance,
    select_top_features,
    stability,
)
from ml.selection.correlation import rank_correlations
from ml.selection.discovery import associations
from ml.splits import (
    CombinatorialPurgedCV,
    ForwardValidation,
    PurgedKFold,
    SelectionLeakError,
    WalkForward,
    time_series_split,
)
from ml.splits.intervals import SplitError

FIVE = pd.Timedelta(minutes=5)
START = pd.Timestamp("2026-02-01", tz="UTC")
QUICK = ("tree", "permutation", "discovery")

SMALL = DecisionTreeRegressor(max_depth=3, random_state=0)
_WEIGHTS = "check_sample_weight_equivalence_on_dense_data"


def make_labels(bars: int, horizon: int = 3, symbols: tuple[str, ...] = ("SOL/USDT",)) -> pd.DataFrame:
    times = pd.date_range(START, periods=bars, freq=FIVE)
    index = pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])
    known = index.get_level_values("time") + FIVE
    return pd.DataFrame({"available_at": known, "t_end": known + horizon * FIVE}, index=index)


def make_registry(names: list[str]) -> Registry:
    return Registry(tuple(Feature(name, "g", "ratio", "1", True, "made up") for name in names))


def planted(
    bars: int, noise: int, *, seed: int = 0, horizon: int = 3
) -> tuple[pd.DataFrame, pd.DataFrame, Registry]:
    """Noise, one column that tells something of the label, and nearly a copy of it."""
    rng = np.random.default_rng(seed)
    labels = make_labels(bars, horizon, ("BTC/USDT", "SOL/USDT"))
    signal = rng.normal(size=len(labels))
    y = np.where(signal + rng.normal(0, 1.2, len(labels)) > 0, 1.0, -1.0)
    frame = pd.DataFrame(
        rng.normal(size=(len(labels), noise)),
        index=labels.index,
        columns=[f"noise_{k}" for k in range(noise)],
    )
    frame["copy"] = signal + rng.normal(0, 0.2, len(labels))
    frame["signal"] = signal
    return frame, labels.assign(y=y), make_registry(list(frame.columns))


@pytest.mark.parametrize(
    ("selector", "exempt"),
    [(CorrelationFilter(), {}), (FalseDiscoveryFilter(), {}), (TreeImportance(estimator=SMALL), {})],
    ids=["correlation", "discovery", "tree"],
)
@pytest.mark.filterwarnings("ignore")
def test_the_selectors_pass_scikit_learns_own_checks(
    selector: FeatureSelector, exempt: dict[str, str]
) -> None:
    results = check_estimator(selector, expected_failed_checks=exempt, on_skip=None)
    assert len(results) > 40
    # What is left out needs another array library, or is named above with its reason.
    assert {one["check_name"] for one in results if one["status"] != "passed"} <= {
        "check_array_api_input",
        *exempt,
    }


@pytest.mark.proof
@pytest.mark.parametrize(
    "selector",
    [TreeImportance(), ShapImportance(), PermutationImportance(), TopFeatures()],
    ids=["tree", "shap", "permutation", "top"],
)
@pytest.mark.filterwarnings("ignore")
def test_the_selectors_pass_scikit_learns_own_checks_with_their_own_trees(selector: FeatureSelector) -> None:
    in_part = isinstance(selector, (ShapImportance, PermutationImportance))
    exempt = {_WEIGHTS: "leaves are shares of rows, validation rows are not weighted"} if in_part else {}
    results = check_estimator(selector, expected_failed_checks=exempt, on_skip=None)
    assert {one["status"] for one in results} <= {"passed", "skipped", "xfail"}


def test_rank_correlations_agree_with_pandas_and_count_known_pairs_only() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 6))
    values[:, 3] = np.round(values[:, 0] + values[:, 3], 1)  # ties
    expected = pd.DataFrame(values).corr(method="spearman").to_numpy()
    np.testing.assert_allclose(rank_correlations(values), expected, atol=1e-12)
    holes = values.copy()
    holes[rng.random(300) < 0.3] = np.nan  # whole rows: ranks within pairs are those within columns
    expected = pd.DataFrame(holes).corr(method="spearman").to_numpy()
    np.testing.assert_allclose(rank_correlations(holes), expected, atol=1e-12)
    never = np.column_stack([values[:, :1], np.full(300, 4.0), np.full(300, np.nan)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(rank_correlations(never)[0, 1:]).all()


def test_of_a_correlated_pair_the_better_one_stays_and_stands_for_the_other() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=500)
    good = y + rng.normal(0, 1, 500)
    X = pd.DataFrame({"worse": good + rng.normal(0, 0.3, 500), "good": good, "other": rng.normal(size=500)})  # noqa: N806
    selector = CorrelationFilter(0.8).fit(X, y)
    assert selector.get_feature_names_out().tolist() == ["good", "other"]
    assert selector.clusters_ == {"good": ("worse",), "other": ()}
    assert "with good, which is the better one" in selector.reasons_["worse"]
    assert selector.transform(X).index.equals(X.index)
    # Order of the columns does not decide.
    assert CorrelationFilter(0.8).fit(X[["good", "other", "worse"]], y).clusters_ == selector.clusters_


def test_columns_that_nothing_can_be_said_of_go_with_a_reason() -> None:
    X = pd.DataFrame({"flat": 1.0, "never": np.nan, "fine": np.arange(50.0), "seldom": np.nan})  # noqa: N806
    X.loc[:4, "seldom"] = np.arange(5.0)
    top = TopFeatures(2, methods=("tree",), least_known=0.5).fit(X, np.arange(50) % 2)
    assert top.get_feature_names_out().tolist() == ["fine"]
    assert top.reasons_ == {
        "flat": "never changes in the training rows",
        "never": "never known in the training rows",
        "seldom": "known in 10% of the training rows, 50% are asked for",
    }


def test_a_usual_test_calls_overlapping_noise_significant_and_this_one_does_not() -> None:
    horizon, bars = 48, 288 * 30
    labels = make_labels(bars, horizon)
    blocks = (labels["available_at"].astype("int64") // (86_400 * 10**6)).to_numpy()
    usual, ours = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        walk = np.cumsum(rng.normal(size=bars + horizon))
        y = walk[horizon:] - walk[:-horizon]
        steps = rng.normal(size=(bars + 100, 25))
        slow = np.cumsum(steps, axis=0)
        features = slow[100:] - slow[:-100]
        usual += [stats.spearmanr(column, y).pvalue for column in features.T]
        ours += associations(features, y, blocks).p_value.tolist()
    assert np.mean(np.array(usual) < 0.05) > 0.5
    # 100 tests, of which 5 fall below 0.05 by chance; 13 would be one in 3,000.
    assert np.sum(np.array(ours) < 0.05) < 13
    assert 0.3 < np.median(ours) < 0.7


def test_symbols_that_move_together_do_not_count_twice() -> None:
    rng = np.random.default_rng(5)
    days, bars = 40, 288
    y, x = rng.normal(size=days * bars), rng.normal(size=(days * bars, 1))
    blocks = np.repeat(np.arange(days), bars)
    once = associations(x, y, blocks)
    thrice = associations(np.tile(x, (3, 1)), np.tile(y, 3), np.tile(blocks, 3))
    assert thrice.p_value[0] == pytest.approx(once.p_value[0], rel=1e-6)
    for found in (once, thrice):
        assert found.rows[0] == pytest.approx(days * bars, rel=0.6)


def test_the_discovery_filter_finds_the_planted_features_and_says_why_noise_goes() -> None:
    frame, target, _ = planted(288 * 12, 40)
    labels = target[["available_at", "t_end"]]
    selector = FalseDiscoveryFilter(0.05, labels=labels).fit(frame, target["y"])
    kept = set(selector.get_feature_names_out())
    assert {"signal", "copy"} <= kept
    assert len(kept) <= 4
    reason = next(iter(selector.reasons_.values()))
    assert "effective of 6912 rows" in reason
    with pytest.raises(SelectionError, match="labels are needed"):
        FalseDiscoveryFilter().fit(frame, target["y"])


def test_stability_is_kunchevas_index_for_two_choices_of_one_size() -> None:
    features, size, shared = 20, 6, 4
    one, two = np.zeros(features), np.zeros(features)
    one[:size], two[size - shared : 2 * size - shared] = 1, 1
    expected = (shared * features - size**2) / (size * (features - size))
    assert stability([one, two]) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    lots = [rng.permutation(200) < 20 for _ in range(100)]
    assert abs(stability(lots)) < 0.02
    with pytest.raises(SelectionError, match="two folds"):
        stability([one])


def test_a_planted_signal_is_ranked_first_and_every_dropped_feature_has_a_reason() -> None:
    frame, target, registry = planted(1000, 20)
    frame["y_as_feature"] = target["y"]
    target = target.copy()
    target.iloc[::50, target.columns.get_loc("t_end")] = pd.NaT
    selection = select_top_features(frame, target, n_features=5, registry=registry, methods=QUICK, n_splits=2)
    assert selection.names[0] == "signal"
    assert len(selection) == 5
    assert selection.reasons["y_as_feature"] == "not a feature of the registry"
    assert "with signal, which is the better one" in selection.reasons["copy"]
    assert set(selection.reasons) == set(frame.columns) - set(selection)
    assert selection.table.loc["signal", "p_value"] < 1e-6
    assert selection.table.loc["signal", "chosen"] == 1
    assert selection.stability < 0.9
    known = target[target["t_end"].notna()]
    assert selection.seen == (known["available_at"].min(), known["t_end"].max())


def test_splitters_refuse_to_test_on_what_a_selection_has_seen() -> None:
    frame, target, registry = planted(288 * 4, 5)
    labels = target[["available_at", "t_end"]]
    early = frame.index.get_level_values("time") < START + timedelta(days=2)
    selection = select_top_features(
        frame[early], target[early], n_features=3, registry=registry, methods=("tree",), n_splits=1
    )
    chosen = selection.of(frame)
    for refused in (
        PurgedKFold(labels, n_splits=4, embargo=timedelta(0)),
        CombinatorialPurgedCV(labels, n_folds=4, n_test_folds=1, embargo=timedelta(0)),
        WalkForward(labels, train_size=timedelta(days=1), test_size=timedelta(hours=12)),
        ForwardValidation(labels, n_splits=1, test_share=0.6),
    ):
        with pytest.raises(SelectionLeakError, match="select inside the fold"):
            list(refused.split(chosen))
        assert list(refused.split(frame[list(selection)]))  # the mark is on the frame, not on the names
    with pytest.raises(SelectionLeakError):
        time_series_split(chosen, labels=labels, fractions=(0.4, 0.0, 0.6))
    after = WalkForward(labels, train_size=timedelta(days=2, hours=1), test_size=timedelta(days=1))
    assert len(list(after.split(chosen))) == 1
    # What is chosen from a chosen frame has seen both.
    again = select_top_features(
        chosen[~early], target[~early], n_features=1, registry=registry, methods=("tree",), n_splits=1
    )
    assert again.seen.first == selection.seen.first


def test_what_no_honest_choice_can_be_made_of_is_refused() -> None:
    frame, target, registry = planted(400, 3)
    with pytest.raises(SelectionError, match="y, available_at and t_end"):
        select_top_features(frame, target["y"], registry=registry)  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match="nobody says"):
        select_top_features(frame, target)
    with pytest.raises(SelectionError, match="lacks rows"):
        select_top_features(frame, target.iloc[5:], registry=registry)
    with pytest.raises(SelectionError, match="no row has a label"):
        select_top_features(frame, target.assign(y=np.nan), registry=registry)
    with pytest.raises(UnknownFeatureError, match="no column"):
        select_top_features(frame, target, registry=make_registry(["else"]))
    with pytest.raises(SelectionError, match="methods must be"):
        select_top_features(frame, target, registry=registry, methods=("magic",))
    with pytest.raises(SelectionError, match="cv is needed"):
        PermutationImportance().fit(frame, target["y"])
    for wrong in (0, -1, 1.5):
        with pytest.raises(SelectionError, match="n_features"):
            TreeImportance(wrong).fit(frame.to_numpy(), target["y"])


def test_without_shap_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    frame, target, registry = planted(400, 3)
    with pytest.raises(MissingExtraError, match=r"pip install -e '.\[ml\]', or leave shap out"):
        select_top_features(frame, target, registry=registry)


def test_shap_and_permutation_find_the_planted_signal_on_rows_the_model_never_saw() -> None:
    frame, target, _ = planted(900, 12)
    labels = target[["available_at", "t_end"]]
    frame = frame.drop(columns="copy")
    for kind in (ShapImportance, PermutationImportance):
        selector = kind(3, cv=ForwardValidation(labels, test_share=0.3)).fit(frame, target["y"])
        assert selector.feature_names_in_[np.argmax(selector.scores_)] == "signal"
        noise = np.delete(selector.scores_, list(frame.columns).index("signal"))
        assert np.abs(noise).max() < selector.scores_.max() / 3


def test_forward_validation_trains_on_all_before_and_is_purged() -> None:
    labels = make_labels(100, horizon=4)
    splits = list(ForwardValidation(labels, n_splits=2, test_share=0.2).split(labels))
    assert [(test[0], test[-1]) for _, test in splits] == [(60, 79), (80, 99)]
    # The label of row r ends at r + 5 bars after the first open; the test acts from row 60 on.
    assert [train[-1] for train, _ in splits] == [55, 75]
    with pytest.raises(SplitError, match="nothing to train"):
        ForwardValidation(labels, n_splits=5, test_share=0.2)


@pytest.mark.proof
def test_selectors_work_inside_scikit_learn() -> None:
    frame, target, _ = planted(700, 8)
    labels = target[["available_at", "t_end"]]
    top = TopFeatures(4, labels=labels, cv=ForwardValidation(labels), methods=QUICK)
    model = make_pipeline(top, LogisticRegression())
    outer = PurgedKFold(labels, n_splits=3, embargo=timedelta(0))
    scores = cross_val_score(clone(model), frame, target["y"], cv=outer, scoring="roc_auc")
    assert scores.min() > 0.7
    search = GridSearchCV(
        make_pipeline(CorrelationFilter(), TreeImportance(4), LogisticRegression()),
        {"treeimportance__n_features": [1, 4], "correlationfilter__threshold": [0.9]},
        cv=outer,
    )
    best = search.fit(frame, target["y"]).best_estimator_
    assert "signal" in best[:-1].get_feature_names_out()
    assert (
        clone(best).get_params()["treeimportance__n_features"]
        == best.get_params()["treeimportance__n_features"]
    )
