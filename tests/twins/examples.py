"""Small raw tables for worked examples."""

from collections.abc import Sequence

import pandas as pd

START = pd.Timestamp("2026-03-02 00:00", tz="UTC")  # a Monday
BAR = pd.Timedelta(minutes=5)


def at(text: str) -> pd.Timestamp:
    """Give an instant of the first days of March 2026, UTC: ``at("02 08:00")``."""
    return pd.Timestamp(f"2026-03-{text}", tz="UTC")


def klines(
    closes: Sequence[float | None],
    *,
    symbol: str = "SOL/USDT",
    start: pd.Timestamp = START,
    spread: float = 1.0,
    volume: float | Sequence[float] = 10.0,
) -> pd.DataFrame:
    """Make consecutive 5m klines; None leaves one out.

    Each opens at its close, reaches `spread` above and below it, trades `volume` at its close, a quarter of
    it bought by takers, in 5 trades.
    """
    volumes = [volume] * len(closes) if isinstance(volume, float | int) else list(volume)
    rows = []
    for i, (close, size) in enumerate(zip(closes, volumes, strict=True)):
        if close is not None:
            rows.append(
                {
                    **{"symbol": symbol, "timeframe": "5m", "time": start + i * BAR},
                    **{"open": close, "high": close + spread, "low": close - spread, "close": close},
                    **{"volume": size, "quote_volume": size * close, "trades": 5},
                    **{"taker_buy_base": size / 4, "taker_buy_quote": size * close / 4},
                }
            )
    return pd.DataFrame(rows)


def coverage(
    stream: str,
    start: pd.Timestamp,
    end: pd.Timestamp,
    *,
    symbol: str = "SOL/USDT",
    source: str = "rest",
) -> pd.DataFrame:
    """Make one range of coverage."""
    row = {"stream": stream, "symbol": symbol, "from_time": start, "to_time": end, "source": source}
    return pd.DataFrame([row])


def table(columns: Sequence[str], *rows: Sequence[object], symbol: str = "SOL/USDT") -> pd.DataFrame:
    """Make a raw table of one symbol from rows of values."""
    return pd.DataFrame(rows, columns=list(columns)).assign(symbol=symbol)


def settlements(*rows: tuple[str, float], symbol: str = "SOL/USDT") -> pd.DataFrame:
    """Make settlements from pairs of time (as in `at`) and rate."""
    return table(("funding_time", "funding_rate"), *((at(time), rate) for time, rate in rows), symbol=symbol)
