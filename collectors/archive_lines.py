"""One line of a file made into rows, by the shape of the file; no I/O here."""

import csv

from collectors.archive_shape import Shape
from collectors.rows import Row


def parse_line(text: str, shape: Shape) -> list[Row]:
    """Make the rows of a line.

    Raises
    ------
    ValueError, OverflowError
        When it makes no sense; the text says why.
    """
    cells = split_cells(text)
    if len(cells) != len(shape.columns):
        raise ValueError(f"{len(cells)} fields instead of {len(shape.columns)}")
    if "_" in text and shape.stream != "liquidations":
        # Python would read 1_000 as a number; no exchange writes it.
        raise ValueError("underscore in a number")
    rows = shape.parse(cells)
    if not rows:
        raise ValueError("says nothing")
    return rows


def split_cells(text: str) -> list[str]:
    """Split a line into its fields, without the blanks around them.

    Raises
    ------
    ValueError
        When its quotes make no sense.
    """
    if '"' in text:
        try:
            return [cell.strip() for cell in next(csv.reader([text]), [])]
        except csv.Error as error:
            raise ValueError(str(error)) from None
    cells = text.split(",")
    return [cell.strip() for cell in cells] if " " in text or "\t" in text else cells
