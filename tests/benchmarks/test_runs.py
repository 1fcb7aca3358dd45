"""Each benchmark runs at a tiny size; none of the figures matters here."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks import feature_cost, files, increment, ingest, qlib_shape, scale
from benchmarks.__main__ import NAMES, draw, put
from benchmarks.build import FLOOR, copy_mart, drop_peer
from benchmarks.frame import Section, Spent, in_turn, machine, middle, spent
from benchmarks.generate import fill
from benchmarks.scratch import copied
from perpmart.database import connect_to
from perpmart.errors import PerpmartError
from simulator.presets import wide_market

SECTION = Section("Title", "Note.", ("a", "b"), [["1", "2"]], {"perpmart": 1.0, "other": 2.0})


def silent(_: str) -> None:
    pass


def test_the_floor_is_a_copy_of_the_mart(filled_url: str) -> None:
    copy_mart(filled_url)
    with connect_to(filled_url) as connection:
        found = connection.execute("select count(*), count(oi_percentile) > 0 from copied").fetchone()
        assert found == (3 * 8 * 288, True)
    drop_peer(filled_url)
    assert "create table as" in FLOOR


@pytest.mark.proof
def test_files_of_both_ways_hold_the_same(empty_url: str, tmp_path: Path) -> None:
    market = wide_market(symbols=2, days=2, restless=True)
    with copied(empty_url) as url:
        with connect_to(url) as connection:
            fill(connection, market, market.start, market.end)
        times, compared = files.measure(url, tmp_path, repeats=1, say=silent)
    assert {name: len(found) for name, found in times.items()} == {
        files.PEER: 1,
        files.OURS: 1,
        files.EXPORT: 1,
    }
    assert (compared.rows, compared.features, compared.loose) == (2 * 2 * 288, 170, {})


def test_new_bars_reach_the_mart(empty_url: str) -> None:
    with copied(empty_url) as url:
        market = wide_market(symbols=2, days=1, restless=True)
        first = market.end + timedelta(hours=1)
        increment.prepare(url, market, first)
        found = increment.measure(url, market, first, bars=1, say=silent)
    assert found.history == 2 * (288 + 12)
    assert min(took.wall for took in found[1:]) > 0


@pytest.mark.proof
def test_a_build_is_measured_with_its_memory(empty_url: str) -> None:
    with copied(empty_url) as url:
        found = scale.measure(url, days=1, symbols=2, say=silent)
    assert found.bars == 2 * 288
    assert 10 < found.sessions < 4000
    assert 50 < found.python < 8000


@pytest.mark.proof
def test_a_build_in_the_shape_of_qlibs_comparison_has_its_features(empty_url: str) -> None:
    with copied(empty_url) as url:
        took = qlib_shape.measure(url, symbols=2, bars=300)
        assert qlib_shape.count_features(url) >= 14
    assert took.wall > 0


def test_rows_are_ingested_in_all_ways(migrated_url: str) -> None:
    for kind in ingest.KINDS:
        rates = ingest.measure(migrated_url, kind, 600, repeats=1, say=silent)
        assert set(rates) == {"COPY alone", "executemany", "writer, new", "writer, repeated"}
        assert min(rates.values()) > (0, 0)


@pytest.mark.proof
def test_every_feature_has_a_cost(filled_url: str) -> None:
    with connect_to(filled_url) as connection:
        found = feature_cost.measure(connection, repeats=1, say=silent)
    assert len(found.features) == 170
    section = feature_cost.section_of(found, "small")
    assert len(section.rows) == 170
    assert "feat_price__returns" in section.note


def test_ways_are_run_in_turn() -> None:
    order: list[str] = []

    def way(name: str, wall: float) -> Spent:
        order.append(name)
        return Spent(wall, 0.0)

    found = in_turn({"a": lambda: way("a", 1.0), "b": lambda: way("b", 2.0)}, repeats=3, say=silent)
    assert order == ["a", "b"] * 3
    assert middle(found["b"]) == (2.0, 0.0)


def test_processor_time_of_the_server_and_of_this_process_is_counted(server_url: str) -> None:
    def compute() -> None:
        with connect_to(server_url) as connection:
            connection.execute("select sum(sqrt(n)) from generate_series(1, 1000000) as n")

    idle = spent(server_url, lambda: time.sleep(0.05))
    assert idle.wall >= 0.05
    assert idle.cpu < spent(server_url, compute).cpu
    assert spent(server_url, lambda: sum(range(3_000_000))).cpu > 0.01


def test_figures_replace_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x: begin -->\nold\n<!-- x: end -->\nafter\n")
    put(page, "x", "new")
    assert page.read_text() == "before\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nafter\n"
    with pytest.raises(PerpmartError, match=r"page\.md has no <!-- y: begin -->"):
        put(page, "y", "")


def test_the_page_has_marks_for_every_benchmark() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert page.index(f"<!-- {name}: begin -->") < page.index(f"<!-- {name}: end -->")


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path / "page" / "one.png", SECTION)
    assert (tmp_path / "page" / "one.png").read_bytes().startswith(b"\x89PNG")


def test_the_machine_is_told(server_url: str) -> None:
    assert "PostgreSQL" in machine(server_url)
    assert "load average" in machine(server_url)
