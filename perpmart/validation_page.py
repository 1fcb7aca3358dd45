"""One self-contained page about a validation: every check, its verdict, and where it was broken."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from collectors.quality import CheckResult, Finding, Validation
from perpmart.errors import PerpmartError
from perpmart.report_style import STYLE

_SHOWN = 20
_COLORS = {"pass": "#059669", "warn": "#d97706", "fail": "#dc2626"}


def write_validation_page(validation: Validation, path: Path, docs: Path) -> Path:
    """Write the page, which needs nothing from the network.

    Parameters
    ----------
    validation : Validation
        What the checks found.
    path : Path
        File to write.
    docs : Path
        Page of Great Expectations, to link to.

    Raises
    ------
    PerpmartError
        When the file cannot be written.
    """
    counts = {verdict: sum(result.verdict == verdict for result in validation.results) for verdict in _COLORS}
    cards = "".join(f"<div><b>{count}</b><span>{name}</span></div>" for name, count in counts.items())
    rows = "".join(map(_row, validation.results))
    found = "".join(_findings(result) for result in (*validation.failed, *validation.warned))
    link = escape(os.path.relpath(docs, path.parent))
    text = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>perpmart: raw tables</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>Raw tables: {'passed' if validation.ok else 'failed'}</h1>"
        f"<p class='span'>Clock {validation.now:%Y-%m-%d %H:%M} UTC,"
        f" {sum(validation.rows.values()):,} rows checked</p></header>"
        f"<section class='facts'>{cards}</section>"
        f"<h2>Checks</h2><div class='scroll'><table><thead><tr><th>Verdict</th><th>Check</th><th>Rule</th>"
        f"<th class='number'>Findings</th><th class='number'>Seconds</th></tr></thead><tbody>{rows}</tbody>"
        f"</table></div>{found}"
        f"<footer>The same judged by Great Expectations: <a href='{link}'>Data Docs</a>.</footer>"
        "</main></body></html>"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PerpmartError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _row(result: CheckResult) -> str:
    verdict = result.verdict
    return (
        f"<tr><td style='color:{_COLORS[verdict]}'><b>{verdict}</b></td><td>{escape(result.check.name)}</td>"
        f"<td style='white-space:normal'>{escape(result.check.rule)}</td>"
        f"<td class='number'>{result.count:,}</td><td class='number'>{result.seconds:.2f}</td></tr>"
    )


def _findings(result: CheckResult) -> str:
    rows = "".join(map(_finding, result.findings[:_SHOWN]))
    rest = result.count - min(result.count, _SHOWN)
    more = f"<p>and {rest:,} more</p>" if rest else ""
    return (
        f"<h2>{escape(result.check.name)}: {result.verdict}</h2><p>Rule: {escape(result.check.rule)}.</p>"
        f"<div class='scroll'><table><thead><tr><th>Symbol</th><th>Part</th><th>Time (UTC)</th><th>Found</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _finding(finding: Finding) -> str:
    cells = (finding.symbol, finding.part, f"{finding.time:%Y-%m-%d %H:%M:%S}")
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr>{shown}<td style='white-space:normal'>{escape(finding.found)}</td></tr>"
