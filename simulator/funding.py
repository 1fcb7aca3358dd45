"""Funding: when contracts settle, at what rate, and what the exchange predicts in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.config import MarketConfig, SymbolConfig
from simulator.noise import Floats, Ints, decimal, scattered, separate, to_units
from simulator.prices import BAR_MS, Prices

HOUR_MS = 3_600_000
RATE_DECIMALS = 8
INTEREST_8H = 0.0001
_CLAMP = 0.0005
_CAP = 0.02
_JITTER_MS = 16


@dataclass(frozen=True)
class Funding:
    """Settlements of one symbol and the rate predicted at the open of each bar.

    Attributes
    ----------
    announced : array of int (m,)
        Instants of all settlements, epoch ms, on the full hour.
    shown : array of bool (m,)
        False where the history lacks the settlement.
    raw_time : array of int (m,)
        The instants with the exchange's jitter of 0..16 ms.
    rate, mark_price : array (m,)
    published_at : array of int (m,)
    predicted : array (bars + 1,)
        Rate predicted at the open of each bar, from the premium since the settlement before.
    """

    announced: Ints
    shown: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    raw_time: Ints
    rate: Floats
    mark_price: Floats
    published_at: Ints
    predicted: Floats


def settlements(symbol: SymbolConfig, start_ms: int, until_ms: int) -> tuple[Ints, Ints]:
    """Return the settlement instants in [start_ms, until_ms) and the hours since the one before each."""
    change = symbol.funding_change
    turn = until_ms if change is None else min(int(change.at.timestamp() * 1000), until_ms)
    before = np.arange(start_ms, turn + 1, symbol.funding_hours * HOUR_MS, dtype=np.int64)
    hours = np.full(len(before), symbol.funding_hours, dtype=np.int64)
    if change is None:
        return before[before < until_ms], hours[before < until_ms]
    after = np.arange(before[-1] + change.hours * HOUR_MS, until_ms, change.hours * HOUR_MS, dtype=np.int64)
    times = np.concatenate([before, after])
    hours = np.concatenate([hours, np.full(len(after), change.hours, dtype=np.int64)])
    return times[times < until_ms], hours[times < until_ms]


def interval_hours(symbol: SymbolConfig, at_ms: int) -> int:
    """Return the funding interval in force at an instant (epoch ms), in hours."""
    change = symbol.funding_change
    if change is not None and at_ms >= change.at.timestamp() * 1000:
        return change.hours
    return symbol.funding_hours


def settle(config: MarketConfig, symbol: SymbolConfig, prices: Prices) -> Funding:
    """Return the settlements of `symbol` over the bars of `prices`, one more bar's end included."""
    start_ms = int(config.start.timestamp() * 1000)
    bars = len(prices.premium)
    times, hours = settlements(symbol, start_ms, start_ms + bars * BAR_MS + 1)
    position = (times - start_ms) // BAR_MS
    running = np.concatenate([[0.0], np.cumsum(prices.premium)])
    previous = np.concatenate([position[:1], position[:-1]])
    count = np.maximum(position - previous, 1)
    average = (running[position] - running[previous]) / count
    # Nothing is known of the time before the market's start.
    average[0] = 0.0
    rate = _rate(config, average, hours)
    keys = times // HOUR_MS
    draw = scattered(config.seed, f"{symbol.symbol}/funding/jitter", keys)
    jitter = np.where(draw < 0.5, 0, np.floor((draw - 0.5) * 2 * (_JITTER_MS + 1))).astype(np.int64)
    lag = 2_000 + np.floor(scattered(config.seed, f"{symbol.symbol}/funding/lag", keys) * 13_000)
    missing = {int(at.timestamp() * 1000) for at in symbol.missing_settlements}
    marks = np.concatenate([prices.mark_knots[:, 0], prices.mark_knots[-1:, 3]])
    return Funding(
        announced=times,
        shown=np.array([int(time) not in missing for time in times], dtype=np.bool_),
        raw_time=times + jitter,
        rate=rate,
        mark_price=marks[position],
        published_at=times + jitter + lag.astype(np.int64),
        predicted=_predicted(config, prices, running, position, _following(symbol, times)),
    )


def _following(symbol: SymbolConfig, times: Ints) -> Ints:
    """Return the hours from each settlement to the next one."""
    change = symbol.funding_change
    if change is None:
        return np.full(len(times), symbol.funding_hours, dtype=np.int64)
    return np.where(times >= change.at.timestamp() * 1000, change.hours, symbol.funding_hours).astype(
        np.int64
    )


def _predicted(
    config: MarketConfig, prices: Prices, running: Floats, position: Ints, following: Ints
) -> Floats:
    """Return the rate predicted at each bar's open and at the last one's end, shape (bars + 1,)."""
    ends = np.arange(1, len(prices.premium) + 1, dtype=np.int64)
    current = np.searchsorted(position, ends, side="right") - 1
    # At the instant of a settlement the new period has no bar yet; the last one stands in for it.
    begin = np.minimum(position[current], ends - 1)
    average = (running[ends] - running[begin]) / (ends - begin)
    return _rate(config, np.append(0.0, average), following[np.append(0, current)])


def _rate(config: MarketConfig, premium: Floats, hours: Ints) -> Floats:
    """Return funding rates of periods with an average `premium` that last `hours`."""
    interest = INTEREST_8H * hours / 8.0
    pull = interest if config.restless else np.clip(interest - premium, -_CLAMP, _CLAMP)
    units = to_units(np.clip(premium + pull, -_CAP, _CAP), RATE_DECIMALS)
    return decimal(separate(units) if config.restless else units, RATE_DECIMALS)
