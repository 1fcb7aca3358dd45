"""Every fault of the bench does what docs/faults.md says, and nothing is lost: the counts add up.

The page is made of the bench: ``FAULTS_PAGE=write pytest tests/faults`` writes it anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perpmart.database import Connection, connect_to

from . import files, lines, pages, payloads, processes, rows
from .bench import Bench, Fault, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
FAULTS: tuple[Fault, ...] = (
    *lines.FAULTS,
    *files.FAULTS,
    *rows.FAULTS,
    *payloads.FAULTS,
    *pages.FAULTS,
    *processes.FAULTS,
)
HEAD = """# Faults and bad inputs

Each line is a fault that `tests/faults` makes on purpose, against a real server, and what it did; the table
is made of the tests and compared with them at every run. Of what was sent, everything is accepted (in the
table, or there already), refused (kept in `raw.rejects` with its reason, a page of REST as a whole;
`perpmart rejects` lists it; of a stream's message also: of no use to us) or left out (its file or page is
named, not covered, and read again).

Generated inputs are counted apart: {generated}

| fault | sent | accepted | refused | left out | what it did |
|---|---:|---:|---:|---:|---|
"""
GENERATED = "`tests/fuzz` throws thousands at every parser in `make test` and millions in `make proof`."


def line_of(fault: Fault, outcome: Outcome) -> str:
    counts = " | ".join(f"{count:,}" for count in outcome[:4])
    return f"| {fault.group}: {fault.name} | {counts} | {' '.join(outcome.said.split())} |"


@pytest.fixture(scope="module")
def database(new_database: Any) -> Iterator[Connection]:
    with connect_to(new_database(migrated=True, label="faults")) as connection:
        yield connection


@pytest.fixture
def bench(database: Connection, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(database, tmp_path)
    made.clean()
    yield made
    database.rollback()


@pytest.fixture(scope="module")
def written() -> Iterator[dict[str, str]]:
    """Lines of the page; where it is asked for, the page is written from what the tests see."""
    seen: dict[str, str] = {}
    yield seen
    if os.environ.get("FAULTS_PAGE") == "write":
        text = [seen[f"{fault.group}: {fault.name}"] for fault in FAULTS]
        total = f"\n{len(text)} faults.\n"
        PAGE.write_text(HEAD.format(generated=GENERATED) + "\n".join(text) + "\n" + total, encoding="utf-8")


CASES = [
    pytest.param(
        fault,
        id=f"{fault.group}-{fault.name}".replace(" ", "_"),
        marks=[pytest.mark.proof] if fault.long else [],
    )
    for fault in FAULTS
]


@pytest.mark.parametrize("fault", CASES)
def test_a_fault_does_what_the_page_says(fault: Fault, bench: Bench, written: dict[str, str]) -> None:
    outcome = fault.try_it(bench)
    assert outcome.sent == outcome.accepted + outcome.refused + outcome.left_out, outcome
    assert min(outcome[:4]) >= 0
    assert outcome.said
    line = written[f"{fault.group}: {fault.name}"] = line_of(fault, outcome)
    if os.environ.get("FAULTS_PAGE") != "write":
        assert line in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_a_line_for_every_fault_and_no_other() -> None:
    if os.environ.get("FAULTS_PAGE") == "write":
        pytest.skip("the page is being written")
    named = [
        line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text().splitlines() if line[:2] == "| "
    ]
    assert named[1:] == [f"{fault.group}: {fault.name}" for fault in FAULTS]
    assert len(FAULTS) >= 60
