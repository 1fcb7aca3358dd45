"""Features or bars as files: csv or parquet, written in chunks and put in place as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ml.data_loader import MarketDataLoader
from ml.timerange import Time
from perpmart.errors import PerpmartError

Format = Literal["csv", "parquet"]
Content = Literal["features", "bars"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")

_TIME = pa.timestamp("us", tz="UTC")


class ExportError(PerpmartError):
    """A file that cannot be written, or nothing to write."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    ``rows`` and ``columns`` count without the header and with the keys; ``size`` is in bytes.
    """

    path: Path
    rows: int
    columns: int
    size: int


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


def export(
    loader: MarketDataLoader,
    path: Path | str,
    *,
    symbols: Sequence[str] | None,
    start: Time,
    end: Time,
    content: Content = "features",
    file_format: Format | None = None,
    timeframe: str = "5m",
    groups: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    comparable_only: bool = False,
    chunk_rows: int = 50_000,
) -> Exported:
    """Write features or bars to one file.

    Columns: ``symbol``, ``time``, ``available_at`` (UTC, microseconds), then float64 measures in the order of
    the registry (features) or of the table (bars). NULL stays NULL: an empty field in csv. Every chunk has
    the same schema, also where a column holds nothing. A parquet file carries the dataset's fingerprint in
    its metadata. The file appears under its name when it is complete; one that was there is then replaced.

    Parameters
    ----------
    loader : MarketDataLoader
        Where from.
    path : Path or str
        Where to; its ending gives the format unless ``file_format`` does.
    symbols : sequence of str or None
        None: all of the mart.
    start, end : str, date, datetime or pandas.Timestamp
        ``[start, end)`` of bar opens, UTC.
    content : {"features", "bars"}, optional
        Features exist for 5m bars, bars at every timeframe.
    groups, features, comparable_only : optional
        As of `MarketDataLoader.load_features`; by default every feature is written.
    chunk_rows : int, optional
        Rows held in memory at once.

    Raises
    ------
    ExportError
        Unknown format, no rows in the range, or a file that cannot be written.
    MlError
        As of the loader: unknown symbol, feature or timeframe, reversed range.
    """
    target = Path(path)
    kind = _format_of(target, file_format)
    if content == "bars":
        frames = _bars(loader, loader.symbols() if symbols is None else symbols, timeframe, start, end)
    elif timeframe != "5m":
        raise ExportError(f"features exist for 5m bars only, not {timeframe}")
    else:
        choice: dict[str, Any] = {"groups": groups, "features": features, "comparable_only": comparable_only}
        frames = _features(loader, symbols, start, end, choice, chunk_rows)
    rows, columns, fingerprint = 0, 0, {}
    with _in_place(target) as part:
        writer: _Writer | None = None
        try:
            for frame in frames:
                fingerprint = frame.attrs.get("fingerprint", {})
                schema = _schema(frame, fingerprint)
                writer = writer or _open(part, kind, schema)
                writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
                rows, columns = rows + len(frame), len(frame.columns)
        finally:
            if writer is not None:
                writer.close()
        if not rows:
            raise ExportError(f"nothing to export: no rows in [{start}, {end})")
    return Exported(target, rows, columns, target.stat().st_size)


def _format_of(path: Path, given: Format | None) -> Format:
    ending = given or path.suffix.removeprefix(".").lower()
    for known in FORMATS:
        if ending == known:
            return known
    raise ExportError(f"no format {ending or '(none)'!r} for {path.name}: choose {' or '.join(FORMATS)}")


def _features(
    loader: MarketDataLoader,
    symbols: Sequence[str] | None,
    start: Time,
    end: Time,
    choice: dict[str, Any],
    chunk_rows: int,
) -> Iterator[pd.DataFrame]:
    for frame in loader.iter_features(symbols, start, end, chunk_rows=chunk_rows, **choice):
        keyed = frame.reset_index()
        keyed.insert(2, "available_at", keyed["time"] + pd.Timedelta(minutes=5))
        yield keyed


def _bars(
    loader: MarketDataLoader, symbols: Sequence[str], timeframe: str, start: Time, end: Time
) -> Iterator[pd.DataFrame]:
    for symbol in symbols:
        frame = loader.load_all_data(symbol, timeframe, start, end).rename(columns={"timestamp": "time"})
        keys = ["time", "available_at"]
        frame = frame[keys + [column for column in frame.columns if column not in keys]]
        frame.insert(0, "symbol", symbol)
        yield frame


def _schema(frame: pd.DataFrame, fingerprint: dict[str, Any]) -> pa.Schema:
    """Types by column; pandas would guess another type for a chunk without values."""
    fields = [pa.field("symbol", pa.string(), nullable=False)]
    for column in frame.columns[1:]:
        is_time = isinstance(frame[column].dtype, pd.DatetimeTZDtype)
        fields.append(pa.field(column, _TIME if is_time else pa.float64(), nullable=column not in _KEYS))
    kept = {key: value for key, value in fingerprint.items() if key not in ("rows", "symbols")}
    return pa.schema(fields, metadata={"perpmart": json.dumps(kept)})


_KEYS = ("time", "available_at")


def _open(path: Path, kind: Format, schema: pa.Schema) -> _Writer:
    if kind == "parquet":
        writer: _Writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")
    else:
        writer = pyarrow.csv.CSVWriter(path, schema)
    return writer


@contextmanager
def _in_place(target: Path) -> Iterator[Path]:
    """Give a name beside the target; rename it to the target at the end, or remove it after an error."""
    part = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {os.strerror(error.errno or 0)}") from error
    finally:
        part.unlink(missing_ok=True)
