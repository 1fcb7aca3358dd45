"""Rows a second into raw: the collectors' writer beside COPY alone (the floor) and executemany.

Usage: python -m benchmarks.ingest [--rows 100000] [--repeats 3] [--server postgresql://...]

The writer refuses impossible rows, merges by precedence, keeps what it replaces and notes coverage. COPY and
executemany put the same rows into the same table: its key, checks and triggers hold for them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from benchmarks.frame import Section, Spent, arguments, in_turn, middle, show, spent
from benchmarks.scratch import raw_tables
from collectors.rows import Row
from collectors.tables import TABLES
from collectors.writer import Writer
from perpmart.database import Connection, connect_to
from simulator.market import Kind
from simulator.presets import wide_market

KINDS: tuple[Kind, ...] = ("ohlcv", "liquidations")
SHARE = 10
"""executemany gets one row in so many: it would take too long."""


def rows_of(kind: Kind, count: int) -> tuple[list[Row], datetime]:
    """Give at least so many rows of ten symbols, and the clock after them."""
    market = wide_market(symbols=10, days=count // 2880 + 1, restless=True)
    rows = [row for symbol in market.symbols for row in market.rows(kind, symbol)]
    return rows[:count], market.end


def copy_alone(connection: Connection, rows: Sequence[Row]) -> None:
    """COPY straight into the table, in binary."""
    table = TABLES[type(rows[0])]
    columns = ", ".join([*table.columns, "source"])
    statement = f"copy {table.name} ({columns}) from stdin (format binary)".encode()
    with connection.cursor().copy(statement) as copy:
        copy.set_types([*table.column_types, "text"])
        for row in rows:
            copy.write_row((*row, "rest"))
    connection.commit()


def executemany(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert row by row, in psycopg's pipeline."""
    table = TABLES[type(rows[0])]
    places = ", ".join(["%s"] * len(table.columns))
    statement = f"insert into {table.name} ({', '.join(table.columns)}, source) values ({places}, 'rest')"
    with connection.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)
    connection.commit()


def write(connection: Connection, rows: Sequence[Row], now: datetime) -> None:
    """Write as the collectors do; all rows have to be taken."""
    result = Writer(connection).write(rows, source="rest", now=now)
    assert result.inserted + result.unchanged == len(rows), result


def measure(
    url: str, kind: Kind, count: int, *, repeats: int, say: Callable[[str], None] = print
) -> dict[str, Spent]:
    """Give seconds a row of each way for one kind of rows."""
    rows, now = rows_of(kind, count)
    few = rows[: max(1, count // SHARE)]
    with connect_to(url) as connection:

        def timed(work: Callable[[], None], *, empty: bool) -> Spent:
            if empty:
                connection.execute(f"truncate {kind}, changes, revisions".encode())
                connection.commit()
            return spent(url, work)

        ways = {
            "COPY alone": partial(timed, partial(copy_alone, connection, rows), empty=True),
            "executemany": partial(timed, partial(executemany, connection, few), empty=True),
            "writer, new": partial(timed, partial(write, connection, rows, now), empty=True),
            "writer, repeated": partial(timed, partial(write, connection, rows, now), empty=False),
        }
        found = in_turn(ways, repeats=repeats, say=say)
    sizes = {name: len(few) if name == "executemany" else len(rows) for name in found}
    return {name: Spent(*(figure / sizes[name] for figure in middle(times))) for name, times in found.items()}


def run(server: str, *, rows: int, repeats: int) -> Section:
    """Measure and give the table."""
    table = []
    with raw_tables(server) as url:
        for kind in KINDS:
            found = measure(url, kind, rows, repeats=repeats)
            floor = found["COPY alone"]
            for way, (wall, cpu) in found.items():
                times = (f"{wall / floor.wall:.2f}", f"{cpu / floor.cpu:.2f}")
                table.append([kind, way, f"{1 / wall:,.0f}", f"{1 / cpu:,.0f}", *times])
    note = (
        f"{rows:,} rows of ten symbols in one call (executemany: a tenth of them), Python objects in, one"
        f" connection; median of {repeats} in turn."
    )
    header = (
        "rows",
        "way",
        "rows a second",
        "rows a processor second",
        "times COPY",
        "times COPY's processors",
    )
    return Section("Ingest", note, header, table)


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, rows=100_000, repeats=3)
    show(run(options.server, rows=options.rows, repeats=options.repeats), options.server)


if __name__ == "__main__":
    main()
