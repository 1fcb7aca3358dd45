"""The raw tables of a simulated market as frames, as if all of it had been collected in time."""

from datetime import datetime, timedelta

import pandas as pd

from simulator.market import Kind, Market

from .raw import COLUMNS

KINDS: tuple[Kind, ...] = (
    *("ohlcv", "open_interest", "long_short_ratio", "funding_rate"),
    *("liquidations", "mark_price", "order_book"),
)
FIVE_MINUTES = timedelta(minutes=5)


def raw_of(
    market: Market, *, as_of: datetime | None = None, every: timedelta = FIVE_MINUTES
) -> dict[str, pd.DataFrame]:
    """Collect a market.

    Parameters
    ----------
    market : the market
    as_of : only what it had published by then, in the version of then; None takes all, final versions
    every : step of mark prices and order books

    Returns
    -------
    frames as in `raw.COLUMNS`; coverage says that REST answered for all klines of each symbol and that all
    liquidations were listened for
    """
    frames: dict[str, pd.DataFrame] = {}
    for kind in KINDS:
        parts = [market.frame(kind, symbol, as_of=as_of, every=every) for symbol in market.symbols]
        frames[kind] = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS[kind]))
    end = as_of or market.end
    instruments = pd.DataFrame(market.instruments(at=as_of))
    frames["instruments"] = instruments.reindex(columns=list(COLUMNS["instruments"]))
    frames["coverage"] = pd.DataFrame(
        {
            "stream": ["ohlcv:5m", "liquidations"],
            "symbol": "*",
            "from_time": market.start,
            "to_time": end,
            "source": ["rest", "stream"],
        }
    )
    return frames
