"""Order-book features over the figures of each bar's snapshots (see `books`)."""

from collections.abc import Mapping

import pandas as pd

from .segments import Segment, by_segment
from .windows import Array, lag, mean, ratio, zscore


def _compute(bars: Segment) -> Mapping[str, Array]:
    bid, ask = bars["book_depth_bid_20"], bars["book_depth_ask_20"]
    imbalance = bars["book_imbalance_20"]
    return {
        "book_spread_bps": bars["book_spread_bps"],
        "book_microprice_premium": bars["book_microprice_premium"],
        "book_imbalance_5": bars["book_imbalance_5"],
        "book_imbalance_20": imbalance,
        "book_imbalance_change_12": imbalance - lag(imbalance, 12),
        "book_depth_bid_20": bid,
        "book_depth_ask_20": ask,
        "book_depth_zscore_288": zscore(bid + ask, 288),
        "book_depth_to_turnover": ratio(bid + ask, mean(bars["quote_volume"], 288)),
    }


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the order-book group (see `price.features`)."""
    return by_segment(bars, _compute)
