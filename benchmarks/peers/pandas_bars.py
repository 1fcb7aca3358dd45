"""Bars of one symbol with every source as of the close, in pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.csv

MINUTE = 60_000_000
BAR = 5 * MINUTE
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LEVELS = 20
_MICROS = "(extract(epoch from {}) * 1000000)::bigint as {}"
_SIDES = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
QUERIES = {
    "ohlcv": (
        "time",
        "open, high, low, close, volume, quote_volume, trades::float8, taker_buy_base from raw.ohlcv"
        " where timeframe = '5m'",
    ),
    "open_interest": (
        "time",
        "open_interest, open_interest_value from raw.open_interest where period = '5m'",
    ),
    "ls_ratio": (
        "time",
        "long_short_ratio from raw.long_short_ratio where period = '5m' and ratio_type = 'global_account'",
    ),
    "top_ratio": (
        "time",
        "long_short_ratio from raw.long_short_ratio where period = '5m' and ratio_type = 'top_position'",
    ),
    "funding": ("funding_time", "funding_rate from raw.funding_rate where true"),
    "liquidations": (
        "time",
        "(side = 'SELL')::int as is_long, price * quantity as notional from raw.liquidations where true",
    ),
    "marks": (
        "time",
        "mark_price, index_price, predicted_funding_rate,"
        f" {_MICROS.format('next_funding_time', 'following')} from raw.mark_price where true",
    ),
}
"""Time column, and the rest of each query."""


def read(url: str, symbol: str) -> dict[str, pd.DataFrame]:
    """COPY the rows of one symbol out."""
    with psycopg.connect(url) as connection:
        frames = {name: _read_csv(connection, symbol, *query) for name, query in QUERIES.items()}
        frames["books"] = _read_books(connection, symbol)
    return frames


def _read_csv(connection: psycopg.Connection, symbol: str, time: str, rest: str) -> pd.DataFrame:
    query = f"select {_MICROS.format(time, 'time')}, {rest} and symbol = '{symbol}' order by 1"
    with connection.cursor().copy(f"copy ({query}) to stdout (format csv, header)".encode()) as copy:
        text = b"".join(copy)
    return pa.csv.read_csv(pa.BufferReader(text)).to_pandas()


def _read_books(connection: psycopg.Connection, symbol: str) -> pd.DataFrame:
    """Read books of 20 levels in binary, which numpy takes as they are, and measure them."""
    side = [("size", ">i4"), ("head", ">i4", (5,)), ("items", [("size", ">i4"), ("value", ">f8")], (LEVELS,))]
    row = np.dtype([("fields", ">i2"), ("size", ">i4"), ("time", ">i8"), *((name, side) for name in _SIDES)])
    query = f"select time, {', '.join(_SIDES)} from raw.order_book where symbol = '{symbol}' order by time"
    with connection.cursor().copy(f"copy ({query}) to stdout (format binary)".encode()) as copy:
        data = b"".join(copy)
    rows = np.frombuffer(data[19:-2], dtype=row)
    bid, bid_quantity, ask, ask_quantity = (rows[name]["items"]["value"].astype(float) for name in _SIDES)
    mid = (bid[:, 0] + ask[:, 0]) / 2
    micro = (ask[:, 0] * bid_quantity[:, 0] + bid[:, 0] * ask_quantity[:, 0]) / (
        bid_quantity[:, 0] + ask_quantity[:, 0]
    )

    def imbalance(levels: int) -> np.ndarray:
        bids, asks = bid_quantity[:, :levels].sum(axis=1), ask_quantity[:, :levels].sum(axis=1)
        return np.asarray((bids - asks) / (bids + asks))

    return pd.DataFrame(
        {
            "time": rows["time"].astype(np.int64) + 946_684_800_000_000,
            "book_spread_bps": 1e4 * (ask[:, 0] - bid[:, 0]) / mid,
            "book_imbalance_5": imbalance(5),
            "book_imbalance_20": imbalance(20),
            "book_microprice_premium": 1e4 * (micro / mid - 1),
            "book_depth_bid_20": (bid * bid_quantity).sum(axis=1),
            "book_depth_ask_20": (ask * ask_quantity).sum(axis=1),
        }
    )


def align(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Join all sources to the klines of the symbol; times are microseconds since 1970."""
    bars = raw["ohlcv"]
    time = bars["time"].to_numpy()
    now = time + BAR
    bars["now"] = now
    _carry(bars, raw["open_interest"], time, {"oi_time": "time"} | _same(raw["open_interest"]))
    _carry(bars, raw["ls_ratio"], time, {"ls_time": "time", "ls_ratio": "long_short_ratio"})
    _carry(bars, raw["top_ratio"], time, {"top_ratio": "long_short_ratio"})
    settled = settlements(raw["funding"])
    _carry(bars, settled, now - MINUTE, {"settled": "time"} | _same(settled))
    marks = raw["marks"]
    following = marks["following"]
    marks["earlier"] = following.shift(1).where(following != following.shift(1)).ffill()
    _carry(bars, marks, now, {"mark_time": "time"} | _same(marks))
    for name, age in (
        ("mark_price", MINUTE),
        ("index_price", MINUTE),
        *((name, 10 * MINUTE) for name in ("predicted_funding_rate", "following", "earlier")),
    ):
        bars[name] = bars[name].where(now - bars["mark_time"] < age)
    return _add_books(_add_liquidations(bars, raw["liquidations"]), raw["books"])


