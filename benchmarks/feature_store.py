"""Latency of reading vectors from the online store.

Usage: python benchmarks/feature_store.py redis://... [--features 170] [--symbols 50] [--reads 5000]

Beside our packed payload, the obvious way (one hash field a feature, decoded with float()) is timed in the
same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import redis

from ml.feature_store import FeatureStore
from ml.feature_store_writer import FeatureStoreWriter
from ml.feature_vector import VectorToPush
from ml.registry import FeatureSet


def percentiles(read: Callable[[], object], times: int) -> str:
    """Median, p99 and maximum of a call, in milliseconds."""
    seconds = np.empty(times)
    for k in range(times):
        started = time.perf_counter()
        read()
        seconds[k] = time.perf_counter() - started
    middle, high, most = np.percentile(seconds * 1e3, [50, 99, 100])
    return f"median {middle:.3f} ms, p99 {high:.3f} ms, max {most:.3f} ms"


def main() -> None:
    """Write vectors, read them both ways, print one line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--features", type=int, default=170)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--reads", type=int, default=5000)
    options = parser.parse_args()
    namespace = f"benchmark-{uuid4().hex[:8]}"
    client = redis.Redis.from_url(options.url)
    writer, store = FeatureStoreWriter(client, namespace=namespace), FeatureStore(client, namespace=namespace)
    names = tuple(f"feature_{k}" for k in range(options.features))
    feature_set = FeatureSet(names, ("",) * len(names))
    symbols = [f"S{k}/USDT" for k in range(options.symbols)]
    bar = datetime.now(UTC) - timedelta(minutes=5)
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for symbol in symbols:
        vector = VectorToPush(symbol, bar, bar + timedelta(minutes=5), 1, rng.random(len(names)))
        writer.push(vector, feature_set, "5m")
        client.hset(
            f"{namespace}:plain:{symbol}", mapping=dict(zip(names, vector.values.tolist(), strict=True))
        )
    print(f"wrote {len(symbols)} vectors both ways in {(time.perf_counter() - started) * 1e3:.0f} ms")

    def plain_one() -> dict[bytes, float]:
        return {
            name: float(value) for name, value in client.hgetall(f"{namespace}:plain:{symbols[0]}").items()
        }

    def plain_many() -> list[dict[bytes, float]]:
        pipe = client.pipeline(transaction=False)
        for symbol in symbols:
            pipe.hgetall(f"{namespace}:plain:{symbol}")
        return [{name: float(value) for name, value in found.items()} for found in pipe.execute()]

    age = timedelta(days=1)
    some = options.reads // 10
    try:
        one = percentiles(lambda: store.get_latest(symbols[0], "5m", max_age=age), options.reads)
        many = percentiles(lambda: store.get_many(symbols, "5m", max_age=age), some)
        print(f"get_latest, {len(names)} features: {one}")
        print(f"get_many, {len(symbols)} symbols: {many}")
        print(f"one field a feature, 1 symbol: {percentiles(plain_one, options.reads)}")
        print(f"one field a feature, {len(symbols)} symbols: {percentiles(plain_many, some)}")
    finally:
        client.delete(*client.keys(f"{namespace}:*"))


if __name__ == "__main__":
    main()
