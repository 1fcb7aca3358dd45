"""However the data arrived, the mart is that of a first build over the same raw tables, to the last bit."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from collectors.rows import Coverage
from perpmart.database import Connection
from perpmart.engine import run_pending
from simulator.config import MarketConfig, SymbolConfig
from simulator.synthetic import SyntheticMarket

from .arrivals import BAR, KINDS, Step
from .first_build import check_plan, differences_to_first_build
from .mart import Databases, write
from .plans import plans

ALL_SLOTS = [
    Step("deliver", symbol=symbol, at=slot)
    for slot in range(4)
    for symbol in ("BTC/USDT", "ETH/USDT", "LINK/USDT", "AVAX/USDT")
]
HALF = ALL_SLOTS[:8]
REST = ALL_SLOTS[8:]

CASES = {
    "late, repeated, corrected and from two sources": [
        *ALL_SLOTS[:6],
        Step("run"),
        *(step._replace(source="stream") for step in ALL_SLOTS[6:12]),
        Step("run"),
        Step("correct", "ohlcv", "BTC/USDT", 300, 3),
        *(step._replace(source="archive") for step in ALL_SLOTS[4:]),
        *ALL_SLOTS[:6],
        Step("run"),
        # On the third day: states come from the first.
        Step("correct", "ohlcv", "BTC/USDT", -1, 1),
    ],
    "filled in before the first bar, a symbol and a 50-hour hole added": [
        *(step for step in ALL_SLOTS if step.at > 0 and step.symbol != "AVAX/USDT"),
        Step("run"),
        *(step for step in ALL_SLOTS if step.at == 0 and step.symbol != "AVAX/USDT"),
        Step("run"),
        *(step for step in ALL_SLOTS if step.symbol == "AVAX/USDT"),
    ],
    "a gap closed and coverage added": [
        *(step._replace(source="stream") for step in ALL_SLOTS),
        Step("delete", "ohlcv", "LINK/USDT", 400, 40),
        Step("withdraw", "liquidations", "BTC/USDT", 200, 50),
        Step("run"),
        Step("cover", "ohlcv:5m", "ETH/USDT", 350, 60, "rest"),
        Step("cover", "ohlcv:5m", "AVAX/USDT", 100, 80, "archive"),
        Step("cover", "liquidations", "*", 210, 10, "stream"),
        Step("run"),
        Step("deliver", symbol="LINK/USDT", at=1),
        Step("deliver", symbol="LINK/USDT", at=2),
        Step("withdraw", "ohlcv:5m", "ETH/USDT", 380, 5),
    ],
    "a listing ends, another begins, and bars at the grid's end go": [
        *HALF,
        Step("run"),
        Step("delist", "instruments", "ETH/USDT", 300),
        Step("relist", "instruments", "LINK/USDT", 250, 20),
        Step("run"),
        *REST,
        Step("run"),
        *(
            Step("delete", "ohlcv", symbol, -1, 12)
            for symbol in ("BTC/USDT", "ETH/USDT", "LINK/USDT", "AVAX/USDT")
        ),
    ],
    "the end of the grid moved on and back by another symbol": [
        *HALF,
        Step("run"),
        Step("deliver", symbol="BTC/USDT", at=2),
        Step("run"),
        Step("delete", "ohlcv", "BTC/USDT", -1, 30),
    ],
    "other sources than klines corrected, deleted and forgotten": [
        *ALL_SLOTS,
        Step("run"),
        *(
            Step("correct", table, "ETH/USDT", 200, 3)
            for table in ("open_interest", "mark_price", "order_book")
        ),
        Step("delete", "long_short_ratio", "BTC/USDT", 900, 300),
        Step("correct", "funding_rate", "ETH/USDT", 2, 1),
        Step("run"),
        Step("truncate", "liquidations"),
        Step("late", "open_interest", "BTC/USDT", 100, 40),
        Step("cancel", length=200),
    ],
    "bar by bar, and what came between": [
        *HALF,
        Step("run"),
        Step("bars", at=432, length=4),
        Step("correct", "ohlcv", "BTC/USDT", -2, 2),
        Step("correct", "open_interest", "ETH/USDT", -1, 1),
        Step("bars", at=436, length=2),
        Step("delete", "ohlcv", "LINK/USDT", -1, 1),
        Step("bars", at=438, length=2),
        Step("correct", "ohlcv", "SOL/USDT", -60, 1),
        Step("bars", at=440, length=3),
        Step("deliver", symbol="AVAX/USDT", at=2),
        Step("bars", at=443, length=2),
        Step("delist", "instruments", "ETH/USDT", 440),
        Step("bars", at=445, length=2),
        Step("deliver", symbol="SOL/USDT", at=0),
        Step("deliver", symbol="SOL/USDT", at=1),
        Step("bars", at=447, length=2),
    ],
    "all klines forgotten": [*HALF, Step("run"), Step("truncate", "ohlcv"), Step("run"), *REST],
    "two runs and a writer at once": [
        *HALF,
        Step("both", symbol="BTC/USDT", at=2),
        Step("both", symbol="ETH/USDT", at=2),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_arrival_is_forgotten(databases: Databases, case: str) -> None:
    check_plan(databases, CASES[case])


@given(steps=plans())
@settings(
    max_examples=2, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_any_order_of_arrival_is_forgotten(databases: Databases, steps: list[Step]) -> None:
    check_plan(databases, steps)


def test_windows_of_a_week_are_found_again_in_the_middle_of_an_hour(
    databases: Databases, mart: Connection
) -> None:
    # 168 full hours, seven days and twenty bars of four hours, which the short market never sees.
    start = datetime(2026, 3, 2, tzinfo=UTC)
    market = SyntheticMarket(
        MarketConfig(
            (SymbolConfig("BTC/USDT", 64_000.0, 1, 3), SymbolConfig("ETH/USDT", 1_800.0, 2, 3)),
            start=start,
            days=9,
            restless=True,
        )
    )
    cuts = [start, *(start + timedelta(days=8, hours=hours, minutes=20) for hours in (9, 10, 11)), market.end]
    write(mart, market.instruments(), now=market.end)
    for since, until in pairwise(cuts):
        for symbol in market.symbols:
            rows = [row for kind in KINDS for row in market.rows(kind, symbol, since, until, every=BAR)]
            covered = [Coverage(stream, symbol, since, until) for stream in ("ohlcv:5m", "liquidations")]
            write(mart, rows, now=market.end, covered=covered)
        run_pending(mart)
    mart.execute(
        "update ohlcv set volume = volume * 1.1 where symbol = 'ETH/USDT' and time = '2026-03-10 15:35Z'"
    )
    run_pending(mart)
    known = mart.execute(
        "select count(ls_ratio_percentile), count(oi_percentile), count(volume_tod_ratio_7d), count(trend_4h)"
        " from mart.feature_mart"
    ).fetchone()
    assert known is not None
    assert all(known)
    assert differences_to_first_build(databases, mart) == []
