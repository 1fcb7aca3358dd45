"""What the commands print: tables for people, JSON for machines."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeAlias

import typer

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def print_json(value: Any) -> None:
    """Print `value` as indented JSON; what JSON does not know (a path, a time) as text."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_table(rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> None:
    """Print `rows` as a table, as wide as its content where the output is not a terminal.

    Numbers stand at the right of their column; True and False are shown as yes and no, None as a dash.
    """
    from rich.console import Console
    from rich.table import Table

    rows = [tuple(row) for row in rows]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=400)
    table = Table(box=None, pad_edge=False, show_header=bool(columns))
    for position in range(len(columns) or max(map(len, rows), default=0)):
        cells = [row[position] for row in rows if len(row) > position]
        numeric = any(_is_number(cell) for cell in cells)
        table.add_column(
            columns[position] if columns else "", justify="right" if numeric else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(_cell, row))
    with console.capture() as text:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in text.get().splitlines()))


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _cell(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.2f}" if isinstance(cell, float) else str(cell)
