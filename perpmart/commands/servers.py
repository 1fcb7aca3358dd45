"""Commands about servers: ``up``, ``down``, ``status``, ``env``, ``doctor``."""

import time
from typing import Annotated

import typer

from perpmart.commands.output import Json, print_json, print_table
from perpmart.errors import PerpmartError

_WATCH_SECONDS = 2.0


def up() -> None:
    """Start the embedded PostgreSQL and Redis, each unless its address is given."""
    from perpmart.servers import embedded
    from perpmart.settings import load_settings

    settings = load_settings()
    started = embedded.up(settings)
    for name, given in (("PostgreSQL", settings.database_url), ("Redis", settings.redis_url)):
        state = "started" if name in started else "runs elsewhere, not started" if given else "runs already"
        typer.echo(f"{name}: {state}")
    typer.echo(f"psql and dbt in this shell: . {settings.state_dir / 'env'}")


def down() -> None:
    """Stop the embedded servers; their data stay."""
    from perpmart.servers import embedded
    from perpmart.settings import load_settings

    stopped = embedded.down(load_settings())
    typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "no embedded server was running")


def status(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again, until interrupted.")
    ] = False,
    live_within: Annotated[
        float | None,
        typer.Option(
            "--live-within", help="Fail unless `live` has served a bar that closed these seconds ago."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show addresses, versions, tier and what a live process says; code 1 unless both servers answer."""
    from perpmart.live_status import age_of_vectors, read_live
    from perpmart.settings import load_settings
    from perpmart.status import ask_status

    settings = load_settings()
    while True:
        found, live = ask_status(settings), read_live(settings.metrics_port)
        if watch:
            typer.echo("\x1b[2J\x1b[H", nl=False)
        if json:
            print_json(found.as_dict() | {"live": dict(live) or None})
        else:
            print_table([*found.rows(), *(live or [("live process", None)])])
        if not watch:
            break
        time.sleep(_WATCH_SECONDS)
    age = age_of_vectors(settings.metrics_port)
    if live_within is not None and (age is None or age > live_within):
        said = "no live process has served a vector" if age is None else f"newest vector is {age:,.0f} s old"
        raise PerpmartError(f"{said}; --live-within allows {live_within:,.0f} s")
    if found.problems:
        raise typer.Exit(1)


def env() -> None:
    """Print PGHOST and its like, passwords included, for psql and dbt: eval "$(perpmart env)"."""
    from perpmart.servers import embedded
    from perpmart.settings import load_settings

    typer.echo(embedded.environment_lines(load_settings()), nl=False)


def doctor(*, json: Json = False) -> None:
    """Check Python, settings, servers, schema, disk and exchange, and say what to do about each failure."""
    from perpmart.doctor import examine
    from perpmart.settings import load_settings

    checks = examine(load_settings())
    if json:
        print_json([check._asdict() for check in checks])
    else:
        print_table([(check.verdict, check.subject, check.finding) for check in checks])
    if any(check.verdict == "fails" for check in checks):
        raise typer.Exit(1)
