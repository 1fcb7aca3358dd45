"""Forced orders: rare in calm bars, in clusters on large moves, at most one per symbol and second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.config import MarketConfig, SymbolConfig
from simulator.noise import Floats, Ints, decimal, scattered, scattered_normal, stream, to_units
from simulator.prices import BAR_MS, Prices, price_at

_SECONDS_A_BAR = BAR_MS // 1000


@dataclass(frozen=True)
class ForcedOrders:
    """Forced orders in order of time; arrays of shape (orders,).

    Attributes
    ----------
    time : array of int
        T, when the order was filled, epoch ms.
    event_time : array of int
        E, when the exchange sent it out: 0.6 to 1.6 s after T.
    is_sell : array of bool
        True when a long was liquidated.
    price, original_price, quantity : array
        Average fill, the order's limit, filled amount (base).
    """

    time: Ints
    event_time: Ints
    is_sell: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    price: Floats
    original_price: Floats
    quantity: Floats


def liquidate(config: MarketConfig, symbol: SymbolConfig, prices: Prices) -> ForcedOrders:
    """Return the forced orders of `symbol` over the bars of `prices`.

    In a restless market every bar has at least one order, and half of the bars one in their last second,
    whose event reaches the world only in the next bar.
    """
    bar, is_sell = _counts(config, symbol, prices)
    number = np.arange(len(bar), dtype=np.int64)
    second = stream(config.seed, symbol.symbol, "liquidation second").integers(0, _SECONDS_A_BAR, len(bar))
    if config.restless:
        first_of_bar = np.concatenate([[True], bar[1:] != bar[:-1]])
        tail = first_of_bar & (scattered(config.seed, f"{symbol.symbol}/tail", bar) < 0.5)
        second = np.where(tail, _SECONDS_A_BAR - 1, second)
    slot, kept = np.unique(bar * _SECONDS_A_BAR + second, return_index=True)
    bar, is_sell, number = bar[kept], is_sell[kept], number[kept]
    # Keys by (bar, second), not by position: what is drawn for one order is the same whatever follows it.
    offset = np.floor(scattered(config.seed, f"{symbol.symbol}/ms", slot) * 1000).astype(np.int64)
    in_bar = (slot % _SECONDS_A_BAR) * 1000 + offset
    time = int(config.start.timestamp() * 1000) + bar * BAR_MS + in_bar
    delay = 600 + np.floor(scattered(config.seed, f"{symbol.symbol}/event", slot) * 1000).astype(np.int64)
    mark = price_at(prices.mark_knots[bar], prices.fractions[bar], in_bar / BAR_MS)
    slip = 0.0004 + 0.002 * scattered(config.seed, f"{symbol.symbol}/slip", slot)
    direction = np.where(is_sell, -1.0, 1.0)
    size = np.exp(scattered_normal(config.seed, f"{symbol.symbol}/size", slot) - 1.0)
    amount = symbol.turnover * 0.002 * size / mark
    units = np.maximum(to_units(amount, symbol.quantity_decimals), 1)
    return ForcedOrders(
        time=time,
        event_time=time + delay,
        is_sell=is_sell,
        price=_on_tick(symbol, mark * (1.0 + direction * slip)),
        original_price=_on_tick(symbol, mark * (1.0 + direction * (slip + 0.006))),
        quantity=decimal(units, symbol.quantity_decimals),
    )


def _counts(
    config: MarketConfig, symbol: SymbolConfig, prices: Prices
) -> tuple[Ints, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Return the bar and the side of each forced order, in order of bars."""
    bars = len(prices.shocks)
    size = np.minimum(np.abs(prices.shocks), 8.0)
    intensity = 0.08 + 0.9 * np.maximum(size - 0.9, 0.0) ** 1.5
    count = stream(config.seed, symbol.symbol, "liquidation count").poisson(intensity)
    if config.restless:
        count = count + 1
    bar = np.repeat(np.arange(bars, dtype=np.int64), count)
    # A fall takes out longs, a rise shorts; a few of the other side are always among them.
    long_share = np.clip(0.5 - 0.35 * np.tanh(prices.shocks), 0.08, 0.92)
    draw = stream(config.seed, symbol.symbol, "liquidation side").random(len(bar))
    return bar, draw < long_share[bar]


def _on_tick(symbol: SymbolConfig, price: Floats) -> Floats:
    return decimal(np.maximum(to_units(price, symbol.price_decimals), 1), symbol.price_decimals)
