"""From the mart to Redis, with the log of what was served."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import redis
from psycopg import sql

from ml.errors import FeatureSetError, MartMissingError, RangeError, SourceUnknownError
from ml.feature_store import FeatureStore
from ml.feature_store_writer import FeatureStoreWriter
from ml.feature_vector import VectorToPush
from perpmart.database import Connection, connect_to
from perpmart.errors import RedisError
from perpmart.push import Drift, find_drift, push, push_revised
from perpmart.push_history import fill_unserved
from tests.ml.conftest import Mart

NOW = datetime(2026, 7, 1, 0, 0, 3, tzinfo=UTC)
NEWEST = datetime(2026, 6, 30, 23, 55, tzinfo=UTC)


class Online:
    """The mart and a store of the test's own; what the test changes in the database is put back."""

    def __init__(self, mart: Mart, connection: Connection) -> None:
        self.connection, self.prefix = connection, mart.settings.schema_prefix
        self.client = redis.Redis.from_url(mart.redis_url)
        self.namespace = f"test-{uuid4().hex[:8]}"
        self.writer = FeatureStoreWriter(self.client, namespace=self.namespace, clock=lambda: NOW)
        self.loader = mart.loader

    def reader(self, **options: object) -> FeatureStore:
        return FeatureStore(self.client, namespace=self.namespace, clock=lambda: NOW, **options)  # type: ignore[arg-type]

    def push(self, *, history: int = 0) -> dict[str, tuple[str, int]]:
        done = push(
            self.connection,
            self.writer,
            schema_prefix=self.prefix,
            now=NOW,
            symbols=["SOL/USDT"],
            history=history,
        )
        return {one.symbol: (one.outcome, one.revision) for one in done}

    def execute(self, query: str, *values: object) -> list[tuple[object, ...]]:
        tables = {
            name: sql.Identifier(f"{self.prefix}{schema}", name)
            for schema, name in (
                ("build", "served"),
                ("build", "served_sets"),
                ("build", "published"),
                ("features", "feat_price__trend"),
            )
        }
        cursor = self.connection.execute(sql.SQL(query).format(**tables), values)
        rows = cursor.fetchall() if cursor.description else []
        self.connection.commit()
        return rows

    def change_sma(self, value: float) -> float:
        """Give the newest bar another sma_20; returns the one before."""
        key = "symbol = 'SOL/USDT' and time = %s"
        before = self.execute(f"select sma_20 from {{feat_price__trend}} where {key}", NEWEST)[0][0]
        self.execute(f"update {{feat_price__trend}} set sma_20 = %s where {key}", value, NEWEST)
        assert isinstance(before, float)
        return before


@pytest.fixture
def online(mart: Mart) -> Iterator[Online]:
    with connect_to(mart.url, prefix=mart.settings.schema_prefix) as connection:
        online = Online(mart, connection)
        online.execute("truncate {served}")
        yield online
        connection.rollback()
        online.execute("truncate {served}")
        for key in online.client.scan_iter(f"{online.namespace}:*"):
            online.client.delete(key)
        online.client.close()


def test_what_is_read_back_is_the_marts_newest_row_bit_for_bit(online: Online) -> None:
    assert online.push() == {"SOL/USDT": ("written", 1)}
    vector = online.reader().get_latest("SOL/USDT", "5m", on_null="return")
    row = online.loader.load_features(
        "SOL/USDT", NEWEST, NEWEST + timedelta(minutes=5), comparable_only=False
    )
    assert np.array_equal(vector.values, row.to_numpy()[0], equal_nan=True)
    assert vector.names == tuple(row.columns)
    assert (vector.time, vector.age) == (NEWEST, timedelta(seconds=3))


def test_pushing_again_changes_nothing_and_a_lost_redis_is_filled_again(online: Online) -> None:
    online.push()
    assert online.push() == {"SOL/USDT": ("unchanged", 1)}
    online.client.delete(*online.client.keys(f"{online.namespace}:*"))
    assert online.push() == {"SOL/USDT": ("written", 1)}
    assert online.execute("select count(*), max(revision) from {served}") == [(1, 1)]


