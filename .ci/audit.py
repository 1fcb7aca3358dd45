"""Known vulnerabilities of the locked packages, and their licences: `make audit`.

The first part asks a service on the network; where there is none it is skipped, and says so in capitals. The
second needs nothing: it reads what is installed, compares it with docs/licences.md and refuses licences that
do not go with a package that is used unchanged (``--write`` writes the page anew).
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
LOCK = REPOSITORY / "requirements.lock"
PAGE = REPOSITORY / "docs" / "licences.md"
SECONDS = 300
REFUSED = re.compile(
    r"AGPL|Affero|SSPL|Server Side Public|BUSL|Business Source|Commons Clause", re.IGNORECASE
)
HEAD = """# Licences

What `requirements.lock` installs and under which licence, as the packages say themselves; written by
`python .ci/audit.py --write`, compared by `make audit` and a test. Packages for another platform or Python
are listed once it has been written there. AGPL, SSPL and source-available licences are refused.

| package | licence |
|---|---|
"""


class Package(NamedTuple):
    """A locked package and its licence."""

    name: str
    licence: str


def main(arguments: list[str]) -> int:
    """Audit, or with ``--write`` write the page; return the exit code."""
    packages = list(locked_packages(LOCK))
    if "--write" in arguments:
        kept = listed_elsewhere(packages, PAGE, LOCK)
        ordered = sorted([*packages, *kept], key=lambda package: package.name.lower())
        PAGE.write_text(page(ordered), encoding="utf-8")
        print(f"written: {PAGE.relative_to(REPOSITORY)}")
        return 0
    problems = licence_problems(packages, PAGE)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"licences: {len(packages)} packages, none refused, {PAGE.name} is up to date")
    code = audit(LOCK)
    return 1 if problems else code


def locked_names(lock: Path) -> Iterator[str]:
    """Give the names of the packages in a lock."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==", line):
            yield match[1]


def locked_packages(lock: Path) -> Iterator[Package]:
    """Give the locked packages that are installed here, by name."""
    for name in sorted(set(locked_names(lock)), key=str.lower):
        try:
            yield Package(name, licence_of(distribution(name)))
        except PackageNotFoundError:
            continue


def licence_of(package: Distribution) -> str:
    """Give what a package says of its licence, in one short line."""
    about = package.metadata
    if stated := about.get("License-Expression"):
        return str(stated)
    classified = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    if classified:
        return ", ".join(classified)
    lines = str(about.get("License") or "").strip().splitlines()
    return (lines[0][:60].replace("|", "/") if lines else "") or "not said"


def listed_elsewhere(packages: list[Package], written: Path, lock: Path) -> list[Package]:
    """Give the locked packages of the page that another Python or platform has installed."""
    here = {package.name for package in packages}
    cells = [line.split(" | ") for line in written.read_text(encoding="utf-8").splitlines()]
    rows = [Package(row[0].removeprefix("| "), row[1].removesuffix(" |")) for row in cells if len(row) == 2]
    return [row for row in rows if row.name in set(locked_names(lock)) - here]


def page(packages: list[Package]) -> str:
    """Return the page about licences."""
    return HEAD + "".join(f"| {name} | {licence} |\n" for name, licence in packages)


def licence_problems(packages: list[Package], written: Path) -> list[str]:
    """Give what is wrong: licences that are refused, packages that the page lacks or tells otherwise."""
    problems = [
        f"{name}: licence {licence} is refused" for name, licence in packages if REFUSED.search(licence)
    ]
    known = set(written.read_text(encoding="utf-8").splitlines()) if written.exists() else set()
    missing = [name for name, licence in packages if f"| {name} | {licence} |" not in known]
    if missing:
        problems.append(f"docs/{written.name} lacks {', '.join(missing)}: python .ci/audit.py --write")
    return problems


def audit(lock: Path) -> int:
    """Ask for known vulnerabilities; return 1 when there are any, 0 when there are none or nobody answers."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip", "--no-deps"]
    try:
        done = subprocess.run(  # noqa: S603  # our own arguments, no shell
            [*command, "--require-hashes", "--format", "json", "--progress-spinner", "off"],
            capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return skipped(f"no answer within {SECONDS} s")
    return judge(done.stdout, (done.stderr.strip().splitlines() or ["no answer"])[-1])


def judge(report: str, said: str) -> int:
    """Read pip-audit's report; return the exit code, and say what it means."""
    try:
        found = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return skipped(said)
    audited = [one for one in found if "skip_reason" not in one]
    if not audited:
        return skipped(f"none of {len(found)} packages is known to the service that answered")
    bad = [(one, flaw) for one in audited for flaw in one["vulns"]]
    for one, flaw in bad:
        fixed = ", ".join(flaw.get("fix_versions") or []) or "no version yet"
        print(f"error: {one['name']} {one['version']}: {flaw['id']}, mended in {fixed}", file=sys.stderr)
    if len(audited) < len(found):
        print(f"NOT AUDITED: {len(found) - len(audited)} of {len(found)} packages are unknown to the service")
    print(f"vulnerabilities: {len(bad)} in {len(audited)} packages audited")
    return 1 if bad else 0


def skipped(why: str) -> int:
    """Say loudly that the audit did not happen."""
    print(f"SKIPPED: THE AUDIT FOR KNOWN VULNERABILITIES DID NOT HAPPEN: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
