# tables of cases, each one line
"""Rows that parsers let through and tables must not: refused one by one, kept, counted."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from collectors.rows import Row
from tests.collectors.samples import (
    BOOK,
    FUNDING,
    KLINE,
    LIQUIDATION,
    MARK,
    OPEN_INTEREST,
    RATIO,
    klines,
)

from .bench import NOW, Bench, Fault, Outcome, taken

GROUP = "Row"


def _refused(rows: Sequence[Row], bench: Bench) -> Outcome:
    """Bad rows together with a good one of the same kind."""
    result = bench.write(rows)
    assert bench.count("rejects") == result.rejected
    return Outcome(len(rows), taken(result), result.rejected, 0, bench.reason() or "taken")


def _clock_back(bench: Bench) -> Outcome:
    """The exchange's clock jumps back by an hour between two writes, and forward again."""
    rows = klines(14)
    end = rows[-1].time + timedelta(minutes=5)
    first = bench.write(rows[:13], now=end)
    second = bench.write(rows, now=end - timedelta(hours=1))
    third = bench.write(rows, now=end)
    assert bench.count("ohlcv") == 14
    accepted = taken(first) + taken(second) + taken(third)
    return Outcome(
        41, accepted, second.rejected, 0, "bars of the lost hour are refused until the clock is there again"
    )


def _same_key(bench: Bench) -> Outcome:
    result = bench.write([KLINE, KLINE._replace(close=104.0), KLINE])
    assert bench.count("ohlcv") == 1
    return Outcome(3, taken(result), result.rejected, 0, "the last stands, another version is in revisions")


def _weaker(bench: Bench) -> Outcome:
    results = [
        bench.write([KLINE], source="archive"),
        bench.write([KLINE._replace(close=104.0)], source="stream"),
    ]
    row = bench.connection.execute("select close, source from ohlcv").fetchone()
    assert row == (105.0, "archive")
    assert bench.count("revisions") == 1
    return Outcome(
        2, sum(map(taken, results)), 0, 0, "the archive stands, the stream's version is in revisions"
    )


_ROWS: dict[str, Sequence[Row]] = {
    "a bar still forming": [KLINE, KLINE._replace(time=NOW - timedelta(minutes=5) + timedelta(minutes=5))],
    "a bar of the future": [KLINE, KLINE._replace(time=NOW + timedelta(hours=1))],
    "an unknown timeframe": [KLINE, KLINE._replace(timeframe="7m")],
    "an empty symbol": [KLINE, KLINE._replace(symbol="")],
    "a symbol with a zero byte": [KLINE, KLINE._replace(symbol="SOL\0/USDT")],
    "a symbol that is half a character": [KLINE, KLINE._replace(symbol="\ud800/USDT")],
    "a count beyond 64 bits": [KLINE, KLINE._replace(trades=2**63)],
    "an open interest of nan": [OPEN_INTEREST, OPEN_INTEREST._replace(open_interest=float("nan"))],
    "an open interest that says nothing": [
        OPEN_INTEREST,
        OPEN_INTEREST._replace(open_interest=None, open_interest_value=None),
    ],
    "a share of accounts of 140 %": [RATIO, RATIO._replace(long_account=1.4)],
    "an unknown kind of ratio": [RATIO, RATIO._replace(ratio_type="whales")],
    "a funding stamp of another minute": [
        FUNDING,
        FUNDING._replace(funding_time_raw=FUNDING.funding_time + timedelta(minutes=2)),
    ],
    "a liquidation of nothing": [LIQUIDATION, LIQUIDATION._replace(quantity=0.0)],
    "a book that is crossed": [BOOK, BOOK._replace(bid_price=[102.0, 98.0])],
    "a book whose sides are not equally long": [BOOK, BOOK._replace(ask_quantity=[1.0])],
    "a book out of order": [BOOK, BOOK._replace(ask_price=[102.0, 101.0])],
    "a mark price of minus one": [MARK, MARK._replace(mark_price=-1.0)],
}

FAULTS = (
    *(Fault(GROUP, name, partial(_refused, rows)) for name, rows in _ROWS.items()),
    Fault(GROUP, "the same key three times in a batch", _same_key),
    Fault(GROUP, "a weaker source after a stronger one", _weaker),
    Fault("Clock", "the exchange's clock jumps back an hour", _clock_back),
)
