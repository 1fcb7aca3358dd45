"""Commands that run until they are told to end: ``stream`` and ``live``."""

from datetime import timedelta
from typing import Annotated, TypeAlias

import typer

from perpmart.commands.options import Symbols, listed

Speed: TypeAlias = Annotated[
    float, typer.Option(help="Pace of a simulated exchange's clock; a real one has 1.", min=0.01)
]
Grace: TypeAlias = Annotated[
    float, typer.Option(help="Seconds that a bar waits for its last symbols.", min=0.0)
]


def stream(*, symbols: Symbols = "", speed: Speed = 1.0, grace: Grace = 3.0) -> None:
    """Listen and poll into the raw tables until interrupted; holes are noted, and repaired by REST."""
    _run(serve=False, symbols=symbols, speed=speed, grace=grace)


def live(*, symbols: Symbols = "", speed: Speed = 1.0, grace: Grace = 3.0) -> None:
    """Do what stream does, and at each bar's close compute the features and push them, until interrupted."""
    _run(serve=True, symbols=symbols, speed=speed, grace=grace)


def _run(*, serve: bool, symbols: str, speed: float, grace: float) -> None:
    from perpmart import live_session
    from perpmart.settings import load_settings

    live_session.run(
        load_settings(),
        serve=serve,
        symbols=listed(symbols),
        speed=speed,
        grace=timedelta(seconds=grace),
        say=lambda line: print(line, flush=True),
    )
