"""The command ``example``: an experiment from the mart to a page."""

from pathlib import Path
from typing import Annotated

import typer

from perpmart.commands.options import Start, Stop, Symbols, listed
from perpmart.commands.output import Json, print_json, print_table


def example(
    page: Annotated[Path, typer.Argument(help="Page to write.")] = Path("example.html"),
    *,
    model: Annotated[str, typer.Option(help="lightgbm (extra ml) or sklearn.", metavar="MODEL")] = "lightgbm",
    horizon: Annotated[int, typer.Option(help="Bars of 5 minutes that a position is held.", min=1)] = 12,
    folds: Annotated[int, typer.Option(help="Tests, one after the other.", min=1)] = 6,
    features: Annotated[int, typer.Option(help="Features chosen in each fold.", min=1)] = 30,
    fee: Annotated[float, typer.Option(help="Basis points of the value traded.", min=0)] = 5.0,
    start: Start = None,
    end: Stop = None,
    symbols: Symbols = "",
    json: Json = False,
) -> None:
    """Train and test a model on the mart, walking forward, and write a page that says what it is worth."""
    from perpmart.example import experiment_of, run_example
    from perpmart.settings import load_settings

    experiment = experiment_of(model, horizon=horizon, folds=folds, fee_bps=fee, features=features)
    done = run_example(
        load_settings(),
        page,
        experiment,
        symbols=listed(symbols) or None,
        start=start or "1970-01-01",
        end=end or "2100-01-01",
        say=lambda step: typer.echo(f"{step} ...", err=True),
    )
    rows = [
        (
            number,
            f"{fold.test.first:%Y-%m-%d %H:%M}",
            fold.rows[1],
            f"{fold.auc:.3f}",
            f"{fold.baseline_auc:.3f}",
        )
        for number, fold in enumerate(done.evaluation.folds, start=1)
    ]
    columns = ("fold", "test from (UTC)", "rows", "auc", "baseline")
    if json:
        print_json(
            {
                "page": done.page,
                "folds": [dict(zip(columns, row, strict=True)) for row in rows],
                "auc": done.summary.auc,
                "auc_gain": done.summary.auc_gain._asdict(),
                "net_a_day": done.summary.day_gain._asdict(),
                "configurations": experiment.tries,
                "verdict": done.summary.verdict,
                "dataset": done.evaluation.fingerprint,
            }
        )
        return
    print_table(rows, columns)
    typer.echo(f"\n{done.summary.verdict}\n{done.summary.money}")
    typer.echo(f"{experiment.tries} configurations tried; look at {done.page}")
