"""Every folder of the recorded market data goes in whole."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.archive import import_files
from perpmart.database import Connection

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("folder", "files", "rows", "table"),
    [
        ("klines_5m", 7, 7 * 8_064, "ohlcv"),
        ("klines_5m_ohlcv", 1, 51_840, "ohlcv"),
        ("klines_1h", 1, 2_619, "ohlcv"),
        ("funding_rate", 8, 7 * 84 + 541, "funding_rate"),
        ("open_interest_4h", 7, 7 * 53, "open_interest"),
        ("btc_price_oi_taker_5m", 1, 2_977, "open_interest"),
        ("long_short_ratio_30m", 1, 742, "long_short_ratio"),
    ],
)
def test_a_folder_goes_in_whole(
    connection: Connection, shared_data: Path, folder: str, files: int, rows: int, table: str
) -> None:
    report = import_files(connection, [shared_data / folder], now=NOW)
    assert report.is_clean
    assert (len(report.files), report.total.received, report.total.inserted) == (files, rows, rows)
    assert connection.execute(f"select count(*) from {table}".encode()).fetchone() == (rows,)


def test_of_recorded_liquidations_only_dated_contracts_are_refused(
    connection: Connection, shared_data: Path
) -> None:
    watched = [(day("2025-12-28"), day("2025-12-28 12:00"))]
    report = import_files(connection, [shared_data / "liquidations"], now=NOW, watched=watched)
    assert (report.total.inserted, report.total.rejected) == (3_190, 11)
    refused = connection.execute("select payload from rejects").fetchall()
    assert all("_25" in payload for (payload,) in refused)
    assert connection.execute("select from_time, to_time from coverage").fetchall() == watched


def test_seven_symbols_of_february_are_covered_to_the_last_bar(
    connection: Connection, shared_data: Path
) -> None:
    import_files(connection, [shared_data / "klines_5m"], now=NOW)
    covered = connection.execute("select symbol, from_time, to_time from coverage order by symbol").fetchall()
    symbols = ["ALGO", "AVAX", "DOT", "FIL", "LINK", "LTC", "NEAR"]
    assert covered == [(f"{base}/USDT", day("2026-02-01"), day("2026-03-01")) for base in symbols]
