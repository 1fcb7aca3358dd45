"""Rows for the tests of the raw tables, with values written out."""

from datetime import UTC, datetime, timedelta

from collectors.rows import (
    FundingRate,
    Instrument,
    Kline,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    OrderBookSnapshot,
)

START = datetime(2026, 2, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SOL = "SOL/USDT"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


KLINE = Kline(SOL, "5m", START, 100.0, 110.0, 90.0, 105.0, 1000.0, 100500.0, 42, 600.0, 60300.0)
OPEN_INTEREST = OpenInterest(SOL, "5m", START, 5000.0, 525000.0)
FUNDING = FundingRate(SOL, START, START + timedelta(milliseconds=7), 0.0001, 105.0)
LIQUIDATION = Liquidation(
    SOL, at(1), "SELL", 99.5, 3.0, 98.0, 4.0, "LIMIT", "IOC", "FILLED", at(1) + timedelta(seconds=1)
)
RATIO = LongShortRatio(SOL, "5m", "global_account", START, 1.5, 0.6, 0.4)
BOOK = OrderBookSnapshot(SOL, at(0.1), [99.0, 98.0], [1.0, 2.0], [101.0, 102.0], [3.0, 4.0], 77)
MARK = MarkPrice(SOL, at(0.1), 100.5, 100.25, 0.0001, at(480))
INSTRUMENT = Instrument(SOL, "SOLUSDT", START, None, 1, "SOL", "USDT", "TRADING", 0.01, 0.1, 8)

ONE_OF_EACH = (KLINE, OPEN_INTEREST, FUNDING, LIQUIDATION, RATIO, BOOK, MARK, INSTRUMENT)


def klines(count: int, *, symbol: str = SOL, first: int = 0) -> list[Kline]:
    return [KLINE._replace(symbol=symbol, time=at(5 * (first + n)), trades=n) for n in range(count)]
