"""The demo, and the page it ends with."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from perpmart.database import connect
from perpmart.demo import run_demo
from perpmart.demo_database import claim_database
from perpmart.errors import DatabaseError, PerpmartError
from perpmart.report import write_page, write_report
from perpmart.report_data import Range, ReportData, read_report
from perpmart.report_page import Table
from perpmart.report_pictures import price_with_liquidations, thinned
from perpmart.settings import Settings
from tests.conftest import NewDatabase
from tests.ml.conftest import DAYS, Mart

SPAN = Range(pd.Timestamp("2026-06-28", tz="UTC"), pd.Timestamp("2026-07-01", tz="UTC"))


class _Page(HTMLParser):
    """Collects tags left open and every address that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = text
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br", "use", "path", "rect", "image"}:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_demo_goes_the_whole_way(mart: Mart) -> None:
    result = mart.result
    assert result.ok
    assert result.features == len(mart.loader.registry().features)
    assert [one.symbol for one in result.symbols] == ["SOL/USDT", "BTC/USDT", "ETH/USDT"]
    for one in result.symbols:
        assert (one.klines, one.bars) == (DAYS * 288, DAYS * 288)
        assert one.settlements in (DAYS * 3, DAYS * 3 + 1)
        assert 0.5 < one.known < 1
        assert "0 s old" in one.served
    assert all(step.seconds >= 0 and step.outcome for step in result.steps)


def test_the_page_is_whole_and_asks_nobody_for_anything(mart: Mart) -> None:
    page = _Page(mart.result.page.read_text(encoding="utf-8"))
    assert page.open == []
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    assert not re.search(r"<script|@import|url\((?!#)|<link", page.text)
    assert page.text.count("<svg") == 3 + 1 + 1
    assert all(words in page.text for words in ("SOL/USDT", "Liquidations", "order_book", "Seconds"))


def test_whatever_the_caller_writes_is_escaped(mart: Mart, folder: Path) -> None:
    with connect(mart.settings) as connection:
        data = read_report(connection, ["SOL/USDT"], SPAN, schema_prefix=mart.settings.schema_prefix)
    evil = "<script>alert(1)</script>"
    table = Table(evil, (evil,), ((evil,),), evil)
    text = write_page(data, folder / "a" / "page.html", title=evil, tables=[table], notes=[evil]).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 7


def test_unknown_liquidations_are_said_to_be_unknown(mart: Mart) -> None:
    with connect(mart.settings) as connection:
        data = read_report(connection, ["SOL/USDT"], SPAN, schema_prefix=mart.settings.schema_prefix)
    assert isinstance(data, ReportData)
    one = data.symbols[0]
    silent = one.bars.assign(long_liquidations=float("nan"), short_liquidations=float("nan"))
    assert price_with_liquidations(replace(one, bars=silent)) != price_with_liquidations(one)
    assert {kind.kind: kind.rows for kind in data.raw}["Klines"] == DAYS * 288
    assert {kind.kind: kind.covered for kind in data.raw}["Order books"] == pytest.approx(1 / DAYS)


def test_thinning_keeps_the_extremes() -> None:
    series = pd.Series(range(100_000), dtype=float)
    series[51_234] = -5.0
    series[77_777] = 1e9
    thin = thinned(series)
    assert len(thin) <= 1500
    assert {-5.0, 1e9} <= set(thin)
    assert thin.index.is_monotonic_increasing


def test_a_database_with_other_data_is_refused_and_left_alone(mart: Mart) -> None:
    with connect(mart.settings) as connection:
        raw = f"{mart.settings.schema_prefix}raw"
        mark = connection.execute(f"select obj_description('{raw}'::regnamespace, 'pg_namespace')").fetchone()
        assert mark is not None
        connection.execute(f"comment on schema {raw} is null")
        connection.commit()
        with pytest.raises(DatabaseError, match="must not mix"):
            claim_database(mart.settings, "another")
        connection.execute(f"comment on schema {raw} is '{mark[0]}'")
        connection.commit()
    assert claim_database(mart.settings, mark[0].removeprefix("perpmart demo: ")).endswith("goes on")


def test_a_demo_that_makes_no_sense_is_one_line(mart: Mart, folder: Path) -> None:
    for options, words in (
        ({"days": 0}, "at least one day"),
        ({"symbols": ["NEAR/USDT"]}, "no NEAR/USDT; it trades"),
        ({"data": folder}, "has none of the folders"),
    ):
        with pytest.raises(PerpmartError, match=words):
            run_demo(mart.settings, **options)  # type: ignore[arg-type]
    with connect(mart.settings) as connection, pytest.raises(PerpmartError, match="no symbols"):
        write_report(connection, folder / "x.html", symbols=[], start=SPAN.start, end=SPAN.end)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_recorded_files_give_whole_symbols(
    shared_data: Path, new_database: NewDatabase, redis_url: str, folder: Path
) -> None:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=new_database(label="recorded"),
        redis_url=redis_url,
        schema_prefix="recorded_",
        state_dir=folder,
    )
    result = run_demo(settings, data=shared_data)
    assert {one.symbol: (one.klines, one.settlements) for one in result.symbols} == {
        f"{base}/USDT": (8064, 84) for base in ("ALGO", "AVAX", "DOT", "FIL", "LINK", "LTC", "NEAR")
    }
    assert result.holes > 0
