"""Commands about what is good and bad in the raw tables: ``validate``."""

from pathlib import Path
from typing import Annotated

import typer

from perpmart.commands.options import Start, Stop, Symbols, listed
from perpmart.commands.output import Json, print_json


def validate(
    *,
    start: Start = None,
    end: Stop = None,
    symbols: Symbols = "",
    now: Annotated[
        str | None, typer.Option(help="The exchange's clock, UTC; the machine's by default.", metavar="TIME")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the pages go, in place of validation in the state folder.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    page: Annotated[bool, typer.Option(help="Write the page and Great Expectations' Data Docs.")] = True,
    json: Json = False,
) -> None:
    """Check the raw tables; exit code 1 when a check fails. PERPMART_CHECKS sets what fails."""
    from perpmart import validate as raw_checks
    from perpmart import validate_tables
    from perpmart.settings import load_settings

    validation, written = raw_checks.validate(
        load_settings(), symbols=listed(symbols), start=start, end=end, now=now, page=page, folder=folder
    )
    if json:
        print_json(
            validate_tables.validation_as_dict(validation) | {"page": str(written) if written else None}
        )
    else:
        for line in validate_tables.validation_lines(validation):
            typer.echo(line)
        if written:
            typer.echo(f"look at {written}")
    if not validation.ok or (strict and validation.warned):
        raise typer.Exit(1)
