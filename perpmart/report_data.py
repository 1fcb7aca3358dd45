"""What the report shows, asked from the database: raw counts, holes, bars, features, their coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd
from psycopg import sql

from ml.data_loader import MarketDataLoader
from ml.registry import Registry
from perpmart.database import Connection

#: Raw table, its column of time, how people call it, its streams in coverage and gaps, all of them.
KINDS: tuple[tuple[str, str, str, str], ...] = (
    ("ohlcv", "time", "Klines", "ohlcv:%"),
    ("open_interest", "time", "Open interest", "open_interest:%"),
    ("funding_rate", "funding_time", "Funding settlements", "funding_rate"),
    ("long_short_ratio", "time", "Long/short ratios", "long_short_ratio:%"),
    ("mark_price", "time", "Mark prices", "mark_price"),
    ("liquidations", "time", "Liquidations", "liquidations"),
    ("order_book", "time", "Order books", "order_book"),
)
SHOWN_FEATURES = ("rsi_14", "natr", "oi_zscore", "volume_zscore_288", "taker_imbalance_12")


class Range(NamedTuple):
    """``[start, end)``, UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class RawKind:
    """One symbol's rows of one raw table within the range.

    ``covered`` is the share of the range for which a source answered or listened (the least of the table's
    streams), ``holes`` the number of open gaps noted.
    """

    symbol: str
    kind: str
    rows: int
    covered: float
    holes: int


@dataclass(frozen=True)
class SymbolReport:
    """One symbol's bars and features within the range.

    ``coverage`` has a row a feature group and a column a UTC day: the share of values that are not NULL.
    ``known`` is that share over everything.
    """

    symbol: str
    bars: pd.DataFrame
    features: pd.DataFrame
    coverage: pd.DataFrame
    known: float


@dataclass(frozen=True)
class ReportData:
    """Everything that the page shows."""

    span: Range
    registry: Registry
    raw: tuple[RawKind, ...]
    symbols: tuple[SymbolReport, ...]


def read_report(
    connection: Connection, symbols: Sequence[str], span: Range, *, schema_prefix: str = ""
) -> ReportData:
    """Read what the report shows.

    Parameters
    ----------
    connection : psycopg.Connection
        Database with a built mart.
    symbols : sequence of str
        Which, in the order shown.
    span : Range
        ``[start, end)`` of bar opens, UTC.

    Raises
    ------
    MlError
        A symbol without bars, or no mart.
    """
    loader = MarketDataLoader(connection, schema_prefix=schema_prefix)
    registry = loader.registry()
    raw = tuple(
        _raw_kind(connection, schema_prefix, symbol, kind, span) for symbol in symbols for kind in KINDS
    )
    reports = tuple(_symbol(loader, registry, symbol, span) for symbol in symbols)
    return ReportData(span, registry, raw, reports)


def _symbol(loader: MarketDataLoader, registry: Registry, symbol: str, span: Range) -> SymbolReport:
    bars = loader.load_all_data(symbol, "5m", *span).set_index("timestamp")
    features = loader.load_features([symbol], *span, comparable_only=False)
    known = features.droplevel("symbol").notna()
    group = {feature.name: feature.group for feature in registry.features}
    days = known.groupby(pd.DatetimeIndex(known.index.get_level_values("time")).floor("D")).mean()
    coverage = days.T.groupby([group[name] for name in days.columns], sort=False).mean()
    shown = [name for name in SHOWN_FEATURES if name in features.columns][:4]
    share = float(known.to_numpy().mean()) if known.size else 0.0
    return SymbolReport(symbol, bars, features[shown].droplevel("symbol"), coverage, share)


def _raw_kind(
    connection: Connection, schema_prefix: str, symbol: str, kind: tuple[str, str, str, str], span: Range
) -> RawKind:
    table, time, name, streams = kind
    raw = f"{schema_prefix}raw"
    rows = connection.execute(
        sql.SQL("select count(*) from {} where symbol = %s and {} >= %s and {} < %s").format(
            sql.Identifier(raw, table), sql.Identifier(time), sql.Identifier(time)
        ),
        (symbol, *span),
    ).fetchone()
    holes = connection.execute(
        sql.SQL(
            "select count(*) from {} where stream like %s and symbol in (%s, '*') and state = 'open'"
            " and from_time < %s and to_time > %s"
        ).format(sql.Identifier(raw, "gaps")),
        (streams, symbol, span.end, span.start),
    ).fetchone()
    return RawKind(
        symbol,
        name,
        rows[0] if rows else 0,
        _covered(connection, raw, symbol, streams, span),
        holes[0] if holes else 0,
    )


def _covered(connection: Connection, raw: str, symbol: str, streams: str, span: Range) -> float:
    """Share of the range covered, by the stream of the table that is covered least."""
    query = sql.SQL(
        "select stream, range_agg(tstzrange(greatest(from_time, %s), least(to_time, %s))) from {}"
        " where stream like %s and symbol in (%s, '*') and from_time < %s and to_time > %s group by stream"
    ).format(sql.Identifier(raw, "coverage"))
    values = (span.start, span.end, streams, symbol, span.end, span.start)
    shares = []
    for _, segments in connection.execute(query, values):
        length = sum((segment.upper - segment.lower for segment in segments), timedelta())
        shares.append(length / (span.end - span.start))
    return min(shares, default=0.0)
