"""First versions of klines that the exchange corrects a little later."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.config import MarketConfig, SymbolConfig
from simulator.noise import Floats, Ints, decimal, scattered, to_units
from simulator.prices import BAR_MS
from simulator.table import Column

_EARLIEST_MS = 20_000
_SPAN_MS = 80_000


def choose_revised(config: MarketConfig, symbol: SymbolConfig, opens: Ints) -> Ints:
    """Return the positions (in `opens`, epoch ms) of the bars that are corrected, never two in a row."""
    drawn = scattered(config.seed, f"{symbol.symbol}/revised", opens) < config.revised_share
    before = scattered(config.seed, f"{symbol.symbol}/revised", opens - BAR_MS) < config.revised_share
    return np.flatnonzero(drawn & ~before)


def revision_instants(config: MarketConfig, symbol: SymbolConfig, opens: Ints) -> Ints:
    """Return when the corrected version comes: 20 to 100 s after the bars' close (epoch ms)."""
    draw = scattered(config.seed, f"{symbol.symbol}/revised at", opens)
    return opens + BAR_MS + _EARLIEST_MS + np.floor(draw * _SPAN_MS).astype(np.int64)


def first_versions(
    config: MarketConfig, symbol: SymbolConfig, opens: Ints, columns: Mapping[str, Column], revised: Ints
) -> dict[str, Column]:
    """Return the first version of the bars at positions `revised`: the last trades are not in it yet."""
    share = 0.005 + 0.03 * scattered(config.seed, f"{symbol.symbol}/revised by", opens[revised])
    volume_units = to_units(columns["volume"][revised], symbol.quantity_decimals)
    missing = np.minimum(np.maximum(np.rint(volume_units * share).astype(np.int64), 1), volume_units - 2)
    volume = decimal(volume_units - missing, symbol.quantity_decimals)
    kept = volume / columns["volume"][revised]
    taker_units = to_units(columns["taker_buy_base"][revised] * kept, symbol.quantity_decimals)
    taker = decimal(np.clip(taker_units, 1, volume_units - missing - 1), symbol.quantity_decimals)
    close = _first_close(symbol, columns["close"], revised)
    quote_decimals = min(8, symbol.price_decimals + symbol.quantity_decimals)
    vwap = columns["quote_volume"][revised] / columns["volume"][revised]
    return {
        "open": columns["open"][revised],
        "high": np.maximum(columns["high"][revised], close),
        "low": np.minimum(columns["low"][revised], close),
        "close": close,
        "volume": volume,
        "quote_volume": decimal(to_units(volume * vwap, quote_decimals), quote_decimals),
        "trades": np.maximum(np.floor(columns["trades"][revised] * kept).astype(np.int64), 1),
        "taker_buy_base": taker,
        "taker_buy_quote": decimal(to_units(taker * vwap, quote_decimals), quote_decimals),
    }


def _first_close(symbol: SymbolConfig, close: Floats, revised: Ints) -> Floats:
    """Return closes one to three ticks off, different from both neighbours'."""
    units = to_units(close, symbol.price_decimals)
    before = units[np.maximum(revised - 1, 0)]
    after = units[np.minimum(revised + 1, len(units) - 1)]
    moved = units[revised] + 1
    for _ in range(2):
        moved = np.where((moved == before) | (moved == after), moved + 1, moved)
    return decimal(moved, symbol.price_decimals)
