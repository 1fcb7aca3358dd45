"""Prices, volumes and trades of one symbol: a common factor, an own one, and a path inside each bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.config import MarketConfig, SymbolConfig
from simulator.noise import Floats, Ints, autoregressive, decaying_sum, decimal, separate, stream, to_units

BAR_MS = 300_000
BARS_A_DAY = 288
MARK_DECIMALS = 8
#: Pull of the log price to its start: half of a deviation is gone in some 120 days, so years stay in range.
_PRICE_MEMORY = 0.99998


@dataclass(frozen=True)
class Factor:
    """The part of all returns that symbols share; arrays of shape (bars,)."""

    returns: Floats
    shocks: Floats
    season: Floats


@dataclass(frozen=True)
class Prices:
    """Everything that trading leaves behind, one entry a bar since the market's start.

    Knots are the four prices that a bar's path runs through in straight lines: open, first extreme, second
    extreme, close, at the fractions 0, `fractions[:, 0]`, `fractions[:, 1]` and 1 of the bar. The values go
    on where the symbol is not listed or has a hole; the market knows which bars exist.

    Attributes
    ----------
    knots, mark_knots, index_knots : array (bars, 4)
        Paths of last price (on the tick grid), mark price and index price (8 decimals).
    fractions : array (bars, 2)
    volume, taker_buy : array (bars,)
        Base units, whole lot steps.
    quote_volume, taker_buy_quote : array (bars,)
    trades : array of int (bars,)
    shocks : array (bars,)
        The bar's log return in units of its own deviation: what open interest and liquidations react to.
    premium : array (bars,)
        Last price over index price, minus 1, at the bar's end.
    """

    knots: Floats
    mark_knots: Floats
    index_knots: Floats
    fractions: Floats
    volume: Floats
    taker_buy: Floats
    quote_volume: Floats
    taker_buy_quote: Floats
    trades: Ints
    shocks: Floats
    premium: Floats

    @property
    def close(self) -> Floats:
        """Last traded price of each bar, shape (bars,)."""
        return self.knots[:, 3]


def common_factor(config: MarketConfig, bars: int) -> Factor:
    """Return the market's common factor over its first `bars` bars."""
    minute = (np.arange(bars) % BARS_A_DAY) * 5.0
    season = 1.0 + 0.35 * np.sin(2 * np.pi * (minute - 540.0) / 1440.0)
    shocks = stream(config.seed, "factor", "shock").standard_normal(bars)
    jumps = stream(config.seed, "factor", "jump").random(bars) < 0.0008
    shocks = np.where(jumps, shocks * 6.0, shocks)
    mood = autoregressive(
        stream(config.seed, "factor", "mood").standard_normal(bars), memory=0.995, scale=0.4
    )
    return Factor(config.factor_volatility * season * np.exp(mood) * shocks, shocks, season)


def trade_prices(config: MarketConfig, symbol: SymbolConfig, factor: Factor) -> Prices:
    """Return the prices and volumes of `symbol` over the bars of `factor`."""
    bars = len(factor.returns)

    def normal(name: str) -> Floats:
        return stream(config.seed, symbol.symbol, name).standard_normal(bars)

    own = normal("return") * np.exp(autoregressive(normal("mood"), memory=0.99, scale=0.3))
    returns = symbol.beta * factor.returns + symbol.volatility * factor.season * own
    deviation = np.hypot(symbol.beta * config.factor_volatility, symbol.volatility) * factor.season
    shocks = returns / deviation
    log_price = np.log(symbol.price) + decaying_sum(returns, memory=_PRICE_MEMORY)
    ticks = _knots(config, symbol, log_price, deviation)
    knots = decimal(ticks, symbol.price_decimals)
    inner = stream(config.seed, symbol.symbol, "fraction").random((bars, 2))
    fractions = np.column_stack([0.10 + 0.35 * inner[:, 0], 0.50 + 0.40 * inner[:, 1]])
    # A quiet market trades a little below its index, so that half of the rates leave the default.
    discount = 0.0 if config.restless else 4e-4
    basis = autoregressive(normal("basis"), memory=0.98, scale=4e-4) + 2e-5 * np.tanh(shocks) - discount
    activity = autoregressive(normal("activity"), memory=0.97, scale=0.45)
    activity += autoregressive(normal("attention"), memory=0.999, scale=0.35)
    activity += 0.35 * (np.minimum(np.abs(shocks), 6.0) - 0.8) + np.log(factor.season)
    volume, taker, trades, vwap = _volumes(config, symbol, knots, activity, shocks)
    quote_decimals = min(8, symbol.price_decimals + symbol.quantity_decimals)
    return Prices(
        knots=knots,
        mark_knots=_shadow(config, knots, fractions, basis * 0.5),
        index_knots=_shadow(config, knots, fractions, basis),
        fractions=fractions,
        volume=volume,
        taker_buy=taker,
        quote_volume=decimal(to_units(volume * vwap, quote_decimals), quote_decimals),
        taker_buy_quote=decimal(to_units(taker * vwap, quote_decimals), quote_decimals),
        trades=trades,
        shocks=shocks,
        premium=np.expm1(basis),
    )


