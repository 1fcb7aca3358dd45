"""Commands about what is good and bad in the raw tables: ``validate`` and ``rejects``."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from perpmart.commands.options import Start, Stop, Symbols, listed
from perpmart.commands.output import Json, print_json, print_table

rejects = typer.Typer(help="What was refused: list, show, submit once more, drop.", no_args_is_help=True)

Stream: TypeAlias = Annotated[str, typer.Option(help="Only of this table or stream.", metavar="NAME")]


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


@rejects.command("list")
def list_(
    *,
    stream: Stream = "",
    every: Annotated[bool, typer.Option("--all", help="Those accepted later or dropped too.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 100,
    json: Json = False,
) -> None:
    """List what was refused and waits for a look, oldest first."""
    from perpmart import refusals
    from perpmart.settings import load_settings

    found = refusals.find(load_settings(), stream=stream, every=every, limit=limit)
    if json:
        print_json([reject._asdict() for reject in found])
    else:
        rows = [
            (one.id, one.state, f"{one.received_at:%Y-%m-%d %H:%M}", one.stream, one.origin, one.reason)
            for one in found
        ]
        print_table(rows, columns=("id", "state", "received (UTC)", "stream", "origin", "reason"))


@rejects.command("show")
def show(
    number: Annotated[int, typer.Argument(help="Its number, from the list.")], *, json: Json = False
) -> None:
    """Show one refusal whole: where it was read, why it was refused, what was received."""
    from perpmart import refusals
    from perpmart.settings import load_settings

    reject = refusals.find_one(load_settings(), number)
    if json:
        print_json(reject._asdict())
    else:
        print_table(list(reject._asdict().items()))


@rejects.command("retry")
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(help="Which; all that are open by default.")] = None,
    *,
    stream: Stream = "",
    json: Json = False,
) -> None:
    """Submit refusals once more; exit code 1 when any is refused again."""
    from perpmart import refusals
    from perpmart.settings import load_settings

    outcomes = refusals.retry(load_settings(), numbers or [], stream=stream)
    if json:
        print_json(
            [{"id": one.reject.id, "accepted": one.accepted, "reason": one.reason} for one in outcomes]
        )
    else:
        print_table(
            [(one.reject.id, "accepted" if one.accepted else "refused", one.reason) for one in outcomes],
            columns=("id", "outcome", "reason"),
        )
        typer.echo(f"{sum(one.accepted for one in outcomes)} of {len(outcomes)} accepted")
    if not all(one.accepted for one in outcomes):
        raise typer.Exit(1)


@rejects.command("drop")
def drop(numbers: Annotated[list[int], typer.Argument(help="Which.")]) -> None:
    """Note that refusals are no data, so that nobody looks at them again; they stay in the table."""
    from perpmart import refusals
    from perpmart.settings import load_settings

    typer.echo(f"{refusals.drop(load_settings(), numbers)} dropped")
