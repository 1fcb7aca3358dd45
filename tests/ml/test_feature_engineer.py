"""Features of frames: the mart's numbers, from nothing but the frame."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg import sql

from collectors.rows import Coverage
from collectors.writer import Writer
from ml.data_loader import MarketDataLoader
from ml.errors import FrameError, MartMissingError, MissingInputsError
from ml.feature_engineer import FeatureEngineer
from ml.feature_inputs import FeatureInputs, read_inputs
from ml.scratch_mart import RAW_TABLES, scratch_mart
from perpmart.database import connect_to
from perpmart.engine import run_pending
from simulator.market import Kind
from simulator.presets import odd_market
from tests.conftest import NewDatabase
from tests.ml.conftest import Mart

# Holes of hours and of more than a day, a late listing, a delisting, another funding interval; five rank.
SYMBOLS = ("BTC/USDT", "SOL/USDT", "LINK/USDT", "AVAX/USDT", "LTC/USDT", "DOGE/USDT")
POLLED: tuple[Kind, ...] = ("ohlcv", "open_interest", "long_short_ratio", "funding_rate", "mark_price")
STREAMED: tuple[Kind, ...] = ("liquidations", "order_book")
ALWAYS = ("2026-01-01", "2027-01-01")
UTC_BARS = pd.date_range("2026-03-02", periods=40, freq="5min", tz="UTC")


class OddMart(NamedTuple):
    """A mart of the odd market: its address, prefix, bars and features."""

    url: str
    prefix: str
    bars: pd.DataFrame
    features: pd.DataFrame

    @property
    def engineer(self) -> FeatureEngineer:
        return FeatureEngineer(self.url, schema_prefix=self.prefix)

    def of(self, symbol: str) -> pd.DataFrame:
        """The bars of one symbol as the loader gives them: without a column for it."""
        mine = self.bars[self.bars["symbol"] == symbol]
        return mine.drop(columns="symbol").reset_index(drop=True)


@pytest.fixture(scope="module")
def odd(mart: Mart, new_database: NewDatabase) -> OddMart:
    """The demo's mart, copied, its raw rows replaced by the odd market's, and brought up to date."""
    prefix, url = mart.settings.schema_prefix, new_database(label="odd_mart")
    name, source = (urlsplit(address).path.removeprefix("/") for address in (url, mart.url))
    with psycopg.connect(mart.url.replace(f"/{source}", "/postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
        copied = sql.SQL("create database {} template {} strategy file_copy")
        admin.execute(copied.format(sql.Identifier(name), sql.Identifier(source)))
    market = odd_market(days=12)
    with connect_to(url, prefix=prefix) as connection:
        for table in RAW_TABLES:
            connection.execute(sql.SQL("truncate {}").format(sql.Identifier(table)))
        connection.commit()
        writer = Writer(connection)
        writer.write(market.instruments(), source="rest", now=market.end)
        for symbol in SYMBOLS:
            for kind in POLLED:
                stream = "ohlcv:5m" if kind == "ohlcv" else kind
                covered = [Coverage(stream, symbol, market.start, market.end)]
                writer.write(market.rows(kind, symbol), source="rest", now=market.end, covered=covered)
            for kind in STREAMED:
                covered = [Coverage(kind, symbol, market.start, market.end)]
                writer.write(market.rows(kind, symbol), source="stream", now=market.end, covered=covered)
        connection.execute("analyze")
        connection.commit()
        run_pending(connection)
    loader = MarketDataLoader(url, schema_prefix=prefix)
    bars = [loader.load_all_data(symbol, "5m", *ALWAYS).assign(symbol=symbol) for symbol in sorted(SYMBOLS)]
    return OddMart(
        url,
        prefix,
        pd.concat(bars, ignore_index=True),
        loader.load_features(None, *ALWAYS, comparable_only=False),
    )


@pytest.fixture(scope="module")
def engineered(odd: OddMart) -> pd.DataFrame:
    """The features of the odd market's bars."""
    return odd.engineer.engineer_all_features(odd.bars, allow_missing=True)


