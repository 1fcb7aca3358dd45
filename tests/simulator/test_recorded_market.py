"""Recorded files, made up and real, behind the same interface."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from simulator.clock import StandingClock
from simulator.market import KINDS
from simulator.recorded import DataFileError, RecordedMarket
from simulator.server import Simulator, running
from tests.simulator.shared_data import shared_data

START = datetime(2026, 2, 1, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
WHOLE = ("ALGO", "AVAX", "DOT", "FIL", "LINK", "LTC", "NEAR")


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    header = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        "taker_buy_volume,taker_buy_quote_volume,ignore"
    )
    opens = [START_MS + 300_000 * number for number in range(12)]
    bars = [f"{time},1.5,1.75,1.25,1.5,10.5,{time + 299_999},15.75,7,5.25,7.875,0" for time in opens]
    write(tmp_path / "klines_5m" / "AAAUSDT-5m-2026-02.csv.gz", [header, *bars])
    short = [f"{time},2.5,2.75,2.25,2.5,10.5" for time in opens]
    write(tmp_path / "klines_5m_ohlcv" / "BBBUSDT-5m.csv", ["open_time,open,high,low,close,volume", *short])
    settled = [f"AAAUSDT,{START_MS + 3},0.0001", f"AAAUSDT,{START_MS + 1_800_000},-1.5e-05"]
    write(tmp_path / "funding_rate" / "AAAUSDT-2026-02.csv", ["symbol,fundingTime,fundingRate", *settled])
    orders = [
        f"AAAUSDT,SELL,LIMIT,IOC,3.0,1.4,None,FILLED,1.0,2.5,{START_MS + 100}",
        f"AAAUSDT,BUY,LIMIT,IOC,3.0,1.6,1.55,FILLED,1.0,3.0,{START_MS + 200}",
    ]
    names = (
        "symbol,side,order_type,time_in_force,orig_qty,price,avg_price,status,"
        "last_filled_qty,filled_accum_qty,trade_time"
    )
    write(tmp_path / "liquidations" / "forceOrder.csv.gz", [names, *orders])
    return tmp_path


def get(exchange: Simulator, path: str, **query: Any) -> Any:
    with urlopen(f"{exchange.url}{path}?{urlencode(query)}") as answer:
        return json.load(answer)


def test_the_clock_stands_at_the_end_of_the_whole_klines(folder: Path) -> None:
    market = RecordedMarket(folder)
    assert (market.start, market.end) == (START, START + timedelta(hours=1))
    assert market.symbols == ("AAA/USDT", "BBB/USDT")


def test_recorded_rows_are_what_the_files_say(folder: Path) -> None:
    market = RecordedMarket(folder)
    bars = market.rows("ohlcv", "AAA/USDT")
    assert len(bars) == 12
    assert bars[0][2:] == (START, 1.5, 1.75, 1.25, 1.5, 10.5, 15.75, 7, 5.25, 7.875)
    lacking = market.rows("ohlcv", "BBB/USDT")[0]
    assert lacking[8:] == (None, None, None, None)
    settled = market.rows("funding_rate", "AAA/USDT")
    assert (settled[0].funding_time, settled[0].mark_price) == (START, None)
    assert [(one.price, one.quantity) for one in market.rows("liquidations", "AAA/USDT")] == [
        (1.4, 2.5),
        (1.55, 3.0),
    ]


def test_what_was_not_recorded_is_empty(folder: Path) -> None:
    market = RecordedMarket(folder)
    for kind in KINDS:
        if kind not in ("ohlcv", "funding_rate", "liquidations"):
            assert market.rows(kind, "AAA/USDT") == []
            assert len(market.frame(kind, "AAA/USDT")) == 0
    with running(Simulator(market)) as exchange:
        for path in ("openInterestHist", "globalLongShortAccountRatio", "takerlongshortRatio"):
            for period in ("5m", "1h"):
                assert get(exchange, f"/futures/data/{path}", symbol="AAAUSDT", period=period) == []
        for interval in ("5m", "1h"):
            assert get(exchange, "/fapi/v1/markPriceKlines", symbol="AAAUSDT", interval=interval) == []
        assert get(exchange, "/fapi/v1/depth", symbol="AAAUSDT")["bids"] == []
        assert get(exchange, "/fapi/v1/premiumIndex") == []
        with pytest.raises(HTTPError, match="400"):
            get(exchange, "/fapi/v1/openInterest", symbol="AAAUSDT")


def test_klines_without_quote_volume_are_not_served_as_zero(folder: Path) -> None:
    with running(Simulator(RecordedMarket(folder))) as exchange:
        query = {"interval": "5m", "startTime": START_MS}
        assert len(get(exchange, "/fapi/v1/klines", symbol="AAAUSDT", **query)) == 12
        assert get(exchange, "/fapi/v1/klines", symbol="BBBUSDT", **query) == []
        listed = [one["symbol"] for one in get(exchange, "/fapi/v1/exchangeInfo")["symbols"]]
        assert listed == ["AAAUSDT"]
        rates = get(exchange, "/fapi/v1/fundingRate", symbol="AAAUSDT")
        assert [(one["fundingRate"], one["markPrice"]) for one in rates] == [
            ("0.00010000", ""),
            ("-0.00001500", ""),
        ]


def test_an_earlier_clock_hides_what_comes_later(folder: Path) -> None:
    market = RecordedMarket(folder, end=START + timedelta(minutes=30))
    assert len(market.rows("ohlcv", "AAA/USDT")) == 6
    with running(Simulator(market, clock=StandingClock(START + timedelta(minutes=31)))) as exchange:
        assert len(get(exchange, "/fapi/v1/klines", symbol="AAAUSDT", interval="5m")) == 6


def test_broken_files_are_named(folder: Path) -> None:
    with pytest.raises(DataFileError, match="none of the folders"):
        RecordedMarket(folder / "klines_5m")
    (folder / "klines_5m" / "AAAUSDT-5m-2026-02.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(DataFileError, match="AAAUSDT-5m-2026-02"):
        _ = RecordedMarket(folder).symbols
    (folder / "klines_5m" / "AAAUSDT-5m-2026-02.csv.gz").unlink()
    write(folder / "klines_5m" / "AAAUSDT-5m.csv", ["open_time,open", "1,x"])
    with pytest.raises(DataFileError, match=r"AAAUSDT-5m\.csv"):
        _ = RecordedMarket(folder).symbols


def test_the_seven_symbols_of_february_are_served_whole() -> None:
    market = RecordedMarket(shared_data())
    assert market.end == datetime(2026, 3, 1, tzinfo=UTC)
    with running(Simulator(market)) as exchange:
        listed = [one["symbol"] for one in get(exchange, "/fapi/v1/exchangeInfo")["symbols"]]
        assert listed == [f"{name}USDT" for name in WHOLE]
        for name in WHOLE:
            cursor, bars = START_MS, []
            query = {"symbol": f"{name}USDT"}
            while page := get(
                exchange, "/fapi/v1/klines", **query, interval="5m", startTime=cursor, limit=1000
            ):
                bars += page
                cursor = page[-1][0] + 1
            assert [bar[0] for bar in bars] == [START_MS + 300_000 * number for number in range(8064)]
            assert len(get(exchange, "/fapi/v1/fundingRate", **query, startTime=START_MS, limit=1000)) == 84
            interest = {"period": "4h", "limit": 500}
            assert len(get(exchange, "/futures/data/openInterestHist", **query, **interest)) == 53
            assert get(exchange, "/futures/data/openInterestHist", **query, period="5m") == []


def test_real_bars_survive_the_wire_unchanged() -> None:
    market = RecordedMarket(shared_data())
    rows = market.rows("ohlcv", "ALGO/USDT", START, START + timedelta(days=1))
    with running(Simulator(market)) as exchange:
        query = {"symbol": "ALGOUSDT", "interval": "5m", "startTime": START_MS, "limit": 288}
        bars = get(exchange, "/fapi/v1/klines", **query)
    columns = (1, 2, 3, 4, 5, 7, 8, 9, 10)
    assert [tuple(float(bar[column]) for column in columns) for bar in bars] == [
        tuple(row[3:]) for row in rows
    ]
