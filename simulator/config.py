"""What a synthetic market is made of, as frozen values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

BAR = timedelta(minutes=5)
_SYMBOL = re.compile(r"^[A-Z0-9]{1,20}/[A-Z]{3,5}$")


@dataclass(frozen=True)
class FundingChange:
    """A contract's funding interval becomes another one.

    Attributes
    ----------
    at : datetime
        Settlement (UTC) after which the new interval is in force.
    hours : int
        New interval in hours: 1, 2, 4 or 8.
    """

    at: datetime
    hours: int


@dataclass(frozen=True)
class SymbolConfig:
    """One perpetual contract of a synthetic market.

    Attributes
    ----------
    symbol : str
        Name as the product writes it, ``SOL/USDT``.
    price : float
        Price (quote) at the market's start.
    price_decimals, quantity_decimals : int
        The tick is ``10 ** -price_decimals``, the lot step ``10 ** -quantity_decimals``.
    turnover : float
        Typical quote volume of one 5-minute bar.
    volatility : float
        Standard deviation of the symbol's own 5-minute log return.
    beta : float
        Weight of the common factor in the symbol's return.
    funding_hours : int
        Interval between settlements at the market's start.
    funding_change : FundingChange, optional
        A change of that interval.
    missing_settlements : tuple of datetime
        Announced settlements that the history does not show.
    listed, delisted : datetime, optional
        First and past-the-end instant of trading (UTC, on the bar grid); None means the whole market.
    holes : tuple of (datetime, datetime)
        Half-open ranges in which nothing traded: the exchange has no kline there.
    late_statistics : tuple of (datetime, datetime)
        Half-open ranges of stamps whose open interest and ratios come 6 to 20 minutes late.
    multiplier : int
        Units of the base asset in one contract (1000 for 1000PEPE).
    """

    symbol: str
    price: float
    price_decimals: int = 2
    quantity_decimals: int = 0
    turnover: float = 1_000_000.0
    volatility: float = 0.0012
    beta: float = 1.0
    funding_hours: int = 8
    funding_change: FundingChange | None = None
    missing_settlements: tuple[datetime, ...] = ()
    listed: datetime | None = None
    delisted: datetime | None = None
    holes: tuple[tuple[datetime, datetime], ...] = ()
    late_statistics: tuple[tuple[datetime, datetime], ...] = ()
    multiplier: int = 1

    def __post_init__(self) -> None:
        if not _SYMBOL.match(self.symbol):
            raise ValueError(f"symbol {self.symbol!r} is not written like 'SOL/USDT'")
        if self.price * 10**self.price_decimals < 500:
            raise ValueError(f"{self.symbol}: the tick is too coarse for a price of {self.price}")
        for name in ("listed", "delisted"):
            _require_grid(f"{self.symbol}: {name}", getattr(self, name))
        for hole in self.holes:
            _require_grid(f"{self.symbol}: hole", hole[0])
            _require_grid(f"{self.symbol}: hole", hole[1])

    @property
    def exchange_symbol(self) -> str:
        """Name on the wire: ``SOLUSDT``."""
        return self.symbol.replace("/", "")


@dataclass(frozen=True)
class MarketConfig:
    """A whole synthetic market; the same values give the same market, bit for bit.

    Attributes
    ----------
    symbols : tuple of SymbolConfig
        The contracts, the benchmark first.
    start : datetime
        First bar's open, 00:00 UTC of a day.
    days : int
        Length of the prepared history. Later data exist too and are made when asked for.
    seed : int
        Root of every random stream.
    restless : bool
        When True no two consecutive bars share any input; when False the market is as quiet as a real one
        (equal closes, bars without liquidations, funding held at its default).
    revised_share : float
        Share of klines that are published with preliminary figures and corrected 20 to 100 s later.
    """

    symbols: tuple[SymbolConfig, ...]
    start: datetime
    days: int = 30
    seed: int = 7
    restless: bool = False
    revised_share: float = 0.004
    factor_volatility: float = field(default=0.0011)

    def __post_init__(self) -> None:
        _require_grid("start", self.start)
        if self.start != self.start.replace(hour=0, minute=0, second=0, microsecond=0):
            raise ValueError(f"start {self.start} is not the beginning of a UTC day")
        if self.days < 1:
            raise ValueError("a market lasts at least one day")
        names = [symbol.symbol for symbol in self.symbols]
        if not names or len(set(names)) != len(names):
            raise ValueError("a market needs symbols, each named once")

    @property
    def end(self) -> datetime:
        """Past-the-end instant of the prepared history (UTC)."""
        return self.start + timedelta(days=self.days)


def _require_grid(name: str, at: datetime | None) -> None:
    if at is None:
        return
    if at.tzinfo is None or at.utcoffset() != timedelta(0):
        raise ValueError(f"{name} {at} is not in UTC")
    if at.timestamp() % BAR.total_seconds():
        raise ValueError(f"{name} {at} is not on the 5-minute grid")
