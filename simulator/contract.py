"""Everything that one contract of a synthetic market has produced up to some bar, as tables."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from simulator.book import BOOK_MS, books_at
from simulator.funding import Funding, settle
from simulator.liquidations import liquidate
from simulator.market import Kind, to_ms
from simulator.noise import Flags, Floats, Ints, autoregressive, decimal, scattered, stream, to_units
from simulator.positions import Positions, account_ratio, hold_positions, publication_delay
from simulator.prices import (
    BAR_MS,
    MARK_DECIMALS,
    Factor,
    Prices,
    price_at,
    taker_ratio,
    trade_prices,
)
from simulator.revisions import choose_revised, first_versions, revision_instants
from simulator.table import Table

if TYPE_CHECKING:
    from simulator.config import MarketConfig, SymbolConfig

_SLOT_MS = 10_000


class Contract:
    """One symbol over the bars of a common factor.

    Parameters
    ----------
    config : MarketConfig
        The market.
    symbol : SymbolConfig
        The contract.
    factor : Factor
        The common part of the returns; its length is the number of bars that are made.
    """

    def __init__(self, config: MarketConfig, symbol: SymbolConfig, factor: Factor) -> None:
        self.config = config
        self.symbol = symbol
        self.bars = len(factor.returns)
        self.prices: Prices = trade_prices(config, symbol, factor)
        self._start_ms = to_ms(config.start)
        opens = self._start_ms + np.arange(self.bars, dtype=np.int64) * BAR_MS
        self.listed: Flags = _within(opens, symbol.listed, symbol.delisted)
        self.trading: Flags = self.listed.copy()
        for begin, stop in symbol.holes:
            self.trading &= ~_within(opens, begin, stop)
        self._tables: dict[str, Table] = {}

    def table(self, kind: Kind, ratio_type: str) -> Table:
        """Return all rows of a kind that has a row per bar or event, made once."""
        name = f"{kind}/{ratio_type}" if kind == "long_short_ratio" else kind
        if name not in self._tables:
            self._tables[name] = self._build(kind, ratio_type)
        return self._tables[name]

    def is_listed(self, at_ms: int) -> bool:
        """Tell whether the contract is listed at an instant (epoch ms)."""
        bar = (at_ms - self._start_ms) // BAR_MS
        return bar >= 0 and bool(self.listed[bar])

    def marks(self, instants: Ints) -> Table:
        """Return mark price, index price and expected funding at `instants` (epoch ms, rising)."""
        bar, elapsed = self._locate(instants)
        paths = {"mark_price": self.prices.mark_knots, "index_price": self.prices.index_knots}
        columns: dict[str, Floats | Ints] = {
            name: decimal(
                to_units(price_at(knots[bar], self.prices.fractions[bar], elapsed), MARK_DECIMALS),
                MARK_DECIMALS,
            )
            for name, knots in paths.items()
        }
        following = np.searchsorted(self._settled.announced, instants, side="right")
        columns["predicted_funding_rate"] = self._settled.predicted[bar]
        columns["next_funding_time"] = self._settled.announced[following]
        return Table(instants, instants, columns)

    def books(self, instants: Ints) -> Table:
        """Return the order books at `instants` (epoch ms, rising)."""
        bar, elapsed = self._locate(instants // BOOK_MS * BOOK_MS)
        price = price_at(self.prices.knots[bar], self.prices.fractions[bar], elapsed)
        books = books_at(self.config, self.symbol, instants, price, self._book_lean[bar])
        columns = {
            "bid_price": books.bid_price,
            "bid_quantity": books.bid_quantity,
            "ask_price": books.ask_price,
            "ask_quantity": books.ask_quantity,
            "last_update_id": books.last_update_id,
        }
        return Table(books.time, books.time, columns)

    def stepped(self, kind: Kind, start_ms: int, end_ms: int, step_ms: int) -> Table:
        """Return the mark price at each multiple of a step, or the book in each step's last 10 s slot."""
        if step_ms < 1_000 or (kind == "order_book" and step_ms % _SLOT_MS):
            raise ValueError(f"no {kind} every {step_ms} ms: only whole seconds, for books whole 10 s slots")
        first = max(-(-start_ms // step_ms) * step_ms, self._start_ms)
        steps = np.arange(first, end_ms, step_ms, dtype=np.int64)
        steps = steps[self.listed[np.minimum((steps - self._start_ms) // BAR_MS, self.bars - 1)]]
        if kind == "mark_price":
            return self.marks(steps)
        slots = steps + step_ms - _SLOT_MS
        draw = scattered(self.config.seed, f"{self.symbol.symbol}/slot", slots)
        return self.books(slots + np.floor(draw * (_SLOT_MS - 1_000)).astype(np.int64))

    def forming(self, kind: Kind, at_ms: int) -> dict[str, float] | None:
        """Return the columns of the kline that is open at an instant, None when nothing trades then."""
        bar, into = divmod(at_ms - self._start_ms, BAR_MS)
        exists = self.trading if kind == "ohlcv" else self.listed
        if bar < 0 or into == 0 or not exists[bar]:
            return None
        elapsed = into / BAR_MS
        knots = self._knots(kind)
        decimals = self.symbol.price_decimals if kind == "ohlcv" else MARK_DECIMALS
        row = slice(bar, bar + 1)
        last = price_at(knots[row], self.prices.fractions[row], np.array([elapsed]))
        passed = [float(knots[bar, 0]), float(decimal(to_units(last, decimals), decimals)[0])]
        passed += [float(knots[bar, 1 + i]) for i in range(2) if elapsed >= self.prices.fractions[bar, i]]
        kline = {"open": passed[0], "high": max(passed), "low": min(passed), "close": passed[1]}
        return kline | self._amounts_so_far(bar, elapsed) if kind == "ohlcv" else kline

    @cached_property
    def _positions(self) -> Positions:
        return hold_positions(self.config, self.symbol, self.prices)

    @cached_property
    def _settled(self) -> Funding:
        return settle(self.config, self.symbol, self.prices)

    @cached_property
    def _book_lean(self) -> Floats:
        noise = stream(self.config.seed, self.symbol.symbol, "book lean").standard_normal(self.bars)
        return autoregressive(noise, memory=0.9)

    def _build(self, kind: Kind, ratio_type: str) -> Table:
        if kind == "long_short_ratio":
            return self._taker() if ratio_type == "taker_volume" else self._accounts(ratio_type)
        builders = {
            "ohlcv": self._klines,
            "open_interest": self._interest,
            "funding_rate": self._funding,
            "liquidations": self._liquidations,
        }
        return builders[kind]() if kind in builders else self._price_klines(kind)

    def _klines(self) -> Table:
        columns = _ohlc(self.prices.knots[self.trading]) | {
            name: column[self.trading] for name, column in self._amounts.items()
        }
        opens = self._opens(self.trading)
        revised = choose_revised(self.config, self.symbol, opens)
        first = first_versions(self.config, self.symbol, opens, columns, revised)
        instants = revision_instants(self.config, self.symbol, opens[revised])
        return Table(opens, opens + BAR_MS, columns, revised, instants, first)

    def _price_klines(self, kind: Kind) -> Table:
        closes = {"mark_price": self.prices.mark_knots[:, 3], "index_price": self.prices.index_knots[:, 3]}
        columns = _ohlc(self._knots(kind)[self.listed])
        columns |= {name: column[self.listed] for name, column in closes.items()}
        opens = self._opens(self.listed)
        return Table(opens, opens + BAR_MS, columns)

    def _interest(self) -> Table:
        chosen = _after_first(self.listed)
        stamps = self._opens(chosen)
        columns = {
            "open_interest": self._positions.open_interest[chosen],
            "open_interest_value": self._positions.open_interest_value[chosen],
        }
        return Table(stamps, stamps + self._delay("open_interest", stamps), columns)

    def _accounts(self, ratio_type: str) -> Table:
        chosen = _after_first(self.listed)
        share = self._positions.long_share[ratio_type][chosen]
        stamps = self._opens(chosen)
        columns = {
            "long_short_ratio": account_ratio(share),
            "long_account": share,
            "short_account": decimal(10_000 - to_units(share, 4), 4),
        }
        return Table(stamps, stamps + self._delay(ratio_type, stamps), columns)

    def _taker(self) -> Table:
        places = self.symbol.quantity_decimals
        buy, volume = self.prices.taker_buy[self.trading], self.prices.volume[self.trading]
        sell = decimal(to_units(volume, places) - to_units(buy, places), places)
        stamps = self._opens(self.trading)
        columns = {"long_short_ratio": taker_ratio(buy, sell), "long_account": buy, "short_account": sell}
        # The stamp is the bar's start, and nothing is known before its end.
        return Table(stamps, stamps + BAR_MS + self._delay("taker_volume", stamps), columns)

    def _funding(self) -> Table:
        funding, listed, delisted = self._settled, self.symbol.listed, self.symbol.delisted
        shown = funding.shown.copy()
        if listed is not None:
            shown &= funding.announced > to_ms(listed)
        if delisted is not None:
            shown &= funding.announced <= to_ms(delisted)
        columns = {"funding_rate": funding.rate[shown], "mark_price": funding.mark_price[shown]}
        return Table(funding.raw_time[shown], funding.published_at[shown], columns)

    def _liquidations(self) -> Table:
        orders = liquidate(self.config, self.symbol, self.prices)
        kept = self.trading[(orders.time - self._start_ms) // BAR_MS]
        count = int(kept.sum())
        columns = {
            "side": np.where(orders.is_sell[kept], "SELL", "BUY").astype(object),
            "price": orders.price[kept],
            "quantity": orders.quantity[kept],
            "original_price": orders.original_price[kept],
            "original_quantity": orders.quantity[kept],
            "order_type": np.full(count, "LIMIT", dtype=object),
            "time_in_force": np.full(count, "IOC", dtype=object),
            "status": np.full(count, "FILLED", dtype=object),
            "event_time": orders.event_time[kept],
        }
        return Table(orders.time[kept], orders.event_time[kept], columns)

    @property
    def _amounts(self) -> dict[str, Floats | Ints]:
        return {
            "volume": self.prices.volume,
            "quote_volume": self.prices.quote_volume,
            "trades": self.prices.trades,
            "taker_buy_base": self.prices.taker_buy,
            "taker_buy_quote": self.prices.taker_buy_quote,
        }

    def _amounts_so_far(self, bar: int, elapsed: float) -> dict[str, float]:
        """Return the volumes of a bar of which the share `elapsed` has passed, rounded down."""
        amounts = {}
        for name, column in self._amounts.items():
            digits = {"trades": 0}.get(name, 8 if "quote" in name else self.symbol.quantity_decimals)
            amounts[name] = float(np.floor(column[bar] * elapsed * 10.0**digits) / 10.0**digits)
        return amounts

    def _knots(self, kind: Kind) -> Floats:
        if kind == "ohlcv":
            return self.prices.knots
        return self.prices.mark_knots if kind == "mark_price_klines" else self.prices.index_knots

    def _opens(self, chosen: Flags) -> Ints:
        return self._start_ms + np.flatnonzero(chosen) * BAR_MS

    def _delay(self, kind: str, stamps: Ints) -> Ints:
        return publication_delay(self.config, self.symbol, kind, stamps)

    def _locate(self, instants: Ints) -> tuple[Ints, Floats]:
        """Return the bar of each instant and the share of it that has passed."""
        since = instants - self._start_ms
        return since // BAR_MS, (since % BAR_MS) / BAR_MS


def _ohlc(knots: Floats) -> dict[str, Floats | Ints]:
    return {"open": knots[:, 0], "high": knots.max(axis=1), "low": knots.min(axis=1), "close": knots[:, 3]}


def _within(opens: Ints, begin: datetime | None, stop: datetime | None) -> Flags:
    inside = np.ones(len(opens), dtype=np.bool_)
    if begin is not None:
        inside &= opens >= to_ms(begin)
    if stop is not None:
        inside &= opens < to_ms(stop)
    return inside


def _after_first(listed: Flags) -> Flags:
    """Return `listed` without its first bar: a statistic needs some trading before it."""
    return np.asarray(listed & np.concatenate([[False], listed[:-1]]), dtype=np.bool_)