def test_a_store_that_was_emptied_gets_its_past_bars_back_with_the_next_vector(online: Online) -> None:
    online.push()
    before = online.reader().get_sequence("SOL/USDT", "5m", 100, ["rsi_14"], max_age=None)
    online.client.delete(*online.client.keys(f"{online.namespace}:*"))
    online.push()
    after = online.reader().get_sequence("SOL/USDT", "5m", 100, ["rsi_14"], max_age=None)
    assert after.times == before.times
    assert np.array_equal(after.values, before.values, equal_nan=True)


def test_a_corrected_bar_gets_the_next_revision_and_shows_as_drift_until_then(online: Online) -> None:
    online.push()
    before = online.change_sma(1.25)
    try:
        drift = find_drift(online.connection, schema_prefix=online.prefix)
        assert [(one.symbol, one.time, one.revision) for one in drift] == [("SOL/USDT", NEWEST, 1)]
        assert online.push() == {"SOL/USDT": ("written", 2)}
        assert online.reader().get_latest("SOL/USDT", "5m", ["sma_20"]).values.tolist() == [1.25]
        assert find_drift(online.connection, schema_prefix=online.prefix) == []
    finally:
        online.change_sma(before)
    assert online.push() == {"SOL/USDT": ("written", 3)}
    assert online.execute("select revision from {served} order by 1") == [(1,), (2,), (3,)]


def test_a_run_that_died_after_sending_is_made_good_by_the_next(online: Online) -> None:
    feature_set = online.loader.registry().feature_set
    values = np.zeros(len(feature_set.names))
    lost = VectorToPush("SOL/USDT", NEWEST, NEWEST + timedelta(minutes=5), 1, values)
    online.writer.push(lost, feature_set, "5m")
    assert online.push() == {"SOL/USDT": ("written", 2)}
    assert online.execute("select revision from {served}") == [(2,)]


def test_the_log_holds_the_vector_as_it_was_sent(online: Online) -> None:
    online.push()
    vector = online.reader().get_latest("SOL/USDT", "5m", on_null="return")
    [(values, feature_set, pushed_at)] = online.execute("select v, feature_set, pushed_at from {served}")
    assert np.array_equal(np.array(values), vector.values, equal_nan=True)
    assert (feature_set, pushed_at) == (vector.feature_set, NOW)


def test_earlier_bars_are_put_there_for_sequences(online: Online) -> None:
    online.push(history=20)
    sequence = online.reader().get_sequence("SOL/USDT", "5m", 21, ["rsi_14"])
    start = NEWEST - timedelta(minutes=100)
    rows = online.loader.load_features("SOL/USDT", start, NEWEST + timedelta(minutes=5), features=["rsi_14"])
    assert np.array_equal(sequence.values, rows.to_numpy(), equal_nan=True)


def test_a_collected_source_that_is_unknown_at_the_bar_is_named(online: Online) -> None:
    bars = sql.Identifier(f"{online.prefix}bars", "bars_5m")
    query = sql.SQL("update {} set long_liquidations = %s where symbol = 'SOL/USDT' and time = %s")
    known = online.connection.execute(
        sql.SQL("select long_liquidations from {} where symbol = 'SOL/USDT' and time = %s").format(bars),
        [NEWEST],
    ).fetchone()
    assert known is not None
    online.connection.execute(query.format(bars), [None, NEWEST])
    online.connection.commit()
    try:
        online.push()
        with pytest.raises(SourceUnknownError, match="liquidations"):
            online.reader().get_latest("SOL/USDT", "5m", ["rsi_14"])
        assert online.reader(accept_unknown=["liquidations"]).get_latest("SOL/USDT", "5m", ["rsi_14"])
    finally:
        online.connection.execute(query.format(bars), [known[0], NEWEST])
        online.connection.commit()


def test_nothing_counts_as_served_that_redis_did_not_take(online: Online) -> None:
    dead = FeatureStoreWriter("redis://127.0.0.1:1", namespace="x")
    with pytest.raises(RedisError):
        push(online.connection, dead, schema_prefix=online.prefix)
    online.connection.rollback()
    assert online.execute("select count(*), count(acknowledged_at) from {served}") == [(3, 0)]
    online.push()
    assert online.execute("select count(*) from {served} where acknowledged_at is not null") == [(1,)]


