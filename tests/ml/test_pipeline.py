"""Experiments: no score out of nothing, no trace of the test in the training, costs counted once."""

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from ml.pipeline import Configuration, Dataset, Evaluation, Experiment, ExperimentError, walk_forward
from ml.pipeline.backtest import account, held_positions
from ml.pipeline.dataset import direction_labels
from ml.pipeline.fold import Calibration
from ml.pipeline.scores import Interval, auc, bootstrapped, day_blocks, population_stability, reliability
from ml.report import summarize, write_experiment
from ml.selection import TreeImportance
from ml.splits import WalkForward
from tests.ml.experiment import (
    FIVE,
    NO_SETTLEMENTS,
    SMALL,
    START,
    make_dataset,
    noise_features,
    own_features,
    random_walk,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small fits are slower on several threads, above all when tests run side by side."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def evaluated() -> Evaluation:
    """An experiment with a planted signal."""
    return walk_forward(planted(), SMALL)


def pooled_auc(evaluation: Evaluation) -> float:
    return summarize(evaluation, draws=2).auc


def null_scores(seeds: range, bars: int, *, own: bool) -> list[float]:
    found = []
    for seed in seeds:
        prices = random_walk(bars, seed)
        features = own_features(prices) if own else noise_features(prices, 10, seed)
        found.append(pooled_auc(walk_forward(make_dataset(prices, features), SMALL)))
    return found


def within_three_errors(scores: list[float]) -> bool:
    return bool(abs(np.mean(scores) - 0.5) < 3 * np.std(scores, ddof=1) / np.sqrt(len(scores)))


def test_a_random_walk_gives_no_score() -> None:
    assert within_three_errors(null_scores(range(4), 288 * 3, own=False))


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("own", [False, True], ids=["another market's features", "its own features"])
def test_twenty_random_walks_give_no_score(*, own: bool) -> None:
    """With features of the walk's own past too: a leak of prices would show there."""
    assert within_three_errors(null_scores(range(20), 288 * 3, own=own))


def planted(seed: int = 0, bars: int = 288 * 4) -> Dataset:
    prices = random_walk(bars, seed)
    features = noise_features(prices, 12, seed)
    ahead = direction_labels(make_dataset(prices, features), SMALL.horizon)["return"]
    rng = np.random.default_rng(seed)
    features["return_1"] = noise_features(prices, 2, seed + 1).iloc[:, 1]
    features["signal"] = ahead.fillna(0) / 0.0025 + rng.normal(0, 1.5, len(features))
    return make_dataset(prices, features)


def test_a_planted_signal_is_found_ranked_first_and_better_than_the_baseline(
    evaluated: Evaluation,
) -> None:
    for fold in evaluated.folds:
        assert fold.fitted.selection.names[0] == "signal"
        assert fold.auc > 0.6 > fold.baseline_auc
        assert fold.log_loss < fold.prior_log_loss
        assert not fold.seen_test
        assert set(fold.fitted.losses) == set(SMALL.configurations)
        assert fold.fitted.losses[fold.fitted.configuration] == min(fold.fitted.losses.values())
        # Everything was fitted before the test.
        assert fold.fitted.selection.seen.last < fold.test.first
        assert fold.fitted.weights.index.get_level_values("time").max() < fold.test.first
    summary = summarize(evaluated)
    assert summary.auc_gain.low > 0
    assert summary.verdict.startswith("Better than the baseline: AUC 0.")
    assert evaluated.accounts["model"]["gain"].sum() > 0


def fitted_state(evaluation: Evaluation, number: int, probe: pd.DataFrame) -> list[object]:
    fold = evaluation.folds[number].fitted
    scaler = fold.baseline.model[-2] if len(getattr(fold.baseline.model, "steps", ())) > 1 else None
    return [
        fold.selection.names,
        fold.selection.reasons,
        fold.selection.table.fillna(-1).to_numpy().tolist(),
        fold.predictor.threshold,
        fold.baseline.threshold,
        None if scaler is None else (scaler.mean_.tolist(), scaler.scale_.tolist()),
        fold.weights.tolist(),
        fold.configuration,
        fold.rounds,
        list(fold.losses.values()),
        fold.predictor.calibration,
        fold.baseline.calibration,
        fold.training_scores.tolist(),
        fold.predictor.score(probe).tolist(),
    ]


def garbage(dataset: Dataset, first: pd.Timestamp, last: pd.Timestamp, seed: int = 1) -> Dataset:
    """Every feature and price of the rows that act in [first, last] replaced; labels and weights follow."""
    rng = np.random.default_rng(seed)
    features, bars = dataset.features.copy(), dataset.bars.copy()
    acts = features.index.get_level_values("time") + FIVE
    mine = (acts >= first) & (acts <= last)
    features[mine] = rng.normal(50, 1000, size=(int(mine.sum()), features.shape[1]))
    # The first test row acts at the close of its bar: that bar's prices are the test's too.
    prices = (bars.index.get_level_values("time") >= first) & (bars.index.get_level_values("time") <= last)
    bars.loc[prices, ["open", "high", "low", "close"]] = rng.uniform(1, 1e6, (int(prices.sum()), 4))
    return replace(dataset, features=features, bars=bars)


def check_garbage(dataset: Dataset, experiment: Experiment) -> None:
    before = walk_forward(dataset, experiment)
    probe = dataset.features.iloc[:50]
    for number, fold in enumerate(before.folds):
        after = walk_forward(garbage(dataset, fold.test.first, fold.test.last), experiment)
        assert fitted_state(before, number, probe) == fitted_state(after, number, probe)
        assert after.folds[number].auc != fold.auc


def test_garbage_in_a_test_leaves_no_trace_in_its_training() -> None:
    check_garbage(planted(2, 288 * 3), SMALL)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_garbage_in_a_test_leaves_no_trace_in_its_training_with_lightgbm_and_all_methods() -> None:
    pytest.importorskip("lightgbm")
    methods = ("tree", "shap", "permutation", "discovery")
    check_garbage(planted(3), replace(SMALL, model="lightgbm", methods=methods, folds=3))


def test_prices_after_a_moment_change_nothing_up_to_it() -> None:
    bars = random_walk(288 * 3, 4)
    moment = START + 288 * 2 * FIVE
    shifted = bars.copy()
    later = bars.index.get_level_values("time") >= moment
    shifted.loc[later, ["open", "high", "low", "close"]] *= 7.0
    one, two = (make_dataset(each, own_features(each)) for each in (bars, shifted))
    labels = [direction_labels(each, SMALL.horizon) for each in (one, two)]
    early = labels[0]["t_end"] <= moment
    pd.testing.assert_frame_equal(labels[0][early], labels[1][early])
    before, after = (walk_forward(each, SMALL) for each in (one, two))
    known = before.predictions["available_at"] <= moment
    columns = ["score", "probability", "signal", "baseline_score", "baseline_signal"]
    assert known.sum() > 100
    pd.testing.assert_frame_equal(
        before.predictions.loc[known, columns], after.predictions.loc[known, columns]
    )


def selected_outside_and_inside(rows: int, columns: int, seed: int) -> tuple[float, float]:
    """AUC on noise with the ten best features chosen on all rows, and chosen in each fold."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(START, periods=rows, freq=FIVE)
    index = pd.MultiIndex.from_product([["SOL/USDT"], times], names=["symbol", "time"])
    X = pd.DataFrame(rng.normal(size=(rows, columns)), index=index)  # noqa: N806
    X.columns = [f"x{k}" for k in range(columns)]
    y = pd.Series(rng.integers(0, 2, rows), index=index)
    labels = pd.DataFrame({"available_at": times + FIVE, "t_end": times + 2 * FIVE}, index=index)
    whole = rows * FIVE.to_pytimedelta()
    cv = WalkForward(labels, train_size=0.5 * whole, test_size=0.1 * whole)
    best = _Univariate(10)
    model = make_pipeline(clone(best), LogisticRegression())
    inside = cross_val_score(model, X, y, cv=cv, scoring="roc_auc").mean()
    outside = cross_val_score(
        LogisticRegression(), best.fit(X, y).transform(X), y, cv=cv, scoring="roc_auc"
    ).mean()
    return float(outside), float(inside)


class _Univariate(TreeImportance):
    """The features that correlate most with the target."""

    def _judge(
        self, frame: pd.DataFrame, y: np.ndarray, weight: object
    ) -> tuple[np.ndarray, np.ndarray, dict]:  # type: ignore[override, type-arg]
        scores = np.abs(np.corrcoef(frame.to_numpy().T, y)[-1, :-1])
        chosen = np.zeros(len(scores), dtype=bool)
        chosen[np.argsort(-scores)[: self.n_features]] = True
        return chosen, scores, {}


def test_features_chosen_outside_the_folds_score_on_noise_and_chosen_inside_do_not() -> None:
    scores = np.array([selected_outside_and_inside(1000, 2000, seed) for seed in range(3)])
    outside, inside = scores.mean(axis=0)
    assert outside > 0.6
    assert abs(inside - 0.5) < 0.04


@pytest.mark.proof
def test_features_chosen_inside_the_folds_score_one_half_over_twenty_seeds() -> None:
    scores = np.array([selected_outside_and_inside(1000, 2000, seed) for seed in range(20)])
    assert (scores[:, 0] > 0.55).all()
    assert scores[:, 0].mean() > 0.6
    assert within_three_errors(scores[:, 1].tolist())


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, score, weight = (
        rng.integers(0, 2, 500).astype(float),
        rng.normal(size=500).round(1),
        rng.integers(0, 4, 500),
    )
    expected = roc_auc_score(y, score, sample_weight=weight)
    assert auc(y, score, weight.astype(float)) == pytest.approx(expected)
    assert np.isnan(auc(np.ones(5), np.arange(5.0)))


def test_the_interval_of_a_mean_over_days_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(100):
        days = rng.normal(0, 1, 40)
        values = np.repeat(days, 20) + rng.normal(0, 0.1, 800)
        blocks = np.repeat(np.arange(40), 20)
        interval = bootstrapped(
            lambda weight, values=values: float(np.average(values, weights=weight)),
            blocks,
            draws=200,
            seed=seed,
        )
        covered += interval.low <= 0 <= interval.high
    assert 85 <= covered <= 99
    assert np.isnan(bootstrapped(lambda weight: float(weight.sum()), np.zeros(3, int)).low)
    assert Interval(0.1, float("nan"), float("nan")).holds_zero


def test_blocks_of_days_are_longer_than_labels() -> None:
    times = pd.Series(pd.date_range(START, periods=4, freq="12h"))
    assert np.unique(day_blocks(times, pd.Timedelta(hours=1))).size == 2
    assert np.unique(day_blocks(times, pd.Timedelta(days=3))).size <= 2


def test_population_stability_by_hand() -> None:
    train = np.arange(100.0)
    same = population_stability(train, np.tile(train, 5))
    assert same < 0.01
    moved = population_stability(train, train + 50)
    assert moved > 1
    assert population_stability(train, np.r_[train, np.full(100, np.nan)]) > 0.5
    # Two bins, 60 and 40 of 100 against 50 and 50, with half a row in each of the three bins.
    p, q = np.array([50.5, 50.5, 0.5]) / 101.5, np.array([60.5, 40.5, 0.5]) / 101.5
    test = np.r_[np.zeros(60), np.full(40, 99.0)]
    assert population_stability(train, test, bins=2) == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_calibration_never_turns_a_model_around() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.2, 0.8, 5000)
    y = (rng.random(5000) < truth).astype(float)
    wide = 1 / (1 + np.exp(-4 * np.log(truth / (1 - truth))))
    fitted = Calibration.fit(wide, y, np.ones(5000))
    assert np.abs(fitted(wide) - truth).mean() < 0.02
    assert log_loss(y, fitted(wide)) < log_loss(y, wide)
    assert Calibration.fit(1 - wide, y, np.ones(5000)).slope == 0
    table = reliability(y, truth)
    assert (table["rows"] == 500).all()
    assert np.abs(table["probability"] - table["rises"]).max() < 0.08


def test_a_signal_is_held_for_its_horizon_and_no_symbol_holds_anothers() -> None:
    index = pd.MultiIndex.from_product([["A", "B"], pd.date_range(START, periods=5, freq=FIVE)])
    signals = pd.Series([1.0, 0, 0, -1, 0, 0, 0, 0, 0, 1], index=index.set_names(["symbol", "time"]))
    held = held_positions(signals, 2)
    assert held.tolist() == [0.5, 0.5, 0, -0.5, -0.5, 0, 0, 0, 0, 0.5]


def test_the_account_pays_fees_and_each_settlement_once() -> None:
    bars = random_walk(40, 5, ("SOL/USDT",))
    bars[["open", "high", "low", "close"]] = 100.0
    at = START + 20 * FIVE
    settlement = NO_SETTLEMENTS.copy()
    settlement.loc[0] = ["SOL/USDT", at, 0.001, 110.0]
    held = pd.Series(1.0, index=bars.index)
    earned = account(bars, held, settlement, fee=0.0005, symbols=2)
    assert earned["funding"].sum() == pytest.approx(0.001 * 110 / 100 / 2)
    assert (earned["funding"] != 0).sum() == 1
    assert earned["fee"].sum() == pytest.approx(0.0005 / 2)
    assert earned["net"].sum() == pytest.approx(-earned["funding"].sum() - earned["fee"].sum())


def test_rows_without_a_label_are_traded_too() -> None:
    dataset = planted(6)
    bars = dataset.bars.copy()
    bars.iloc[1000:1010, bars.columns.get_loc("is_filled")] = 1.0
    evaluation = walk_forward(replace(dataset, bars=bars), SMALL)
    rows = evaluation.predictions
    assert rows["y"].isna().sum() >= 10
    assert rows["signal"].notna().all()
    assert sum(fold.rows[1] for fold in evaluation.folds) == rows["y"].notna().sum()


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        if self._tag == "h2":
            self.headings.append(data)
        self._tag = ""


def test_the_page_says_what_it_is_worth_and_asks_nobody_for_anything(
    evaluated: Evaluation, tmp_path: Path
) -> None:
    page = write_experiment(evaluated, tmp_path / "page.html", title="A <b>test</b>")
    text = page.read_text(encoding="utf-8")
    read = _Page(text)
    assert all(address.startswith(("#", "data:")) for address in read.addresses)
    assert {"Score of each fold", "Equity, with costs", "Calibration", "Label balance"} <= set(read.headings)
    assert "4 configurations were tried" in text
    assert "95 % day-block bootstrap interval" in text
    assert "A &lt;b&gt;test" in text
    assert text.count("<svg") == 7
    assert "Do not believe these scores" not in text


def test_a_choice_that_has_seen_a_test_is_marked_in_red(evaluated: Evaluation, tmp_path: Path) -> None:
    folds = (replace(evaluated.folds[0], seen_test=True), *evaluated.folds[1:])
    text = write_experiment(replace(evaluated, folds=folds), tmp_path / "page.html").read_text()
    assert "Do not believe these scores:</b> features were chosen on rows of the test of fold 1." in text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Experiment(model="forest"), "lightgbm or sklearn"),  # type: ignore[arg-type]
        (lambda: Experiment(folds=0), "at least one"),
        (lambda: Experiment(train_share=1.0), "train_share"),
        (lambda: walk_forward(planted(9, 200), replace(SMALL, folds=20)), "too short"),
        (lambda: Experiment(configurations=()), "configurations"),
    ],
)
def test_an_experiment_that_makes_no_sense_is_refused(make: object, words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        make()  # type: ignore[operator]


def test_the_intervals_verdict_is_plain(evaluated: Evaluation) -> None:
    summary = summarize(evaluated, draws=20)
    words = {
        Interval(0.01, -0.01, 0.03): "No better than the baseline",
        Interval(0.02, 0.01, 0.03): "Better than the baseline",
        Interval(-0.02, -0.03, -0.01): "Worse than the baseline",
        Interval(0.02, float("nan"), float("nan")): "Nothing can be said",
    }
    for interval, start in words.items():
        assert replace(summary, auc_gain=interval).verdict.startswith(start)
    assert "holds 0" in replace(summary, auc_gain=Interval(0.01, -0.01, 0.03)).verdict
    assert Configuration(4, 0.2, 50) in SMALL.configurations
