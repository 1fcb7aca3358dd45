"""What was refused is kept whole, explained, and goes in once it may."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from collectors.archive import import_files
from collectors.rejects import RejectError, drop, read_reject, read_rejects, retry
from collectors.rows import Refusal
from collectors.writer import Writer
from perpmart.database import Connection
from tests.collectors.samples import BOOK, KLINE, NOW, ONE_OF_EACH, SOL, START

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)


def line(minute: int, *, high: str = "110", count: str = "42") -> str:
    opened = int(START.timestamp() * 1000) + minute * 60_000
    return f"{opened},100,{high},90,105,1000,{opened + 299_999},100500,{count},600,60300,0"


def archive_file(folder: Path, *lines: str) -> Path:
    path = folder / "SOLUSDT-5m-2026-02-01.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_a_refused_line_is_explained_and_kept_as_it_came(connection: Connection, tmp_path: Path) -> None:
    bad = line(5, high="many")
    import_files(connection, [archive_file(tmp_path, line(0), bad)], now=NOW)
    (reject,) = read_rejects(connection)
    assert (reject.stream, reject.source, reject.payload) == ("ohlcv:5m", "archive", bad)
    assert reject.origin.endswith("SOLUSDT-5m-2026-02-01.csv:3")
    assert "many" in reject.reason
    assert read_reject(connection, reject.id) == reject


def test_a_line_goes_in_without_its_file_once_the_rule_allows_it(
    connection: Connection, tmp_path: Path
) -> None:
    path = archive_file(tmp_path, line(0), line(5))
    import_files(connection, [path], now=START + timedelta(minutes=7))  # the second bar is forming still
    path.unlink()
    (reject,) = read_rejects(connection)
    assert "forming" in reject.reason
    (again,) = retry(connection, [reject], now=START + timedelta(minutes=7))
    assert (again.accepted, again.reason) == (False, reject.reason)
    (later,) = retry(connection, read_rejects(connection), now=NOW)
    assert later.accepted
    assert connection.execute("select count(*) from ohlcv").fetchone() == (2,)
    assert read_rejects(connection) == []
    kept = read_reject(connection, reject.id)
    assert kept.state == "accepted"
    assert kept.tried_at is not None


def test_a_line_that_a_mended_parser_can_read_is_covered_too(connection: Connection, tmp_path: Path) -> None:
    path = archive_file(tmp_path, line(0), line(5, count="4_2"))
    import_files(connection, [path], now=NOW)
    (reject,) = read_rejects(connection)
    mended = reject._replace(payload=line(5, count="42"))
    assert retry(connection, [mended], now=NOW)[0].accepted
    covered = connection.execute("select from_time, to_time from coverage").fetchall()
    assert covered == [(START, START + timedelta(minutes=10))]


# All but listings, which may lie ahead: none is refused for its time.
@pytest.mark.parametrize("row", ONE_OF_EACH[:-1], ids=lambda row: type(row).__name__)
def test_every_kind_of_row_can_be_submitted_again(connection: Connection, row: object) -> None:
    writer = Writer(connection)
    clock = "funding_time_raw" if hasattr(row, "funding_time_raw") else "time"
    early = getattr(row, clock) - timedelta(minutes=1)
    assert writer.write([row], source="rest", now=early).rejected == 1  # type: ignore[list-item]
    (outcome,) = retry(connection, read_rejects(connection), now=NOW)
    assert outcome.accepted, outcome.reason
    written = writer.write([row], source="rest", now=NOW)  # type: ignore[list-item]
    assert written.unchanged == 1


def test_numbers_that_are_none_come_back_as_such(connection: Connection) -> None:
    writer = Writer(connection)
    writer.write([KLINE._replace(close=float("nan")), BOOK._replace(bid_price=[1.0])], source="rest", now=NOW)
    outcomes = retry(connection, read_rejects(connection), now=NOW)
    assert [outcome.accepted for outcome in outcomes] == [False, False]
    assert len(read_rejects(connection)) == 2  # the same refusal is not noted twice


def test_a_message_of_a_stream_is_read_again(connection: Connection) -> None:
    message = {
        "e": "markPriceUpdate", "E": 1769904000000, "s": "SOLUSDT", "p": "100.5", "i": "100.4", "r": "0.0001",
        "T": 1769932800000,
    }  # fmt: skip
    refusal = Refusal(
        "mark_price", "wss://somewhere", "an older version could not read it", json.dumps(message)
    )
    Writer(connection).write([], source="stream", now=NOW, refusals=[refusal])
    assert retry(connection, read_rejects(connection), now=NOW)[0].accepted
    assert connection.execute("select symbol, mark_price, source from mark_price").fetchall() == [
        (SOL, 100.5, "stream")
    ]


@pytest.mark.parametrize(
    "payload", ["Kline(...)", "[1, 2]", '{"symbol": "SOL/USDT"}', '{"e": "nonsense"}', "null"]
)
def test_what_cannot_be_read_again_says_so(connection: Connection, payload: str) -> None:
    Writer(connection).write([], source="rest", now=NOW, refusals=[Refusal("ohlcv", "x", "y", payload)])
    (outcome,) = retry(connection, read_rejects(connection), now=NOW)
    assert not outcome.accepted
    assert outcome.reason


def test_dropped_ones_are_listed_no_more_and_stay(connection: Connection) -> None:
    Writer(connection).write([], source="rest", now=NOW, refusals=[Refusal("ohlcv", "x", "y", "z")])
    found = read_rejects(connection, stream="ohlcv")
    assert drop(connection, found) == 1
    assert drop(connection, found) == 0
    assert read_rejects(connection) == []
    assert [one.state for one in read_rejects(connection, state=None)] == ["dropped"]
    with pytest.raises(RejectError, match="no refusal has number 99"):
        read_reject(connection, 99)


@pytest.mark.parametrize(
    ("good", "left", "rejected"),
    [
        ((), True, 20),  # two portions of ten, and the third is never read
        ((0,), False, 29),
        ((25,), True, 20),  # a file is given up for what it has shown so far
        ((19,), False, 29),
    ],
)
def test_a_file_of_nothing_but_refused_lines_is_left(
    connection: Connection, tmp_path: Path, good: tuple[int, ...], left: bool, rejected: int
) -> None:
    lines = [line(5 * bar, high="110" if bar in good else "many") for bar in range(30)]
    path = archive_file(tmp_path, *lines)
    (report,) = import_files(connection, [path], now=NOW, portion=10, most_refused=20).files
    assert report.error == (f"{path}: 20 lines refused and none taken" if left else "")
    assert report.result.rejected == len(read_rejects(connection)) == rejected
    assert report.result.inserted == (0 if left else 1)
    assert left == (connection.execute("select count(*) from coverage").fetchone() == (0,))


def test_fewer_refused_lines_than_the_limit_are_read_to_the_end(
    connection: Connection, tmp_path: Path
) -> None:
    path = archive_file(tmp_path, *(line(5 * bar, high="many") for bar in range(19)))
    (report,) = import_files(connection, [path], now=NOW, portion=10, most_refused=20).files
    assert (report.error, report.result.rejected) == ("", 19)