def test_a_revision_that_the_store_did_not_get_is_sent_again(online: Online) -> None:
    bar = NEWEST - timedelta(minutes=5)
    chosen = {"schema_prefix": online.prefix, "now": NOW}
    push(online.connection, online.writer, symbols=["SOL/USDT"], until=bar, **chosen)  # type: ignore[arg-type]
    online.push()
    query = "update {feat_price__trend} set sma_20 = %s where symbol = 'SOL/USDT' and time = %s"
    known = "select sma_20 from {feat_price__trend} where symbol = 'SOL/USDT' and time = %s"
    ((before,),) = online.execute(known, bar)
    online.execute(query, 1.5, bar)
    try:
        dead = FeatureStoreWriter("redis://127.0.0.1:1", namespace="x")
        with pytest.raises(RedisError):
            push_revised(online.connection, dead, since=bar, cause="a test", **chosen)  # type: ignore[arg-type]
        online.connection.rollback()
        # The log says 1.5 already, so nothing differs: but nobody has got it.
        for _ in range(2):
            drifts = push_revised(online.connection, online.writer, since=bar, **chosen)  # type: ignore[arg-type]
            assert drifts == []
        sequence = online.reader().get_sequence("SOL/USDT", "5m", 2, ["sma_20"])
        assert sequence.values[0, 0] == 1.5
        rows = online.execute(
            "select revision, cause, acknowledged_at is not null from {served} where time = %s order by 1",
            bar,
        )
        assert rows == [(1, "", True), (2, "a test", True)]
        online.execute(query, 2.5, bar)
        drifts = push_revised(online.connection, online.writer, since=bar, before=bar, **chosen)  # type: ignore[arg-type]
        assert drifts == []
        drifts = push_revised(online.connection, online.writer, since=bar, before=NEWEST, **chosen)  # type: ignore[arg-type]
        assert drifts == [Drift("SOL/USDT", bar, 3)]
    finally:
        online.execute(query, before, bar)


def test_past_bars_that_were_never_sent_follow_the_mart(online: Online) -> None:
    online.push(history=5)
    bar = NEWEST - timedelta(minutes=15)
    query = "update {feat_price__trend} set sma_20 = %s where symbol = 'SOL/USDT' and time = %s"
    known = "select sma_20 from {feat_price__trend} where symbol = 'SOL/USDT' and time = %s"
    ((before,),) = online.execute(known, bar)
    online.execute(query, 1.5, bar)
    try:
        span = {"schema_prefix": online.prefix, "since": bar - timedelta(minutes=10)}
        # Three symbols; bars from the first to the one before the newest.
        assert fill_unserved(online.connection, online.writer, **span) == 3 * 5  # type: ignore[arg-type]
        sequence = online.reader().get_sequence("SOL/USDT", "5m", 4, ["sma_20"])
        assert sequence.values[0, 0] == 1.5
        online.push()
        push_revised(online.connection, online.writer, cause="a test", now=NOW, **span)  # type: ignore[arg-type]
        assert fill_unserved(online.connection, online.writer, before=bar, **span) == 3 * 2  # type: ignore[arg-type]
        assert online.execute("select count(*) from {served}") == [(1,)]
    finally:
        online.execute(query, before, bar)


def test_a_bar_of_which_not_all_may_have_come_is_not_sent_yet(online: Online) -> None:
    before = NEWEST - timedelta(minutes=5)
    done = push(
        online.connection,
        online.writer,
        schema_prefix=online.prefix,
        symbols=["SOL/USDT"],
        until=before,
        now=NOW,
    )
    assert [(one.time, one.outcome) for one in done] == [(before, "written")]
    seen = online.reader().get_latest("SOL/USDT", "5m", ["rsi_14"], max_age=None)
    assert seen.time == before
    assert online.push() == {"SOL/USDT": ("written", 1)}


def test_without_a_mart_the_push_says_what_to_do(connection: Connection, redis_url: str) -> None:
    with pytest.raises(MartMissingError, match="perpmart"):
        push(connection, FeatureStoreWriter(redis_url))


