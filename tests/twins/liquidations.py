"""Liquidation features; what nobody watched is NULL (see `sources.liquidations`).

Readings of the definition where its words leave room
-----------------------------------------------------
- max_liq_size_1h is 0 when 12 watched bars had no liquidation (only avg_liq_size is said to be NULL then).
- liq_zscore_24h counts changes of liquidation_vol_1h to find a flat window, and is 0 in it.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .segments import Segment, by_segment
from .windows import Array, deviation, highest, ratio, total, zscore


def _compute(bars: Segment) -> Mapping[str, Array]:
    longs, shorts = bars["long_liquidations"], bars["short_liquidations"]
    long_hour, short_hour = total(longs, 12), total(shorts, 12)
    hour = total(longs + shorts, 12).astype(float)
    net = long_hour - short_hour
    count = total(bars["liquidation_count"], 12)
    score = np.where(deviation(hour, 288) == 0, 0, zscore(hour, 288))
    return {
        "liquidation_vol_1h": hour,
        "long_liq_vol_1h": long_hour,
        "short_liq_vol_1h": short_hour,
        "net_liquidation": net,
        "liquidation_count_1h": count,
        "avg_liq_size": ratio(hour, count),
        "max_liq_size_1h": highest(bars["max_liquidation"], 12),
        "liq_imbalance_1h": np.where(hour == 0, 0, ratio(net, hour)),
        "liquidation_vol_24h": total(longs + shorts, 288),
        "liq_to_volume_1h": ratio(hour, total(bars["quote_volume"], 12)),
        "liq_to_oi_1h": ratio(hour, bars["open_interest_value"]),
        "liq_zscore_24h": score,
        "liq_spike": np.where(np.isnan(score), np.nan, score > 3),
    }


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the liquidations group (see `price.features`)."""
    return by_segment(bars, _compute)
