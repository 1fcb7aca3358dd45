"""Quality features: the age of each carried source, and bars that the exchange did not have."""

from collections.abc import Mapping

import pandas as pd

from .segments import Segment, by_segment
from .windows import Array, total


def _compute(bars: Segment) -> Mapping[str, Array]:
    ages = {name: bars[name] for name in ("oi_age_minutes", "ls_age_minutes", "funding_age_minutes")}
    return {
        **ages,
        "is_filled": bars["is_filled"],
        "filled_bars_288": total(bars["is_filled"], 288),
    }


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the quality group (see `price.features`)."""
    return by_segment(bars, _compute)
