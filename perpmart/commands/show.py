"""Commands with something to look at: ``report`` and ``demo``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from perpmart.commands.options import Start, Stop, Symbols, listed
from perpmart.commands.output import Json, print_json, print_table


def report(
    path: Annotated[Path, typer.Argument(help="Page to write.")] = Path("report.html"),
    *,
    start: Start = None,
    end: Stop = None,
    symbols: Symbols = "",
) -> None:
    """Write one self-contained page about the mart; without --from, about its last 30 days."""
    from perpmart import wiring
    from perpmart.settings import load_settings

    page = wiring.report(load_settings(), path, symbols=listed(symbols), start=start, end=end)
    typer.echo(f"{page}: {page.stat().st_size / 1e6:,.1f} MB")


def demo(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder of recorded files, in place of a synthetic market.")
    ] = None,
    days: Annotated[int, typer.Option(help="Length of the history, counted back from its end.", min=1)] = 30,
    symbols: Symbols = "",
    page: Annotated[Path | None, typer.Option(help="Page to write, in place of demo.html.")] = None,
    json: Json = False,
) -> None:
    """Run the main job once on a local exchange: collect, build, push, read back, and a page to look at."""
    from perpmart.demo import run_demo
    from perpmart.settings import load_settings

    result = run_demo(
        load_settings(),
        data=data,
        days=days,
        symbols=listed(symbols) or None,
        page=page,
        say=lambda step: typer.echo(f"{step} ...", err=True),
    )
    if json:
        print_json(asdict(result))
    else:
        rows = [
            (one.symbol, one.klines, one.settlements, one.raw_rows, one.bars, f"{one.known:.1%}", one.served)
            for one in result.symbols
        ]
        print_table(
            rows, ("symbol", "klines", "settlements", "raw rows", "bars", "known", "served from Redis (UTC)")
        )
        typer.echo()
        print_table([(s.name, s.seconds, s.outcome) for s in result.steps], ("step", "seconds", "outcome"))
        typer.echo(f"\n{result.features} features in {result.seconds:.0f} s; look at {result.page}")
    if not result.ok:
        raise typer.Exit(1)
