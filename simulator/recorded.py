"""The market of recorded files, served as the exchange would serve it if it knew nothing else."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np

from collectors.rows import Instrument
from simulator.layout import ALL_COLUMNS, SOURCES, TEXTS, Source
from simulator.market import FIVE_MINUTES, Kind, Market, to_time
from simulator.prices import BAR_MS
from simulator.table import Column, Table
from simulator.widths import WIDTHS_MS

_EMPTY = np.empty(0, dtype=np.int64)
_QUOTES = ("USDT", "USDC")


class DataFileError(ValueError):
    """A recorded file that cannot be read; the text names file and line."""


class RecordedMarket(Market):
    """Recorded files behind the interface of a market.

    What the files lack is empty, never zero: no books, no mark prices, no ratio of a kind that was not
    recorded. A kline whose quote volume was not recorded is a row here but is not served over REST, which has
    no word for unknown. A symbol without whole 5m klines is known, but not among those that trade.

    Parameters
    ----------
    directory : Path
        With the folders that `SOURCES` names; the ones that are absent are empty.
    end : datetime, optional
        Where the clock stands and the history ends (UTC); default the end of the whole 5m klines.

    Raises
    ------
    DataFileError
        When the directory holds none of the folders, or a file cannot be read.
    """

    def __init__(self, directory: Path, *, end: datetime | None = None) -> None:
        self.directory = directory
        if not any((directory / source.folder).is_dir() for source in SOURCES):
            names = ", ".join(source.folder for source in SOURCES)
            raise DataFileError(f"{directory} has none of the folders {names}")
        self._end = end

    @cached_property
    def _listings(self) -> list[Instrument]:
        return [self._instrument(symbol) for symbol in self.symbols]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols with any recorded klines, settlements or statistics, in order of the alphabet."""
        return tuple(sorted({symbol for kind, symbol, _ in self._tables_by_key if kind != "liquidations"}))

    @cached_property
    def start(self) -> datetime:
        """First recorded time (UTC)."""
        return to_time(min(int(table.time[0]) for table in self._tables_by_key.values() if len(table)))

    @cached_property
    def end(self) -> datetime:
        """Where the clock stands (UTC)."""
        if self._end is not None:
            return self._end
        whole = [
            int(table.published_at[-1])
            for (kind, _, period), table in self._tables_by_key.items()
            if (kind, period) == ("ohlcv", "5m") and _is_whole(table)
        ]
        last = [int(table.published_at[-1]) for table in self._tables_by_key.values() if len(table)]
        return to_time(max(whole or last))

    def instruments(self, *, at: datetime | None = None) -> list[Instrument]:
        """Return the symbols that have data by an instant; a listing begins with the first recorded row."""
        limit = at or self.end
        return [one for one in self._listings if one.valid_from <= limit]

    def table(
        self,
        kind: Kind,
        symbol: str,
        *,
        start_ms: int,
        end_ms: int,
        period: str = "5m",
        ratio_type: str = "global_account",
        every: timedelta = FIVE_MINUTES,
    ) -> Table:
        """Return the recorded rows with a time in [start_ms, end_ms); recorded means one version."""
        del every
        wanted = period if kind in ("ohlcv", "open_interest", "long_short_ratio") else ""
        table = self._tables_by_key.get((kind, symbol, wanted))
        if table is None or (kind == "long_short_ratio" and ratio_type != "global_account"):
            return _empty(kind)
        return table.between(start_ms, end_ms)

    def recorded_period(self, kind: Kind, symbol: str, period: str) -> str:
        """Return the widest recorded period that divides `period`, or `period` itself."""
        recorded = self.periods(kind, symbol)
        dividing = [one for one in recorded if WIDTHS_MS[period] % WIDTHS_MS[one] == 0]
        return dividing[-1] if dividing else period

    def periods(self, kind: Kind, symbol: str) -> tuple[str, ...]:
        """Return the recorded periods of a kind, finest first."""
        found = {one for have, name, one in self._tables_by_key if (have, name) == (kind, symbol) and one}
        return tuple(sorted(found, key=lambda one: WIDTHS_MS[one]))

    def book(self, symbol: str, at_ms: int) -> Table:
        """Return no book: none was recorded."""
        del symbol, at_ms
        return _empty("order_book")

    def mark(self, symbol: str, at_ms: int) -> Table:
        """Return no mark price: none was recorded."""
        del symbol, at_ms
        return _empty("mark_price")

    @cached_property
    def _tables_by_key(self) -> dict[tuple[str, str, str], Table]:
        """All recorded tables by kind, symbol and period."""
        tables: dict[tuple[str, str, str], Table] = {}
        for source in SOURCES:
            for symbol, table in _read_folder(self.directory / source.folder, source):
                tables.setdefault((source.kind, symbol, source.period), table)
        return tables

    def _instrument(self, symbol: str) -> Instrument:
        base, quote = symbol.split("/")
        tables = [
            table
            for (kind, name, _), table in self._tables_by_key.items()
            if name == symbol and kind != "liquidations"
        ]
        bars = self._tables_by_key.get(("ohlcv", symbol, "5m"), _empty("ohlcv"))
        settled = self._tables_by_key.get(("funding_rate", symbol, ""), _empty("funding_rate")).time
        hours = np.rint(np.diff(settled) / 3_600_000)
        return Instrument(
            symbol=symbol,
            exchange_symbol=symbol.replace("/", ""),
            valid_from=to_time(min(int(table.time[0]) for table in tables) // BAR_MS * BAR_MS),
            valid_to=None,
            multiplier=1000 if base.startswith("1000") else 1,
            base=base,
            quote=quote,
            status="TRADING" if len(bars) and _is_whole(bars) else "SETTLING",
            price_tick=_step(bars.columns["close"]),
            quantity_step=_step(bars.columns["volume"]),
            funding_interval_hours=int(hours[-1]) if len(hours) else 8,
        )


def _is_whole(bars: Table) -> bool:
    """Tell whether bars have the columns that REST gives."""
    return not bool(np.isnan(bars.columns["quote_volume"]).any())


def _read_folder(folder: Path, source: Source) -> Iterator[tuple[str, Table]]:
    """Yield the symbols and tables of all files of one folder."""
    for path in sorted(folder.glob("*.csv*")) if folder.is_dir() else []:
        lines = list(_read_lines(path))
        if "symbol" in lines[0] and source.kind == "liquidations":
            by_symbol: dict[str, list[dict[str, str]]] = {}
            for line in lines:
                by_symbol.setdefault(line["symbol"], []).append(line)
        else:
            by_symbol = {path.name.split("-")[0].split(".")[0]: lines}
        for wire, own in by_symbol.items():
            symbol = _canonical(wire)
            if symbol is not None:
                yield symbol, _to_table(path, source, own)


def _read_lines(path: Path) -> Iterator[dict[str, str]]:
    opener: Callable[..., Iterable[str]] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:  # type: ignore[attr-defined]
            rows = list(csv.DictReader(file))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataFileError(f"{path}: {error}") from error
    if not rows:
        raise DataFileError(f"{path}: no rows")
    yield from rows


def _to_table(path: Path, source: Source, lines: list[dict[str, str]]) -> Table:
    try:
        times = np.array([int(line[source.time]) for line in lines], dtype=np.int64)
        columns = {name: _column(lines, name, source.columns.get(name)) for name in ALL_COLUMNS[source.kind]}
    except (KeyError, ValueError) as error:
        raise DataFileError(f"{path}: cannot read {error}") from error
    if source.kind == "liquidations":
        # The older recording lacks the average fill; the order's own price is the nearest there is.
        columns["price"] = np.where(np.isnan(columns["price"]), columns["original_price"], columns["price"])
    order = np.argsort(times, kind="stable")
    kept = (
        order[np.concatenate([[True], np.diff(times[order]) > 0])] if source.kind != "liquidations" else order
    )
    return Table(
        times[kept], times[kept] + source.lag_ms, {name: column[kept] for name, column in columns.items()}
    )


def _column(lines: list[dict[str, str]], name: str, header: str | None) -> Column:
    """Return a column; NaN where a file does not have it or says None."""
    if name in TEXTS:
        return np.array([line[header or name] for line in lines], dtype=object)
    if header is None:
        return np.full(len(lines), np.nan)
    return np.array([np.nan if line[header] in ("", "None") else float(line[header]) for line in lines])


def _empty(kind: str) -> Table:
    """Return a table of a kind without rows."""
    columns: dict[str, Column] = {name: np.empty(0) for name in ALL_COLUMNS[kind]}
    if kind == "mark_price":
        columns["next_funding_time"] = _EMPTY
    return Table(_EMPTY, _EMPTY, columns)


def _canonical(wire: str) -> str | None:
    """Return ``SOL/USDT`` for ``SOLUSDT``, None for contracts that are not margined in a stable coin."""
    for quote in _QUOTES:
        if wire.endswith(quote) and len(wire) > len(quote):
            return f"{wire.removesuffix(quote)}/{quote}"
    return None


def _step(values: Column) -> float | None:
    """Return the finest decimal step that recorded values use."""
    if len(values) == 0:
        return None
    decimals = max(len(np.format_float_positional(value, trim="-").partition(".")[2]) for value in values)
    return float(f"1e-{decimals}")
