"""Commands that fill the raw tables: ``backfill`` and ``import``."""

from pathlib import Path
from typing import Annotated

import typer

from perpmart.commands.options import Start, Stop, Symbols, listed
from perpmart.commands.output import Json, print_json, print_table


def backfill(
    *,
    start: Start = None,
    end: Stop = None,
    symbols: Symbols = "",
    kinds: Annotated[str, typer.Option(help="Separated by commas; all by default.", metavar="LIST")] = "",
    json: Json = False,
) -> None:
    """Collect what the raw tables lack, and check it; without --from, of the exchange's last 30 days."""
    from perpmart import collect, collect_tables, validate, validate_tables
    from perpmart.settings import load_settings

    settings = load_settings()
    result = collect.backfill(settings, symbols=listed(symbols), start=start, end=end, kinds=listed(kinds))
    found = validate.validate_collection(settings, result)
    if json:
        print_json(
            collect_tables.collection_as_dict(result)
            | {"validation": validate_tables.validation_as_dict(found)}
        )
        raise typer.Exit(0 if found.ok else 1)
    print_table(*collect_tables.collection_table(result))
    if result.holes:
        typer.echo("\nholes: what the exchange could not give")
        print_table(*collect_tables.hole_table(result))
    rate = result.rows / max(result.seconds, 1e-3)
    typer.echo(f"\n{result.rows:,} rows, {rate:,.0f} a second, {result.requests:,} requests")
    for line in validate_tables.validation_lines(found):
        typer.echo(line)
    if not found.ok:
        raise typer.Exit(1)


def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files (csv, csv.gz, zip), and folders of such.")],
    *,
    watched: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="When recorded liquidations were listened for, UTC; without it their absence says nothing.",
            metavar="FROM TO",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Import archive files, REST dumps, recorded liquidations; exit code 1 when anything was refused."""
    from perpmart import collect, collect_tables
    from perpmart.settings import load_settings

    report = collect.import_archive(load_settings(), paths, watched=[watched] if watched else [])
    if json:
        print_json(collect_tables.import_as_dict(report))
    else:
        print_table(*collect_tables.import_table(report))
        for line in collect_tables.import_notes(report):
            typer.echo(line)
    if not report.is_clean:
        raise typer.Exit(1)
