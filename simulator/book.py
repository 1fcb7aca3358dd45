"""A 20-level order book at any instant, the same for everyone who looks within one quarter of a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.config import MarketConfig, SymbolConfig
from simulator.noise import Floats, Ints, decimal, scattered, scattered_normal, to_units

LEVELS = 20
BOOK_MS = 250
_FIRST_UPDATE_ID = 9_000_000_000_000


@dataclass(frozen=True)
class Books:
    """Order books; price and quantity arrays have shape (n, 20), best level first.

    Attributes
    ----------
    time : array of int (n,)
        Event time, epoch ms.
    last_update_id : array of int (n,)
    """

    time: Ints
    last_update_id: Ints
    bid_price: Floats
    bid_quantity: Floats
    ask_price: Floats
    ask_quantity: Floats


def books_at(
    config: MarketConfig, symbol: SymbolConfig, instants: Ints, last_price: Floats, lean: Floats
) -> Books:
    """Return the books at `instants` (epoch ms, shape (n,)).

    Parameters
    ----------
    config, symbol
        Whose book.
    instants : array of int (n,)
        The book is the one of the quarter second that the instant lies in, and so is its event time.
    last_price : array (n,)
        Price of the last trade at that event time.
    lean : array (n,)
        Positive where buyers are the stronger side; about -1..1.
    """
    event = instants // BOOK_MS * BOOK_MS
    keys = event // BOOK_MS
    middle = to_units(last_price, symbol.price_decimals)
    spread = 1 + np.floor(2.5 * scattered(config.seed, f"{symbol.symbol}/spread", keys) ** 3).astype(np.int64)
    best_bid = middle - spread // 2 - (scattered(config.seed, f"{symbol.symbol}/touch", keys) < 0.5)
    bid, bid_size = _side(config, symbol, keys, last_price, "bid", np.exp(0.35 * lean))
    ask, ask_size = _side(config, symbol, keys, last_price, "ask", np.exp(-0.35 * lean))
    decimals = symbol.price_decimals
    return Books(
        time=event,
        last_update_id=_FIRST_UPDATE_ID + keys * 40,
        bid_price=decimal(best_bid[:, None] - bid, decimals),
        bid_quantity=bid_size,
        ask_price=decimal((best_bid + spread)[:, None] + ask, decimals),
        ask_quantity=ask_size,
    )


def _side(
    config: MarketConfig, symbol: SymbolConfig, keys: Ints, price: Floats, side: str, strength: Floats
) -> tuple[Ints, Floats]:
    """Return the ticks from the best price, and the quantities, of one side; shape (n, 20) each."""
    cell = keys[:, None] * LEVELS + np.arange(LEVELS, dtype=np.int64)[None, :]
    steps = 1 + np.floor(2.2 * scattered(config.seed, f"{symbol.symbol}/{side}/gap", cell) ** 2).astype(
        np.int64
    )
    steps[:, 0] = 0
    size = np.exp(0.8 * scattered_normal(config.seed, f"{symbol.symbol}/{side}/size", cell))
    growth = np.minimum(0.5 + 0.12 * np.arange(LEVELS), 1.6)
    amount = (symbol.turnover * 0.004 / price * strength)[:, None] * growth[None, :] * size
    units = np.maximum(to_units(amount, symbol.quantity_decimals), 1)
    return np.cumsum(steps, axis=1), decimal(units, symbol.quantity_decimals)
