"""Targets at a fixed horizon: the return that a trade of h bars earns, or its direction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd

from ml.targets.grid import BAR, Floats, Places, SymbolGrid, TargetError, grids, panel_of, row_values
from ml.targets.overlap import overlap_weights


def create_target_regression(
    bars: pd.DataFrame,
    horizon: int,
    *,
    kind: Literal["simple", "log", "volatility_scaled"] = "simple",
    volatility: pd.Series | None = None,
    delay: int = 1,
    delisted: Mapping[str, datetime] | None = None,
    width: pd.Timedelta = BAR,
) -> pd.DataFrame:
    """Return of a trade from the entry's open to the close ``horizon`` bars later.

    Parameters
    ----------
    bars : pandas.DataFrame
        open, high, low, close and is_filled, index (symbol, time); or one symbol of `load_all_data`.
    horizon : int
        Bars held, at least 1.
    kind : {"simple", "log", "volatility_scaled"}, optional
        exit / entry - 1; its logarithm ln(exit / entry); or the simple return divided by
        ``volatility * sqrt(horizon)``.
    volatility : pandas.Series, optional
        Standard deviation of one bar's return as known at the row (such as the feature realized_vol_288),
        index (symbol, time).
    delay : int, optional
        Whole bars between ``available_at`` and the entry. 0 trades at the very instant at which the row is
        known: no live system does.
    delisted : mapping of str to datetime, optional
        First instant at which a symbol no longer trades. A horizon that reaches beyond it ends at the last
        close and is kept: dropping it would hide what delistings cost.
    width : pandas.Timedelta, optional
        Width of the bars.

    Returns
    -------
    pandas.DataFrame
        Index (symbol, time) of the bars; ``y``; ``available_at`` and ``t_end``, the interval that the label
        looks at; ``entry_time``, ``entry_price``, ``exit_price``; ``weight``, the label's mean uniqueness.
        Everything but ``available_at`` is null where the horizon is not whole, or meets a bar that was
        filled, unknown or missing.

    Raises
    ------
    TargetError
        Horizon, delay or bars make no sense.
    """
    if horizon < 1 or delay < 0:
        raise TargetError(f"horizon must be at least 1 and delay at least 0, not {horizon} and {delay}")
    panel = panel_of(bars)
    parts = [_trades(grid, horizon, delay) for _, grid in grids(panel, width=width, delisted=delisted)]
    labels = _frame(panel, parts, width)
    ratio = labels["exit_price"] / labels["entry_price"]
    if kind == "log":
        labels.insert(0, "y", np.log(ratio))
    elif kind == "simple":
        labels.insert(0, "y", ratio - 1)
    elif kind == "volatility_scaled":
        unit = row_values(volatility, panel, "volatility") * np.sqrt(horizon)
        labels.insert(0, "y", (ratio - 1) / np.where(unit > 0, unit, np.nan))
    else:
        raise TargetError(f"no kind of return {kind!r}: choose simple, log or volatility_scaled")
    return finished(labels, width)


def create_target_classification(
    bars: pd.DataFrame,
    horizon: int,
    *,
    threshold: float = 0.0,
    volatility: pd.Series | None = None,
    delay: int = 1,
    delisted: Mapping[str, datetime] | None = None,
    width: pd.Timedelta = BAR,
) -> pd.DataFrame:
    """Direction of the return at a horizon: 1 above the threshold, -1 below minus the threshold, else 0.

    Parameters
    ----------
    threshold : float, optional
        A simple return; with ``volatility`` a multiple of ``volatility * sqrt(horizon)``, the row's own.
    bars, horizon, volatility, delay, delisted, width
        As of `create_target_regression`.

    Returns
    -------
    pandas.DataFrame
        As of `create_target_regression`; ``y`` is -1.0, 0.0 or 1.0, and ``return`` the simple return.

    Notes
    -----
    A threshold that is a quantile of returns must be learnt from the training rows alone: `QuantileLabeler`.
    """
    if threshold < 0:
        raise TargetError(f"threshold must not be negative, it is {threshold}")
    labels = create_target_regression(bars, horizon, delay=delay, delisted=delisted, width=width)
    limit: Floats | float = threshold
    if volatility is not None:
        limit = threshold * row_values(volatility, labels, "volatility") * np.sqrt(horizon)
    returns = labels["y"].to_numpy()
    direction = np.where(returns > limit, 1.0, np.where(returns < -limit, -1.0, 0.0))
    labels["y"] = np.where(np.isnan(returns) | np.isnan(limit), np.nan, direction)
    labels["return"] = returns
    return finished(labels, width)


def entries(grid: SymbolGrid, horizon: int, delay: int) -> tuple[Places, Places, Places]:
    """Places of row, entry and last bar of the trades that are whole; a delisting shortens a trade."""
    rows = grid.rows
    entry = rows + 1 + delay
    exit_ = entry + horizon - 1
    if grid.last >= 0:
        exit_ = np.where(entry <= grid.last, np.minimum(exit_, grid.last), exit_)
    inside = exit_ < len(grid.traded)
    idle = np.r_[0, np.cumsum(~grid.traded)]
    whole = np.zeros(len(rows), dtype=bool)
    # Every bar from the one after the row to the exit was really traded.
    whole[inside] = idle[exit_[inside] + 1] == idle[rows[inside] + 1]
    return np.flatnonzero(whole), entry[whole], exit_[whole]


def _trades(grid: SymbolGrid, horizon: int, delay: int) -> pd.DataFrame:
    rows, entry, exit_ = entries(grid, horizon, delay)
    return trade_frame(grid, rows, entry, exit_, grid.close[exit_])


def trade_frame(grid: SymbolGrid, rows: Places, entry: Places, exit_: Places, price: Floats) -> pd.DataFrame:
    """One symbol's label columns; rows without a trade are null."""
    count = len(grid.rows)
    entry_time = np.full(count, np.datetime64("NaT", "us"))
    t_end = entry_time.copy()
    prices = np.full((2, count), np.nan)
    entry_time[rows] = grid.opens(entry)
    t_end[rows] = grid.opens(exit_ + 1)
    prices[0, rows], prices[1, rows] = grid.open[entry], price
    return pd.DataFrame(
        {"t_end": t_end, "entry_time": entry_time, "entry_price": prices[0], "exit_price": prices[1]}
    )


def _frame(panel: pd.DataFrame, parts: list[pd.DataFrame], width: pd.Timedelta) -> pd.DataFrame:
    """Put the symbols' columns together under the panel's index."""
    columns = ["t_end", "entry_time", "entry_price", "exit_price"]
    labels = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    labels.index = panel.index
    for name in ("t_end", "entry_time"):
        labels[name] = labels[name].astype("datetime64[us]").dt.tz_localize("UTC")
    labels.insert(0, "available_at", panel.index.get_level_values("time") + width)
    return labels


#: Puts label columns together; used by every target of this package.
label_frame = _frame


def finished(labels: pd.DataFrame, width: pd.Timedelta) -> pd.DataFrame:
    """Null out what belongs to a null label, and weigh the rest."""
    null = labels["y"].isna() | labels["t_end"].isna()
    kept = [name for name in labels.columns if name not in ("available_at", "weight")]
    labels.loc[null, kept] = None
    labels["weight"] = overlap_weights(labels, width=width)
    return labels