@pytest.fixture(scope="module")
def two_symbols(odd: OddMart) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars of two symbols and six days, and their features."""
    early = odd.bars["timestamp"] < pd.Timestamp("2026-03-08", tz="UTC")
    bars = odd.bars[early & odd.bars["symbol"].isin(["BTC/USDT", "SOL/USDT"])]
    return bars, odd.engineer.engineer_all_features(bars, allow_missing=True)


def different(left: pd.DataFrame, right: pd.DataFrame) -> list[str]:
    """Features that are not the same in every bit; NaN is NaN."""
    assert list(left) == list(right)
    a, b = left.to_numpy(), right.to_numpy()
    same = ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=0)
    return list(left.columns[~same])


def made_from_books(features: pd.DataFrame) -> list[str]:
    return [name for name in map(str, features) if name.startswith("book_")]


def test_a_frame_of_bars_gives_the_marts_features_bit_by_bit(odd: OddMart, engineered: pd.DataFrame) -> None:
    assert engineered.index.equals(odd.bars.index)
    assert (engineered.dtypes == "float64").all()
    expected = odd.features.set_axis(odd.bars.index)
    assert set(different(engineered, expected)) <= set(made_from_books(expected))
    assert list(engineered.attrs["missing_features"]) == made_from_books(expected)
    assert engineered.drop(columns=engineered.attrs["missing_features"]).notna().any().all()


def test_raw_frames_give_all_features_bit_by_bit(odd: OddMart) -> None:
    frames = {}
    with connect_to(odd.url, prefix=odd.prefix) as connection:
        for table in RAW_TABLES:
            cursor = connection.execute(sql.SQL("select * from {}").format(sql.Identifier(table)))
            names = [column.name for column in cursor.description or ()]
            frame = pd.DataFrame(cursor.fetchall(), columns=names)
            frames[table] = frame.drop(columns=["ingested_at", "borrowed", "slot"], errors="ignore")
    result = odd.engineer.engineer_all_features(frames)
    assert result.index.names == ["symbol", "time"]
    assert result.index.equals(odd.features.index) or list(result.index) == list(odd.features.index)
    assert different(result, odd.features) == []
    assert result.attrs["missing_features"] == {}
    without = {table: frame for table, frame in frames.items() if table != "liquidations"}
    with pytest.raises(MissingInputsError, match="long_liquidations") as raised:
        odd.engineer.engineer_all_features(without)
    assert "liq_spike" in raised.value.missing
    assert "return_1" not in raised.value.missing


def test_one_symbol_without_the_column_lacks_the_benchmark_and_the_others(odd: OddMart) -> None:
    bars = odd.of("SOL/USDT").set_index("timestamp", drop=False)
    with pytest.raises(MissingInputsError, match="allow_missing=True") as raised:
        odd.engineer.engineer_all_features(bars)
    lacking = set(raised.value.missing)
    assert {"beta_to_btc_288", "xs_rank_funding", "xs_breadth_12"} <= lacking
    result = odd.engineer.engineer_all_features(bars, symbol="SOLUSDT", allow_missing=True)
    assert result.index.equals(bars.index)
    expected = odd.features.xs("SOL/USDT").set_axis(bars.index)
    assert set(different(result, expected)) <= lacking
    assert result[list(lacking)].isna().all(axis=None)


def test_a_frame_without_open_interest_names_exactly_what_needs_it(odd: OddMart) -> None:
    with connect_to(odd.url, prefix=odd.prefix) as connection:
        inputs = read_inputs(connection, schema_prefix=odd.prefix)
    needing = {feature for feature, text in inputs.texts.items() if "open_interest" in text}
    ranked = {feature for feature, text in inputs.texts.items() if text.split(" of ")[0] in needing}
    dropped = [column for column in map(str, odd.bars) if column.startswith("open_interest")]
    with pytest.raises(MissingInputsError) as raised:
        odd.engineer.engineer_all_features(odd.bars.drop(columns=dropped))
    assert set(raised.value.missing) == needing | ranked | set(made_from_books(odd.features))
    assert {"oi_change_1", "liq_to_oi_1h", "xs_rank_oi_change_20", "oi_age_minutes"} <= set(
        raised.value.missing
    )


@pytest.mark.parametrize(
    "columns",
    [
        ["open", "high", "low"],
        ["trades", "taker_buy_base", "taker_buy_quote"],
        ["volume", "quote_volume"],
        ["funding_rate", "predicted_funding_rate"],
        ["mark_price", "long_liquidations", "max_liquidation", "long_short_ratio"],
        ["index_price", "short_liquidations", "top_position_ratio", "open_interest_value"],
        ["next_funding_time", "open_interest_time", "long_short_ratio_time"],
    ],
)
def test_what_a_column_changes_is_named_when_the_column_is_not_there(
    odd: OddMart, two_symbols: tuple[pd.DataFrame, pd.DataFrame], columns: list[str]
) -> None:
    bars, whole = two_symbols
    less = odd.engineer.engineer_all_features(bars.drop(columns=columns), allow_missing=True)
    assert set(different(whole, less)) <= set(less.attrs["missing_features"])


def test_every_input_of_the_registry_is_a_column_of_the_bars(odd: OddMart) -> None:
    with connect_to(odd.url, prefix=odd.prefix) as connection:
        inputs = read_inputs(connection, schema_prefix=odd.prefix)
    columns = {*odd.bars, "time", "order_book"}
    for feature, sources in inputs.sources.items():
        assert {source.partition(" of ")[0] for source in sources} <= columns, feature
    assert inputs.lacking(columns, benchmark=True, universe=True) == {}
    assert FeatureInputs({"a": "close of all symbols", "b": "a; high"}).sources["b"] == {"close", "high"}


def test_bars_do_not_know_what_comes_after_them(odd: OddMart, engineered: pd.DataFrame) -> None:
    for cut in ("2026-03-08 05:35", "2026-03-09 20:00"):
        earlier = odd.bars["timestamp"] < pd.Timestamp(cut, tz="UTC")
        result = odd.engineer.engineer_all_features(odd.bars[earlier], allow_missing=True)
        assert different(result, engineered[earlier]) == []


def test_a_row_that_is_missing_is_unknown_and_a_day_without_rows_ends_the_windows(odd: OddMart) -> None:
    bars = odd.of("BTC/USDT")
    holed = bars.drop(index=range(1000, 1003))
    result = odd.engineer.engineer_all_features(holed, allow_missing=True)
    assert result.index.equals(holed.index)
    assert result.loc[[1003, 1004], "return_1"].isna().tolist() == [True, False]
    assert result.loc[1003:1021, "sma_20"].isna().all()
    assert result.loc[1022, "sma_20"] == pytest.approx(bars.loc[1003:1022, "close"].mean())
    broken = bars.drop(index=range(1000, 1300))
    late = odd.engineer.engineer_all_features(broken, allow_missing=True).loc[1300:]
    alone = odd.engineer.engineer_all_features(bars.loc[1300:], allow_missing=True)
    price = [
        name
        for name in map(str, late)
        if name.startswith(("return_", "ema_", "rsi_14", "sma_", "obv", "cvd"))
    ]
    assert different(late[price], alone[price]) == []


def frame_of(**columns: object) -> pd.DataFrame:
    bars = {"timestamp": UTC_BARS, "close": 100.0 + np.arange(len(UTC_BARS))}
    return pd.DataFrame({**bars, **columns})


def test_a_frame_of_closes_alone_is_enough_for_what_is_made_from_closes(odd: OddMart) -> None:
    result = odd.engineer.engineer_all_features(frame_of(), allow_missing=True)
    assert result["return_1"].iloc[1] == 101 / 100 - 1
    assert result["sma_20"].first_valid_index() == 19
    assert "atr_14" in result.attrs["missing_features"]
    assert "return_1" not in result.attrs["missing_features"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frame_of(timestamp=UTC_BARS.tz_localize(None)), "row 0, column timestamp: .* no time zone"),
        (
            frame_of().assign(timestamp=UTC_BARS.insert(3, UTC_BARS[3])[:-1]),
            "row 4, column time: .* there twice",
        ),
        (frame_of().iloc[[0, 2, 1]], "row 2, column time: .* sort the frame"),
        (frame_of(timestamp=UTC_BARS.delete(7).insert(7, pd.NaT)), "row 7, column timestamp"),
        (
            frame_of(timestamp=UTC_BARS.delete(5).insert(5, UTC_BARS[5] + pd.Timedelta("1s"))),
            "row 5, column timestamp: .*00:25:01.* off the five-minute grid",
        ),
        (
            frame_of(volume=[np.inf if k == 9 else 1.0 for k in range(40)]),
            "row 9, column volume: inf is not finite",
        ),
        (
            frame_of(volume=["?" if k == 2 else "1" for k in range(40)]),
            "row 2, column volume: .* not a number",
        ),
        (frame_of(available_at=UTC_BARS + pd.Timedelta("1h")), "row 0, column available_at: .* 5m bars"),
        (frame_of(funding_time=UTC_BARS.tz_localize(None)), "column funding_time: .* no time zone"),
        (frame_of(close=-1.0), "row 0, column close: -1.0 is not positive"),
        (frame_of(volume=-1.0), "row 0, column volume: -1.0 is negative"),
        (
            frame_of(open=1.0, high=1.0, low=1.0, volume=1.0),
            "klines .* row 0: open or close outside low..high",
        ),
        (frame_of(close=1e-320 * (1 + np.arange(40.0))), "model .* cannot compute"),
        (frame_of(symbol=["BTC/USDT", *[None] * 39]), "row 1, column symbol"),
        (frame_of().drop(columns="timestamp"), "no column timestamp"),
        (frame_of().iloc[:0], "has no row"),
    ],
)
def test_what_is_wrong_with_a_frame_is_told_by_row_and_column(
    odd: OddMart, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(FrameError, match=message) as raised:
        odd.engineer.engineer_all_features(frame, allow_missing=True)
    assert "\n" not in str(raised.value)


def test_raw_rows_that_raw_refuses_are_told_by_table_and_row(odd: OddMart) -> None:
    kline = {
        "symbol": "SOL/USDT",
        "time": UTC_BARS,
        "open": 1.0,
        "high": 1.0,
        "low": 1.0,
        "close": 1.0,
        "volume": 0.0,
    }
    good = pd.DataFrame(kline)
    bad = good.assign(high=[0.5 if k == 11 else 1.0 for k in range(40)])
    for frames, message in (
        ({"ohlcv": bad}, "ohlcv: row 11: open or close outside low..high"),
        ({"ohlcv": good, "prices": good}, "no raw table prices"),
        ({"ohlcv": good.drop(columns="high")}, "ohlcv: .*column high"),
        ({"open_interest": good}, "no raw rows under ohlcv"),
        ({"ohlcv": good.assign(time=UTC_BARS.tz_localize(None))}, "ohlcv: .*no time zone"),
    ):
        with pytest.raises(FrameError, match=message):
            odd.engineer.engineer_all_features(frames, allow_missing=True)


@pytest.fixture
def untouched(odd: OddMart) -> Iterator[None]:
    """Check that the test leaves schemas and rows of the database as they were."""

    def state() -> list[object]:
        with connect_to(odd.url, prefix=odd.prefix) as connection:
            schemas = connection.execute(
                "select nspname from pg_namespace where nspname !~ '^pg_' order by 1"
            )
            counts = connection.execute(
                "select (select count(*) from changes), (select count(*) from pending),"
                " (select count(*) from models)"
            )
            return [schemas.fetchall(), counts.fetchall()]

    before = state()
    yield
    assert state() == before


@pytest.mark.usefixtures("untouched")
def test_nothing_is_left_behind_not_even_by_a_connection_that_dies(odd: OddMart) -> None:
    with pytest.raises(FrameError):
        odd.engineer.engineer_all_features(frame_of(close=-1.0), allow_missing=True)
    dying = connect_to(odd.url, prefix=odd.prefix)

    def run_and_die() -> None:
        with scratch_mart(dying, schema_prefix=odd.prefix) as mart:
            mart.run(["BTC/USDT"])
            with connect_to(odd.url, prefix=odd.prefix, autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s)", [dying.info.backend_pid])
            dying.execute("select 1")

    with pytest.raises(psycopg.OperationalError):
        run_and_die()


@pytest.mark.usefixtures("untouched")
def test_a_given_connection_keeps_its_transaction_and_its_settings(odd: OddMart) -> None:
    with connect_to(odd.url, prefix=odd.prefix) as connection:
        connection.execute("create temporary table mine as select 1 as kept")
        path = connection.execute("show search_path").fetchone()
        engineer = FeatureEngineer(connection, schema_prefix=odd.prefix)
        first = engineer.engineer_all_features(frame_of(), allow_missing=True)
        assert connection.execute("select kept from mine").fetchone() == (1,)
        assert connection.execute("show search_path").fetchone() == path
        pd.testing.assert_frame_equal(engineer.engineer_all_features(frame_of(), allow_missing=True), first)
        connection.rollback()


def test_without_an_address_the_database_is_that_of_the_settings(
    odd: OddMart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", odd.url)
    monkeypatch.setenv("PERPMART_SCHEMA_PREFIX", odd.prefix)
    assert len(FeatureEngineer().engineer_all_features(frame_of(), allow_missing=True)) == 40


def test_a_database_without_models_is_told_in_one_line(new_database: NewDatabase) -> None:
    url = new_database(migrated=True, label="no_models")
    with pytest.raises(MartMissingError, match="perpmart build"):
        FeatureEngineer(url).engineer_all_features(frame_of(), allow_missing=True)
