"""Commands about the schema: ``init``."""

import typer

from perpmart.commands.output import Json, print_json


def init(*, json: Json = False) -> None:
    """Create the schemas, raw tables and roles, or bring them up to date; may be run again at any time."""
    from perpmart.database import connect
    from perpmart.migrations import migrate
    from perpmart.roles import make_roles
    from perpmart.settings import load_settings

    settings = load_settings()
    with connect(settings) as connection:
        applied = migrate(connection, settings.schema_prefix)
        roles = make_roles(connection, settings.schema_prefix)
    if json:
        print_json({"applied": applied, "roles": roles.names, "missing_roles": roles.missing or None})
        return
    typer.echo(f"applied {len(applied)} schema files" if applied else "the schema is up to date")
    typer.echo(roles.missing or f"roles: {', '.join(roles.names)}")
