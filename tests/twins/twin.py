"""All features of the catalogue from raw tables, and what is needed to compare another build with them."""

from typing import NamedTuple

import pandas as pd

from . import cross_asset, funding, liquidations, ls_ratio, oi, order_book, price, quality, time, volume
from .bars import align_bars
from .margins import scales, undecided
from .raw import Raw, tables
from .sources import Clock


class Twin(NamedTuple):
    """The reference and its margins, three frames with the same rows.

    Attributes
    ----------
    bars : the aligned bars (see `bars.align_bars`)
    features : shape (bars, 170), indexed by (symbol, time), NaN for NULL
    scales : the s of the tolerance per value, for the features that are no ratio; 1 for the rest
    undecided : True where a thresholded feature's input lies within 1e-9 of its threshold
    """

    bars: pd.DataFrame
    features: pd.DataFrame
    scales: pd.DataFrame
    undecided: pd.DataFrame


def compute_twin(
    raw: Raw,
    *,
    universe: pd.DataFrame | None = None,
    benchmark: str = "BTC/USDT",
    now: pd.Timestamp | None = None,
    clock: Clock | None = None,
) -> Twin:
    """Compute bars, features and margins of comparison.

    Parameters
    ----------
    raw : raw tables as frames (see `raw.COLUMNS`); tables that are absent count as empty
    universe : columns symbol, valid_from, valid_to (NaT for open); None counts every symbol
    benchmark : symbol of the benchmark
    now : the exchange's clock; klines not closed by then are left out
    clock : lags and limits; None takes those of the definition
    """
    raw = tables(raw)
    bars = align_bars(raw, now=now, clock=clock)
    groups = [
        price.features(bars),
        volume.features(bars),
        oi.features(bars),
        funding.features(bars, raw, clock=clock),
        liquidations.features(bars),
        ls_ratio.features(bars),
        order_book.features(bars),
        time.features(bars),
    ]
    across = cross_asset.features(bars, pd.concat(groups, axis=1), universe=universe, benchmark=benchmark)
    features = pd.concat([*groups, across, quality.features(bars)], axis=1)
    counted = cross_asset.membership(bars, universe)
    return Twin(bars, features, scales(bars), undecided(bars, features, counted))


def compute_features(
    raw: Raw,
    *,
    universe: pd.DataFrame | None = None,
    benchmark: str = "BTC/USDT",
) -> pd.DataFrame:
    """Compute the catalogue's 170 features, shape (bars, 170), indexed by (symbol, time)."""
    return compute_twin(raw, universe=universe, benchmark=benchmark).features
