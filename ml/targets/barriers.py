"""The triple barrier: a trade ends at a profit, at a loss, or when its time is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd

from ml.targets.grid import BAR, Floats, Places, SymbolGrid, TargetError, grids, panel_of, row_values
from ml.targets.horizon import entries, finished, label_frame, trade_frame

TOUCHES = ("timeout", "upper", "lower", "both")
_TIMEOUT, _UPPER, _LOWER, _BOTH = range(4)


def triple_barrier(
    bars: pd.DataFrame,
    horizon: int,
    *,
    upper: float,
    lower: float,
    volatility: pd.Series | float,
    side: pd.Series | int | None = None,
    timeout: Literal["sign", "zero"] = "sign",
    delay: int = 1,
    delisted: Mapping[str, datetime] | None = None,
    width: pd.Timedelta = BAR,
) -> pd.DataFrame:
    """Label each row by the barrier that the price touches first after the entry.

    Barriers lie at ``entry * (1 + upper * v)`` and ``entry * (1 - lower * v)`` with
    ``v = volatility * sqrt(horizon)``, and are watched on highs and lows from the entry bar on. A bar that
    opens beyond a barrier fills at its open. A bar that touches both without such an open leaves the order
    unknown: with a side the adverse barrier counts as first, without one the label is null.

    Parameters
    ----------
    bars, horizon, delay, delisted, width
        As of `create_target_regression`.
    upper, lower : float
        Multiples of v, above 0. With a side they are profit and loss in its direction: a short trade's profit
        lies below the entry.
    volatility : pandas.Series or float
        Standard deviation of one bar's return as known at the row, index (symbol, time).
    side : pandas.Series or int, optional
        1 long, -1 short, 0 or NaN no trade (null label). Without a side the label is the direction.
    timeout : {"sign", "zero"}, optional
        Label of a trade whose time runs out: sign of its return, or 0.

    Returns
    -------
    pandas.DataFrame
        As of `create_target_regression`; ``y`` in -1, 0, 1 (with a side: loss or profit), ``touch`` one of
        timeout, upper, lower (profit and loss barrier with a side), ``return`` the simple return of the
        trade in the direction of its side. ``t_end`` is the end of the bar in which the trade ended.
    """
    if horizon < 1 or delay < 0 or not (upper > 0 and lower > 0):
        raise TargetError(f"horizon {horizon}, delay {delay}, upper {upper}, lower {lower} make no sense")
    panel = panel_of(bars)
    unit = row_values(volatility, panel, "volatility") * np.sqrt(horizon)
    sides = np.ones(len(panel)) if side is None else row_values(side, panel, "side")
    parts, touches = [], []
    for mine, grid in grids(panel, width=width, delisted=delisted):
        part, touch = _one_symbol(grid, horizon, delay, (upper, lower), unit[mine], sides[mine], side is None)
        parts.append(part)
        touches.append(touch)
    labels = label_frame(panel, parts, width)
    touch = np.concatenate(touches) if touches else np.empty(0, int)
    returns = (labels["exit_price"] / labels["entry_price"] - 1).to_numpy() * sides
    late = np.sign(returns) if timeout == "sign" else np.zeros(len(panel))
    y = np.select([touch == _UPPER, touch == _LOWER, touch == _TIMEOUT], [1.0, -1.0, late], np.nan)
    labels.insert(0, "y", np.where(np.isnan(returns), np.nan, y))
    labels["touch"] = pd.Series(np.array(TOUCHES, dtype=object)[touch], index=labels.index, dtype="str")
    labels["return"] = returns
    return finished(labels, width)


def _one_symbol(
    grid: SymbolGrid,
    horizon: int,
    delay: int,
    multiples: tuple[float, float],
    unit: Floats,
    sides: Floats,
    is_direction: bool,
) -> tuple[pd.DataFrame, Places]:
    """Label columns and touched barrier of each row of one symbol."""
    touched = np.zeros(len(grid.rows), dtype=np.int64)
    rows, entry, last = _tradable(grid, horizon, delay, unit, sides)
    profit, loss = multiples
    long = sides[rows] > 0
    start = grid.open[entry]
    above = start * (1 + np.where(long, profit, loss) * unit[rows])
    below = start * (1 - np.where(long, loss, profit) * unit[rows])
    at, price, which = _walk(grid, entry, last, above, below)
    if not is_direction:
        # Nobody saw which came first: the trader must expect the worse.
        both = which == _BOTH
        which[both] = np.where(long[both], _LOWER, _UPPER)
        price[both] = np.where(long[both], below[both], above[both])
    # In the trade's own direction: a short trade's profit barrier is the one below.
    turned = np.where(which == _UPPER, _LOWER, np.where(which == _LOWER, _UPPER, which))
    touched[rows] = np.where(long, which, turned)
    return trade_frame(grid, rows, entry, at, price), touched


def _tradable(
    grid: SymbolGrid, horizon: int, delay: int, unit: Floats, sides: Floats
) -> tuple[Places, Places, Places]:
    """Rows with a side, a volatility and a first bar to trade in.

    A horizon that meets an untraded bar is null as a whole, also when a barrier was touched before: whether a
    row is labelled must not depend on how its trade went.
    """
    rows, entry, last = entries(grid, horizon, delay)
    good = (unit[rows] > 0) & np.isfinite(unit[rows]) & np.isin(sides[rows], (1.0, -1.0))
    return rows[good], entry[good], last[good]


def _walk(
    grid: SymbolGrid, entry: Places, last: Places, above: Floats, below: Floats
) -> tuple[Places, Floats, Places]:
    """Walk all trades bar by bar; gives the bar, the price and the kind of each one's end."""
    at, which = last.copy(), np.full(len(entry), _TIMEOUT)
    price = grid.close[last]
    active = np.arange(len(entry))
    step = 0
    while active.size:
        bar = entry[active] + step
        opened, up, down = grid.open[bar], above[active], below[active]
        over, under = opened >= up, opened <= down
        high, low = (grid.high[bar] >= up) & ~under, (grid.low[bar] <= down) & ~over
        kind = np.select([high & low, high, low], [_BOTH, _UPPER, _LOWER], _TIMEOUT)
        hit = kind != _TIMEOUT
        fill = np.select([over | under, kind == _UPPER, kind == _LOWER], [opened, up, down], np.nan)
        at[active[hit]], which[active[hit]], price[active[hit]] = bar[hit], kind[hit], fill[hit]
        active = active[~hit & (bar < last[active])]
        step += 1
    return at, price, which
