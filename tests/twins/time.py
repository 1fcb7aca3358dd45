"""Time features: functions of the bar's close on the UTC clock, whatever the bar holds.

The bar that closes at 00:00 has minute 0 of the new day; weekend is Saturday 00:00 to Monday 00:00 by closes,
so a close at Monday 00:00 is no weekend.
"""

import numpy as np
import pandas as pd


def features(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the time group (see `price.features`)."""
    close = pd.DatetimeIndex(bars["available_at"]).tz_convert("UTC")
    minute = close.hour.to_numpy() * 60 + close.minute.to_numpy()
    weekday = close.isocalendar().day.to_numpy().astype(np.int64)
    minute_of_week = (weekday - 1) * 1440 + minute
    day_angle, week_angle = 2 * np.pi * minute / 1440, 2 * np.pi * minute_of_week / 10080
    columns = {
        "hour_sin": np.sin(day_angle),
        "hour_cos": np.cos(day_angle),
        "dow_sin": np.sin(week_angle),
        "dow_cos": np.cos(week_angle),
        "is_weekend": weekday >= 6,
        "session_asia": minute < 8 * 60,
        "session_europe": (minute >= 7 * 60) & (minute < 16 * 60),
        "session_us": (minute >= 13 * 60) & (minute < 22 * 60),
    }
    index = pd.MultiIndex.from_frame(bars[["symbol", "time"]])
    return pd.DataFrame({name: np.asarray(x, dtype=float) for name, x in columns.items()}, index=index)
