"""The example experiment, from the mart to a page: what `perpmart example` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.data_loader import MarketDataLoader
from ml.pipeline import Evaluation, Experiment, load_dataset, walk_forward
from ml.pipeline.experiment import MODELS, ExperimentError, ModelKind
from ml.report import Summary, summarize, write_experiment
from ml.selection.top import METHODS
from ml.snapshot import Database
from ml.timerange import Time
from perpmart.settings import Settings


@dataclass(frozen=True, eq=False)
class ExampleResult:
    """What came of it: the page, the tests, and what they say together."""

    page: Path
    evaluation: Evaluation
    summary: Summary


def experiment_of(model: str, *, horizon: int, folds: int, fee_bps: float, features: int) -> Experiment:
    """The experiment that a command line describes.

    LightGBM goes with SHAP values (both of the extra ``ml``); scikit-learn's boosting leaves them out.

    Raises
    ------
    ExperimentError
        Unknown model, or sizes that make no sense.
    """
    kinds: dict[str, ModelKind] = {kind: kind for kind in MODELS}
    if model not in kinds:
        raise ExperimentError(f"no model {model!r}: choose {' or '.join(MODELS)}")
    methods = METHODS if model == "lightgbm" else tuple(one for one in METHODS if one != "shap")
    return Experiment(
        model=kinds[model],
        horizon=horizon,
        folds=folds,
        n_features=features,
        methods=methods,
        fee=fee_bps / 1e4,
    )


def run_example(
    settings: Settings,
    page: Path,
    experiment: Experiment,
    *,
    symbols: Sequence[str] | None = None,
    start: Time = "1970-01-01",
    end: Time = "2100-01-01",
    say: Callable[[str], None] = lambda _: None,
) -> ExampleResult:
    """Load, walk forward, and write the page.

    Raises
    ------
    PerpmartError
        No mart, too short a history, a package that is not installed, a page that cannot be written.
    """
    experiment.check_packages()
    say("load")
    dataset = load_dataset(MarketDataLoader(settings), Database(settings), symbols, start, end)
    evaluation = walk_forward(dataset, experiment, say=say)
    say("score")
    summary = summarize(evaluation)
    return ExampleResult(write_experiment(evaluation, page, summary=summary), evaluation, summary)
