"""The online store: the newest feature vector of each symbol in Redis, never stale and never torn.

One hash per symbol and timeframe holds the whole vector as one packed field, so a read is one round trip
and always sees one version of one bar. Whatever a bot must not trade on is an error, not a value: a vector
that is too old, that was made by other formulas, or whose sources were not known at the bar.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
import redis

from collectors.symbols import canonical_symbol
from ml.errors import (
    FeatureSetError,
    FeatureStoreError,
    NullFeatureError,
    SourceUnknownError,
    StaleVectorError,
    VectorMissingError,
)
from ml.feature_vector import (
    FeatureSequence,
    FeatureVector,
    from_microseconds,
    to_microseconds,
    unpack_record,
    unpack_values,
)
from ml.redis_client import Keys, named_redis_errors, open_redis
from ml.registry import FeatureSet
from ml.store_scripts import READ_MANY
from ml.timerange import timeframe_width

OneBar = Literal["one bar"]
OnNull = Literal["raise", "return"]

#: How much later than a whole bar a successor may arrive before the vector counts as stale.
GRACE = timedelta(seconds=30)

_FIELDS = ("v", "time", "available_at", "pushed_at", "revision", "feature_set", "unknown")


class VectorEvent(NamedTuple):
    """Word that a vector was written."""

    symbol: str
    timeframe: str
    time: datetime
    revision: int


class FeatureStore:
    """Reads the newest feature vectors; `ml.feature_store_writer.FeatureStoreWriter` writes them.

    Parameters
    ----------
    redis_or_url : str or redis.Redis
        An address, or a client that returns bytes (``decode_responses=False``).
    namespace : str, optional
        First part of every key.
    feature_set : str, optional
        Hash of the set that the reader was made for (a model keeps it beside its weights). Without it, the
        first set that is read becomes the expected one: a set that changes under a running reader is an
        error.
    accept_unknown : collection of str, optional
        Sources whose absence this reader can live with.
    clock : callable, optional
        Gives the present as an aware datetime.

    Examples
    --------
    >>> store = FeatureStore("redis://localhost")  # doctest: +SKIP
    >>> vector = store.get_latest("SOL/USDT", "5m", ["rsi_14", "natr"])  # doctest: +SKIP
    >>> vector.values, vector.age, vector.status  # doctest: +SKIP
    """

    def __init__(
        self,
        redis_or_url: str | redis.Redis,
        *,
        namespace: str = "perpmart",
        feature_set: str | None = None,
        accept_unknown: Collection[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._redis: Any = open_redis(redis_or_url)
        self._read_many = self._redis.register_script(READ_MANY)
        self._keys = Keys(namespace)
        self.feature_set = feature_set
        self.accept_unknown = frozenset(accept_unknown)
        self._clock = clock
        self._sets: dict[str, FeatureSet] = {}

    def get_latest(
        self,
        symbol: str,
        timeframe: str,
        features: Sequence[str] | None = None,
        *,
        max_age: timedelta | OneBar | None = "one bar",
        on_null: OnNull = "raise",
    ) -> FeatureVector:
        """Read the newest vector of a symbol.

        Parameters
        ----------
        symbol, timeframe : str
            ``SOL/USDT`` and ``5m``.
        features : sequence of str, optional
            Names, in the order wanted; all in registry order by default.
        max_age : timedelta, "one bar" or None, optional
            Largest accepted age, counted from the vector's ``available_at``. By default one bar and half a
            minute: the next bar's vector should be there by then. None accepts any age.
        on_null : {"raise", "return"}, optional
            What to do when a requested feature is NULL. ``return`` gives NaN.

        Raises
        ------
        VectorMissingError, StaleVectorError, FeatureSetError, SourceUnknownError, NullFeatureError
            The reasons not to act on the vector.
        UnknownFeatureError
            A requested name is not in the set.
        RedisError
            Redis cannot be reached.
        """
        name = canonical_symbol(symbol)
        with named_redis_errors():
            fields = self._redis.hmget(self._keys.vector(name, timeframe), _FIELDS)
        return self._vector(name, timeframe, fields, features, max_age, on_null)

    def get_many(
        self,
        symbols: Sequence[str],
        timeframe: str,
        features: Sequence[str] | None = None,
        *,
        max_age: timedelta | OneBar | None = "one bar",
        on_null: OnNull = "raise",
        on_error: OnNull = "raise",
    ) -> dict[str, FeatureVector | FeatureStoreError]:
        """Read the newest vectors of several symbols in one round trip, all as they stand at one instant.

        Parameters are those of `get_latest`. With ``on_error="return"`` a symbol that cannot be served holds
        its error in the result and the others are served; with ``"raise"`` the first error is raised.
        """
        names = [canonical_symbol(symbol) for symbol in symbols]
        with named_redis_errors():
            answers = self._read_many([self._keys.vector(name, timeframe) for name in names], _FIELDS)
        found: dict[str, FeatureVector | FeatureStoreError] = {}
        for name, fields in zip(names, answers, strict=True):
            try:
                found[name] = self._vector(name, timeframe, fields, features, max_age, on_null)
            except FeatureStoreError as error:
                if on_error == "raise":
                    raise
                found[name] = error
        return found

    def listen(
        self, timeframe: str, symbols: Sequence[str] | None = None, *, timeout: float | None = None
    ) -> Iterator[VectorEvent]:
        """Wait for new vectors; ends when none came for ``timeout`` seconds.

        Redis does not repeat what was published while nobody listened: read with `get_latest` after
        subscribing and after each pause.
        """
        wanted = None if symbols is None else {canonical_symbol(symbol) for symbol in symbols}
        with named_redis_errors(), self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(self._keys.channel)
            channel.get_message(ignore_subscribe_messages=False, timeout=timeout)
            while (message := channel.get_message(timeout=timeout)) is not None or timeout is None:
                if message is None:
                    continue
                symbol, frame, time, revision = json.loads(message["data"])
                if frame == timeframe and (wanted is None or symbol in wanted):
                    yield VectorEvent(symbol, frame, from_microseconds(time), revision)

    def get_sequence(
        self,
        symbol: str,
        timeframe: str,
        bars: int,
        features: Sequence[str] | None = None,
        *,
        max_age: timedelta | OneBar | None = "one bar",
        on_gap: OnNull = "raise",
    ) -> FeatureSequence:
        """Read the last ``bars`` consecutive bars of a symbol, for sequence models.

        Parameters
        ----------
        bars : int
            How many, the newest included.
        on_gap : {"raise", "return"}, optional
            What to do when one of them is not kept. ``return`` gives a row of NaN.

        Returns
        -------
        FeatureSequence
            Oldest bar first. NULL is NaN; sources and NULLs of past bars are not judged.

        Raises
        ------
        VectorMissingError, StaleVectorError, FeatureSetError
            Also when a past bar has another feature set.
        """
        newest = self.get_latest(symbol, timeframe, features, max_age=max_age, on_null="return")
        width, known = timeframe_width(timeframe), self._set(newest.feature_set)
        first = newest.time - (bars - 1) * width
        with named_redis_errors():
            key = self._keys.history(newest.symbol, timeframe)
            records = self._redis.zrangebyscore(key, to_microseconds(first), to_microseconds(newest.time))
        values = np.full((bars, len(newest.names)), np.nan)
        missing = np.ones(bars, dtype=bool)
        places = known.places(newest.names)
        for record in records:
            time, _, _, _, feature_set, payload = unpack_record(record)
            if feature_set != newest.feature_set:
                raise FeatureSetError(f"{newest.symbol}: the bar of {time:%H:%M} has set {feature_set}")
            row = (time - first) // width
            values[row], missing[row] = unpack_values(payload, len(known.names))[places], False
        if missing.any() and on_gap == "raise":
            raise VectorMissingError(f"{newest.symbol}: {missing.sum()} of the last {bars} bars are not kept")
        times = tuple(first + row * width for row in range(bars))
        return FeatureSequence(newest.symbol, timeframe, times, newest.names, values, newest.feature_set)

    def _vector(
        self,
        symbol: str,
        timeframe: str,
        fields: Sequence[bytes | None],
        features: Sequence[str] | None,
        max_age: timedelta | OneBar | None,
        on_null: OnNull,
    ) -> FeatureVector:
        """Judge the fields of one hash and make a vector of them."""
        present = [field for field in fields if field is not None]
        if len(present) < len(_FIELDS):
            timeframe_width(timeframe)
            raise VectorMissingError(f"no {timeframe} vector of {symbol} was pushed")
        payload, time, available_at, pushed_at, revision, set_hash, unknown = present
        known = self._set(set_hash.decode())
        values, usable_from = unpack_values(payload, len(known.names)), from_microseconds(available_at)
        vector = FeatureVector(
            symbol=symbol,
            timeframe=timeframe,
            time=from_microseconds(time),
            available_at=usable_from,
            pushed_at=from_microseconds(pushed_at),
            revision=int(revision),
            feature_set=known.hash,
            names=known.names if features is None else tuple(features),
            values=values if features is None else values[known.places(features)],
            age=self._clock() - usable_from,
            unknown_sources=tuple(unknown.decode().split(",")) if unknown else (),
        )
        self._refuse(vector, max_age, on_null)
        return vector

    def _refuse(self, vector: FeatureVector, max_age: timedelta | OneBar | None, on_null: OnNull) -> None:
        """Raise when the vector must not be acted on."""
        most = timeframe_width(vector.timeframe) + GRACE if isinstance(max_age, str) else max_age
        if most is not None and vector.age > most:
            raise StaleVectorError(
                f"{_bar(vector)} is stale: available since {vector.age}, accepted is {most}"
            )
        if vector.unknown_sources and (unknown := set(vector.unknown_sources) - self.accept_unknown):
            raise SourceUnknownError(f"{_bar(vector)}: not known at this bar: {', '.join(sorted(unknown))}")
        # Names are looked for only where there is something to name: most vectors are whole.
        if on_null == "raise" and np.isnan(vector.values).any():
            named = ", ".join(vector.nulls[:5]) + (", ..." if len(vector.nulls) > 5 else "")
            raise NullFeatureError(f"{_bar(vector)}: NULL: {named}")

    def _set(self, set_hash: str) -> FeatureSet:
        """Names of the set, from this process's memory or Redis; refuses any but the expected set."""
        if self.feature_set is None:
            self.feature_set = set_hash
        if set_hash != self.feature_set:
            raise FeatureSetError(f"vectors have feature set {set_hash}, expected is {self.feature_set}")
        if set_hash not in self._sets:
            with named_redis_errors():
                text = self._redis.get(self._keys.feature_set(set_hash))
            if text is None:
                raise FeatureSetError(f"the names of feature set {set_hash} are not kept in Redis")
            self._sets[set_hash] = FeatureSet.from_json(text)
        return self._sets[set_hash]


def _bar(vector: FeatureVector) -> str:
    return f"{vector.symbol} {vector.timeframe} bar {vector.time:%Y-%m-%d %H:%M}"
