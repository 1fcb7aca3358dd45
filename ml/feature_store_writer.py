"""The writing side of the online store: one atomic step a vector, newer bars and higher revisions win."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis

from collectors.symbols import canonical_symbol
from ml.errors import CorruptVectorError
from ml.feature_vector import VectorToPush, pack_record, pack_values, to_microseconds
from ml.redis_client import Keys, named_redis_errors, open_redis
from ml.registry import FeatureSet
from ml.store_scripts import FILL_HISTORY, PUSH


class PushOutcome(NamedTuple):
    """What became of a pushed vector.

    ``outcome`` is ``written``, ``unchanged`` (the same vector was there), ``older`` (a newer bar is there) or
    ``superseded`` (the same bar is there with another content and at least this revision); ``revision`` is
    the one that stands, ``is_first`` whether the store held nothing of the symbol before.
    """

    outcome: str
    revision: int
    is_first: bool = False


class FeatureStoreWriter:
    """Writes vectors for `ml.feature_store.FeatureStore` to read.

    Parameters
    ----------
    redis_or_url : str or redis.Redis
        An address, or a client that returns bytes (``decode_responses=False``).
    namespace : str, optional
        First part of every key.
    history : int, optional
        Past bars kept for each symbol; an attribute too.
    clock : callable, optional
        Gives the present as an aware datetime.
    """

    def __init__(
        self,
        redis_or_url: str | redis.Redis,
        *,
        namespace: str = "perpmart",
        history: int = 300,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._redis: Any = open_redis(redis_or_url)
        self._keys = Keys(namespace)
        self.history = history
        self._clock = clock
        self._push = self._redis.register_script(PUSH)
        self._fill = self._redis.register_script(FILL_HISTORY)

    def push(
        self,
        vector: VectorToPush,
        feature_set: FeatureSet,
        timeframe: str,
        *,
        pushed_at: datetime | None = None,
    ) -> PushOutcome:
        """Write a vector unless a newer one stands; tell the listeners when it was written.

        Raises
        ------
        CorruptVectorError
            The vector does not fit its feature set.
        RedisError
            Redis cannot be reached.
        """
        return self.push_many([vector], feature_set, timeframe, pushed_at=pushed_at)[0]

    def push_many(
        self,
        vectors: Sequence[VectorToPush],
        feature_set: FeatureSet,
        timeframe: str,
        *,
        pushed_at: datetime | None = None,
    ) -> list[PushOutcome]:
        """Write several vectors in one round trip, each in one atomic step of its own; see `push`."""
        moment = pushed_at or self._clock()
        names = feature_set.to_json()
        for vector in vectors:
            if vector.values.shape != (len(feature_set.names),):
                raise CorruptVectorError(
                    f"{vector.symbol}: {vector.values.shape} values for {len(feature_set.names)} names"
                )
        with named_redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for vector in vectors:
                self._push(
                    keys=self._keys_of(vector, feature_set, timeframe),
                    args=self._arguments(vector, feature_set, timeframe, moment, names),
                    client=pipe,
                )
            answers = pipe.execute()
        return [
            PushOutcome(outcome.decode(), int(revision), first == 1) for outcome, revision, first in answers
        ]

    def _keys_of(self, vector: VectorToPush, feature_set: FeatureSet, timeframe: str) -> list[str]:
        symbol = canonical_symbol(vector.symbol)
        return [
            self._keys.vector(symbol, timeframe),
            self._keys.history(symbol, timeframe),
            self._keys.feature_set(feature_set.hash),
        ]

    def _arguments(
        self, vector: VectorToPush, feature_set: FeatureSet, timeframe: str, moment: datetime, names: str
    ) -> list[Any]:
        stamp = to_microseconds(vector.time)
        return [
            stamp,
            to_microseconds(vector.available_at),
            to_microseconds(moment),
            vector.revision,
            feature_set.hash,
            pack_values(vector.values),
            ",".join(sorted(vector.unknown_sources)),
            names,
            pack_record(vector, moment, feature_set.hash),
            self.history,
            self._keys.channel,
            json.dumps([canonical_symbol(vector.symbol), timeframe, stamp, vector.revision]),
        ]

    def fill_history(
        self, symbol: str, timeframe: str, vectors: Sequence[VectorToPush], feature_set: FeatureSet
    ) -> int:
        """Put past bars beside the newest vector, for readers of sequences; returns how many were written."""
        name, moment = canonical_symbol(symbol), self._clock()
        arguments: list[int | bytes] = [self.history]
        for vector in vectors:
            record = pack_record(vector, moment, feature_set.hash)
            arguments += [to_microseconds(vector.time), vector.revision, record]
        keys = [self._keys.vector(name, timeframe), self._keys.history(name, timeframe)]
        with named_redis_errors():
            return int(self._fill(keys=keys, args=arguments))

    def forget(self, symbol: str, timeframe: str) -> None:
        """Remove a symbol's vector and history, so that an older bar can be pushed again."""
        name = canonical_symbol(symbol)
        with named_redis_errors():
            self._redis.delete(self._keys.vector(name, timeframe), self._keys.history(name, timeframe))
