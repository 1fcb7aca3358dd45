"""A seeded market whose every value is the same whoever asks, in whatever order, for whatever range."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from collectors.rows import Instrument
from simulator.book import books_at
from simulator.config import MarketConfig, SymbolConfig
from simulator.funding import Funding, interval_hours, settle
from simulator.liquidations import ForcedOrders, liquidate
from simulator.market import FIVE_MINUTES, Kind, Market, to_ms
from simulator.noise import Flags, Floats, Ints, autoregressive, decimal, scattered, stream, to_units
from simulator.positions import Positions, account_ratio, hold_positions, publication_delay
from simulator.prices import (
    BAR_MS,
    BARS_A_DAY,
    MARK_DECIMALS,
    Factor,
    Prices,
    common_factor,
    price_at,
    taker_ratio,
    trade_prices,
)
from simulator.revisions import choose_revised, first_versions, revision_instants
from simulator.table import Table


@dataclass
class _Made:
    """What has been generated for one symbol so far: `bars` bars from the market's start."""

    bars: int
    prices: Prices
    listed: Flags
    trading: Flags
    positions: Positions | None = None
    funding: Funding | None = None
    orders: ForcedOrders | None = None
    tables: dict[str, Table] = field(default_factory=dict)


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
        self._made: dict[str, _Made] = {}

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
        instant = at or self.end
        known = [symbol for symbol in self.config.symbols if (symbol.listed or self.start) <= instant]
        return [_instrument(symbol, self.start, instant) for symbol in known]

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
        made = self._make(symbol, end_ms)
        if kind in ("mark_price", "order_book"):
            return self._instants(kind, self._symbols[symbol], made, start_ms, end_ms, every)
        name = f"{kind}/{ratio_type}" if kind == "long_short_ratio" else kind
        if name not in made.tables:
            made.tables[name] = self._build(kind, self._symbols[symbol], made, ratio_type)
        return made.tables[name].between(start_ms, end_ms)

    def forming_kline(self, kind: Kind, symbol: str, at_ms: int) -> dict[str, float] | None:
        """Return the columns of the kline that is open at an instant, None when nothing trades then."""
        made = self._make(symbol, at_ms)
        bar, into = divmod(at_ms - self._start_ms, BAR_MS)
        exists = made.trading if kind == "ohlcv" else made.listed
        if bar < 0 or into == 0 or not exists[bar]:
            return None
        prices, config, elapsed = made.prices, self._symbols[symbol], into / BAR_MS
        knots = {"ohlcv": prices.knots, "mark_price_klines": prices.mark_knots}.get(kind, prices.index_knots)
        decimals = config.price_decimals if kind == "ohlcv" else MARK_DECIMALS
        row = slice(bar, bar + 1)
        last = price_at(knots[row], prices.fractions[row], np.array([elapsed]))
        passed = [float(knots[bar, 0]), float(decimal(to_units(last, decimals), decimals)[0])]
        passed += [float(knots[bar, 1 + i]) for i in range(2) if elapsed >= prices.fractions[bar, i]]
        kline = {"open": passed[0], "high": max(passed), "low": min(passed), "close": passed[1]}
        if kind != "ohlcv":
            return kline
        for name, column in _amounts(prices).items():
            digits = {"trades": 0}.get(name, 8 if "quote" in name else config.quantity_decimals)
            kline[name] = float(np.floor(column[bar] * elapsed * 10.0**digits) / 10.0**digits)
        return kline

    def book(self, symbol: str, at_ms: int) -> Table:
        """Return the order book at an instant: one row, none when the symbol is not listed."""
        return self.book_table(symbol, self._if_listed(symbol, at_ms))

    def mark(self, symbol: str, at_ms: int) -> Table:
        """Return mark price, index price and expected funding at an instant: one row or none."""
        instants = self._if_listed(symbol, at_ms)
        return self._marks(self._symbols[symbol], self._make(symbol, at_ms), instants)

    def _if_listed(self, symbol: str, at_ms: int) -> Ints:
        listed = self._make(symbol, at_ms).listed
        bar = (at_ms - self._start_ms) // BAR_MS
        return np.array([at_ms] if bar >= 0 and listed[bar] else [], dtype=np.int64)

    def last_price(self, symbol: str, at_ms: int) -> float:
        """Return the price of the last trade at an instant (epoch ms)."""
        made = self._make(symbol, at_ms)
        bar, elapsed = self._locate(np.array([at_ms], dtype=np.int64))
        units = to_units(
            price_at(made.prices.knots[bar], made.prices.fractions[bar], elapsed),
            self._symbols[symbol].price_decimals,
        )
        return float(decimal(units, self._symbols[symbol].price_decimals)[0])

    def _make(self, symbol: str, until_ms: int) -> _Made:
        """Return the symbol's data, made up to an instant and a day more."""
        config = self._symbols[symbol]
        # Eight hours beyond, so that the settlement after the last instant is there too.
        needed = max((until_ms - self._start_ms) // BAR_MS, self.config.days * BARS_A_DAY) + 98
        made = self._made.get(symbol)
        if made is not None and made.bars >= needed:
            return made
        # A third more than asked, so that a running clock does not make everything anew at each bar.
        bars = needed + BARS_A_DAY if made is None else max(needed + BARS_A_DAY, made.bars * 4 // 3)
        if self._factor is None or len(self._factor.returns) < bars:
            self._factor = common_factor(self.config, bars)
        factor = self._factor
        cut = Factor(factor.returns[:bars], factor.shocks[:bars], factor.season[:bars])
        prices = trade_prices(self.config, config, cut)
        opens = self._start_ms + np.arange(bars, dtype=np.int64) * BAR_MS
        listed = _within(opens, config.listed, config.delisted)
        trading = listed.copy()
        for begin, stop in config.holes:
            trading &= ~_within(opens, begin, stop)
        made = self._made[symbol] = _Made(bars, prices, listed, trading)
        return made

    def _build(self, kind: Kind, symbol: SymbolConfig, made: _Made, ratio_type: str) -> Table:
        if kind == "ohlcv":
            return self._klines(symbol, made)
        if kind in ("mark_price_klines", "index_price_klines"):
            return self._shadow_klines(kind, made)
        if kind == "funding_rate":
            return self._funding(symbol, made)
        if kind == "liquidations":
            return self._liquidations(symbol, made)
        if kind == "open_interest":
            return self._interest(symbol, made)
        if kind == "long_short_ratio" and ratio_type == "taker_volume":
            return self._taker(symbol, made)
        if kind == "long_short_ratio":
            return self._accounts(symbol, made, ratio_type)
        raise ValueError(f"unknown kind {kind!r}")

    def _opens(self, chosen: Flags) -> Ints:
        return self._start_ms + np.flatnonzero(chosen) * BAR_MS

    def _klines(self, symbol: SymbolConfig, made: _Made) -> Table:
        knots = made.prices.knots[made.trading]
        columns = _ohlc(knots) | {
            name: column[made.trading] for name, column in _amounts(made.prices).items()
        }
        opens = self._opens(made.trading)
        revised = choose_revised(self.config, symbol, opens)
        first = first_versions(self.config, symbol, opens, columns, revised)
        instants = revision_instants(self.config, symbol, opens[revised])
        return Table(opens, opens + BAR_MS, columns, revised, instants, first)

    def _shadow_klines(self, kind: Kind, made: _Made) -> Table:
        prices = made.prices
        knots = prices.mark_knots if kind == "mark_price_klines" else prices.index_knots
        closes = {"mark_price": prices.mark_knots[:, 3], "index_price": prices.index_knots[:, 3]}
        columns = _ohlc(knots[made.listed]) | {name: column[made.listed] for name, column in closes.items()}
        opens = self._opens(made.listed)
        return Table(opens, opens + BAR_MS, columns)

    def _interest(self, symbol: SymbolConfig, made: _Made) -> Table:
        positions, chosen = self._positions(symbol, made), _after_first(made.listed)
        stamps = self._opens(chosen)
        columns = {
            "open_interest": positions.open_interest[chosen],
            "open_interest_value": positions.open_interest_value[chosen],
        }
        return Table(
            stamps, stamps + publication_delay(self.config, symbol, "open_interest", stamps), columns
        )

    def _accounts(self, symbol: SymbolConfig, made: _Made, ratio_type: str) -> Table:
        chosen = _after_first(made.listed)
        share = self._positions(symbol, made).long_share[ratio_type][chosen]
        stamps = self._opens(chosen)
        columns = {
            "long_short_ratio": account_ratio(share),
            "long_account": share,
            "short_account": decimal(10_000 - to_units(share, 4), 4),
        }
        return Table(stamps, stamps + publication_delay(self.config, symbol, ratio_type, stamps), columns)

    def _taker(self, symbol: SymbolConfig, made: _Made) -> Table:
        buy = made.prices.taker_buy[made.trading]
        places = symbol.quantity_decimals
        sell = decimal(to_units(made.prices.volume[made.trading], places) - to_units(buy, places), places)
        stamps = self._opens(made.trading)
        published = stamps + BAR_MS + publication_delay(self.config, symbol, "taker_volume", stamps)
        columns = {"long_short_ratio": taker_ratio(buy, sell), "long_account": buy, "short_account": sell}
        return Table(stamps, published, columns)

    def _funding(self, symbol: SymbolConfig, made: _Made) -> Table:
        funding = self._settled(symbol, made)
        listed = symbol.listed is None or funding.announced > to_ms(symbol.listed)
        traded = symbol.delisted is None or funding.announced <= to_ms(symbol.delisted)
        shown = funding.shown & listed & traded
        columns = {"funding_rate": funding.rate[shown], "mark_price": funding.mark_price[shown]}
        return Table(funding.raw_time[shown], funding.published_at[shown], columns)

    def _liquidations(self, symbol: SymbolConfig, made: _Made) -> Table:
        if made.orders is None:
            made.orders = liquidate(self.config, symbol, made.prices)
        orders = made.orders
        kept = made.trading[(orders.time - self._start_ms) // BAR_MS]
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

    def _instants(
        self, kind: Kind, symbol: SymbolConfig, made: _Made, start_ms: int, end_ms: int, every: timedelta
    ) -> Table:
        step = every // timedelta(milliseconds=1)
        if step < 1_000 or (kind == "order_book" and step % 10_000):
            raise ValueError(f"no {kind} rows every {every}: whole seconds, for books whole 10 s slots")
        first = max(-(-start_ms // step) * step, self._start_ms)
        instants = np.arange(first, end_ms, step, dtype=np.int64)
        bars = np.minimum((instants - self._start_ms) // BAR_MS, made.bars - 1)
        instants = instants[made.listed[bars]]
        return (
            self._books(symbol, made, instants, step)
            if kind == "order_book"
            else self._marks(symbol, made, instants)
        )

    def _marks(self, symbol: SymbolConfig, made: _Made, instants: Ints) -> Table:
        funding = self._settled(symbol, made)
        bar, elapsed = self._locate(instants)
        paths = {"mark_price": made.prices.mark_knots, "index_price": made.prices.index_knots}
        columns = {
            name: decimal(
                to_units(price_at(knots[bar], made.prices.fractions[bar], elapsed), MARK_DECIMALS), 8
            )
            for name, knots in paths.items()
        }
        following = np.searchsorted(funding.announced, instants, side="right")
        columns["predicted_funding_rate"] = funding.predicted[np.maximum(bar - 1, 0)]
        columns["next_funding_time"] = funding.announced[following]
        return Table(instants, instants, columns)

    def _books(self, symbol: SymbolConfig, made: _Made, steps: Ints, step: int) -> Table:
        """Return one book in the last 10-second slot of each step."""
        slot = steps + step - 10_000
        instants = slot + np.floor(scattered(self.config.seed, f"{symbol.symbol}/slot", slot) * 9_000).astype(
            np.int64
        )
        return self.book_table(symbol.symbol, instants)

    def book_table(self, symbol: str, instants: Ints) -> Table:
        """Return the order books at `instants` (epoch ms, rising, shape (n,))."""
        made = self._make(symbol, int(instants[-1]) if len(instants) else self._start_ms)
        config = self._symbols[symbol]
        event = instants // 250 * 250
        bar, elapsed = self._locate(event)
        price = price_at(made.prices.knots[bar], made.prices.fractions[bar], elapsed)
        noise = stream(self.config.seed, symbol, "book lean").standard_normal(made.bars)
        books = books_at(self.config, config, instants, price, autoregressive(noise, memory=0.9)[bar])
        columns = {
            "bid_price": books.bid_price,
            "bid_quantity": books.bid_quantity,
            "ask_price": books.ask_price,
            "ask_quantity": books.ask_quantity,
            "last_update_id": books.last_update_id,
        }
        return Table(books.time, books.time, columns)

    def _locate(self, instants: Ints) -> tuple[Ints, Floats]:
        """Return the bar of each instant and the share of it that has passed."""
        since = instants - self._start_ms
        return since // BAR_MS, (since % BAR_MS) / BAR_MS

    def _positions(self, symbol: SymbolConfig, made: _Made) -> Positions:
        if made.positions is None:
            made.positions = hold_positions(self.config, symbol, made.prices)
        return made.positions

    def _settled(self, symbol: SymbolConfig, made: _Made) -> Funding:
        if made.funding is None:
            made.funding = settle(self.config, symbol, made.prices)
        return made.funding


def _amounts(prices: Prices) -> dict[str, Floats | Ints]:
    return {
        "volume": prices.volume,
        "quote_volume": prices.quote_volume,
        "trades": prices.trades,
        "taker_buy_base": prices.taker_buy,
        "taker_buy_quote": prices.taker_buy_quote,
    }


def _ohlc(knots: Floats) -> dict[str, Floats]:
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
    return listed & np.concatenate([[False], listed[:-1]])


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
        price_tick=10.0**-symbol.price_decimals,
        quantity_step=10.0**-symbol.quantity_decimals,
        funding_interval_hours=interval_hours(symbol, to_ms(at)),
    )
