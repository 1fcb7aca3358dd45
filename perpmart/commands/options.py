"""Options that several commands share."""

from typing import Annotated, TypeAlias

import typer

Start: TypeAlias = Annotated[str | None, typer.Option("--from", help="First time, UTC.", metavar="TIME")]
Stop: TypeAlias = Annotated[str | None, typer.Option("--to", help="End, not included, UTC.", metavar="TIME")]
Symbols: TypeAlias = Annotated[
    str, typer.Option(help="Separated by commas, in place of the settings'.", metavar="LIST")
]


def listed(text: str) -> list[str]:
    """Return the parts of a list separated by commas; none of an empty text."""
    return [part.strip() for part in text.split(",") if part.strip()]
