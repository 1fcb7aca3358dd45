"""Long/short-ratio features; the percentile is read as `oi.hourly_percentile` reads it."""

from collections.abc import Mapping

import pandas as pd

from .oi import hourly_percentile
from .raw import micros
from .segments import Segment, by_segment
from .windows import Array, change, ratio, zscore


def _compute(bars: Segment) -> Mapping[str, Array]:
    everyone, top = bars["long_short_ratio"], bars["top_position_ratio"]
    return {
        "ls_ratio_current": everyone,
        "ls_ratio_change_1h": change(everyone, 12),
        "ls_ratio_change_4h": change(everyone, 48),
        "ls_ratio_zscore": zscore(everyone, 288),
        "ls_ratio_percentile": hourly_percentile(everyone, micros(bars.bars["available_at"])),
        "ls_top_trader_ratio": top,
        "ls_top_vs_global": ratio(top, everyone) - 1,
    }


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the long/short-ratio group (see `price.features`)."""
    return by_segment(bars, _compute)
