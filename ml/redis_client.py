"""The connection to Redis that the online store stands on: names of keys, one-line errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from ml.errors import FeatureStoreError
from perpmart.errors import RedisError
from perpmart.urls import mask_password

_TIMEOUT_SECONDS = 5


def open_redis(redis_or_url: str | redis.Redis) -> Any:
    """Make a client of an address; check a given client.

    Raises
    ------
    RedisError
        The address is malformed.
    FeatureStoreError
        The client decodes responses: packed vectors are bytes.
    """
    if isinstance(redis_or_url, str):
        try:
            return redis.Redis.from_url(
                redis_or_url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
            )
        except ValueError as error:
            raise RedisError(f"not a Redis address: {mask_password(redis_or_url)} ({error})") from None
    if redis_or_url.get_encoder().decode_responses:
        raise FeatureStoreError("the Redis client decodes responses: make it with decode_responses=False")
    return redis_or_url


@contextmanager
def named_redis_errors() -> Iterator[None]:
    """Turn the client's connection errors into one line for a person.

    Raises
    ------
    RedisError
        Redis cannot be reached, is too slow, or refuses the command.
    """
    try:
        yield
    except redis.RedisError as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise RedisError(f"Redis does not serve the feature store: {text}") from error


class Keys:
    """Names of the store's keys: ``<namespace>:<kind>:<rest>``."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.channel = f"{namespace}:vectors"

    def vector(self, symbol: str, timeframe: str) -> str:
        """Hash of the newest vector."""
        return f"{self.namespace}:vector:{symbol}:{timeframe}"

    def history(self, symbol: str, timeframe: str) -> str:
        """Sorted set of past vectors, by bar."""
        return f"{self.namespace}:history:{symbol}:{timeframe}"

    def feature_set(self, set_hash: str) -> str:
        """Names, order and formulas of a set."""
        return f"{self.namespace}:feature_set:{set_hash}"
