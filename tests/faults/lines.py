"""Lines that make no sense, between lines that do: the others go in, the bad one is kept and explained."""

from functools import partial
from pathlib import Path

from .bench import HEADER, Bench, Fault, Outcome, file_outcome, kline_line

GROUP = "Line of a file"
NAME = "SOLUSDT-5m-2026-02-01.csv"


def _with(bad: str | bytes, bench: Bench) -> Outcome:
    """A file of three good lines around a bad one."""
    text = bad if isinstance(bad, bytes) else bad.encode("utf-8", "surrogatepass")
    good = [kline_line(bar).encode() for bar in (0, 1, 3)]
    path = bench.folder / NAME
    path.write_bytes(b"\n".join([HEADER.encode(), good[0], good[1], text, good[2]]) + b"\n")
    outcome = file_outcome(bench, bench.read(path), 4)
    assert bench.count("ohlcv") == outcome.accepted
    assert bench.count("rejects") == outcome.refused
    return outcome


def _of(name: str, lines: list[str], bench: Bench) -> Outcome:
    path: Path = bench.folder / name
    path.write_text("\n".join(lines) + "\n")
    outcome = file_outcome(bench, bench.read(path), len(lines) - 1)
    assert bench.count("rejects") == outcome.refused
    return outcome


_BAD: dict[str, str | bytes] = {
    "fewer fields": "1769904600000,100,110",
    "more fields": kline_line(2) + ",7",
    "a word for a price": kline_line(2, open="many"),
    "no price": kline_line(2, close=""),
    "a price of nan": kline_line(2, close="nan"),
    "an infinite price": kline_line(2, high="inf"),
    "a price of 0": kline_line(2, low=0),
    "a negative price": kline_line(2, low=-1),
    "high below open": kline_line(2, high=95),
    "low above close": kline_line(2, low=106),
    "negative volume": kline_line(2, volume=-1),
    "trades without volume": kline_line(2, volume=0, taker_buy_volume=0),
    "half a trade": kline_line(2, count="42.5"),
    "takers above the whole": kline_line(2, taker_buy_volume=1001),
    "a close time of another timeframe": kline_line(2, close_time=1769905199999),
    "a time off the grid": kline_line(2, open_time=1769904601000, close_time=1769904900999),
    "a time before 2010": kline_line(2, open_time=0, close_time=299_999),
    "a time beyond the calendar": kline_line(2, open_time=10**30, close_time=10**30 + 299_999),
    "a number written 1_000": kline_line(2, volume="1_000"),
    "a quote that is never closed": kline_line(2, open='"100'),
    "a line of 100,000 characters": kline_line(2, ignore="0" * 100_000),
    "bytes that are no text": kline_line(2).encode().replace(b"100500", b"\xff\xfe\x80"),
    "a zero byte": kline_line(2, ignore="\0") + "\0,",
    "an SQL statement": kline_line(2, open="1'); drop table raw.ohlcv; --"),
    "a formula of a spreadsheet": kline_line(2, open="=1+1"),
    "the header once more": HEADER,
    "a blank line": "",
}
_METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
_ORDERS = (
    "symbol,side,order_type,time_in_force,orig_qty,price,avg_price,status,last_filled_qty,"
    "filled_accum_qty,trade_time"
)

FAULTS = (
    *(Fault(GROUP, name, partial(_with, bad)) for name, bad in _BAD.items()),
    Fault(
        GROUP, "metrics without a symbol",
        partial(_of, "SOLUSDT-metrics-2026-02-01.csv", [_METRICS, "2026-02-01 00:05:00,,1,100,1,1,1,1"]),
    ),
    Fault(
        GROUP, "metrics that say nothing",
        partial(_of, "SOLUSDT-metrics-2026-02-01.csv", [_METRICS, "2026-02-01 00:05:00,SOLUSDT,,,,,,"]),
    ),
    Fault(
        GROUP, "funding of 250 %",
        partial(
            _of, "SOLUSDT-fundingRate-2026-02.csv",
            ["calc_time,funding_interval_hours,last_funding_rate", "1769904000007,8,2.5"],
        ),
    ),
    Fault(
        GROUP, "a forced order of a dated contract",
        partial(
            _of, "forceOrder.csv",
            [_ORDERS, "BTCUSDT_260327,SELL,LIMIT,IOC,1,100,100,FILLED,1,1,1769904000007"],
        ),
    ),
    Fault(
        GROUP, "a forced order that is neither bought nor sold",
        partial(
            _of, "forceOrder.csv", [_ORDERS, "SOLUSDT,HOLD,LIMIT,IOC,1,100,100,FILLED,1,1,1769904000007"]
        ),
    ),
)  # fmt: skip
