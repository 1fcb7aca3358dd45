"""The order book of each bar: averages over its own snapshots, and its last snapshot.

Readings of the definition where its words leave room
-----------------------------------------------------
- A snapshot with an empty or crossed side (best bid >= best ask) is no snapshot for any book feature.
- The averages take every snapshot with event time in [time, A); only the last one must be at most 60 s old
  at A.
- Fewer levels than asked for count as what there is.
"""

import numpy as np
import pandas as pd

from .raw import BAR, Raw
from .sources import BarsOfListing, Clock, Columns, own_rows

AVERAGED = ("book_spread_bps", "book_imbalance_5", "book_imbalance_20")
LAST = ("book_microprice_premium", "book_depth_bid_20", "book_depth_ask_20")


def measure(snapshot: dict[str, np.ndarray]) -> dict[str, float] | None:
    """Measure one snapshot of sorted sides; None when a side is empty or the book is crossed."""
    bid, ask = snapshot["bid_price"], snapshot["ask_price"]
    bid_quantity, ask_quantity = snapshot["bid_quantity"], snapshot["ask_quantity"]
    if len(bid) == 0 or len(ask) == 0 or bid[0] >= ask[0]:
        return None
    mid = (bid[0] + ask[0]) / 2
    micro = (ask[0] * bid_quantity[0] + bid[0] * ask_quantity[0]) / (bid_quantity[0] + ask_quantity[0])
    return {
        "book_spread_bps": 1e4 * (ask[0] - bid[0]) / mid,
        "book_imbalance_5": _imbalance(bid_quantity, ask_quantity, 5),
        "book_imbalance_20": _imbalance(bid_quantity, ask_quantity, 20),
        "book_microprice_premium": 1e4 * (micro / mid - 1),
        "book_depth_bid_20": float((bid * bid_quantity)[:20].sum()),
        "book_depth_ask_20": float((ask * ask_quantity)[:20].sum()),
    }


def _imbalance(bid_quantity: np.ndarray, ask_quantity: np.ndarray, levels: int) -> float:
    bid, ask = bid_quantity[:levels].sum(), ask_quantity[:levels].sum()
    return float((bid - ask) / (bid + ask))


def order_book(raw: Raw, bars: BarsOfListing, clock: Clock) -> Columns:
    """Sum up the snapshots of each bar, columns of shape (bars,)."""
    rows, stamps = own_rows(raw, "order_book", bars)
    order = np.argsort(stamps, kind="stable")
    sides = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
    arrays = {side: rows[side].to_numpy() for side in sides}
    slots: list[int] = []
    times: list[int] = []
    measured: list[dict[str, float]] = []
    for i in order:
        snapshot = {side: np.asarray(arrays[side][i], dtype=float) for side in sides}
        figures = measure(snapshot)
        if figures is not None:
            slots.append(stamps[i] // BAR * BAR)
            times.append(stamps[i])
            measured.append(figures)
    names = (*AVERAGED, *LAST)
    frame = pd.DataFrame(measured, columns=list(names), dtype=float).assign(slot=slots, stamp=times)
    return _of_bars(frame, bars, clock)


def _of_bars(snapshots: pd.DataFrame, bars: BarsOfListing, clock: Clock) -> Columns:
    groups = snapshots.groupby("slot")
    averages = groups[list(AVERAGED)].mean().reindex(bars.time)
    last = groups[[*LAST, "stamp"]].last().reindex(bars.time)
    fresh = (bars.available_at - last["stamp"].to_numpy()) <= clock.book_age
    out: Columns = {name: averages[name].to_numpy(dtype=float) for name in AVERAGED}
    out |= {name: np.where(fresh, last[name].to_numpy(dtype=float), np.nan) for name in LAST}
    return out