def _same(frame: pd.DataFrame) -> dict[str, str]:
    return {name: name for name in frame.columns if name != "time"}


def _carry(bars: pd.DataFrame, source: pd.DataFrame, until: np.ndarray, columns: dict[str, str]) -> None:
    """Take the newest row with time <= `until`."""
    row = np.searchsorted(source["time"].to_numpy(), until, side="right") - 1
    for name, column in columns.items():
        values = source[column].to_numpy(dtype=float)
        bars[name] = np.where(row >= 0, values[np.maximum(row, 0)], np.nan)


def settlements(funding: pd.DataFrame) -> pd.DataFrame:
    """Give what is known at each settlement (see `polars_bars.settlements`)."""
    hours = funding["time"].diff() / HOUR
    hours = hours.where(hours.isin([1, 2, 4, 8]))
    rate = funding["funding_rate"]
    known = funding.assign(hours=hours, r8=rate * (8 / hours), first=funding["time"].iloc[0] + MINUTE)
    known["r8_before"] = known["r8"].shift(1)
    index = pd.to_datetime(funding["time"], unit="us")
    timed, r8 = rate.set_axis(index), known["r8"].set_axis(index)
    known["sum_1d"], known["sum_7d"] = (
        timed.rolling("1D").sum().to_numpy(),
        timed.rolling("7D").sum().to_numpy(),
    )
    month = r8.rolling("30D", min_periods=10)
    known["r8_mean"], known["r8_std"] = month.mean().to_numpy(), month.std().to_numpy()
    known["r8_count"] = month.count().to_numpy()
    values, first = (
        known["r8"].to_numpy(),
        np.searchsorted(funding["time"], funding["time"] - 30 * DAY, side="right"),
    )
    standing, flat = np.full(len(values), np.nan), np.zeros(len(values))
    for k, value in enumerate(values):
        window = values[first[k] : k + 1]
        window = window[~np.isnan(window)]
        if len(window) >= 10:
            standing[k] = ((window < value).sum() + 0.5 * (window == value).sum()) / len(window)
            flat[k] = (window == window[0]).all()
    return known.assign(standing=standing, flat=flat)


def _add_liquidations(bars: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    slot = (orders["time"] + 2_000_000) // BAR * BAR
    longs = orders["notional"].where(orders["is_long"] == 1, 0.0)
    summed = pd.DataFrame(
        {
            "long_liquidations": longs.groupby(slot).sum(),
            "short_liquidations": (orders["notional"] - longs).groupby(slot).sum(),
            "liquidation_count": orders["notional"].groupby(slot).size(),
            "max_liquidation": orders["notional"].groupby(slot).max(),
        }
    )
    found = summed.reindex(bars["time"]).fillna(0.0)
    return bars.assign(**{name: found[name].to_numpy(dtype=float) for name in found})


def _add_books(bars: pd.DataFrame, books: pd.DataFrame) -> pd.DataFrame:
    groups = books.groupby(books["time"] // BAR * BAR)
    averaged = groups[["book_spread_bps", "book_imbalance_5", "book_imbalance_20"]].mean()
    last = groups.last()
    fresh = last["time"] >= last.index + BAR - MINUTE
    for name in ("book_microprice_premium", "book_depth_bid_20", "book_depth_ask_20"):
        averaged[name] = last[name].where(fresh)
    found = averaged.reindex(bars["time"])
    return bars.assign(**{name: found[name].to_numpy() for name in found})
