"""The look at the packages: flaws fail, silence is loud, licences are listed and some are refused."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_known_vulnerability_fails_and_is_named(
    audit: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    flaw = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}
    assert audit.judge(report({"name": "a", "version": "2.0", "vulns": [flaw]}), "") == 1
    assert "a 2.0: PYSEC-2026-1, mended in 2.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer", ["", "no network", "null", report({"name": "a", "skip_reason": "not found"}), report()]
)
def test_an_audit_that_did_not_happen_says_so_loudly(
    audit: ModuleType, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    assert audit.judge(answer, "connection refused") == 0
    assert "SKIPPED: THE AUDIT" in capsys.readouterr().out


def test_packages_that_nobody_knew_are_counted(audit: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    known, unknown = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}
    assert audit.judge(report(known, unknown), "") == 0
    said = capsys.readouterr().out
    assert "NOT AUDITED: 1 of 2" in said
    assert "0 in 1 packages audited" in said


def test_the_page_of_licences_fits_the_lock(audit: ModuleType) -> None:
    packages = list(audit.locked_packages(audit.LOCK))
    assert len(packages) > 100
    assert audit.licence_problems(packages, audit.PAGE) == []


def test_a_refused_or_unlisted_licence_is_a_problem(audit: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "licences.md"
    packages = [audit.Package("a", "MIT"), audit.Package("b", "AGPL-3.0-only")]
    page.write_text(audit.page(packages[:1]))
    problems = audit.licence_problems(packages, page)
    assert problems[0] == "b: licence AGPL-3.0-only is refused"
    assert "lacks b" in problems[1]
