"""Loading from a real mart."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg import sql

from ml.copy_stream import float_fields, read_columns
from ml.data_loader import MarketDataLoader
from ml.errors import (
    MartMissingError,
    MlError,
    RangeError,
    TimeframeError,
    UnknownFeatureError,
    UnknownSymbolError,
)
from ml.feature_reads import plan_reads
from ml.mart import published_parts
from ml.timerange import time_range
from perpmart.database import Connection, connect_to
from tests.dbt_project.mart import Databases
from tests.ml.conftest import Mart

START, END = "2026-06-28", "2026-07-01"
DAY = ("2026-06-30", "2026-07-01")


def test_all_data_is_one_aligned_frame_of_the_bars(mart: Mart, mart_connection: Connection) -> None:
    frame = mart.loader.load_all_data("SOL/USDT", "5m", START, END)
    assert len(frame) == 3 * 288
    named = ["timestamp", "open", "high", "low", "close", "volume", "open_interest", "funding_rate"]
    assert {*named, "long_short_ratio", "liquidations", "available_at"} <= set(frame.columns)
    measures = frame.select_dtypes("float64").columns
    times = [
        name for name in frame.columns if name.endswith("_time") or name in ("timestamp", "available_at")
    ]
    assert sorted([*measures, *times]) == sorted(frame.columns)
    assert all(str(frame[name].dtype.tz) == "UTC" for name in times)
    assert (frame["available_at"] - frame["timestamp"] == pd.Timedelta(minutes=5)).all()
    assert frame["timestamp"].is_monotonic_increasing
    rows = mart_connection.execute(
        sql.SQL("select {} from {} where symbol = 'SOL/USDT' order by time").format(
            sql.SQL(", ").join(map(sql.Identifier, measures.drop("liquidations"))),
            sql.Identifier(f"{mart.settings.schema_prefix}bars", "bars_5m"),
        )
    ).fetchall()
    expected = np.array(rows, dtype=float)
    assert np.array_equal(frame[measures.drop("liquidations")].to_numpy(), expected, equal_nan=True)
    both = frame["long_liquidations"] + frame["short_liquidations"]
    pd.testing.assert_series_equal(frame["liquidations"], both, check_names=False)


def test_longer_bars_equal_the_5m_bars_summed_up(mart: Mart) -> None:
    five = mart.loader.load_all_data("SOL/USDT", "5m", START, END).set_index("timestamp")
    hours = mart.loader.load_all_data("SOL/USDT", "1h", START, END).set_index("timestamp")
    assert len(hours) == 72
    grouped = five.groupby(five.index.floor("1h"))
    assert np.array_equal(hours["open"], grouped["open"].first())
    assert np.array_equal(hours["high"], grouped["high"].max())
    assert np.array_equal(hours["close"], grouped["close"].last())
    assert np.allclose(hours["volume"], grouped["volume"].sum(), rtol=1e-12)
    # A source is as of the bar's end: the value of the last 5m bar, also when that one is unknown.
    last = grouped["open_interest"].apply(lambda values: values.iloc[-1])
    assert np.array_equal(hours["open_interest"], last, equal_nan=True)
    assert (hours["available_at"] == hours.index + pd.Timedelta(hours=1)).all()


def test_a_longer_bar_without_all_its_klines_is_no_row(mart: Mart, mart_connection: Connection) -> None:
    bars = sql.Identifier(f"{mart.settings.schema_prefix}bars", "bars_5m")
    mart_connection.execute(
        sql.SQL("update {} set is_filled = 1 where symbol = 'SOL/USDT' and time = %s").format(bars),
        [datetime(2026, 6, 30, 7, 35, tzinfo=UTC)],
    )
    loader = MarketDataLoader(mart_connection, schema_prefix=mart.settings.schema_prefix)
    hours = loader.load_all_data("SOL/USDT", "1h", *DAY)["timestamp"].dt.hour.tolist()
    assert hours == [hour for hour in range(24) if hour != 7]


def test_the_range_is_half_open_and_naive_times_and_dates_are_utc(mart: Mart) -> None:
    load = mart.loader.load_all_data
    aware = load("SOL/USDT", "5m", datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    shifted = timedelta(hours=2)
    for start, end in (
        DAY,
        (date(2026, 6, 30), date(2026, 7, 1)),
        (datetime(2026, 6, 30), datetime(2026, 7, 1)),  # noqa: DTZ001
        (pd.Timestamp("2026-06-30T02:00+02:00"), pd.Timestamp("2026-07-01", tz="UTC") + shifted - shifted),
    ):
        pd.testing.assert_frame_equal(load("SOL/USDT", "5m", start, end), aware)
    assert len(aware) == 288
    assert aware["timestamp"].iloc[-1] == pd.Timestamp("2026-06-30 23:55", tz="UTC")
    assert load("SOLUSDT", "5m", "2020-01-01", "2020-01-02").empty


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("XRP/USDT", "5m", *DAY), UnknownSymbolError, "XRP/USDT: the mart has BTC/USDT, ETH/USDT, SOL/USDT"),
        (("nonsense", "5m", *DAY), UnknownSymbolError, "nonsense"),
        (("SOL/USDT", "7m", *DAY), TimeframeError, "5m, 15m, 1h, 4h, 1d"),
        (("SOL/USDT", "5m", *DAY[::-1]), RangeError, "not after"),
        (("SOL/USDT", "5m", DAY[0], DAY[0]), RangeError, "not after"),
        (("SOL/USDT", "5m", "yesterdayish", DAY[1]), RangeError, "start_date is not a time"),
        (("SOL/USDT", "5m", DAY[0], None), RangeError, "end_date"),
    ],
)
def test_a_wrong_argument_is_named(
    mart: Mart, arguments: tuple[str, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        mart.loader.load_all_data(*arguments)


def test_features_equal_the_mart_bit_for_bit_through_any_number_of_connections(
    mart: Mart, mart_connection: Connection
) -> None:
    names = mart.loader.registry().feature_set.names
    rows = mart_connection.execute(
        sql.SQL("select {} from {} order by symbol, time").format(
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.Identifier(f"{mart.settings.schema_prefix}mart", "feature_mart"),
        )
    ).fetchall()
    expected = np.array(rows, dtype=float)
    for connections in (1, 2, 3):
        loader = MarketDataLoader(mart.settings, connections=connections)
        frame = loader.load_features(None, START, END, comparable_only=False)
        assert tuple(frame.columns) == names
        assert frame.index.names == ["symbol", "time"]
        assert frame.index.is_monotonic_increasing
        assert np.array_equal(frame.to_numpy(), expected, equal_nan=True)


def test_a_choice_of_features_keeps_registry_order_and_leaves_out_what_cannot_be_compared(mart: Mart) -> None:
    registry = mart.loader.registry()
    comparable = [feature.name for feature in registry.features if feature.comparable]
    assert list(mart.loader.load_features("SOL/USDT", *DAY).columns) == comparable
    prices = mart.loader.load_features("SOL/USDT", *DAY, groups=["time", "price"])
    assert set(prices.columns) == {
        f.name for f in registry.features if f.group in ("price", "time") and f.comparable
    }
    named = mart.loader.load_features("SOL/USDT", *DAY, features=["sma_20", "return_1"])
    assert list(named.columns) == ["return_1", "sma_20"]
    for wrong in (
        {"features": ["rsi_15"]},
        {"groups": ["prices"]},
        {"groups": ["time"], "features": ["sma_20"]},
    ):
        with pytest.raises(UnknownFeatureError):
            mart.loader.load_features("SOL/USDT", *DAY, **wrong)  # type: ignore[arg-type]


def test_chunks_put_together_are_the_whole_and_stopping_early_leaves_nothing_open(mart: Mart) -> None:
    whole = mart.loader.load_features(None, START, END)
    chunks = list(mart.loader.iter_features(None, START, END, chunk_rows=500))
    assert max(map(len, chunks)) == 500
    pd.testing.assert_frame_equal(pd.concat(chunks), whole)
    for _ in mart.loader.iter_features(None, START, END, chunk_rows=100):
        break
    with psycopg.connect(mart.url) as connection:
        others = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'"
            " and pid <> pg_backend_pid() and query like 'copy%'"
        ).fetchone()
    assert others == (0,)


def test_the_fingerprint_tells_datasets_apart(mart: Mart) -> None:
    def fingerprint(**options: object) -> dict[str, object]:
        frame = mart.loader.load_features("SOL/USDT", *DAY, **options)  # type: ignore[arg-type]
        return dict(frame.attrs["fingerprint"])

    assert fingerprint() == fingerprint()
    assert fingerprint()["rows"] == 288
    assert fingerprint()["feature_set"] != fingerprint(groups=["time"])["feature_set"]


def test_only_published_bars_are_loaded(mart: Mart, mart_connection: Connection) -> None:
    published = sql.Identifier(f"{mart.settings.schema_prefix}build", "published")
    mart_connection.execute(
        sql.SQL("update {} set time = %s where symbol = 'SOL/USDT'").format(published),
        [datetime(2026, 6, 30, 12, 0, tzinfo=UTC)],
    )
    loader = MarketDataLoader(mart_connection, schema_prefix=mart.settings.schema_prefix)
    frame = loader.load_features(["SOL/USDT", "ETH/USDT"], *DAY, groups=["time"])
    last = frame.index.to_frame()["time"].groupby(level="symbol").max()
    assert last["SOL/USDT"] == pd.Timestamp("2026-06-30 12:00", tz="UTC")
    assert last["ETH/USDT"] == pd.Timestamp("2026-06-30 23:55", tz="UTC")


def test_a_database_without_a_mart_says_what_to_do(migrated_url: str) -> None:
    loader = MarketDataLoader(migrated_url)
    with pytest.raises(MartMissingError, match="perpmart build"):
        loader.load_features(None, *DAY)
    with pytest.raises(MartMissingError, match="perpmart build"):
        loader.load_all_data("SOL/USDT", "5m", *DAY)


def test_a_given_connection_is_left_open_and_usable(mart: Mart) -> None:
    with connect_to(mart.url, prefix=mart.settings.schema_prefix) as connection:
        loader = MarketDataLoader(connection, schema_prefix=mart.settings.schema_prefix)
        assert len(loader.load_features(None, *DAY, groups=["time"])) == 3 * 288
        with pytest.raises(UnknownSymbolError):
            loader.load_features("XRP/USDT", *DAY)
        assert loader.symbols() == ("BTC/USDT", "ETH/USDT", "SOL/USDT")


def test_the_universe_gives_each_symbol_at_its_times(mart: Mart, mart_connection: Connection) -> None:
    seed = sql.Identifier(f"{mart.settings.schema_prefix}seeds", "universe")
    mart_connection.execute(sql.SQL("delete from {}").format(seed))
    spells = [
        ("SOL/USDT", "2021-01-01", "2026-06-30 06:00+00"),
        ("SOL/USDT", "2026-06-30 12:00+00", None),
        ("BTC/USDT", "2026-06-30 23:00+00", "2027-01-01"),
        ("ETH/USDT", "2021-01-01", "2022-01-01"),
        ("XRP/USDT", "2021-01-01", None),
    ]
    for spell in spells:
        mart_connection.execute(sql.SQL("insert into {} values (%s, %s, %s)").format(seed), spell)
    loader = MarketDataLoader(mart_connection, schema_prefix=mart.settings.schema_prefix)
    found = loader.load_features("universe", *DAY, groups=["time"])
    assert found.groupby(level="symbol").size().to_dict() == {"BTC/USDT": 12, "SOL/USDT": 216}
    whole = loader.load_features(["BTC/USDT", "SOL/USDT"], *DAY, groups=["time"])
    pd.testing.assert_frame_equal(found, whole.loc[found.index])
    chunks = pd.concat(list(loader.iter_features("universe", *DAY, groups=["time"], chunk_rows=50)))
    pd.testing.assert_frame_equal(chunks, found)
    assert found.index.is_monotonic_increasing


def test_the_feature_set_is_the_same_in_a_database_of_another_name_and_prefix(
    mart: Mart, databases: Databases
) -> None:
    plain = MarketDataLoader(databases.make()).registry()
    assert mart.settings.schema_prefix
    assert mart.loader.registry() == plain
    assert all(feature.definition for feature in plain.features)


def test_rows_with_any_number_of_columns_come_bit_for_bit(mart_connection: Connection) -> None:
    rng = np.random.default_rng(0)
    odd = [np.nan, -0.0, np.inf, -np.inf, 5e-324, 1.7e308]
    for width in (1, 3, 4, 5, 8, 11):
        expected = rng.normal(size=(width, 1000))
        expected[rng.integers(0, width, 600), rng.integers(0, 1000, 600)] = rng.choice(odd, 600)
        names = [f"x{column}" for column in range(width)]
        mart_connection.execute("drop table if exists odd_values")
        mart_connection.execute(
            sql.SQL("create temp table odd_values (time timestamptz, {})").format(
                sql.SQL(", ").join(sql.SQL("{} float8").format(sql.Identifier(name)) for name in names)
            )
        )
        times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(1000)]
        with mart_connection.cursor().copy("copy odd_values from stdin") as copy:
            for time, values in zip(times, expected.T.tolist(), strict=True):
                copy.write_row([time, *(None if np.isnan(value) else value for value in values)])
        query = sql.SQL("select time, {} from odd_values order by time").format(
            sql.SQL(", ").join(float_fields(names))
        )
        stamps, found = read_columns(mart_connection, query, times=1, floats=width)
        assert np.array_equal(np.signbit(found), np.signbit(expected))
        assert np.array_equal(found, expected, equal_nan=True)
        assert stamps[0].tolist() == [int(time.timestamp()) * 1_000_000 for time in times]
        empty = sql.SQL("select time, {} from odd_values where false").format(
            sql.SQL(", ").join(float_fields(names))
        )
        assert read_columns(mart_connection, empty, times=1, floats=width)[1].shape == (width, 0)


def test_a_read_that_the_server_breaks_off_says_why_and_leaves_the_connection_usable(mart: Mart) -> None:
    late = sql.SQL(
        "select '2026-01-01Z'::timestamptz, lseg(point(1 / (90000 - i), 0), point(0, 0))"
        " from generate_series(1, 100000) as i"
    )
    with psycopg.connect(mart.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            read_columns(connection, late, times=1, floats=4)
        assert connection.execute("select 1").fetchone() == (1,)
        for wrong in ("null::timestamptz", "1::int4"):
            query = sql.SQL("select {}, lseg(point(1, 0), point(0, 0))").format(sql.SQL(wrong))  # type: ignore[arg-type]
            with pytest.raises(MlError, match="NULL or not as wide"):
                read_columns(connection, query, times=1, floats=4)
        assert connection.execute("select 1").fetchone() == (1,)


def test_who_may_not_read_the_feature_tables_gets_the_same_through_the_view(
    mart: Mart, mart_connection: Connection
) -> None:
    prefix = mart.settings.schema_prefix
    expected = mart.loader.load_features(None, *DAY, comparable_only=False)
    loader = MarketDataLoader(mart_connection, schema_prefix=prefix)
    parts = published_parts(mart_connection, None, time_range(*DAY), schema_prefix=prefix)
    chosen = loader.registry().features
    assert all(read.table for read in plan_reads(mart_connection, parts, chosen, schema_prefix=prefix))
    mart_connection.execute("create role reader_of_the_mart")
    for schema in ("mart", "build", "bars"):  # bars and build: of whom symbols and what is published are read
        name = sql.Identifier(prefix + schema)
        mart_connection.execute(sql.SQL("grant usage on schema {} to reader_of_the_mart").format(name))
        mart_connection.execute(
            sql.SQL("grant select on all tables in schema {} to reader_of_the_mart").format(name)
        )
    mart_connection.execute("set local role reader_of_the_mart")
    reads = plan_reads(mart_connection, parts, chosen, schema_prefix=prefix)
    assert not any(read.table for read in reads)
    assert 2 * len(parts) <= len(reads) <= 8 * len(parts)
    found = loader.load_features(None, *DAY, comparable_only=False)
    pd.testing.assert_frame_equal(found, expected)


def test_rows_missing_from_a_feature_table_are_unknown_and_shift_nothing(
    mart: Mart, mart_connection: Connection
) -> None:
    prefix = mart.settings.schema_prefix
    table = sql.Identifier(f"{prefix}features", "feat_price__momentum")
    mart_connection.execute(
        sql.SQL("delete from {} where symbol = 'SOL/USDT' and time >= '2026-06-30 07:00Z'").format(table)
    )
    found = MarketDataLoader(mart_connection, schema_prefix=prefix).load_features(None, *DAY)
    expected = mart.loader.load_features(None, *DAY)
    own = [f.name for f in mart.loader.registry().features if f.relation == "feat_price__momentum"]
    own = [name for name in own if name in expected]
    symbols, times = (expected.index.get_level_values(level) for level in ("symbol", "time"))
    lost = (symbols == "SOL/USDT") & (times >= pd.Timestamp("2026-06-30 07:00", tz="UTC"))
    assert lost.sum() == 17 * 12
    expected.loc[lost, own] = np.nan
    pd.testing.assert_frame_equal(found, expected)
