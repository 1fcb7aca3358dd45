"""The online store against a real Redis."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest
import redis

from ml.errors import (
    CorruptVectorError,
    FeatureSetError,
    FeatureStoreError,
    NullFeatureError,
    SourceUnknownError,
    StaleVectorError,
    UnknownFeatureError,
    VectorMissingError,
)
from ml.feature_store import FeatureStore
from ml.feature_store_writer import FeatureStoreWriter
from ml.feature_vector import VectorToPush, pack_values
from ml.registry import FeatureSet
from perpmart.errors import PerpmartError, RedisError

FIVE = timedelta(minutes=5)
BAR = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
NOW = BAR + FIVE + timedelta(seconds=2)
SET = FeatureSet(("rsi_14", "natr", "oi_zscore"), ("rsi", "atr / close", "z"))


class Store:
    """A writer and readers that share a namespace of their own and a clock that stands still."""

    def __init__(self, url: str) -> None:
        self.url, self.namespace, self.now = url, f"test-{uuid4().hex[:8]}", NOW
        self.client = redis.Redis.from_url(url)
        self.writer = FeatureStoreWriter(
            self.client, namespace=self.namespace, history=5, clock=lambda: self.now
        )

    def reader(self, **options: object) -> FeatureStore:
        return FeatureStore(self.client, namespace=self.namespace, clock=lambda: self.now, **options)  # type: ignore[arg-type]

    def push(self, values: list[float], *, bar: datetime = BAR, revision: int = 1, **options: object) -> str:
        feature_set = options.pop("feature_set", SET)
        vector = VectorToPush("SOL/USDT", bar, bar + FIVE, revision, np.array(values), **options)  # type: ignore[arg-type]
        return self.writer.push(vector, feature_set, "5m").outcome  # type: ignore[arg-type]


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    store = Store(redis_url)
    yield store
    for key in store.client.scan_iter(f"{store.namespace}:*"):
        store.client.delete(key)
    store.client.close()


def test_a_pushed_vector_is_read_back_bit_for_bit_with_its_age(store: Store) -> None:
    store.push([0.1 + 0.2, -0.0, 5e-324])
    vector = store.reader().get_latest("SOL/USDT", "5m")
    assert pack_values(vector.values) == pack_values(np.array([0.1 + 0.2, -0.0, 5e-324]))
    assert (vector.time, vector.available_at, vector.pushed_at) == (BAR, BAR + FIVE, NOW)
    assert (vector.age, vector.revision, vector.status) == (timedelta(seconds=2), 1, "ok")
    assert vector.names == SET.names
    assert vector.feature_set == SET.hash
    assert vector.to_dict()["rsi_14"] == vector["rsi_14"] == 0.1 + 0.2


def test_the_hash_holds_the_documented_fields_in_little_endian_float64(store: Store) -> None:
    store.push([1.5, float("nan"), 3.0])
    fields = store.client.hgetall(f"{store.namespace}:vector:SOL/USDT:5m")
    assert {b"v", b"time", b"available_at", b"pushed_at", b"revision", b"feature_set"} <= set(fields)
    assert np.frombuffer(fields[b"v"], "<f8")[[0, 2]].tolist() == [1.5, 3.0]
    kept = store.client.get(f"{store.namespace}:feature_set:{fields[b'feature_set'].decode()}")
    assert FeatureSet.from_json(kept) == SET


def test_features_come_in_the_order_asked_and_any_spelling_of_the_symbol_is_known(store: Store) -> None:
    store.push([1.0, 2.0, 3.0])
    vector = store.reader().get_latest("SOLUSDT", "5m", ["oi_zscore", "rsi_14"])
    assert vector.values.tolist() == [3.0, 1.0]
    with pytest.raises(UnknownFeatureError, match="rsi_15"):
        store.reader().get_latest("SOL/USDT", "5m", ["rsi_15"])


def test_an_older_bar_never_overwrites_a_newer_one(store: Store) -> None:
    assert store.push([1.0, 2.0, 3.0]) == "written"
    assert store.push([9.0, 9.0, 9.0], bar=BAR - FIVE, revision=7) == "older"
    assert store.reader().get_latest("SOL/USDT", "5m").values.tolist() == [1.0, 2.0, 3.0]


def test_the_same_bar_is_replaced_by_a_higher_revision_only(store: Store) -> None:
    assert store.push([1.0, 2.0, 3.0], revision=2) == "written"
    assert store.push([1.0, 2.0, 3.0], revision=2) == "unchanged"
    assert store.push([4.0, 2.0, 3.0], revision=1) == "superseded"
    assert store.push([4.0, 2.0, 3.0], revision=2) == "superseded"
    assert store.push([4.0, 2.0, 3.0], revision=3) == "written"
    assert store.reader().get_latest("SOL/USDT", "5m").revision == 3


def test_a_stale_vector_is_refused(store: Store) -> None:
    store.push([1.0, 2.0, 3.0])
    store.now = BAR + FIVE + FIVE + timedelta(seconds=29)
    assert store.reader().get_latest("SOL/USDT", "5m").age == FIVE + timedelta(seconds=29)
    store.now += timedelta(seconds=2)
    with pytest.raises(StaleVectorError, match="SOL/USDT 5m bar 2026-02-01 12:00"):
        store.reader().get_latest("SOL/USDT", "5m")
    assert store.reader().get_latest("SOL/USDT", "5m", max_age=None).values[0] == 1.0
    with pytest.raises(StaleVectorError):
        store.reader().get_latest("SOL/USDT", "5m", max_age=timedelta(minutes=1))


def test_a_missing_vector_is_refused(store: Store) -> None:
    store.push([1.0, 2.0, 3.0])
    for symbol, timeframe in (("ETH/USDT", "5m"), ("SOL/USDT", "1h")):
        with pytest.raises(VectorMissingError, match=symbol):
            store.reader().get_latest(symbol, timeframe)


def test_null_features_are_refused_or_returned_as_asked(store: Store) -> None:
    store.push([1.0, float("nan"), 3.0])
    with pytest.raises(NullFeatureError, match="natr"):
        store.reader().get_latest("SOL/USDT", "5m")
    vector = store.reader().get_latest("SOL/USDT", "5m", on_null="return")
    assert (vector.status, vector.nulls, vector.to_dict()["natr"]) == ("null", ("natr",), None)
    assert store.reader().get_latest("SOL/USDT", "5m", ["rsi_14"]).status == "ok"


def test_a_source_that_was_not_known_at_the_bar_is_refused_even_when_nulls_are_not(store: Store) -> None:
    store.push([1.0, float("nan"), 3.0], unknown_sources=("open_interest",))
    with pytest.raises(SourceUnknownError, match="open_interest"):
        store.reader().get_latest("SOL/USDT", "5m", on_null="return")
    vector = store.reader(accept_unknown=["open_interest"]).get_latest("SOL/USDT", "5m", on_null="return")
    assert (vector.status, vector.unknown_sources) == ("unknown_source", ("open_interest",))


@pytest.mark.parametrize(
    "other",
    [
        FeatureSet(("natr", "rsi_14", "oi_zscore"), ("atr / close", "rsi", "z")),
        FeatureSet(SET.names, ("rsi", "atr / close", "another formula")),
        FeatureSet((*SET.names, "new"), (*SET.formulas, "f")),
    ],
    ids=["another order", "another formula", "another name"],
)
def test_another_feature_set_is_refused(store: Store, other: FeatureSet) -> None:
    store.push([1.0, 2.0, 3.0])
    trained, running = store.reader(feature_set=SET.hash), store.reader()
    assert running.get_latest("SOL/USDT", "5m").feature_set == SET.hash
    store.push([1.0] * len(other.names), bar=BAR + FIVE, feature_set=other)
    for reader in (trained, running):
        with pytest.raises(FeatureSetError, match=SET.hash):
            reader.get_latest("SOL/USDT", "5m", max_age=None)
    assert store.reader().get_latest("SOL/USDT", "5m").names == other.names


def test_broken_bytes_are_refused(store: Store) -> None:
    store.push([1.0, 2.0, 3.0])
    store.client.hset(f"{store.namespace}:vector:SOL/USDT:5m", "v", b"\0" * 23)
    with pytest.raises(CorruptVectorError):
        store.reader().get_latest("SOL/USDT", "5m")
    with pytest.raises(CorruptVectorError):
        store.push([1.0, 2.0])


def test_many_symbols_are_read_at_once_and_one_failure_need_not_hide_the_others(store: Store) -> None:
    store.push([1.0, 2.0, 3.0])
    with pytest.raises(VectorMissingError):
        store.reader().get_many(["SOL/USDT", "ETH/USDT"], "5m")
    found = store.reader().get_many(["SOL/USDT", "ETH/USDT"], "5m", on_error="return")
    assert list(found) == ["SOL/USDT", "ETH/USDT"]
    assert not isinstance(found["SOL/USDT"], FeatureStoreError)
    assert isinstance(found["ETH/USDT"], VectorMissingError)


def test_a_sequence_is_gapless_bounded_and_oldest_first(store: Store) -> None:
    for k in range(-7, 1):
        store.push([float(k), 2.0, 3.0], bar=BAR + k * FIVE)
    store.push([100.0, 2.0, 3.0], revision=2)
    sequence = store.reader().get_sequence("SOL/USDT", "5m", 5, ["rsi_14"])
    assert sequence.values[:, 0].tolist() == [-4.0, -3.0, -2.0, -1.0, 100.0]
    assert sequence.times[0] == BAR - 4 * FIVE
    with pytest.raises(VectorMissingError, match="1 of the last 6"):
        store.reader().get_sequence("SOL/USDT", "5m", 6)
    padded = store.reader().get_sequence("SOL/USDT", "5m", 6, ["rsi_14"], on_gap="return")
    assert np.isnan(padded.values[0, 0])


def test_history_can_be_filled_but_never_over_what_was_really_sent(store: Store) -> None:
    store.push([-1.0, 2.0, 3.0], bar=BAR - FIVE)
    store.push([0.0, 2.0, 3.0])
    past = [
        VectorToPush("SOL/USDT", BAR + k * FIVE, BAR + (k + 1) * FIVE, 0, np.array([k - 50.0, 2.0, 3.0]))
        for k in range(-3, 2)
    ]
    assert store.writer.fill_history("SOL/USDT", "5m", past, SET) == 2
    sequence = store.reader().get_sequence("SOL/USDT", "5m", 4, ["rsi_14"])
    assert sequence.values[:, 0].tolist() == [-53.0, -52.0, -1.0, 0.0]


def test_listeners_hear_of_each_written_vector_once(store: Store) -> None:
    heard: list[tuple[datetime, int]] = []
    ready = threading.Event()

    def listen() -> None:
        ready.set()
        events = store.reader().listen("5m", ["SOL/USDT"], timeout=1.0)
        heard.extend((event.time, event.revision) for event in events)

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait()
    while not store.client.pubsub_numsub(f"{store.namespace}:vectors")[0][1]:
        pass
    store.push([1.0, 2.0, 3.0])
    store.push([1.0, 2.0, 3.0])
    store.push([2.0, 2.0, 3.0], revision=2)
    thread.join()
    assert heard == [(BAR, 1), (BAR, 2)]


def test_concurrent_writers_leave_the_newest_bar_and_readers_never_see_a_torn_vector(store: Store) -> None:
    bars, torn, stop = 120, [], threading.Event()
    wide = FeatureSet(tuple(f"f{k}" for k in range(170)), ("",) * 170)

    def write(order: list[int]) -> None:
        writer = FeatureStoreWriter(store.url, namespace=store.namespace)
        for k in order:
            bar = BAR + k * FIVE
            writer.push(VectorToPush("SOL/USDT", bar, bar + FIVE, 1, np.full(170, float(k))), wide, "5m")

    def read() -> None:
        reader = FeatureStore(store.url, namespace=store.namespace)
        newest = BAR
        while not stop.is_set():
            try:
                vector = reader.get_latest("SOL/USDT", "5m", max_age=None)
            except VectorMissingError:
                continue
            whole = (vector.values == (vector.time - BAR) / FIVE).all()
            if not whole or vector.time < newest:
                torn.append(vector)
            newest = vector.time

    generator = np.random.default_rng(1)
    writers = [threading.Thread(target=write, args=[generator.permutation(bars).tolist()]) for _ in range(4)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not torn
    assert store.reader().get_latest("SOL/USDT", "5m", max_age=None).time == BAR + (bars - 1) * FIVE


def test_an_unreachable_or_misconfigured_redis_is_one_line() -> None:
    with pytest.raises(RedisError, match="feature store"):
        FeatureStore("redis://127.0.0.1:1").get_latest("SOL/USDT", "5m")
    with pytest.raises(RedisError, match="not a Redis address"):
        FeatureStore("http://nowhere")
    with pytest.raises(PerpmartError, match="decode_responses"):
        FeatureStore(redis.Redis(decode_responses=True))