def price_at(knots: Floats, fractions: Floats, elapsed: Floats) -> Floats:
    """Return the price on each bar's path at the share `elapsed` (0..1) of the bar; arrays of length n."""
    first, second = fractions[:, 0], fractions[:, 1]
    leg_one = knots[:, 0] + (knots[:, 1] - knots[:, 0]) * (elapsed / first)
    leg_two = knots[:, 1] + (knots[:, 2] - knots[:, 1]) * ((elapsed - first) / (second - first))
    leg_three = knots[:, 2] + (knots[:, 3] - knots[:, 2]) * ((elapsed - second) / (1.0 - second))
    return np.where(elapsed < first, leg_one, np.where(elapsed < second, leg_two, leg_three))


def _knots(config: MarketConfig, symbol: SymbolConfig, log_price: Floats, deviation: Floats) -> Ints:
    """Return the path of the last price in whole ticks, shape (bars, 4)."""
    bars = len(log_price)
    close = np.maximum(to_units(np.exp(log_price), symbol.price_decimals), 100)
    if config.restless:
        close = separate(close)
    gap = stream(config.seed, symbol.symbol, "gap").integers(-1, 2, bars)
    opened = np.empty_like(close)
    opened[0] = to_units(np.array([symbol.price]), symbol.price_decimals)[0]
    opened[1:] = close[:-1] + gap[1:]
    if config.restless:
        opened = separate(opened)
    reach = stream(config.seed, symbol.symbol, "reach").exponential(0.5, (bars, 2))
    span = reach * (close * deviation)[:, None]
    high = np.maximum(opened, close) + np.rint(span[:, 0]).astype(np.int64)
    low = np.maximum(np.minimum(opened, close) - np.rint(span[:, 1]).astype(np.int64), 1)
    if config.restless:
        high, low = separate(high), separate(low, step=-1)
    usual = stream(config.seed, symbol.symbol, "order").random(bars) < 0.7
    low_first = usual == (close >= opened)
    return np.column_stack([opened, np.where(low_first, low, high), np.where(low_first, high, low), close])


def _shadow(config: MarketConfig, knots: Floats, fractions: Floats, basis: Floats) -> Floats:
    """Return a path `basis` (log, shape (bars,)) below the last price's one, continuous from bar to bar."""
    before = np.concatenate([basis[:1], basis[:-1]])
    share = np.column_stack([np.zeros_like(basis), fractions, np.ones_like(basis)])
    gap = before[:, None] + (basis - before)[:, None] * share
    units = to_units(knots * np.exp(-gap), MARK_DECIMALS)
    if config.restless:
        units[:, 3] = separate(units[:, 3])
    units[1:, 0] = units[:-1, 3]
    return decimal(units, MARK_DECIMALS)


def _volumes(
    config: MarketConfig, symbol: SymbolConfig, knots: Floats, activity: Floats, shocks: Floats
) -> tuple[Floats, Floats, Ints, Floats]:
    """Return volume, taker buy volume, trade count and average price, each of shape (bars,)."""
    bars = len(activity)
    vwap = (knots.sum(axis=1) + knots[:, 3]) / 5.0
    turnover = symbol.turnover * np.exp(np.minimum(activity, 4.0) - 0.3)
    volume = np.maximum(to_units(turnover / vwap, symbol.quantity_decimals), 4)
    trade_size = stream(config.seed, symbol.symbol, "trade size").standard_normal(bars)
    trades = np.maximum(np.rint(turnover / (900.0 * np.exp(0.2 * trade_size))).astype(np.int64), 1)
    lean = stream(config.seed, symbol.symbol, "taker").standard_normal(bars)
    share = np.clip(0.5 + 0.07 * np.tanh(shocks) + 0.06 * lean, 0.06, 0.94)
    if config.restless:
        volume, trades = separate(volume), separate(trades)
    taker = np.clip(np.rint(volume * share).astype(np.int64), 1, volume - 1)
    if config.restless:
        taker = _separate_ratio(taker, volume)
    scale = symbol.quantity_decimals
    return decimal(volume, scale), decimal(taker, scale), trades, vwap


def taker_ratio(buy: Floats, sell: Floats) -> Floats:
    """Return buy over sell volume as the exchange rounds it, to 4 decimals."""
    return decimal(to_units(buy / sell, 4), 4)


def _separate_ratio(taker: Ints, volume: Ints) -> Ints:
    """Move taker volumes until no bar has its predecessor's buys, sells, or ratio of the two."""
    buy, sell = taker.copy(), volume - taker
    ratio = to_units(taker_ratio(buy.astype(np.float64), sell.astype(np.float64)), 4)

    def repeats(index: int) -> bool:
        return bool(
            ratio[index] == ratio[index - 1] or buy[index] == buy[index - 1] or sell[index] == sell[index - 1]
        )

    same = (ratio[1:] == ratio[:-1]) | (buy[1:] == buy[:-1]) | (sell[1:] == sell[:-1])
    for position in np.flatnonzero(same) + 1:
        index = int(position)
        while index < len(buy) and repeats(index):
            # Always towards the side with room, so that the moves of one bar never undo each other.
            shift = max(1, int(volume[index]) // 1500) * (1 if buy[index] < sell[index] else -1)
            while repeats(index):
                buy[index] += shift
                sell[index] -= shift
                ratio[index] = round(buy[index] / sell[index] * 10_000)
            index += 1
    return buy
