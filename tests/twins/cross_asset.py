"""Cross-asset features: against the benchmark, and among the universe at the same bar.

Readings of the definition where its words leave room
-----------------------------------------------------
- The benchmark's own windows keep to its own segments; at a bar without a row of the benchmark its returns
  are NULL.
- A symbol whose returns are flat over a window in which the benchmark's are not has beta 0 (covariance 0) and
  no correlation.
- A symbol is in the universe at a bar when valid_from <= time < valid_to; no seed means every symbol, always.
- Not filled means is_filled = 0: at a hole of ours it is unknown, and the symbol is left out.
- xs_breadth_12 counts the unfilled symbols of the universe whose close and close 12 bars before are known
  (else it would have a value before its warm-up); it is the same number at every row of that time, also
  of a symbol that is left out.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from .raw import micros
from .segments import Segment, by_segment
from .windows import Array, change, correlation, lag, regression_slope

RANKED: Mapping[str, str] = {
    "xs_rank_return_288": "return_288",
    "xs_rank_volume_ratio": "volume_ratio",
    "xs_rank_oi_change_20": "oi_change_20",
    "xs_rank_funding": "funding_annualized",
}


def _of_benchmark(bars: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Give each bar's benchmark returns over 1, 12 and 288 bars, NaN without a row of the benchmark."""
    rows = bars[bars["symbol"] == benchmark]
    names = {n: f"benchmark_return_{n}" for n in (1, 12, 288)}
    if rows.empty:
        return pd.DataFrame(np.nan, index=bars.index, columns=list(names.values()))
    returns = by_segment(rows, lambda bars: {names[n]: change(bars["close"], n) for n in names})
    return returns.droplevel("symbol").reindex(bars["time"]).set_index(bars.index)


def _against_benchmark(bars: Segment) -> Mapping[str, Array]:
    close = bars["close"]
    own, benchmark = change(close, 1), bars["benchmark_return_1"]
    beta = regression_slope(own, benchmark, 288)
    return {
        "btc_return_1": benchmark,
        "btc_return_12": bars["benchmark_return_12"],
        "beta_to_btc_288": beta,
        "corr_to_btc_288": correlation(own, benchmark, 288),
        "relative_strength_288": change(close, 288) - bars["benchmark_return_288"],
        "btc_residual_return_12": change(close, 12) - lag(beta, 12) * bars["benchmark_return_12"],
    }


def membership(bars: pd.DataFrame, universe: pd.DataFrame | None) -> np.ndarray:
    """Tell which bars count in the cross-section: in the universe and known not to be filled."""
    counted = (bars["is_filled"] == 0).to_numpy()
    if universe is None:
        return counted
    times = micros(bars["time"])
    listed = np.zeros(len(bars), dtype=bool)
    starts, ends = micros(universe["valid_from"]), micros(universe["valid_to"])
    for symbol, start, end in zip(universe["symbol"], starts, ends, strict=True):
        listed |= (bars["symbol"] == symbol).to_numpy() & (times >= start) & (times < end)
    return np.asarray(counted & listed)


def average_rank(values: Array) -> Array:
    """Rank values without NaN from 0 to 1, ties sharing their average rank; NaN under 2 of them."""
    n = len(values)
    if n < 2:
        return np.full(n, np.nan)
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    return np.asarray((below + (equal - 1) / 2) / (n - 1))


def _breadth(risen: Array) -> Array:
    known = risen[~np.isnan(risen)]
    share = known.mean() if len(known) >= 5 else np.nan
    return np.full(len(risen), share)


def _among(values: Array, counted: np.ndarray, rank: Callable[[Array], Array]) -> Array:
    out = np.full(len(values), np.nan)
    use = counted & ~np.isnan(values)
    out[use] = rank(values[use])
    return out


def features(
    bars: pd.DataFrame,
    computed: pd.DataFrame,
    *,
    universe: pd.DataFrame | None = None,
    benchmark: str = "BTC/USDT",
) -> pd.DataFrame:
    """Compute the cross-asset group.

    Parameters
    ----------
    bars : as from `align_bars`
    computed : features of the other groups, rows as the bars: those that `RANKED` ranks
    universe : columns symbol, valid_from, valid_to (NaT for open); None counts every symbol
    benchmark : symbol to compare with

    Returns
    -------
    see `price.features`
    """
    bars = bars.reset_index(drop=True)
    joined = pd.concat([bars, _of_benchmark(bars, benchmark)], axis=1)
    out = by_segment(joined, _against_benchmark)
    counted = membership(bars, universe)
    rows_at = list(bars.groupby("time").indices.values())
    for name, ranked in RANKED.items():
        values, ranks = computed[ranked].to_numpy(), np.full(len(bars), np.nan)
        for rows in rows_at:
            ranks[rows] = _among(values[rows], counted[rows], average_rank)
        out[name] = ranks
    risen = by_segment(bars, lambda bars: {"risen": _risen(bars["close"])})["risen"].to_numpy()
    risen = np.where(counted, risen, np.nan)
    breadth = np.full(len(bars), np.nan)
    for rows in rows_at:
        breadth[rows] = _breadth(risen[rows])
    out["xs_breadth_12"] = breadth
    return out


def _risen(close: Array) -> Array:
    before = lag(close, 12)
    return np.where(np.isnan(close + before), np.nan, close > before)
