"""The same market read over REST and out of files gives the same rows, and the statements people know run."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from collectors.archive import import_files
from perpmart.database import connect_to
from simulator.presets import demo_market
from simulator.recorded import RecordedMarket
from simulator.server import Simulator, running
from tests.collectors.backfill_run import backfill
from tests.conftest import NewDatabase

MEASURES = {
    "ohlcv": "symbol, timeframe, time, open, high, low, close, volume, quote_volume, trades, taker_buy_base,"
    " taker_buy_quote",
    "funding_rate": "symbol, funding_time, funding_time_raw, funding_rate",
    "open_interest": "symbol, period, time, open_interest, open_interest_value",
    "long_short_ratio": "symbol, period, ratio_type, time, long_short_ratio",
}
METRICS = [
    *("create_time", "symbol", "sum_open_interest", "sum_open_interest_value"),
    *("count_toptrader_long_short_ratio", "sum_toptrader_long_short_ratio"),
    *("count_long_short_ratio", "sum_taker_long_short_vol_ratio"),
]
STATEMENTS = {
    "SELECT time, open_interest, open_interest_value FROM open_interest"
    " WHERE symbol = 'SOL/USDT' AND period = '5m'": 288,
    "SELECT time, open, high, low, close, volume FROM ohlcv"
    " WHERE symbol = 'SOL/USDT' AND timeframe = '5m'": 288,
    "SELECT volume, taker_buy_base, taker_buy_quote FROM ohlcv": 288,
    "SELECT funding_time, funding_rate, mark_price FROM funding_rate WHERE symbol = 'SOL/USDT'": 3,
    "SELECT time, side, quantity, price FROM liquidations WHERE symbol = 'SOL/USDT'": 0,
    "SELECT time, long_short_ratio, long_account, short_account FROM long_short_ratio"
    " WHERE symbol = 'SOL/USDT'": 4 * 288,
}


def measures(database_url: str, table: str, symbols: list[str]) -> list[tuple[Any, ...]]:
    query = f"select {MEASURES[table]} from {table} where symbol = any(%s) order by 1, 2, 3, 4"
    with connect_to(database_url) as connection:
        return connection.execute(query.encode(), [symbols]).fetchall()


def test_recorded_files_are_worth_the_exchange_that_they_came_from(
    migrated_url: str, new_database: NewDatabase, shared_data: Path
) -> None:
    symbols = ["AVAX/USDT", "NEAR/USDT"]
    with running(Simulator(RecordedMarket(shared_data))) as exchange:
        backfill(
            migrated_url,
            exchange.url,
            symbols,
            "2026-02-01",
            kinds=["klines", "funding_rate", "open_interest:4h"],
        )
    imported_url = new_database(migrated=True, label="imported")
    with connect_to(imported_url) as connection:
        folders = [shared_data / name for name in ("klines_5m", "funding_rate", "open_interest_4h")]
        import_files(connection, folders, now=datetime(2026, 11, 22, tzinfo=UTC))
    for table, rows in (("ohlcv", 2 * 8_064), ("funding_rate", 2 * 84), ("open_interest", 2 * 53)):
        collected = measures(migrated_url, table, symbols)
        assert len(collected) == rows
        assert measures(imported_url, table, symbols) == collected


@contextmanager
def answers(root: str) -> Iterator[Any]:
    """Function that asks the exchange for a path and gives the rows of its answer."""

    def ask(path: str, **query: object) -> Any:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        with urlopen(f"{root}{path}?{asked}", timeout=10) as answer:
            return json.load(answer)

    yield ask


def write_archive(folder: Path, root: str, day: datetime) -> None:
    """Write a day of the exchange's own answers in the layout of the bulk archive."""
    first, last = (int(at.timestamp() * 1000) for at in (day, day + timedelta(days=1)))
    with answers(root) as ask:
        bars = ask(
            "/fapi/v1/klines", symbol="SOLUSDT", interval="5m", startTime=first, endTime=last - 1, limit=500
        )
        query = {"symbol": "SOLUSDT", "period": "5m", "startTime": first, "endTime": last - 1, "limit": 500}
        kinds = ("topLongShortAccountRatio", "topLongShortPositionRatio", "globalLongShortAccountRatio")
        held = ask("/futures/data/openInterestHist", **query)
        ratios = [{row["timestamp"]: row for row in ask(f"/futures/data/{kind}", **query)} for kind in kinds]
        taker = {row["timestamp"]: row for row in ask("/futures/data/takerlongshortRatio", **query)}
    with (folder / f"SOLUSDT-5m-{day:%F}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(bars)
    with (folder / f"SOLUSDT-metrics-{day:%F}.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(METRICS)
        for row in held:
            at = row["timestamp"]
            lines.writerow(
                [
                    datetime.fromtimestamp(at / 1000, UTC).strftime("%F %T"),
                    "SOLUSDT",
                    row["sumOpenInterest"],
                    row["sumOpenInterestValue"],
                    *(kind[at]["longShortRatio"] for kind in ratios),
                    taker[at]["buySellRatio"],
                ]
            )


@pytest.fixture(scope="module")
def collected(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Address of a database with a day of SOL/USDT collected over REST, and that day as archive files."""
    url, folder = new_database(migrated=True, label="collected"), tmp_path_factory.mktemp("archive")
    market = demo_market(days=3)
    day = market.start + timedelta(days=1)
    with running(Simulator(market)) as exchange:
        backfill(url, exchange.url, ["SOL/USDT"], day, day + timedelta(days=1))
        write_archive(folder, exchange.url, day)
    return url, folder


def test_the_bulk_archive_is_worth_a_backfill(collected: tuple[str, Path], migrated_url: str) -> None:
    url, folder = collected
    with connect_to(migrated_url) as connection:
        report = import_files(connection, [folder], now=datetime(2026, 11, 22, tzinfo=UTC))
    assert report.is_clean
    for table, rows in (("ohlcv", 288), ("open_interest", 288), ("long_short_ratio", 4 * 288)):
        found = measures(url, table, ["SOL/USDT"])
        assert len(found) == rows
        assert measures(migrated_url, table, ["SOL/USDT"]) == found


@pytest.mark.parametrize(("statement", "rows"), STATEMENTS.items(), ids=range(len(STATEMENTS)))
def test_a_statement_runs_as_people_write_it(collected: tuple[str, Path], statement: str, rows: int) -> None:
    with connect_to(collected[0]) as connection:
        connection.execute("set search_path = raw")
        assert len(connection.execute(statement.encode()).fetchall()) == rows
