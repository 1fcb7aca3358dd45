"""Rewards of a policy that holds a weight from bar to bar, with fees and the real funding."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd

from ml.targets.grid import BAR, Floats, Places, SymbolGrid, TargetError, grids, panel_of, row_values


def rl_rewards(
    bars: pd.DataFrame,
    weights: pd.Series | float,
    settlements: pd.DataFrame,
    *,
    fee: float = 0.0005,
    delay: int = 1,
    delisted: Mapping[str, datetime] | None = None,
    width: pd.Timedelta = BAR,
) -> pd.DataFrame:
    """Reward of each row's weight, held until the next row's takes its place.

    With P the open of the bar ``delay`` bars after ``available_at``::

        reward = w (P' / P - 1) - fee |w - drifted w before| - sum of w rate mark / P

    where P' is the next row's price, the drifted weight is what the earlier one has become by the price's
    move, ``w (1 + r) / (1 + w r)``, and the sum goes over the funding settlements after P's instant up to and
    with that of P'. A position that is held pays each settlement once.

    Parameters
    ----------
    bars : pandas.DataFrame
        As of `create_target_regression`.
    weights : pandas.Series or float
        Share of equity held, negative for short, index (symbol, time); NaN counts as 0.
    settlements : pandas.DataFrame
        Columns ``symbol``, ``funding_time`` (UTC), ``funding_rate`` and ``mark_price``: the real ones. Where
        a mark price is unknown, the bar's price stands for it.
    fee : float, optional
        Cost of trading, as a share of the value traded.
    delay, delisted, width
        As of `create_target_regression`. At a delisting P' is the last close.

    Returns
    -------
    pandas.DataFrame
        Index (symbol, time); ``reward`` and its parts ``gain``, ``fee``, ``funding`` (what is paid is
        positive), ``weight``, ``drifted``, ``available_at``, ``entry_time``, ``t_end``. NaN where P or P' is
        not a traded price; the weight after such a row is opened anew.
    """
    if fee < 0 or delay < 0:
        raise TargetError(f"fee and delay must not be negative, they are {fee} and {delay}")
    panel = panel_of(bars)
    held = np.nan_to_num(row_values(weights, panel, "weights"))
    by_symbol = dict(tuple(settlements.groupby("symbol"))) if len(settlements) else {}
    parts = [
        _one_symbol(grid, held[mine], by_symbol.get(grid.symbol), fee, delay)
        for mine, grid in grids(panel, width=width, delisted=delisted)
    ]
    rewards = pd.concat(parts)
    rewards.index = panel.index
    for name in ("entry_time", "t_end"):
        rewards[name] = rewards[name].dt.tz_localize("UTC")
    rewards.insert(0, "available_at", panel.index.get_level_values("time") + width)
    return rewards


def _one_symbol(
    grid: SymbolGrid, held: Floats, settlements: pd.DataFrame | None, fee: float, delay: int
) -> pd.DataFrame:
    now = grid.rows + 1 + delay
    price = _prices(grid, now)
    following = np.r_[now[1:] == now[:-1] + 1, False]
    after = np.where(following, _prices(grid, now + 1), np.nan)
    if grid.last >= 0:
        after = np.where(now == grid.last, grid.close[grid.last], after)
    move = after / price - 1
    known = np.isfinite(move)
    drifted = np.zeros(len(held))
    carried = held * (1 + move) / (1 + held * move)
    drifted[1:] = np.where(following[:-1] & known[:-1], carried[:-1], 0.0)
    paid = held / price * _funding(grid, now, settlements, price)
    cost = fee * np.abs(held - drifted)
    reward = held * move - cost - paid
    opened = grid.opens(now)
    return pd.DataFrame(
        {
            "reward": reward,
            "gain": held * move,
            "fee": np.where(known, cost, np.nan),
            "funding": np.where(known, paid, np.nan),
            "weight": held,
            "drifted": drifted,
            "entry_time": np.where(known, opened, np.datetime64("NaT", "us")),
            "t_end": np.where(known, opened + grid.width, np.datetime64("NaT", "us")),
        }
    )


def _prices(grid: SymbolGrid, places: Places) -> Floats:
    """Opens at some places; NaN outside the grid or where nothing was traded."""
    inside = places < len(grid.traded)
    found = np.full(len(places), np.nan)
    there = places[inside]
    found[inside] = np.where(grid.traded[there], grid.open[there], np.nan)
    return found


def _funding(
    grid: SymbolGrid,
    places: Places,
    settlements: pd.DataFrame | None,
    price: Floats,
) -> Floats:
    """Sum of rate times mark price of the settlements in (open of the bar, its end]."""
    total = np.zeros(len(places))
    if settlements is None or settlements.empty:
        return total
    times = pd.DatetimeIndex(settlements["funding_time"]).tz_convert("UTC").tz_localize(None)
    stamps = times.to_numpy().astype("datetime64[us]")
    # (open, open + width]: one microsecond earlier lies in [open, open + width).
    bar = (stamps - grid.start - np.timedelta64(1, "us")) // grid.width
    row = np.searchsorted(places, bar)
    found = (row < len(places)) & (places[np.minimum(row, len(places) - 1)] == bar)
    rows = row[found]
    rate = settlements["funding_rate"].to_numpy(dtype=float)[found]
    mark = settlements["mark_price"].to_numpy(dtype=float)[found]
    np.add.at(total, rows, rate * np.where(np.isfinite(mark), mark, price[rows]))
    return total
