"""From signals to what an account would have earned: fees and the real funding counted."""

from __future__ import annotations

import pandas as pd

from ml.targets import rl_rewards


def held_positions(signals: pd.Series, horizon: int) -> pd.Series:
    """Position of each row: the mean of the last ``horizon`` signals of its symbol.

    A signal speaks of the next ``horizon`` bars, so each is held that long with its share of the capital. It
    also trades little: at each bar one of ``horizon`` parts is renewed.

    Parameters
    ----------
    signals : pandas.Series
        -1, 0 or 1, index (symbol, time), a row a bar; NaN counts as 0.
    """
    by_symbol = signals.fillna(0.0).groupby(level="symbol", sort=False)
    summed = by_symbol.rolling(horizon, min_periods=1).sum().droplevel(0)
    return summed.reindex(signals.index) / horizon


def account(
    bars: pd.DataFrame, positions: pd.Series, settlements: pd.DataFrame, *, fee: float, symbols: int
) -> pd.DataFrame:
    """What an account earns that gives each symbol an equal share.

    Parameters
    ----------
    bars : pandas.DataFrame
        As of `ml.targets.rl_rewards`, over the bars to trade in and one after.
    positions : pandas.Series
        -1 to 1 of each symbol's share, index (symbol, time); bars without one hold nothing.
    settlements : pandas.DataFrame
        As of `rl_rewards`.
    fee : float
        Share of the value traded.
    symbols : int
        Number of shares.

    Returns
    -------
    pandas.DataFrame
        A row an instant at which rows act: ``net``, ``gain``, ``fee``, ``funding`` as shares of the account
        (what is paid is positive), ``turnover``. Index ``available_at``.
    """
    weights = positions.reindex(bars.index).fillna(0.0)
    rewards = rl_rewards(bars, weights, settlements, fee=fee)
    known = rewards.dropna(subset=["reward"])
    parts = known[["reward", "gain", "fee", "funding"]].rename(columns={"reward": "net"})
    parts["turnover"] = (known["weight"] - known["drifted"]).abs()
    return (parts / symbols).groupby(known["available_at"]).sum()
