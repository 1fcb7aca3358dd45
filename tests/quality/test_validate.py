"""Real data pass the checks; a corruption of each kind is found, with table, symbol and time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectors.archive import import_files
from collectors.quality import Validation, validate
from collectors.quality_checks import CHECKS, configured
from perpmart.database import connect_to
from perpmart.errors import SettingsError
from perpmart.settings import load_settings
from perpmart.validate import write_pages
from perpmart.validate_tables import validation_lines
from tests.quality.plants import PLANTS

NOW = datetime(2026, 6, 5, tzinfo=UTC)
DROP_RULES = """
do $$ declare r record; begin
    for r in select conname, conrelid::regclass as name from pg_constraint
        where contype = 'c' and connamespace = current_schema()::regnamespace loop
        execute format('alter table %s drop constraint %I', r.name, r.conname);
    end loop;
end $$
"""


@pytest.fixture(scope="module")
def url(new_database: Any, shared_data: Path) -> str:
    """Database with all recorded market data."""
    address = str(new_database(migrated=True, label="quality"))
    with connect_to(address) as connection:
        folders = [
            path for path in sorted(shared_data.iterdir()) if path.is_dir() and path.name != "payloads"
        ]
        assert not import_files(connection, folders, now=NOW).failed
    return address


@pytest.fixture(scope="module")
def clean(url: str) -> Validation:
    with connect_to(url) as connection:
        return validate(connection, now=NOW)


@pytest.fixture(scope="module")
def spoilt(url: str, clean: Validation) -> Iterator[Validation]:
    """The same database with every corruption planted; the rules of the tables are out of force."""
    with connect_to(url) as connection:
        connection.execute(DROP_RULES)
        for plant in PLANTS:
            connection.execute(plant.statement.encode())
        connection.commit()
        yield validate(connection, now=NOW)


def test_recorded_market_data_pass(clean: Validation) -> None:
    assert clean.ok, validation_lines(clean)
    assert sum(clean.rows.values()) > 119_000
    # What is old, and the crash of October 2025, are worth a word.
    warned = {result.check.name for result in clean.warned}
    assert {name.rpartition("_")[2] for name in warned} == {"freshness", "outliers", "open"}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.check}-{plant.time[:16]}")
def test_a_planted_corruption_is_named_with_table_symbol_and_time(plant: Any, spoilt: Validation) -> None:
    result = next(one for one in spoilt.results if one.check.name == plant.check)
    time = datetime.fromisoformat(plant.time).replace(tzinfo=UTC)
    places = [(result.check.table, finding.symbol, finding.time) for finding in result.findings]
    assert (plant.table, plant.symbol, time) in places


def test_what_was_not_planted_is_not_found(clean: Validation, spoilt: Validation) -> None:
    planted = {plant.check for plant in PLANTS}
    # Rows and listings that were put in have an age and a life too.
    aside = {check.name for check in CHECKS if check.name.endswith(("_freshness", "_listed"))}
    before = {result.check.name: result.count for result in clean.results}
    for result in spoilt.results:
        if result.check.name not in planted | aside:
            assert result.count <= before[result.check.name], result.check.name


def test_each_check_has_a_plant_or_a_reason() -> None:
    checked = {plant.check for plant in PLANTS}
    same_function = {"sources", "listed", "lateness", "freshness"}
    left = {check.name for check in CHECKS} - checked
    assert {name for name in left if name.rpartition("_")[2] not in same_function} == {"rejects_open"}


def test_the_pages_name_what_was_found_and_escape_it(spoilt: Validation, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>/USDT"
    first = next(result for result in spoilt.results if result.check.name == "ohlcv_order")
    tainted = first.findings[0]._replace(symbol=evil, found="<img src=x onerror=alert(2)>")
    results = tuple(
        type(result)(result.check, result.count + 1, (tainted, *result.findings), 0.0)
        if result is first
        else result
        for result in spoilt.results
    )
    page = write_pages(
        type(spoilt)(results, spoilt.rows, spoilt.series, spoilt.since, spoilt.until, spoilt.now), tmp_path
    )
    pages = [page, *tmp_path.glob("data_docs/validations/**/*.html")]
    assert len(pages) == 2
    for one in pages:
        text = one.read_text(encoding="utf-8")
        assert "alert(1)" in text
        assert "<script>alert(1)" not in text
        assert "<img src=x" not in text
        for plant in PLANTS:
            assert plant.check in text
        assert "2026-02-03 01:00:00" in text


def test_the_page_of_the_documentation_lists_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    lines = [f"| `{check.name}` | {check.severity} | {check.rule} |" for check in CHECKS]
    assert [line for line in page.splitlines() if line.startswith("| `")] == lines


def test_severities_are_set_by_name_or_for_all(url: str, clean: Validation) -> None:
    with connect_to(url) as connection:
        strict = validate(connection, now=NOW, checks=configured({"rejects_open": "fail", "*": "off"}))
    assert [result.check.name for result in strict.failed] == ["rejects_open"]
    assert len(strict.results) == 1


@pytest.mark.parametrize("text", ["ohlcv_ordr=warn", "ohlcv_order=loud", "ohlcv_order"])
def test_a_misspelt_check_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PERPMART_CHECKS", text)
    with pytest.raises(SettingsError, match="PERPMART_CHECKS"):
        load_settings()
