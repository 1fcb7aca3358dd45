"""Load bars and features from the mart into pandas, fast and aligned.

All times are UTC. A time given without a zone is UTC, a date means its 00:00 UTC, and every range is
half-open: ``[start, end)`` of bar opens. NULL arrives as NaN. The rows of one call come from one snapshot of
the database: a build that runs meanwhile is seen whole or not at all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from ml.bars import BarColumns, bar_columns, bar_query
from ml.copy_stream import Columns, Times, copy_blocks, in_chunks, read_columns
from ml.errors import RangeError
from ml.feature_frame import DatasetFingerprint, feature_frame, utc_index
from ml.feature_reads import Read, perform, plan_reads
from ml.mart import Part, all_symbols, feature_query, known_symbols, published_parts
from ml.registry import Feature, Registry, read_registry
from ml.served import iter_served, read_served
from ml.snapshot import Database, export_snapshot
from ml.timerange import Time, TimeRange, time_range, timeframe_width
from perpmart.database import Connection
from perpmart.settings import Settings

__all__ = ["DatasetFingerprint", "MarketDataLoader"]

AsOf: TypeAlias = Literal["mart", "served"]
"""Which version of a bar's features: today's, or the first that was pushed."""


class MarketDataLoader:
    """Reads bars and features of one mart.

    Parameters
    ----------
    database : str, Settings or psycopg.Connection
        An address, the project's settings, or an open connection. With an address or settings every call
        opens connections of its own and closes them. A connection is used and left open; for a consistent
        snapshot give one that is not inside a transaction.
    schema_prefix : str, optional
        What stands before every schema's name; settings bring their own.
    connections : int, optional
        Connections that `load_features` reads through at once (always 1 when a connection was given).

    Examples
    --------
    >>> loader = MarketDataLoader("postgresql://localhost/perpmart")
    >>> bars = loader.load_all_data("SOL/USDT", "5m", "2026-02-01", "2026-03-01")  # doctest: +SKIP
    """

    def __init__(
        self, database: str | Settings | Connection, *, schema_prefix: str = "", connections: int = 2
    ) -> None:
        self._database = Database(database, schema_prefix=schema_prefix)
        self._connections = connections if self._database.opens_connections else 1
        self._prefix = self._database.schema_prefix

    def load_all_data(self, symbol: str, timeframe: str, start_date: Time, end_date: Time) -> pd.DataFrame:
        """Load one symbol's bars, with every source as of each bar's end, in one aligned frame.

        Parameters
        ----------
        symbol : str
            ``SOL/USDT``; ``SOLUSDT`` and ``SOL/USDT:USDT`` are understood.
        timeframe : str
            ``5m``, ``15m``, ``1h``, ``4h`` or ``1d``. A bar above 5m exists when all its 5m klines do.
        start_date, end_date : str, date, datetime or pandas.Timestamp
            ``[start_date, end_date)`` of bar opens, UTC.

        Returns
        -------
        pandas.DataFrame
            One row a bar, ascending; empty where the range holds no bar. ``timestamp`` is the bar's open,
            ``available_at`` the first instant at which the row may be used, and what ends in ``_time`` is a
            time too (all UTC). The rest is float64: prices and open_interest_value in quote currency, volume
            and open_interest in base currency, liquidations (the sum of both sides) in quote currency. NaN
            means unknown.

        Raises
        ------
        UnknownSymbolError, TimeframeError, RangeError, MartMissingError
        """
        width = timeframe_width(timeframe)
        span = time_range(start_date, end_date)
        with self._database.snapshot() as connection:
            name = known_symbols(connection, [symbol], schema_prefix=self._prefix)[0]
            columns = bar_columns(connection, schema_prefix=self._prefix)
            query = bar_query(name, width, span, columns, schema_prefix=self._prefix)
            times, values = read_columns(
                connection, query, times=len(columns.times) + 1, floats=len(columns.floats)
            )
        return _bar_frame(times, values, columns, width)

    def load_features(
        self,
        symbols: Sequence[str] | str | None,
        start: Time,
        end: Time,
        *,
        groups: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        comparable_only: bool = True,
        as_of: AsOf = "mart",
    ) -> pd.DataFrame:
        """Load the feature matrix of several symbols.

        Parameters
        ----------
        symbols : sequence of str, str or None
            None: every symbol of the mart. ``"universe"``: of each time those that the seed `universe` lists
            for it, so that the past is not one of today's survivors.
        start, end : str, date, datetime or pandas.Timestamp
            ``[start, end)`` of bar opens, UTC.
        groups, features : sequence of str, optional
            Keep these groups; keep these features.
        comparable_only : bool, optional
            Leave out what cannot be compared between symbols or years (prices, cumulative sums, categories).
            A feature named in ``features`` is taken in any case.
        as_of : {"mart", "served"}, optional
            ``"served"`` reads what live readers really got: of each bar the first vector that was pushed, as
            it was then. Bars that were never pushed are not there.

        Returns
        -------
        pandas.DataFrame
            float64, shape (rows, features), index (symbol, time) ascending, columns in registry order. A row
            may be used from its time + 5 minutes on. Only published bars are there: those whose features are
            all complete. ``attrs["fingerprint"]`` is the `DatasetFingerprint` as a dict.

        Raises
        ------
        UnknownSymbolError, UnknownFeatureError, RangeError, MartMissingError
        FeatureSetError
            A served vector in the range was made with another feature set, in which a feature asked for was
            missing or computed otherwise; the error names them.
        """
        span = _checked(time_range(start, end), as_of)
        with self._database.snapshot() as connection:
            registry = read_registry(connection, schema_prefix=self._prefix)
            chosen = registry.select(groups=groups, features=features, comparable_only=comparable_only)
            names = tuple(feature.name for feature in chosen)
            parts = published_parts(connection, symbols, span, schema_prefix=self._prefix)
            if as_of == "served":
                return read_served(connection, parts, registry, names, span, schema_prefix=self._prefix)
            times, values = self._read(connection, parts, chosen)
        return feature_frame(parts, times, values, registry, names, span)

    def iter_features(
        self,
        symbols: Sequence[str] | str | None,
        start: Time,
        end: Time,
        *,
        chunk_rows: int = 100_000,
        groups: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        comparable_only: bool = True,
        as_of: AsOf = "mart",
    ) -> Iterator[pd.DataFrame]:
        """Like `load_features`, in frames of at most ``chunk_rows`` rows: for what does not fit in memory.

        Frames follow each other by symbol, then time; each holds one symbol. All come from one snapshot,
        which stays open until the iterator ends or is closed.
        """
        span = _checked(time_range(start, end), as_of)
        if chunk_rows < 1:
            raise RangeError(f"chunk_rows must be at least 1, not {chunk_rows}")
        with self._database.snapshot() as connection:
            registry = read_registry(connection, schema_prefix=self._prefix)
            chosen = registry.select(groups=groups, features=features, comparable_only=comparable_only)
            names = tuple(feature.name for feature in chosen)
            for part in published_parts(connection, symbols, span, schema_prefix=self._prefix):
                # Closed before the transaction, also when the caller stops half-way.
                with closing(self._pieces(connection, part, registry, names, chunk_rows, as_of)) as pieces:
                    for times, values in pieces:
                        piece = Part(part.symbol, part.range, len(times))
                        yield feature_frame([piece], times, values, registry, names, span, as_of=as_of)

    def _pieces(
        self,
        connection: Connection,
        part: Part,
        registry: Registry,
        names: tuple[str, ...],
        rows: int,
        as_of: AsOf,
    ) -> Generator[tuple[Times, Columns]]:
        """Read a part in pieces of ``rows`` rows."""
        if as_of == "served":
            yield from iter_served(connection, part, registry, names, rows, schema_prefix=self._prefix)
            return
        query = feature_query(part, names, schema_prefix=self._prefix)
        with closing(copy_blocks(connection, query, times=1, floats=len(names))) as blocks:
            yield from in_chunks(blocks, len(names), min(rows, part.rows))

    def registry(self) -> Registry:
        """Read the feature registry: name, group, unit, warm-up, formula of every feature."""
        with self._database.snapshot() as connection:
            return read_registry(connection, schema_prefix=self._prefix)

    def symbols(self) -> tuple[str, ...]:
        """Symbols that have bars."""
        with self._database.snapshot() as connection:
            return all_symbols(connection, schema_prefix=self._prefix)

    def _read(
        self, connection: Connection, parts: Sequence[Part], features: Sequence[Feature]
    ) -> tuple[Times, Columns]:
        """Read the parts, several at once where connections allow: times (rows,), values (features, rows)."""
        reads = plan_reads(connection, parts, features, schema_prefix=self._prefix)
        values = np.empty((len(features), sum(part.rows for part in parts)))
        known: dict[int, Times] = {}

        def read(reader: Connection, mine: Sequence[Read]) -> None:
            for one in mine:
                perform(reader, one, features, values, known, schema_prefix=self._prefix)

        workers = min(self._connections, len(reads))
        if workers < 2:
            read(connection, reads)
        else:
            snapshot = export_snapshot(connection)
            waiting = iter(reads)

            def read_beside(_: int) -> None:
                with self._database.beside(snapshot) as other:
                    for one in waiting:  # one iterator for all: who is done takes the next
                        read(other, [one])

            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read_beside, range(workers)))
        return np.concatenate([known[place] for place in sorted(known)] or [np.empty(0, np.int64)]), values


def _checked(span: TimeRange, as_of: str) -> TimeRange:
    if as_of not in ("mart", "served"):
        raise RangeError(f"as_of must be mart or served, not {as_of!r}")
    return span


def _bar_frame(times: Times, values: Columns, columns: BarColumns, width: timedelta) -> pd.DataFrame:
    """Put the columns of bars together: the time first, the sources' times last."""
    opened = utc_index(times[0])
    frame = pd.DataFrame(values.T, columns=list(columns.floats), copy=False)
    frame.insert(0, "timestamp", opened)
    if {"long_liquidations", "short_liquidations"} <= set(columns.floats):
        frame["liquidations"] = frame["long_liquidations"] + frame["short_liquidations"]
    for place, column in enumerate(columns.times, start=1):
        frame[column] = utc_index(times[place])
    frame["available_at"] = opened + width
    return frame
