"""Commands about the schema: ``init``."""

from typing import Annotated

import typer

from perpmart.commands.output import Json, print_json


def init(
    *,
    compress_after: Annotated[
        int | None,
        typer.Option(help="TimescaleDB: compress older raw rows; 0 ends it.", metavar="DAYS", min=0),
    ] = None,
    retain: Annotated[
        int | None,
        typer.Option(
            help="TimescaleDB: drop older raw rows (45 days at least); 0 keeps all.", metavar="DAYS", min=0
        ),
    ] = None,
    compress_features: Annotated[
        int | None,
        typer.Option(help="TimescaleDB: compress older bars and features; 0 ends it.", metavar="DAYS", min=0),
    ] = None,
    json: Json = False,
) -> None:
    """Create the schemas, raw tables and roles, or bring them up to date; may be run again at any time."""
    from perpmart import wiring
    from perpmart.hypertables import Upkeep
    from perpmart.settings import load_settings

    upkeep = Upkeep(compress_after=compress_after, retain=retain, compress_features=compress_features)
    applied, chunks, roles = wiring.init(load_settings(), upkeep=upkeep)
    if json:
        print_json(
            {
                "applied": applied,
                "chunks": chunks,
                "roles": roles.names,
                "missing_roles": roles.missing or None,
            }
        )
        return
    typer.echo(f"applied {len(applied)} schema files" if applied else "the schema is up to date")
    for phrase in chunks:
        typer.echo(phrase)
    typer.echo(roles.missing or f"roles: {', '.join(roles.names)}")
