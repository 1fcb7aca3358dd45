"""Ready-made synthetic markets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulator.config import FundingChange, MarketConfig, SymbolConfig
from simulator.market import Market
from simulator.recorded import RecordedMarket
from simulator.synthetic import SyntheticMarket

DEFAULT_END = datetime(2026, 7, 1, tzinfo=UTC)
DEFAULT_TEST_START = datetime(2026, 3, 2, tzinfo=UTC)
TEST_DAYS = 12
MARKETS = ("demo", "test", "wide")

_UNIVERSE = (
    SymbolConfig("BTC/USDT", 64_000.0, 1, 3, turnover=4e7, volatility=0.0003, beta=0.9),
    SymbolConfig("ETH/USDT", 1_800.0, 2, 3, turnover=2.5e7, volatility=0.0006, beta=1.1),
    SymbolConfig("SOL/USDT", 82.0, 2, 2, turnover=9e6, volatility=0.0009, beta=1.3),
    SymbolConfig("XRP/USDT", 1.49, 4, 1, turnover=6e6, volatility=0.0010, beta=1.1),
    SymbolConfig("DOGE/USDT", 0.12345, 5, 0, turnover=4e6, volatility=0.0012, beta=1.4),
    SymbolConfig("LINK/USDT", 9.95, 3, 2, turnover=1.5e6, volatility=0.0011, beta=1.2),
    SymbolConfig("AVAX/USDT", 10.15, 3, 0, turnover=1.2e6, volatility=0.0012, beta=1.3),
    SymbolConfig("LTC/USDT", 59.5, 2, 3, turnover=1e6, volatility=0.0010, beta=0.9),
    SymbolConfig(
        "1000PEPE/USDT", 0.0112345, 7, 0, turnover=3e6, volatility=0.0016, beta=1.5, multiplier=1000
    ),
    SymbolConfig("DOT/USDT", 1.546, 4, 1, turnover=7e5, volatility=0.0012, beta=1.2),
)


def demo_market(
    *, days: int = 30, end: datetime = DEFAULT_END, seed: int = 7, restless: bool = False
) -> SyntheticMarket:
    """Return a quiet market of BTC, ETH and SOL that ends at `end` (00:00 UTC of a day)."""
    return SyntheticMarket(
        MarketConfig(_UNIVERSE[:3], start=end - timedelta(days=days), days=days, seed=seed, restless=restless)
    )


def wide_market(
    *, symbols: int = 10, days: int = 180, end: datetime = DEFAULT_END, seed: int = 7, restless: bool = False
) -> SyntheticMarket:
    """Return a market of any number of symbols without oddities, for benchmarks.

    The first ten are known names, further ones are called ``X010/USDT`` and so on; every third settles its
    funding each 4 h.
    """
    chosen = list(_UNIVERSE[:symbols])
    for number in range(len(chosen), symbols):
        like = _UNIVERSE[number % len(_UNIVERSE)]
        chosen.append(replace(like, symbol=f"X{number:03d}/USDT", multiplier=1))
    mixed = [replace(one, funding_hours=4 if index % 3 == 2 else 8) for index, one in enumerate(chosen)]
    return SyntheticMarket(
        MarketConfig(tuple(mixed), start=end - timedelta(days=days), days=days, seed=seed, restless=restless)
    )


def odd_market(
    *,
    days: int = 14,
    start: datetime = DEFAULT_TEST_START,
    seed: int = 11,
    restless: bool = True,
    revised_share: float = 0.004,
    late_statistics: bool = False,
) -> SyntheticMarket:
    """Return a market of nine symbols with every oddity at a known time.

    Times count from `start`, whose day is day 0:

    ================= ==============================================================================
    BTC/USDT          none (the benchmark)
    ETH/USDT          none
    SOL/USDT          funding each 8 h, each 4 h after the settlement of day 5, 16:00
    XRP/USDT          funding each 4 h; the settlement of day 8, 12:00 is missing from the history
    DOGE/USDT         no klines on day 3 from 10:10 to 10:25 and on day 6 from 04:00 to 07:00
    LINK/USDT         listed on day 4 at 09:35
    AVAX/USDT         no klines from day 7, 03:00 to day 8, 09:00 (30 hours)
    LTC/USDT          delisted on day 10 at 06:00
    1000PEPE/USDT     1000 coins a contract; with `late_statistics` the open interest and ratios stamped
                      on day 9 from 08:00 to 12:00 come 6 to 20 minutes late
    ================= ==============================================================================

    Parameters
    ----------
    days : int
        Length, at least 12.
    start : datetime
        Day 0, 00:00 UTC.
    seed : int
        Another seed gives another market with the same oddities.
    restless : bool
        Every input changes at every bar (see `MarketConfig`).
    revised_share : float
        Share of klines that are corrected after their first publication; 0 for none.
    late_statistics : bool
        Off by default: a statistic later than its documented lag is a break of the exchange's promise.
    """
    if days < TEST_DAYS:
        raise ValueError(f"the oddities need {TEST_DAYS} days, not {days}")

    def at(day: int, hour: int, minute: int = 0) -> datetime:
        return start + timedelta(days=day, hours=hour, minutes=minute)

    bitcoin, ether, solana, ripple, doge, link, avax, litecoin, pepe = _UNIVERSE[:9]
    symbols = (
        bitcoin,
        ether,
        replace(solana, funding_change=FundingChange(at(5, 16), 4)),
        replace(ripple, funding_hours=4, missing_settlements=(at(8, 12),)),
        replace(doge, holes=((at(3, 10, 10), at(3, 10, 25)), (at(6, 4), at(6, 7)))),
        replace(link, listed=at(4, 9, 35)),
        replace(avax, holes=((at(7, 3), at(8, 9)),)),
        replace(litecoin, delisted=at(10, 6)),
        replace(pepe, late_statistics=((at(9, 8), at(9, 12)),) if late_statistics else ()),
    )
    config = MarketConfig(
        symbols, start=start, days=days, seed=seed, restless=restless, revised_share=revised_share
    )
    return SyntheticMarket(config)


def open_market(
    name: str = "demo",
    *,
    data: Path | None = None,
    symbols: int = 10,
    days: int | None = None,
    end: datetime | None = None,
    seed: int = 7,
) -> Market:
    """Return the market that a command line describes.

    Parameters
    ----------
    name : str
        One of `MARKETS`: ``demo``, ``wide``, or ``test`` for the odd one.
    data : Path, optional
        Folder of recorded files; goes before the name.
    symbols : int
        Number of symbols of the wide market.
    days : int, optional
        Length of the history; default 14 for ``test``, else 30.
    end : datetime, optional
        00:00 UTC of a day (synthetic), or where the clock stands (recorded).
    seed : int
        Seed of a synthetic market.

    Raises
    ------
    ValueError
        When the market makes no sense or the files cannot be read.
    """
    if data is not None:
        return RecordedMarket(data, end=end)
    if name == "test":
        length = 14 if days is None else days
        start = DEFAULT_TEST_START if end is None else end - timedelta(days=length)
        return odd_market(days=length, start=start, seed=seed)
    length = 30 if days is None else days
    if name == "wide":
        return wide_market(symbols=symbols, days=length, end=end or DEFAULT_END, seed=seed)
    if name == "demo":
        return demo_market(days=length, end=end or DEFAULT_END, seed=seed)
    raise ValueError(f"there is no market {name!r}; known are {', '.join(MARKETS)}")
