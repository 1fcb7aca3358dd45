"""Open interest and account ratios: snapshots at each bar's open, moved by the trading before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.config import MarketConfig, SymbolConfig
from simulator.noise import (
    Floats,
    Ints,
    autoregressive,
    decaying_sum,
    decimal,
    scattered,
    separate,
    stream,
    to_units,
)
from simulator.prices import Prices

ACCOUNT_RATIOS = ("global_account", "top_account", "top_position")
VALUE_DECIMALS = 4
#: The slowest regular statistic comes 4 minutes after its stamp, the quickest after one.
_DELAY_MS = (60_000, 240_000)
_LATE_MS = (360_000, 1_200_000)


@dataclass(frozen=True)
class Positions:
    """Snapshots at the open of each bar (shape (bars,)): the entry i knows nothing of bar i.

    Attributes
    ----------
    open_interest, open_interest_value : array (bars,)
        Base units, and quote at the mark price of the stamp.
    long_share : dict of str to array (bars,)
        Share of long accounts or positions by ratio type, 4 decimals.
    """

    open_interest: Floats
    open_interest_value: Floats
    long_share: dict[str, Floats]


def hold_positions(config: MarketConfig, symbol: SymbolConfig, prices: Prices) -> Positions:
    """Return open interest and ratios of `symbol` that follow from its trading."""
    bars = len(prices.shocks)
    calm = np.clip(prices.shocks, -6.0, 6.0)
    noise = stream(config.seed, symbol.symbol, "open interest").standard_normal(bars)
    growth = 0.0011 * noise + 0.0009 * (np.abs(calm) - 0.8) + 0.0006 * np.tanh(calm)
    # A fall of more than three deviations closes positions instead of opening them.
    growth = np.where(calm < -3.0, -0.006 * np.abs(calm) / 3.0, growth)
    level = _before(decaying_sum(growth, memory=0.9995), first=0.0)
    base = symbol.turnover * 60.0 / symbol.price
    units = np.maximum(to_units(base * np.exp(np.clip(level, -3.0, 3.0)), symbol.quantity_decimals), 1)
    if config.restless:
        units = separate(units)
    open_interest = decimal(units, symbol.quantity_decimals)
    value = decimal(to_units(open_interest * prices.mark_knots[:, 0], VALUE_DECIMALS), VALUE_DECIMALS)
    return Positions(
        open_interest, value, {kind: _long_share(config, symbol, prices, kind) for kind in ACCOUNT_RATIOS}
    )


def publication_delay(config: MarketConfig, symbol: SymbolConfig, kind: str, stamps: Ints) -> Ints:
    """Return how many ms after each stamp (int64 epoch ms, shape (n,)) the statistic is published."""
    draw = scattered(config.seed, f"{symbol.symbol}/{kind}/delay", stamps)
    delay = _DELAY_MS[0] + draw * (_DELAY_MS[1] - _DELAY_MS[0])
    for begin, end in symbol.late_statistics:
        late = (stamps >= begin.timestamp() * 1000) & (stamps < end.timestamp() * 1000)
        delay = np.where(late, _LATE_MS[0] + draw * (_LATE_MS[1] - _LATE_MS[0]), delay)
    return delay.astype(np.int64)


def _long_share(config: MarketConfig, symbol: SymbolConfig, prices: Prices, kind: str) -> Floats:
    bars = len(prices.shocks)
    noise = stream(config.seed, symbol.symbol, kind).standard_normal(bars)
    # Small accounts lean against the move, large positions with it.
    lean = {"global_account": -0.015, "top_account": -0.008, "top_position": 0.010}[kind]
    centre = {"global_account": 0.45, "top_account": 0.55, "top_position": 0.25}[kind]
    pressure = decaying_sum(np.clip(prices.shocks, -6.0, 6.0), memory=0.98)
    logit = centre + autoregressive(noise, memory=0.996, scale=0.25) + lean * pressure
    units = np.clip(to_units(1.0 / (1.0 + np.exp(-_before(logit, first=centre))), 4), 500, 9500)
    if config.restless:
        units = separate(units)
    return decimal(units, 4)


def _before(values: Floats, *, first: float) -> Floats:
    """Return the values moved one bar later: what was true when the bar opened."""
    return np.concatenate([[first], values[:-1]])


def account_ratio(long_share: Floats) -> Floats:
    """Return longs over shorts as the exchange rounds it, to 4 decimals."""
    units = to_units(long_share, 4)
    return decimal(to_units(units / (10_000 - units), 4), 4)
