"""A small market that every tier is given alike, and what the tiers make of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from collectors.rows import Kline, Liquidation, Row
from perpmart.database import Connection
from simulator.market import Kind
from simulator.presets import wide_market
from tests.dbt_project.mart import KINDS, read_frame, source_of, streams_of, write

END = datetime(2026, 3, 5, tzinfo=UTC)
MARKET = wide_market(symbols=2, days=3, end=END, restless=True)
KEY = ["symbol", "time"]
SHOWN = END - timedelta(hours=2)
"""Until here rows are there from the start."""

_LATE = MARKET.start + timedelta(days=1, hours=3, minutes=20)
_BOOKS_FROM = END - timedelta(hours=6)


def fill(connection: Connection) -> None:
    """Write the market up to `SHOWN`, but for an hour of late klines."""
    write(connection, MARKET.instruments(at=SHOWN), now=END)
    for symbol in MARKET.symbols:
        for kind in KINDS:
            _deliver(
                connection,
                kind,
                symbol,
                [row for row in _rows(kind, symbol) if _stamp(row) < SHOWN and not _is_late(row)],
            )
    connection.commit()


def catch_up(connection: Connection) -> None:
    """Write the late hour, the last two hours, and corrections of old rows."""
    for symbol in MARKET.symbols:
        for kind in KINDS:
            rows = [row for row in _rows(kind, symbol) if _stamp(row) >= SHOWN or _is_late(row)]
            _deliver(connection, kind, symbol, [*rows, *_corrections(kind, symbol)])
    connection.commit()


def relations(connection: Connection) -> list[str]:
    """Roll-ups, bars and features: what the tiers have to agree on."""
    rows = connection.execute("select relation from models order by depth, model").fetchall()
    connection.rollback()
    return [str(name) for (name,) in rows]


def snapshot(connection: Connection) -> dict[str, pd.DataFrame]:
    """Give all rows of every relation, by symbol and time."""
    found = {
        name: read_frame(connection, f"select * from {name} order by symbol, time").set_index(KEY)
        for name in relations(connection)
    }
    connection.rollback()
    return found


def disagreements(ours: Mapping[str, pd.DataFrame], theirs: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say where two tiers differ: rows, columns, nulls, numbers by more than 1e-9."""
    found = [f"{name} is missing" for name in ours.keys() ^ theirs.keys()]
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if not a.index.equals(b.index) or list(a.columns) != list(b.columns):
            found.append(f"{name}: {a.shape} and {b.shape}")
            continue
        found += [f"{name}.{column}" for column in a.columns if not _agree(a[column], b[column])]
    return sorted(found)


def _agree(a: pd.Series, b: pd.Series) -> bool:
    if not a.isna().equals(b.isna()):
        return False
    if a.dtype == "float64" and b.dtype == "float64":
        known = a.notna()
        x, y = a[known].to_numpy(), b[known].to_numpy()
        return bool((np.abs(x - y) <= 1e-9 * np.maximum(np.maximum(np.abs(x), np.abs(y)), 1)).all())
    return bool((a.dropna() == b.dropna()).all())


def _rows(kind: Kind, symbol: str) -> list[Row]:
    rows = list(MARKET.rows(kind, symbol))
    # Six snapshots a minute are many; some hours of them say as much.
    return [row for row in rows if _stamp(row) >= _BOOKS_FROM] if kind == "order_book" else rows


def _stamp(row: Row) -> datetime:
    moment: datetime = getattr(row, "funding_time", None) or row.time  # type: ignore[union-attr]
    return moment


def _is_late(row: Row) -> bool:
    return isinstance(row, Kline | Liquidation) and _LATE <= row.time < _LATE + timedelta(hours=1)


def _corrections(kind: Kind, symbol: str) -> list[Row]:
    """Klines of the first day again, with other closes and volumes."""
    if kind != "ohlcv":
        return []
    klines = [row for row in _rows(kind, symbol) if isinstance(row, Kline)][100:104]
    return [row._replace(close=row.low, volume=row.volume * 1.5) for row in klines]


def _deliver(connection: Connection, kind: Kind, symbol: str, rows: list[Row]) -> None:
    from collectors.rows import Coverage

    end = max((_stamp(row) for row in rows), default=MARKET.start) + timedelta(minutes=5)
    covered = [Coverage(stream, symbol, MARKET.start, min(end, END)) for stream in streams_of(kind)]
    write(connection, rows, source=source_of(kind), now=END, covered=covered)
