"""Commands about the mart: ``build``, ``push``, ``export``."""

from pathlib import Path
from typing import Annotated

import typer

from perpmart.commands.options import Start, Stop, Symbols, listed
from perpmart.commands.output import Json, print_json, print_table


def build(
    *,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="Compute everything anew.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Run the tests of the models too.")] = False,
    select: Annotated[
        str | None, typer.Option(help="Only these, in dbt's selection syntax.", metavar="SELECTION")
    ] = None,
    json: Json = False,
) -> None:
    """Bring bars, features and mart up to date with the raw tables."""
    from perpmart import wiring
    from perpmart.settings import load_settings

    outcomes = wiring.build(load_settings(), full_refresh=full_refresh, test=test, select=select)
    if json:
        print_json([vars(outcome) for outcome in outcomes])
    else:
        rows = [(outcome.kind, outcome.name, outcome.status, outcome.seconds) for outcome in outcomes]
        print_table(rows, columns=("kind", "name", "status", "seconds"))


def push(
    *,
    symbols: Symbols = "",
    history: Annotated[
        int,
        typer.Option(
            help="Earlier bars to put there too; all that are kept where the store held none.", min=0
        ),
    ] = 0,
    json: Json = False,
) -> None:
    """Put each symbol's newest published vector into Redis."""
    from perpmart import wiring
    from perpmart.settings import load_settings

    pushed = wiring.push(load_settings(), symbols=listed(symbols), history=history)
    if json:
        print_json([vector._asdict() for vector in pushed])
    else:
        rows = [(v.symbol, f"{v.time:%Y-%m-%d %H:%M}", v.outcome, v.revision, v.nulls) for v in pushed]
        print_table(rows, columns=("symbol", "bar (UTC)", "outcome", "revision", "nulls"))


def export(
    path: Annotated[Path, typer.Argument(help="File to write; .csv or .parquet gives its format.")],
    *,
    start: Start = None,
    end: Stop = None,
    symbols: Symbols = "",
    content: Annotated[str, typer.Option(help="features or bars.")] = "features",
    timeframe: Annotated[str, typer.Option(help="Of bars: 5m, 15m, 1h, 4h or 1d.")] = "5m",
    groups: Annotated[str, typer.Option(help="Only features of these groups.", metavar="LIST")] = "",
    features: Annotated[str, typer.Option(help="Only these features.", metavar="LIST")] = "",
    comparable: Annotated[bool, typer.Option("--comparable", help="Only features free of scale.")] = False,
    json: Json = False,
) -> None:
    """Write features or bars to a csv or parquet file."""
    from perpmart import wiring
    from perpmart.settings import load_settings

    exported = wiring.export(
        load_settings(),
        path,
        symbols=listed(symbols),
        start=start,
        end=end,
        content=content,
        timeframe=timeframe,
        groups=listed(groups),
        features=listed(features),
        comparable=comparable,
    )
    if json:
        print_json(vars(exported))
    else:
        size = f"{exported.size / 1e6:,.1f} MB"
        typer.echo(f"{exported.path}: {exported.rows:,} rows x {exported.columns} columns, {size}")
