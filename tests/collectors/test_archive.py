"""Importing files: what goes in, what is refused and where that is said, what is covered."""

import gzip
import hashlib
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors import archive_files
from collectors.archive import import_files
from collectors.archive_report import FileReport, ImportReport, Progress
from collectors.rows import Kline
from collectors.writer import Writer, WriteResult
from perpmart.database import Connection

NOW = datetime(2026, 3, 10, tzinfo=UTC)
DAY = datetime(2026, 2, 1, tzinfo=UTC)
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
FORCED = (
    "symbol,side,order_type,time_in_force,orig_qty,price,avg_price,status,last_filled_qty,"
    "filled_accum_qty,trade_time"
)


def stamp(minutes: float, day: datetime = DAY) -> int:
    return int((day + timedelta(minutes=minutes)).timestamp() * 1000)


def kline(n: int, *, close: str = "10.5") -> str:
    start = stamp(5 * n)
    return f"{start},10,11,9,{close},100,{start + 299_999},1050,7,60,630,0"


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes lines to a file named ``folder/file``, packed as its name says."""

    def make(name: str, *lines: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = ("\n".join(lines) + "\n").encode()
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(data))
        elif name.endswith(".zip"):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.writestr(path.with_suffix(".csv").name, data)
        else:
            path.write_bytes(data)
        return path

    return make


def load(connection: Connection, *paths: Path, **options: Any) -> ImportReport:
    return import_files(connection, paths, now=options.pop("now", NOW), **options)


def load_one(connection: Connection, path: Path, **options: Any) -> FileReport:
    (report,) = load(connection, path, **options).files
    result = report.result
    assert result.received == (
        result.inserted + result.updated + result.unchanged + result.superseded + result.rejected
    )
    return report


def ask(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


COVERAGE = (
    "select stream, symbol, from_time, to_time, source from coverage order by stream, symbol, from_time"
)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_a_kline_file_goes_in_packed_or_not_with_or_without_header(
    connection: Connection, put: Callable[..., Path], suffix: str, header: bool
) -> None:
    path = put(f"SOLUSDT-5m-2026-02-01{suffix}", *([HEADER] if header else []), *map(kline, range(288)))
    report = load_one(connection, path)
    assert (report.kind, report.lines, report.error) == ("klines 5m", 288, "")
    assert report.result == WriteResult(received=288, inserted=288)
    assert ask(connection, f"select {', '.join(Kline._fields)}, source from ohlcv order by time limit 1") == [
        ("SOL/USDT", "5m", DAY, 10.0, 11.0, 9.0, 10.5, 100.0, 1050.0, 7, 60.0, 630.0, "archive")
    ]
    assert ask(connection, COVERAGE) == [("ohlcv:5m", "SOL/USDT", DAY, DAY + timedelta(days=1), "archive")]


def test_a_monthly_file_speaks_of_its_whole_month(connection: Connection, put: Callable[..., Path]) -> None:
    load_one(connection, put("SOLUSDT-5m-2026-02.csv", HEADER, kline(3)))
    assert ask(connection, COVERAGE) == [
        ("ohlcv:5m", "SOL/USDT", DAY, datetime(2026, 3, 1, tzinfo=UTC), "archive")
    ]


def test_a_file_speaks_of_nothing_after_the_exchanges_clock(
    connection: Connection, put: Callable[..., Path]
) -> None:
    path = put("SOLUSDT-5m-2026-02-01.csv", HEADER, *map(kline, range(4)))
    report = load_one(connection, path, now=DAY + timedelta(minutes=17))
    assert report.result == WriteResult(received=4, inserted=3, rejected=1)
    assert ask(connection, "select origin, reason from rejects") == [
        (f"{path}:5", "bar still forming by the exchange's clock")
    ]
    assert ask(connection, COVERAGE) == [
        ("ohlcv:5m", "SOL/USDT", DAY, DAY + timedelta(minutes=15), "archive")
    ]


def test_importing_again_changes_nothing(connection: Connection, put: Callable[..., Path]) -> None:
    path = put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0), kline(1), "nonsense")
    load_one(connection, path)
    connection.execute("delete from changes")
    assert load_one(connection, path).result == WriteResult(received=3, unchanged=2, rejected=1)
    assert ask(connection, "select count(*) from changes") == [(0,)]
    assert ask(connection, "select count(*) from rejects") == [(1,)]


def test_a_file_published_anew_replaces_the_older(connection: Connection, put: Callable[..., Path]) -> None:
    load_one(connection, put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0), kline(1)))
    report = load_one(connection, put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0), kline(1, close="10.6")))
    assert report.result == WriteResult(received=2, updated=1, unchanged=1)


def test_lines_that_make_no_sense_are_told_and_the_rest_goes_in(
    connection: Connection, put: Callable[..., Path]
) -> None:
    broken = {
        "1,2,3": "3 fields instead of 12",
        kline(1).replace("10.5", "ten"): "could not convert string to float: 'ten'",
        kline(2).replace(",7,", ",7.5,"): "7.5 is no whole number",
        kline(3).replace(",11,", ",8,"): "open or close outside low..high",
        kline(4).replace(str(stamp(20)), str(stamp(21))): "close time does not fit the timeframe 5m",
        kline(5).replace(",100,", ",1_00,"): "underscore in a number",
        kline(6).replace("10.5", "nan"): "open or close outside low..high",
        "x" * 20_000: "line too long",
        kline(8).replace("10,", "", 1): "11 fields instead of 12",
        "9" * 30 + kline(9): f"time {'9' * 40}"[:35],
    }
    path = put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0), *broken, kline(10))
    report = load_one(connection, path)
    assert report.result == WriteResult(received=12, inserted=2, rejected=10)
    told = ask(connection, "select origin, reason, source from rejects")
    assert {origin for origin, _, _ in told} == {f"{path}:{number}" for number in range(3, 13)}
    reasons = {origin: reason for origin, reason, _ in told}
    for number, reason in enumerate(broken.values(), start=3):
        assert reasons[f"{path}:{number}"].startswith(reason), number
    assert {source for _, _, source in told} == {"archive"}


def test_a_refused_line_leaves_its_own_bar_uncovered(
    connection: Connection, put: Callable[..., Path]
) -> None:
    report = load_one(connection, put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0), "nonsense", kline(2)))
    assert [segment[2:4] for segment in ask(connection, COVERAGE)] == [
        (DAY, DAY + timedelta(minutes=5)),
        (DAY + timedelta(minutes=10), DAY + timedelta(minutes=15)),
    ]
    assert "lines were refused: coverage is written only around the rows that went in" in report.notes


def test_blank_and_repeated_lines_are_counted(connection: Connection, put: Callable[..., Path]) -> None:
    path = put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0), "", ",,,,,,,,,,,", kline(0), HEADER, kline(1))
    report = load_one(connection, path)
    assert (report.lines, report.blank, report.read) == (5, 2, 5)
    assert report.result == WriteResult(received=3, inserted=2, unchanged=1)


def metrics(minutes: int, *ratios: str, amount: str = "5000") -> str:
    time = (DAY + timedelta(minutes=minutes)).strftime("%Y-%m-%d %H:%M:%S")
    return ",".join([time, "SOLUSDT", amount, "525000.5", *(ratios or ("1.1", "1.2", "1.3", "0.9"))])


def test_a_metrics_line_is_open_interest_and_four_ratios(
    connection: Connection, put: Callable[..., Path]
) -> None:
    report = load_one(connection, put("SOLUSDT-metrics-2026-02-01.zip", METRICS, metrics(5)))
    assert report.result == WriteResult(received=5, inserted=5)
    assert ask(connection, "select period, time, open_interest, open_interest_value from open_interest") == [
        ("5m", DAY + timedelta(minutes=5), 5000.0, 525000.5)
    ]
    assert ask(
        connection,
        "select ratio_type, long_short_ratio, long_account, short_account from long_short_ratio order by 1",
    ) == [
        ("global_account", 1.3, None, None),
        ("taker_volume", 0.9, None, None),
        ("top_account", 1.1, None, None),
        ("top_position", 1.2, None, None),
    ]
    streams = [row[0] for row in ask(connection, COVERAGE)]
    assert streams == sorted(
        ["open_interest:5m"]
        + [
            f"long_short_ratio:{kind}:5m"
            for kind in ("global_account", "taker_volume", "top_account", "top_position")
        ]
    )
    assert {row[2:4] for row in ask(connection, COVERAGE)} == {(DAY, DAY + timedelta(days=1))}


def test_metrics_days_overlap_and_hold_repeated_and_blank_cells(
    connection: Connection, put: Callable[..., Path]
) -> None:
    first = put(
        "a/SOLUSDT-metrics-2026-02-01.csv",
        METRICS,
        metrics(5),
        metrics(5),
        "",
        metrics(10, "", "", "1.3", ""),
        metrics(15, "", "", "", "", amount="").replace("525000.5", ""),
        metrics(1440),
    )
    second = put("b/SOLUSDT-metrics-2026-02-02.csv", METRICS, metrics(1440), metrics(1445))
    reports = load(connection, first, second).files
    assert reports[0].result == WriteResult(received=18, inserted=12, unchanged=5, rejected=1)
    assert (reports[0].lines, reports[0].blank) == (6, 1)
    assert reports[1].result == WriteResult(received=10, inserted=5, unchanged=5)
    assert ask(connection, "select reason from rejects") == [("says nothing",)]
    assert ask(connection, "select count(*) from open_interest") == [(4,)]


def test_archive_and_rest_funding_agree_and_keep_what_only_rest_knows(
    connection: Connection, put: Callable[..., Path]
) -> None:
    time = stamp(480) + 13
    rest = put(
        "f/SOLUSDT-2026-02.csv", "symbol,fundingTime,fundingRate,markPrice", f"SOLUSDT,{time},0.0001,105.5"
    )
    archive = put(
        "SOLUSDT-fundingRate-2026-02.csv",
        "calc_time,funding_interval_hours,last_funding_rate",
        f"{time},8,0.0001",
    )
    reports = load(connection, rest, archive).files
    assert [report.result.inserted for report in reports] == [1, 0]
    row = "select symbol, funding_time, funding_time_raw, funding_rate, mark_price, source from funding_rate"
    assert ask(connection, row) == [
        (
            "SOL/USDT",
            DAY + timedelta(hours=8),
            DAY + timedelta(hours=8, milliseconds=13),
            0.0001,
            105.5,
            "archive",
        )
    ]
    assert [segment[2:] for segment in ask(connection, COVERAGE)] == [
        (DAY, datetime(2026, 3, 1, tzinfo=UTC), "archive"),
        (DAY + timedelta(hours=8), DAY + timedelta(hours=8, minutes=1), "rest"),
    ]


def test_a_kline_dump_without_takers_leaves_them_unknown_and_doubts_its_last_bar(
    connection: Connection, put: Callable[..., Path]
) -> None:
    lines = [f"{stamp(5 * n)},10,11,9,10.5,100" for n in range(3)]
    path = put("x/SOLUSDT-5m-2026-02-01_2026-02-02.csv", "open_time,open,high,low,close,volume", *lines)
    report = load_one(connection, path)
    assert ask(connection, "select distinct quote_volume, trades, taker_buy_base, source from ohlcv") == [
        (None, None, None, "rest")
    ]
    assert [segment[2:] for segment in ask(connection, COVERAGE)] == [
        (DAY, DAY + timedelta(minutes=10), "rest")
    ]
    assert any("may have been unclosed" in note for note in report.notes)


def test_the_period_comes_from_name_folder_or_distance(
    connection: Connection, put: Callable[..., Path]
) -> None:
    header = "symbol,timestamp,sumOpenInterest,sumOpenInterestValue"
    lines = [f"SOLUSDT,{stamp(240 * n)},5000,525000" for n in (0, 1, 2, 4)]
    reports = load(
        connection,
        put("open_interest_4h/SOLUSDT-2026-02.csv", header, lines[0]),
        put("any/SOLUSDT.csv", header, *lines),
        put("none/SOLUSDT.csv", header, lines[0]),
    ).files
    assert [report.kind for report in reports] == ["open interest 4h", "open interest 4h", ""]
    assert "neither its name nor its rows tell the period" in reports[2].error
    assert [segment[0] for segment in ask(connection, COVERAGE)] == ["open_interest:4h"]
    assert ask(connection, COVERAGE)[0][2:4] == (DAY, DAY + timedelta(hours=20))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BTCUSDT-global-2024.csv", "global_account"),
        ("topLongShortAccountRatio/BTCUSDT.csv", "top_account"),
        ("BTCUSDT-topLongShortPositionRatio-5m.csv", "top_position"),
        ("top_position/BTCUSDT.csv", "top_position"),
    ],
)
def test_the_kind_of_ratio_comes_from_the_name(
    connection: Connection, put: Callable[..., Path], name: str, kind: str
) -> None:
    header = "symbol,timestamp,longShortRatio,longAccount,shortAccount"
    lines = [f"BTCUSDT,{stamp(5 * n)},1.5,0.6,0.4" for n in range(2)]
    assert load_one(connection, put(f"r/{name}", header, *lines)).result.inserted == 2
    assert ask(connection, "select distinct ratio_type, period, long_account from long_short_ratio") == [
        (kind, "5m", 0.6)
    ]


def test_taker_ratios_keep_both_volumes(connection: Connection, put: Callable[..., Path]) -> None:
    header, line = "buySellRatio,sellVol,buyVol,timestamp", f"0.7586,1986.606,1507.04,{stamp(0)}"
    assert load_one(connection, put("BTCUSDT-5m-takerlongshortRatio.csv", header, line)).result.inserted == 1
    assert ask(
        connection,
        "select symbol, ratio_type, long_short_ratio, long_account, short_account from long_short_ratio",
    ) == [("BTC/USDT", "taker_volume", 0.7586, 1507.04, 1986.606)]


def test_of_a_mixed_file_only_what_fits_is_taken_and_the_rest_is_named(
    connection: Connection, put: Callable[..., Path]
) -> None:
    header = "open_time,open,high,low,close,taker_net_base,sum_open_interest_value,last_funding_rate"
    report = load_one(
        connection, put("BTCUSDT-5m.csv", header, f"{stamp(5)},10,11,9,10,-3,7719003148.5,0.0001")
    )
    assert ask(connection, "select time, open_interest, open_interest_value, source from open_interest") == [
        (DAY + timedelta(minutes=5), None, 7719003148.5, "rest")
    ]
    assert "taker_net_base" in report.notes[0]
    assert ask(connection, COVERAGE) == []


def test_liquidations_are_covered_only_where_someone_watched(
    connection: Connection, put: Callable[..., Path]
) -> None:
    path = put(
        "forceOrder.csv",
        FORCED,
        f"SOLUSDT,SELL,LIMIT,IOC,150.0,98.0,None,FILLED,98.9,120.0,{stamp(1)}",
        f"SOLUSDT,BUY,LIMIT,IOC,31,98.0,99.5,FILLED,9,31,{stamp(2)}",
        f"BTC_250627USDT,BUY,LIMIT,IOC,31,98.0,99.5,FILLED,9,31,{stamp(2)}",
        f"SOLUSDT,BUY,LIMIT,IOC,31,98.0,99.5,NEW,0,0,{stamp(3)}",
    )
    report = load_one(connection, path)
    assert report.result == WriteResult(received=4, inserted=2, rejected=2)
    assert ask(connection, COVERAGE) == []
    assert any("no coverage" in note for note in report.notes)
    assert ask(
        connection,
        "select side, price, quantity, original_price, original_quantity, source"
        " from liquidations order by time",
    ) == [("SELL", 98.0, 120.0, 98.0, 150.0, "stream"), ("BUY", 99.5, 31.0, 98.0, 31.0, "stream")]
    watched = [(DAY, DAY + timedelta(hours=1)), (DAY + timedelta(hours=2), DAY + timedelta(hours=3))]
    load_one(connection, path, watched=watched)
    assert ask(connection, COVERAGE) == [("liquidations", "*", *segment, "stream") for segment in watched]
    with pytest.raises(ValueError, match="ends before it begins"):
        load(connection, path, watched=[(DAY, DAY)])


@pytest.mark.parametrize("folder", ["markPriceKlines", "indexPriceKlines", "premiumIndexKlines"])
def test_klines_of_other_prices_never_pass_for_trades(
    connection: Connection, put: Callable[..., Path], folder: str
) -> None:
    report = load_one(connection, put(f"{folder}/SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0)))
    assert f"{folder} cannot be imported" in report.error
    bare = put(
        "SOLUSDT-5m-2026-02-01.csv", HEADER, f"{stamp(0)},10,11,9,10.5,0,{stamp(0) + 299_999},0,300,0,0,0"
    )
    assert load_one(connection, bare).result == WriteResult(received=1, rejected=1)


def test_a_checksum_beside_the_file_is_verified(connection: Connection, put: Callable[..., Path]) -> None:
    path = put("SOLUSDT-5m-2026-02-01.zip", HEADER, kline(0))
    beside = path.with_name(path.name + ".CHECKSUM")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert load_one(connection, path).checked
    beside.write_text(f"{'0' * 64}  {path.name}\n")
    report = load_one(connection, path)
    assert "does not fit its checksum" in report.error
    assert report.result == WriteResult()


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def test_what_is_no_file_of_ours_is_told_in_one_line_and_the_others_go_in(
    connection: Connection, put: Callable[..., Path], tmp_path: Path
) -> None:
    good = put("good/SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0))
    cut_gz, cut_zip = (
        put("bad/SOLUSDT-5m-2026-02-01.csv.gz", kline(0)),
        put("bad/SOLUSDT-5m-2026-02-01.zip", kline(0)),
    )
    for path in (cut_gz, cut_zip):
        damaged(path)
    no_zip, text = tmp_path / "bad" / "x.zip", tmp_path / "bad" / "note.txt"
    no_zip.write_bytes(b"not a zip file")
    text.write_text("hello")
    bad = {
        tmp_path / "missing.csv": "No such file",
        cut_gz: "ended",
        cut_zip: "zip",
        no_zip: "not a zip file",
        text: "not a csv, csv.gz or zip file",
        put("bad/empty.csv"): "empty",
        put("bad/SOLUSDT-strange.csv", "a,b,c", "1,2,3"): "columns of no known kind: a, b, c",
        put("bad/SOLUSDT-5m.csv", "1,2,3"): "no header, and 3 columns fit no kind",
        put("bad/XYZ-5m-2026-02-01.csv", HEADER, kline(0)): "must begin with a symbol",
        put("bad/SOLUSDT-5m-2026-02-31.csv", HEADER, kline(0)): "no such date",
    }
    report = load(connection, good, *bad)
    assert not report.is_clean
    assert len(report.failed) == len(bad)
    for file, (path, reason) in zip(report.files[1:], bad.items(), strict=True):
        assert str(path) in file.error
        assert reason in file.error
        assert "\n" not in file.error
    assert report.total == WriteResult(received=1, inserted=1)


@pytest.mark.parametrize(
    "member", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:evil.csv"]
)
def test_a_member_that_leads_out_of_the_zip_is_refused(
    connection: Connection, tmp_path: Path, member: str
) -> None:
    path = tmp_path / "SOLUSDT-5m-2026-02-01.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(member, kline(0))
    assert "leads out of the archive" in load_one(connection, path).error


def test_a_zip_of_anything_but_csv_is_refused(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "SOLUSDT-5m-2026-02-01.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("inner.zip", b"PK")
    assert "is no csv file" in load_one(connection, path).error


@pytest.mark.parametrize("suffix", [".zip", ".csv.gz"])
def test_a_bomb_is_defused(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(archive_files, "_RATIO_FROM", 2**20)
    path, data = tmp_path / f"SOLUSDT-5m-2026-02-01{suffix}", b"0" * 4 * 2**20
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a.csv", data)
    else:
        path.write_bytes(gzip.compress(data))
    assert "times its size" in load_one(connection, path).error


def test_a_zip_of_several_files_is_read_through(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "SOLUSDT-5m-2026-02-01.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.csv", f"{HEADER}\n{kline(0)}\n")
        packed.writestr("b.csv", f"{HEADER}\n{kline(1)}\nnonsense\n")
    assert load_one(connection, path).result == WriteResult(received=3, inserted=2, rejected=1)
    assert ask(connection, "select origin from rejects") == [(f"{path}/b.csv:3",)]


def test_folders_are_searched_and_progress_is_told(
    connection: Connection, put: Callable[..., Path], tmp_path: Path
) -> None:
    first = put("all/a/SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0))
    second = put("all/b/SOLUSDT-5m-2026-02-01.zip", HEADER, kline(1))
    (tmp_path / "all" / "README.md").write_text("not for import")
    steps: list[Progress] = []
    report = load(connection, tmp_path / "all", progress=steps.append)
    assert [file.path for file in report.files] == [first, second]
    assert report.is_clean
    size = first.stat().st_size + second.stat().st_size
    assert steps[-1] == Progress(second, 2, 2, size, size, 2)
    assert [step.rows for step in steps] == sorted(step.rows for step in steps)


def test_long_files_go_in_by_portions(
    connection: Connection, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.archive._PEEK", 10)
    path = put("SOLUSDT-5m-2026-02-01.csv", HEADER, *map(kline, range(288)))
    report = load_one(connection, path, portion=100)
    assert report.result == WriteResult(received=288, inserted=288)


def test_files_and_rest_answers_make_the_same_rows(connection: Connection, put: Callable[..., Path]) -> None:
    load_one(connection, put("SOLUSDT-5m-2026-02-01.csv", HEADER, kline(0)))
    from collectors.parse import parse_klines

    start = stamp(0)
    answer = [[start, "10", "11", "9", "10.5", "100", start + 299_999, "1050", 7, "60", "630", "0"]]
    rows = parse_klines(answer, symbol="SOL/USDT", timeframe="5m")
    assert Writer(connection).write(rows, source="rest", now=NOW) == WriteResult(received=1, unchanged=1)
