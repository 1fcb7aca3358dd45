"""Made-up datasets for experiments: random walks, and features that may or may not tell of them."""

import numpy as np
import pandas as pd

from ml.pipeline import Configuration, Dataset, Experiment
from ml.registry import Feature, Registry

FIVE = pd.Timedelta(minutes=5)
START = pd.Timestamp("2026-02-01", tz="UTC")
SMALL = Experiment(
    model="sklearn",
    horizon=6,
    folds=2,
    n_features=4,
    methods=("tree", "discovery"),
    configurations=(Configuration(4, 0.2, 50), Configuration(8, 0.2, 100)),
)
NO_SETTLEMENTS = pd.DataFrame(
    {
        "symbol": pd.Series(dtype=str),
        "funding_time": pd.Series(dtype="datetime64[us, UTC]"),
        "funding_rate": pd.Series(dtype=float),
        "mark_price": pd.Series(dtype=float),
    }
)


def random_walk(bars: int, seed: int, symbols: tuple[str, ...] = ("BTC/USDT", "SOL/USDT")) -> pd.DataFrame:
    """Bars of independent random walks."""
    rng = np.random.default_rng(seed)
    parts = {}
    for symbol in symbols:
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, bars)))
        opened = np.r_[100.0, close[:-1]]
        parts[symbol] = pd.DataFrame(
            {
                "open": opened,
                "high": np.maximum(opened, close),
                "low": np.minimum(opened, close),
                "close": close,
                "is_filled": 0.0,
            },
            index=pd.date_range(START, periods=bars, freq=FIVE, name="time"),
        )
    return pd.concat(parts, names=["symbol"])


def own_features(bars: pd.DataFrame) -> pd.DataFrame:
    """A few features of the bars' own past; the slow ones are what overlapping labels tempt with."""
    close = bars["close"].groupby(level="symbol")
    found = {f"return_{n}": close.pct_change(n) for n in (1, 5, 20, 100, 288)}
    found["level"] = np.log(bars["close"])
    found["volatility"] = found["return_1"].groupby(level="symbol").rolling(48).std().droplevel(0)
    return pd.DataFrame(found)


def make_dataset(bars: pd.DataFrame, features: pd.DataFrame) -> Dataset:
    """A dataset of bars and features, without settlements."""
    registry = Registry(
        tuple(Feature(str(name), "made_up", "ratio", "1", True, "made up") for name in features.columns)
    )
    return Dataset(features, bars, NO_SETTLEMENTS, {}, registry)


def noise_features(bars: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Features of another market: half of them slow, half fast, none of them of these bars."""
    rng = np.random.default_rng(10_000 + seed)
    other = rng.normal(size=(len(bars), count))
    other[:, : count // 2] = pd.DataFrame(other[:, : count // 2]).ewm(span=100).mean().to_numpy()
    return pd.DataFrame(other, index=bars.index, columns=[f"noise_{k}" for k in range(count)])
