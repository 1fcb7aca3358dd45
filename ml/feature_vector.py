"""One bar's features as the online store serves them, and their bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml.errors import CorruptVectorError

Values = npt.NDArray[np.float64]
PAYLOAD = np.dtype("<f8")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# A past vector in the bounded history: time, available_at, pushed_at (microseconds since 1970), revision,
# then the hash of the feature set, then the values.
_RECORD = struct.Struct("<qqqq16s")


@dataclass(frozen=True, eq=False)
class FeatureVector:
    """The features of one symbol at one bar.

    Parameters
    ----------
    symbol, timeframe : str
        Whose vector.
    time, available_at, pushed_at : datetime
        The bar's open, the first instant at which it may be used, and when it reached the store; UTC.
    revision : int
        1 for the first version of the bar; each correction has a higher one.
    feature_set : str
        Hash of the set that the whole vector has.
    names : tuple of str
        The features asked for.
    values : numpy.ndarray
        float64, shape (len(names),), read-only; NaN = NULL.
    age : timedelta
        From ``available_at`` to the moment of reading.
    unknown_sources : tuple of str
        Sources configured for the symbol that were not known at this bar.
    """

    symbol: str
    timeframe: str
    time: datetime
    available_at: datetime
    pushed_at: datetime
    revision: int
    feature_set: str
    names: tuple[str, ...]
    values: Values
    age: timedelta
    unknown_sources: tuple[str, ...] = ()

    @cached_property
    def nulls(self) -> tuple[str, ...]:
        """Names of the features that are NULL at this bar."""
        return tuple(self.names[place] for place in np.flatnonzero(np.isnan(self.values)))

    @property
    def status(self) -> str:
        """``ok``, ``null`` (a value is NULL) or ``unknown_source``, the gravest first."""
        if self.unknown_sources:
            return "unknown_source"
        return "null" if self.nulls else "ok"

    def to_dict(self) -> dict[str, float | None]:
        """Name -> value, NULL as None."""
        return {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(self.names, self.values, strict=True)
        }

    def __getitem__(self, name: str) -> float:
        try:
            return float(self.values[self.names.index(name)])
        except ValueError:
            raise KeyError(name) from None


@dataclass(frozen=True, eq=False)
class FeatureSequence:
    """The features of one symbol over consecutive bars.

    ``values`` is float64, shape (len(times), len(names)), oldest bar first; NaN = NULL or a bar not kept.
    """

    symbol: str
    timeframe: str
    times: tuple[datetime, ...]
    names: tuple[str, ...]
    values: Values
    feature_set: str


@dataclass(frozen=True, eq=False)
class VectorToPush:
    """What a writer gives to the store: one whole vector, in registry order."""

    symbol: str
    time: datetime
    available_at: datetime
    revision: int
    values: Values
    unknown_sources: tuple[str, ...] = ()


def pack_values(values: Values) -> bytes:
    """The payload: little-endian float64; NULL is one and the same NaN, so equal vectors are equal bytes."""
    return np.where(np.isnan(values), np.nan, values).astype(PAYLOAD).tobytes()


def unpack_values(payload: bytes, count: int) -> Values:
    """Read `pack_values`' bytes without a copy.

    Raises
    ------
    CorruptVectorError
        The payload does not hold ``count`` values.
    """
    if len(payload) != count * PAYLOAD.itemsize:
        raise CorruptVectorError(f"{len(payload)} bytes do not hold {count} values")
    return np.frombuffer(payload, dtype=PAYLOAD)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(count: int | bytes) -> datetime:
    """The instant that many microseconds after 1970, UTC."""
    return _EPOCH + int(count) * _MICROSECOND


def pack_record(vector: VectorToPush, pushed_at: datetime, feature_set: str) -> bytes:
    """One entry of the history."""
    head = _RECORD.pack(
        to_microseconds(vector.time),
        to_microseconds(vector.available_at),
        to_microseconds(pushed_at),
        vector.revision,
        feature_set.encode(),
    )
    return head + pack_values(vector.values)


def unpack_record(record: bytes) -> tuple[datetime, datetime, datetime, int, str, bytes]:
    """Time, available_at, pushed_at, revision, feature set and payload of a history entry.

    Raises
    ------
    CorruptVectorError
        The record is too short to be one.
    """
    if len(record) < _RECORD.size:
        raise CorruptVectorError(f"a history record of {len(record)} bytes")
    time, available_at, pushed_at, revision, feature_set = _RECORD.unpack_from(record)
    moments = tuple(map(from_microseconds, (time, available_at, pushed_at)))
    return (*moments, revision, feature_set.decode(), record[_RECORD.size :])
