"""The command ``perpmart``: names of the commands and how errors are shown; the work is done elsewhere.

Exit codes: 0 done, 1 failed (one line on standard error says what and where), 2 wrong usage, 130 interrupted.
"""

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, Any

import typer

from perpmart.commands import collect, example, live, mart, quality, schema, servers, show, simulate
from perpmart.errors import PerpmartError

app = typer.Typer(
    help="A feature mart for perpetual futures that lives in PostgreSQL.",
    no_args_is_help=False,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COMMANDS: tuple[Callable[..., Any], ...] = (
    servers.up,
    servers.down,
    servers.status,
    servers.env,
    servers.doctor,
    schema.init,
    collect.backfill,
    collect.import_,
    quality.validate,
    live.stream,
    live.live,
    simulate.simulate,
    mart.build,
    mart.push,
    mart.export,
    example.example,
    show.report,
    show.demo,
)
for _command in COMMANDS:
    app.command(_command.__name__.removesuffix("_"))(_command)
app.add_typer(quality.rejects, name="rejects")


@app.callback()
def _options(
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log.")] = False,
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"perpmart {version_of('perpmart')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    if debug:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s %(message)s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if not debug:
        sys.excepthook = _say_unexpected
    try:
        # Not `app()`: that puts a hook of its own in the place of ours.
        code = typer.main.get_command(app)(given, prog_name="perpmart", standalone_mode=False)
    except typer.TyperException as error:
        _say(f"{error.format_message()} (see `perpmart --help`)")
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(130)
    except PerpmartError as error:
        if debug:
            raise
        _say(str(error))
        sys.exit(1)
    except BrokenPipeError:  # the reader, such as `head`, has gone
        sys.stderr.close()
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str) -> None:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)


def _say_unexpected(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    first_line = (str(error).strip().splitlines() or ["no text"])[0]
    _say(f"unexpected {kind.__name__}: {first_line} (`perpmart --debug ...` shows where)")


if __name__ == "__main__":
    main()
