"""Raw tables as frames: the columns the reference reads, and a reader for a database."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
from psycopg import sql

Raw = Mapping[str, pd.DataFrame]
Micros = npt.NDArray[np.int64]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ohlcv": (
        *("symbol", "timeframe", "time", "open", "high", "low", "close", "volume"),
        *("quote_volume", "trades", "taker_buy_base", "taker_buy_quote"),
    ),
    "open_interest": ("symbol", "period", "time", "open_interest", "open_interest_value"),
    "funding_rate": ("symbol", "funding_time", "funding_rate", "mark_price"),
    "liquidations": ("symbol", "time", "side", "price", "quantity"),
    "long_short_ratio": (
        *("symbol", "period", "ratio_type", "time"),
        *("long_short_ratio", "long_account", "short_account"),
    ),
    "order_book": ("symbol", "time", "bid_price", "bid_quantity", "ask_price", "ask_quantity"),
    "mark_price": (
        *("symbol", "time", "mark_price", "index_price"),
        *("predicted_funding_rate", "next_funding_time"),
    ),
    "instruments": ("symbol", "valid_from", "valid_to"),
    "coverage": ("stream", "symbol", "from_time", "to_time", "source"),
}
TIMES = frozenset(
    {"time", "funding_time", "next_funding_time", "valid_from", "valid_to", "from_time", "to_time"}
)
WORDS = frozenset({"symbol", "timeframe", "period", "side", "ratio_type", "stream", "source"})
ARRAYS = frozenset({"bid_price", "bid_quantity", "ask_price", "ask_quantity"})

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
BAR = 5 * MINUTE
NEVER = np.int64(2**62)  # later than any time; its negative is earlier than any


def micros(times: pd.Series) -> Micros:
    """Convert times to microseconds since the epoch, shape (rows,); a missing time is `NEVER`."""
    aware = pd.to_datetime(times, utc=True).astype("datetime64[us, UTC]")
    numbers = aware.astype("int64").to_numpy()
    return np.where(aware.isna().to_numpy(), NEVER, numbers)


def instants(numbers: Micros) -> pd.Series:
    """Convert microseconds since the epoch to UTC times; `NEVER` becomes NaT."""
    times = pd.Series(np.where(numbers == NEVER, np.iinfo(np.int64).min, numbers).astype("datetime64[us]"))
    return times.dt.tz_localize("UTC")


class Tables(dict[str, pd.DataFrame]):
    """All raw tables, each already as `table` gives it."""


def tables(raw: Raw) -> Tables:
    """Bring all raw tables into shape once (see `table`)."""
    return raw if isinstance(raw, Tables) else Tables({name: table(raw, name) for name in COLUMNS})


def table(raw: Raw, name: str) -> pd.DataFrame:
    """Give one raw table with exactly the columns of `COLUMNS`, empty when the frame is absent.

    Times become timezone-aware UTC microseconds and measures float64; columns that a frame lacks are
    missing values.
    """
    if isinstance(raw, Tables):
        return raw[name]
    given = raw.get(name, pd.DataFrame())
    frame = pd.DataFrame(index=pd.RangeIndex(len(given)))
    for column in COLUMNS[name]:
        values = (
            given[column].reset_index(drop=True) if column in given else pd.Series(None, index=frame.index)
        )
        if column in TIMES:
            frame[column] = pd.to_datetime(values, utc=True).astype("datetime64[us, UTC]")
        elif column in WORDS or column in ARRAYS:
            frame[column] = values.astype(object)
        else:
            frame[column] = pd.to_numeric(values).astype("float64")
    return frame


def read_raw(connection: psycopg.Connection, *, schema: str = "raw") -> dict[str, pd.DataFrame]:
    """Read the raw tables from a database.

    Parameters
    ----------
    connection : open connection; only SELECTs are sent
    schema : schema of the raw tables, with its prefix

    Returns
    -------
    dict of table name to frame, columns as in `COLUMNS`, times UTC
    """
    frames = {}
    for name, columns in COLUMNS.items():
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, name)
        )
        rows = connection.execute(query).fetchall()
        frames[name] = table({name: pd.DataFrame(rows, columns=list(columns))}, name)
    return frames
