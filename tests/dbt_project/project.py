"""A copy of the dbt project that a test may change, and what it needs to look at the outcome."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perpmart import build as building
from perpmart.database import Connection

from .arrivals import NOW, Arrivals, Step, restless_market
from .first_build import versions
from .mart import write

PARTS = ("dbt_project", "dbt_project.yml", "profiles.yml")


def copy_project(folder: Path) -> Path:
    """Copy what dbt reads of this checkout to a folder, with its parsed state where there is one."""
    for part in PARTS:
        source = building.PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy(source, folder / part)
    return folder


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """Replace a text in a file of the project for the time of a block."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def messages(outcomes: list[building.NodeOutcome]) -> dict[str, str]:
    """Give what was said of each model that says something about its definition."""
    return {one.name: one.message for one in outcomes if "definition has changed" in one.message}


def touched(before: dict[str, str], connection: Connection) -> set[str]:
    """Give the names of the models of which any row was written since `before`."""
    after = versions(connection)
    connection.rollback()
    return {name.split(".")[1].strip('"') for name in after if after[name] != before.get(name)}


def look(connection: Connection) -> dict[str, str]:
    """Give the physical versions of all models' rows, as `touched` compares them."""
    found = versions(connection)
    connection.rollback()
    return found


def fill(url: str, connection: Connection, *slots: int, symbols: int = 2) -> None:
    """Deliver slots of the first symbols of the restless market; nothing is run."""
    if not connection.execute("select 1 from instruments limit 1").fetchone():
        write(connection, restless_market().instruments(), now=NOW)
    arrivals = Arrivals.__new__(Arrivals)
    arrivals.url, arrivals.connection = url, connection
    for symbol in restless_market().symbols[:symbols]:
        for slot in slots:
            arrivals.deliver(Step("deliver", symbol=symbol, at=slot))
    connection.commit()


@contextmanager
def failing(
    connection: Connection, relation: str, action: str = "raise exception 'planted'"
) -> Iterator[None]:
    """Make every write of rows to a table do something, for the time of a block."""
    connection.execute(
        "create or replace function public.planted() returns trigger language plpgsql as"
        f" $$ begin {action}; return null; end $$;"
        f" create trigger planted after insert on {relation}"
        " for each statement execute function public.planted()".encode()
    )
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(f"drop trigger planted on {relation}".encode())
        connection.commit()
