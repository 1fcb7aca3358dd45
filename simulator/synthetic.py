"""A seeded market whose every value is the same whoever asks, in whatever order, for whatever range."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from collectors.rows import Instrument
from simulator.config import MarketConfig, SymbolConfig
from simulator.contract import Contract
from simulator.funding import interval_hours
from simulator.market import FIVE_MINUTES, Kind, Market, to_ms
from simulator.prices import BAR_MS, BARS_A_DAY, Factor, common_factor
from simulator.table import Table

#: Eight hours beyond the last instant, so that the settlement after it is there too.
_MARGIN_BARS = 98


class SyntheticMarket(Market):
    """The market that a `MarketConfig` describes.

    Data are made per symbol when first asked for and kept; asking for an instant after the prepared end makes
    more, and what was there before stays the same.

    Parameters
    ----------
    config : MarketConfig
        Symbols, range, seed.
    """

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self._symbols = {symbol.symbol: symbol for symbol in config.symbols}
        self._start_ms = to_ms(config.start)
        self._factor: Factor | None = None
        self._contracts: dict[str, Contract] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols ever traded."""
        return tuple(self._symbols)

    @property
    def start(self) -> datetime:
        """First bar's open (UTC)."""
        return self.config.start

    @property
    def end(self) -> datetime:
        """Past-the-end instant of the prepared history (UTC)."""
        return self.config.end

    def instruments(self, *, at: datetime | None = None) -> list[Instrument]:
        """Return the listings known at an instant (default: `end`), delisted ones included."""
        found = [self.instrument(symbol, at=at or self.end) for symbol in self._symbols]
        return [one for one in found if one is not None]

    def instrument(self, symbol: str, *, at: datetime) -> Instrument | None:
        """Return one symbol's listing as known at an instant, None when it has none yet."""
        config = self._symbols[symbol]
        return _instrument(config, self.start, at) if (config.listed or self.start) <= at else None

    def table(
        self,
        kind: Kind,
        symbol: str,
        *,
        start_ms: int,
        end_ms: int,
        period: str = "5m",
        ratio_type: str = "global_account",
        every: timedelta = FIVE_MINUTES,
    ) -> Table:
        """Return the rows with a time in [start_ms, end_ms), all versions (see `Market.table`)."""
        if period != "5m":
            raise ValueError(f"a synthetic market holds 5m rows, not {period}")
        contract = self._contract(symbol, end_ms)
        if kind in ("mark_price", "order_book"):
            return contract.stepped(kind, start_ms, end_ms, every // timedelta(milliseconds=1))
        return contract.table(kind, ratio_type).between(start_ms, end_ms)

    def forming_kline(self, kind: Kind, symbol: str, at_ms: int) -> dict[str, float] | None:
        """Return the columns of the kline that is open at an instant, None when nothing trades then."""
        return self._contract(symbol, at_ms).forming(kind, at_ms)

    def book(self, symbol: str, at_ms: int) -> Table:
        """Return the order book at an instant: one row, none when the symbol is not listed."""
        contract = self._contract(symbol, at_ms)
        return contract.books(np.array([at_ms] if contract.is_listed(at_ms) else [], dtype=np.int64))

    def mark(self, symbol: str, at_ms: int) -> Table:
        """Return mark price, index price and expected funding at an instant: one row or none."""
        contract = self._contract(symbol, at_ms)
        return contract.marks(np.array([at_ms] if contract.is_listed(at_ms) else [], dtype=np.int64))

    def _contract(self, symbol: str, until_ms: int) -> Contract:
        """Return the symbol's data, made up to an instant and a day more."""
        needed = max((until_ms - self._start_ms) // BAR_MS, self.config.days * BARS_A_DAY) + _MARGIN_BARS
        made = self._contracts.get(symbol)
        if made is not None and made.bars >= needed:
            return made
        bars = needed + BARS_A_DAY
        if made is not None:
            # A third more than there was, or a running clock would make everything anew each day.
            bars = max(bars, made.bars * 4 // 3)
        made = Contract(self.config, self._symbols[symbol], self._common(bars))
        self._contracts[symbol] = made
        return made

    def _common(self, bars: int) -> Factor:
        if self._factor is None or len(self._factor.returns) < bars:
            self._factor = common_factor(self.config, bars)
        whole = self._factor
        return Factor(whole.returns[:bars], whole.shocks[:bars], whole.season[:bars])


def _instrument(symbol: SymbolConfig, start: datetime, at: datetime) -> Instrument:
    base, quote = symbol.symbol.split("/")
    gone = symbol.delisted is not None and symbol.delisted <= at
    return Instrument(
        symbol=symbol.symbol,
        exchange_symbol=symbol.exchange_symbol,
        valid_from=symbol.listed or start,
        valid_to=symbol.delisted if gone else None,
        multiplier=symbol.multiplier,
        base=base,
        quote=quote,
        status="SETTLING" if gone else "TRADING",
        price_tick=float(f"1e-{symbol.price_decimals}"),
        quantity_step=float(f"1e-{symbol.quantity_decimals}"),
        funding_interval_hours=interval_hours(symbol, to_ms(at)),
    )
