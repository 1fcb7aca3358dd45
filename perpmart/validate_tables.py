"""What the checks found, as lines and tables for people and as values for JSON."""

from __future__ import annotations

from typing import Any

from collectors.quality import CheckResult, Validation
from perpmart.collect_tables import Table

_SHOWN = 5


def check_table(validation: Validation) -> Table:
    """Return a line for each check that found something."""
    columns = ("verdict", "table", "check", "findings", "rule")
    rows = [
        (result.verdict, result.check.table, result.check.name, result.count, result.check.rule)
        for result in (*validation.failed, *validation.warned)
    ]
    return Table(list(rows), columns)


def finding_lines(result: CheckResult, most: int = _SHOWN) -> list[str]:
    """Return the first findings of a check, a line each: table, symbol, part, time, what was found."""
    lines = [
        f"{result.verdict}: {result.check.table} {finding.symbol} {finding.part}".rstrip()
        + f" {finding.time:%Y-%m-%d %H:%M:%S}: {result.check.name}: {finding.found}"
        for finding in result.findings[:most]
    ]
    rest = result.count - len(lines)
    return [*lines, f"{result.verdict}: {result.check.name}: and {rest:,} more"] if rest else lines


def validation_lines(validation: Validation, most: int = _SHOWN) -> list[str]:
    """Return the verdict in a line, and the findings before it: failures first."""
    found = [line for one in validation.failed for line in finding_lines(one, most)]
    found += [line for one in validation.warned for line in finding_lines(one, most)]
    passed = len(validation.results) - len(validation.failed) - len(validation.warned)
    verdict = (
        f"{len(validation.results)} checks of {sum(validation.rows.values()):,} rows: {passed} passed,"
        f" {len(validation.warned)} warn, {len(validation.failed)} failed"
    )
    return [*found, verdict]


def validation_as_dict(validation: Validation) -> dict[str, Any]:
    """Return all of `validation`, for JSON."""
    return {
        "ok": validation.ok,
        "now": validation.now.isoformat(),
        "rows": validation.rows,
        "checks": [
            {
                "check": result.check.name,
                "table": result.check.table,
                "rule": result.check.rule,
                "verdict": result.verdict,
                "count": result.count,
                "findings": [
                    finding._asdict() | {"time": finding.time.isoformat()} for finding in result.findings
                ],
            }
            for result in validation.results
        ],
    }