def test_as_of_served_gives_the_first_vector_that_was_pushed(online: Online) -> None:
    online.push()
    sent = online.loader.load_features("SOL/USDT", NEWEST, NOW, features=["sma_20", "rsi_14"])
    before = online.change_sma(123.0)
    try:
        assert online.push() == {"SOL/USDT": ("written", 2)}
        served = online.loader.load_features(
            None, "2026-06-28", NOW, features=["sma_20", "rsi_14"], as_of="served"
        )
        today = online.loader.load_features("SOL/USDT", NEWEST, NOW, features=["sma_20", "rsi_14"])
    finally:
        online.change_sma(before)
    assert np.array_equal(served, sent)
    assert served.index.equals(sent.index)
    assert today["sma_20"].iloc[0] == 123.0
    assert served.attrs["fingerprint"]["as_of"] == "served"
    online.execute("update {served} set feature_set = 'another'")
    with pytest.raises(FeatureSetError, match="served with feature set another"):
        online.loader.load_features(None, "2026-06-28", NOW, as_of="served")
    online.execute("truncate {served}")
    assert online.loader.load_features(None, "2026-06-28", NOW, as_of="served").shape[0] == 0


SERVED_BEFORE = """
    insert into {served} (symbol, timeframe, time, available_at, pushed_at, revision, feature_set, v)
    select symbol, timeframe, time - n * interval '5 minutes', available_at, pushed_at, 1, feature_set,
        array_prepend(n::float8, v[2:])
    from {served} cross join generate_series(1, 6) as n
"""


def test_served_vectors_come_in_chunks_too(online: Online) -> None:
    online.push()
    online.execute(SERVED_BEFORE)
    asked = ("SOL/USDT", "2026-06-28", NOW)
    whole = online.loader.load_features(*asked, comparable_only=False, as_of="served")
    frames = list(online.loader.iter_features(*asked, comparable_only=False, as_of="served", chunk_rows=3))
    assert [len(frame) for frame in frames] == [3, 3, 1]
    assert whole.iloc[:-1, 0].tolist() == [6, 5, 4, 3, 2, 1]
    pd.testing.assert_frame_equal(pd.concat(frames), whole, check_index_type=False)
    assert {frame.attrs["fingerprint"]["as_of"] for frame in frames} == {"served"}
    with pytest.raises(RangeError, match="as_of must be mart or served"):
        next(online.loader.iter_features(*asked, as_of="yesterday"))  # type: ignore[arg-type]


def test_vectors_of_an_older_set_are_read_for_features_that_mean_the_same(online: Online) -> None:
    online.push()
    online.execute(SERVED_BEFORE)
    today = online.loader.registry().feature_set
    asked = ("SOL/USDT", "2026-06-28", NOW)
    whole = online.loader.load_features(*asked, comparable_only=False, as_of="served")
    # Once the order was another one, sma_20 was computed otherwise, and rsi_14 was not there.
    old = [
        [name, formula, "0" * 32 if name == "sma_20" else definition]
        for name, formula, definition in reversed(json.loads(today.to_json()))
        if name != "rsi_14"
    ]
    place = today.places(["rsi_14"])[0] + 1
    online.execute("insert into {served_sets} (feature_set, features) values ('older', %s)", json.dumps(old))
    online.execute(
        "update {served} set feature_set = 'older', v = (select array_agg(u.v order by u.n desc)"
        " from unnest(v) with ordinality as u (v, n) where u.n <> %s) where time < %s",
        place, NEWEST,
    )  # fmt: skip
    try:
        same = ["bb_width", "hour_sin", today.names[0]]
        read = online.loader.load_features(*asked, features=same, as_of="served")
        pd.testing.assert_frame_equal(read, whole[list(read.columns)])
        with pytest.raises(FeatureSetError, match=r"set older, .* at all: rsi_14, sma_20\."):
            online.loader.load_features(*asked, features=["sma_20", "rsi_14", *same], as_of="served")
    finally:
        online.execute("delete from {served_sets} where feature_set = 'older'")
