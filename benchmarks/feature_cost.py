"""What each feature costs by itself: milliseconds a million rows, made from the models' own SQL.

Usage: python -m benchmarks.feature_cost [--days 10] [--symbols 10] [--repeats 2] [--server postgresql://...]

Each model's registered SQL is run for one column at a time; PostgreSQL leaves out what only other columns
need. What reading, joining and sorting cost without any feature, the model's base, is taken off: together the
features of a model share it, and many of their windows, so that the sum of all is more than a build.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from psycopg import sql

from benchmarks.frame import Section, arguments, seconds, show
from benchmarks.generate import fill
from benchmarks.scratch import empty_mart
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from simulator.presets import wide_market


class Cost(NamedTuple):
    """One feature: its model, rows before its first value, ms a million rows beyond the model's base."""

    feature: str
    model: str
    warmup: str
    cost: float


class Costs(NamedTuple):
    """All features, the dearest first, and each model's base and whole in ms a million rows."""

    features: list[Cost]
    base: dict[str, float]
    whole: dict[str, float]


def measure(connection: Connection, *, repeats: int, say: Callable[[str], None] = print) -> Costs:
    """Time every feature of a built mart; nothing is written."""
    registry = connection.execute(
        "select feature, warmup, relation from mart.feature_registry order by ordinal"
    ).fetchall()
    compiled = dict(connection.execute("select model, compiled_sql from build.models").fetchall())
    rows = connection.execute("select count(*) from bars.bars_5m").fetchone()
    assert rows is not None
    connection.execute("set local enable_nestloop = off; set local jit = off")

    def timed(query: str, column: str) -> float:
        statement = sql.SQL("select {} from ({}) as computed").format(sql.SQL(column), sql.SQL(query))
        best = min(seconds(lambda: connection.execute(statement).fetchone()) for _ in range(repeats))
        return best * 1e9 / rows[0]

    costs, base, whole = [], {}, {}
    for feature, warmup, name in registry:
        query = compiled.get(name) or f"select * from features.{name}"
        if name not in base:
            base[name] = timed(query, "count(time)")
            own = [f"count({one})" for one, _, of in registry if of == name]
            whole[name] = timed(query, ", ".join(own))
            say(f"  {name}: base {base[name]:,.0f}, whole {whole[name]:,.0f} ms a million rows")
        cost = max(0.0, timed(query, f"count({feature})") - base[name])
        costs.append(Cost(feature, name, str(warmup), cost))
    return Costs(sorted(costs, key=lambda one: -one.cost), base, whole)


def run(server: str, *, days: int, symbols: int, repeats: int) -> Section:
    """Measure and give the table of the dearest features; all of them go to `run_all`'s file."""
    market = wide_market(symbols=symbols, days=days, restless=True)
    with empty_mart(server) as url, connect_to(url) as connection:
        fill(connection, market, market.start, market.end)
        run_pending(connection)
        found = measure(connection, repeats=repeats)
    return section_of(found, f"{symbols} symbols x {days} days")


def rows_of(warmup: str) -> int:
    """Give a warm-up as a number; 0 when it counts something else than bars."""
    return int(warmup) if warmup.isdigit() else 0


def section_of(found: Costs, size: str) -> Section:
    """Lay out costs as a section: the dearest features, and by length of the window."""
    table = [[one.feature, one.model, one.warmup, f"{one.cost:,.0f}"] for one in found.features]
    short = [one.cost for one in found.features if 10 <= rows_of(one.warmup) <= 50]
    long = [one.cost for one in found.features if rows_of(one.warmup) >= 199]
    models = "; ".join(f"{name} {cost:,.0f}" for name, cost in found.whole.items())
    note = (
        f"{size}; milliseconds a million rows of each feature alone, beyond what its model costs without any."
        f" Mean of features that wait for 10 to 50 rows: {sum(short) / len(short):,.0f}, for 199 and more:"
        f" {sum(long) / len(long):,.0f}. All features of a model together: {models}."
    )
    return Section(
        "Cost of each feature",
        note,
        ("feature", "model", "rows before the first", "ms a million rows"),
        table,
    )


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, days=10, symbols=10, repeats=2)
    section = run(options.server, days=options.days, symbols=options.symbols, repeats=options.repeats)
    show(section, options.server)


if __name__ == "__main__":
    main()
