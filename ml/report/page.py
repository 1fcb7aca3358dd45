"""One self-contained HTML page about an experiment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ml.pipeline.experiment import as_parameters
from ml.pipeline.walk import Evaluation
from ml.report import pictures
from ml.report.summary import Summary, by_day, summarize
from perpmart.report_page import Table, figures, picture, table_html, whole_page, write_text

_REASONS_SHOWN = 200


def write_experiment(
    evaluation: Evaluation,
    path: Path | str,
    *,
    summary: Summary | None = None,
    title: str = "perpmart example",
    made_at: datetime | None = None,
) -> Path:
    """Write the page.

    Parameters
    ----------
    evaluation : Evaluation
        What a walk gave.
    path : Path or str
        The file; its folder is made, a file that was there is replaced.
    summary : Summary, optional
        Of the same evaluation, if it is there already.
    title : str, optional
        Heading.
    made_at : datetime, optional
        When it was made; the present by default.

    Raises
    ------
    ReportError
        The file cannot be written.
    """
    found = summary or summarize(evaluation)
    return write_text(whole_page(title, _parts(evaluation, found, title, made_at or datetime.now(UTC))), path)


def _parts(evaluation: Evaluation, summary: Summary, title: str, made_at: datetime) -> Iterable[str]:
    experiment = evaluation.experiment
    first, last = evaluation.folds[0].train.first, evaluation.folds[-1].test.last
    span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    yield f"<header><h1>{escape(title)}</h1><p class='span'>{span}</p></header>"
    yield from _warnings(summary)
    yield f"<p class='verdict'><b>{escape(summary.verdict)}</b></p><p>{escape(summary.money)}</p>"
    yield figures(_facts(evaluation, summary))
    yield (
        f"<p>{experiment.tries} configurations were tried ({len(experiment.configurations)} in each of"
        f" {len(evaluation.folds)} folds, chosen on an inner validation, never on the test). Who runs this"
        " again with other settings, and keeps the best one, has tried more than that.</p>"
    )
    yield from _score_parts(evaluation, summary)
    yield from _feature_parts(evaluation, summary)
    yield table_html(Table("Settings", ("Setting", "Value"), tuple(as_parameters(experiment).items())))
    yield table_html(_reasons_table(evaluation))
    print_ = tuple((name, str(value)) for name, value in evaluation.fingerprint.items())
    yield table_html(Table("Dataset", ("What", "Value"), print_))
    yield f"<footer>Made {made_at:%Y-%m-%d %H:%M} UTC by perpmart.</footer>"


def _score_parts(evaluation: Evaluation, summary: Summary) -> Iterable[str]:
    """How good it was: by fold, by day, in money, as probabilities."""
    yield _section(
        "Score of each fold",
        "Features, configuration, early stopping, calibration and threshold were fitted on each fold's"
        " training rows alone.",
    )
    yield picture(pictures.scores_by_fold(evaluation), "AUC of model and baseline in each fold")
    yield table_html(_fold_table(evaluation))
    yield _section("Score of each day", "All symbols together; what a mean hides.")
    yield picture(pictures.scores_by_day(summary), "AUC and rank correlation of each day")
    yield _section(
        "Equity, with costs",
        "Equal shares for all symbols. The entry is the open one bar after the row is known; fees by the"
        " value traded, funding by the real settlements.",
    )
    yield picture(pictures.equity(evaluation), "Equity of model, baseline and holding")
    yield table_html(_account_table(evaluation))
    yield _section("Calibration", "What was said against what came, over all tests.")
    yield picture(pictures.calibration(evaluation), "Probability said against share of rises seen")


def _feature_parts(evaluation: Evaluation, summary: Summary) -> Iterable[str]:
    """What it stands on: features, labels, and how far they moved."""
    yield _section("Features: importance and its stability", _stability_text(summary))
    yield picture(pictures.importance_and_stability(evaluation), "Features chosen in each fold")
    yield _section("Label balance", _label_text(evaluation))
    yield picture(pictures.label_balance(evaluation), "Share of rises in training and test of each fold")
    yield _section(
        "Drift of the chosen features",
        "Population stability index of the test against the training rows: below 0.1 hardly moved, above 0.25"
        " moved a lot.",
    )
    yield picture(pictures.drift(evaluation), "Population stability index by feature and fold")


def _section(title: str, text: str) -> str:
    return f"<h2>{escape(title)}</h2><p>{escape(text)}</p>"


def _warnings(summary: Summary) -> Iterable[str]:
    """What makes a score worthless, in red."""
    if summary.seen_tests:
        numbers = ", ".join(map(str, summary.seen_tests))
        yield (
            "<p class='alarm'><b>Do not believe these scores:</b> features were chosen on rows of the test of"
            f" fold {numbers}.</p>"
        )


def _facts(evaluation: Evaluation, summary: Summary) -> list[tuple[str, str]]:
    account = evaluation.accounts["model"]
    return [
        (f"{summary.auc:.3f}", "AUC of the model"),
        (f"{summary.baseline_auc:.3f}", "AUC of the baseline"),
        (f"{_compounded(account['net']):+.2%}", "model, net of costs"),
        (f"{account['fee'].sum() + account['funding'].sum():.2%}", "fees and funding paid"),
        (f"{evaluation.experiment.tries}", "configurations tried"),
        (f"{summary.blocks}", "blocks of days tested"),
    ]


def _compounded(returns: pd.Series) -> float:
    return float(np.prod(1 + returns.to_numpy()) - 1)


def _fold_table(evaluation: Evaluation) -> Table:
    rows = tuple(
        (
            f"{number}",
            f"{fold.train.first:%m-%d %H:%M}",
            f"{fold.test.first:%m-%d %H:%M}",
            " / ".join(f"{count:,}" for count in fold.rows),
            f"{fold.auc:.3f}",
            f"{fold.baseline_auc:.3f}",
            f"{fold.log_loss:.4f}",
            f"{fold.prior_log_loss:.4f}",
            fold.fitted.rounds,
            str(fold.fitted.configuration),
        )
        for number, fold in enumerate(evaluation.folds, start=1)
    )
    columns = ("Fold", "Train from", "Test from", "Rows", "AUC", "Baseline", "Log loss", "Prior's")
    return Table(
        "Folds",
        (*columns, "Rounds", "Configuration"),
        rows,
        "Rows: training / test. AUC of the model and of the baseline; log loss of the model and of the prior,"
        " which says always the training rows' share of rises: a log loss above its is worse than silence.",
    )


def _account_table(evaluation: Evaluation) -> Table:
    rows = []
    for name, account in evaluation.accounts.items():
        net = account["net"]
        daily = by_day(net).to_numpy()
        wealth = (1 + net.to_numpy()).cumprod()
        deep = float((wealth / np.maximum.accumulate(wealth) - 1).min())
        spread = float(daily.std(ddof=1)) if len(daily) > 1 else 0.0
        sharpe = f"{np.sqrt(365) * daily.mean() / spread:.2f}" if spread > 0 else "-"
        rows.append(
            (
                name,
                f"{wealth[-1] - 1:+.2%}",
                f"{_compounded(account['gain']):+.2%}",
                f"{account['fee'].sum():.2%}",
                f"{account['funding'].sum():.2%}",
                f"{account['turnover'].sum():.1f}",
                f"{deep:.2%}",
                sharpe,
            )
        )
    columns = (
        "Account",
        "Net",
        "Before costs",
        "Fees",
        "Funding paid",
        "Turnover",
        "Deepest fall",
        "Sharpe, a year",
    )
    return Table(
        "Accounts",
        columns,
        tuple(rows),
        "Turnover in multiples of the account; Sharpe of daily returns, by the year.",
    )


def _reasons_table(evaluation: Evaluation) -> Table:
    fold = evaluation.folds[-1]
    rows = tuple(fold.fitted.selection.reasons.items())[:_REASONS_SHOWN]
    return Table(
        "Why features were dropped, in the last fold",
        ("Feature", "Reason"),
        rows,
        f"{len(fold.fitted.selection)} were kept, {len(fold.fitted.selection.reasons)} dropped.",
    )


def _stability_text(summary: Summary) -> str:
    if np.isnan(summary.stability):
        return "With one fold nothing can be said about stability."
    return (
        f"Stability of the choices over folds: {summary.stability:.2f}, where 1 is always the same"
        " features and 0 what drawing lots gives."
    )


def _label_text(evaluation: Evaluation) -> str:
    shares = evaluation.labels
    return (
        f"Of all rows {shares['rise']:.1%} are followed by a rise over {evaluation.experiment.horizon} bars,"
        f" {shares['fall']:.1%} by a fall; {shares['none']:.1%} have no label (no whole horizon, a filled"
        " bar, or no move at all)."
    )
