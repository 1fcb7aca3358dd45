"""The peers compute what the mart holds, and a peer that does not is found out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import psycopg
import pytest

from benchmarks.build import drop_peer
from benchmarks.equal import Comparison, NotEqualError, addends, compare, compare_frames, read_frame
from benchmarks.generate import KINDS, fill
from benchmarks.peers import duckdb_sql, pandas_talib, polars_adbc
from perpmart.database import Connection, connect_to
from simulator.presets import wide_market
from tests.twins.margins import scales
from tests.twins.markets import raw_of
from tests.twins.raw import read_raw


def pandas_peer(url: str, table: str) -> None:
    with ThreadPoolExecutor(2) as workers:
        pandas_talib.build(url, table, workers)


PEERS = [(polars_adbc.build, 170), (pandas_peer, 170), (duckdb_sql.build, 142)]
NAMES = ["polars", "pandas", "duckdb"]


def hold_against_mart(url: str, build: Callable[[str, str], None]) -> Comparison:
    drop_peer(url)
    try:
        build(url, "peer")
        return compare(url, "peer")
    finally:
        drop_peer(url)


@pytest.mark.parametrize(("build", "features"), PEERS, ids=NAMES)
def test_a_peer_gives_the_numbers_of_the_mart(
    filled_url: str, build: Callable[[str, str], None], features: int
) -> None:
    found = hold_against_mart(filled_url, build)
    assert (found.rows, found.features) == (3 * 8 * 288, features)
    assert found.values > 0.9 * found.rows * features
    assert len(found.loose) <= 3, found.text
    assert len(found.missing) == 170 - features


@pytest.mark.proof
@pytest.mark.parametrize(("build", "features"), PEERS, ids=NAMES)
def test_a_peer_gives_the_numbers_of_the_mart_over_a_month(
    month_url: str, build: Callable[[str, str], None], features: int
) -> None:
    found = hold_against_mart(month_url, build)
    assert (found.rows, found.features) == (10 * 32 * 288, features)
    assert len(found.loose) <= 5, found.text


@pytest.fixture(scope="module")
def frames(filled_url: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The mart and its bars."""
    mart = read_frame(filled_url, "select * from mart.feature_mart order by symbol, time")
    return mart, read_frame(filled_url, "select * from bars.bars_5m order by symbol, time")


def spoilt(mart: pl.DataFrame, feature: str, row: int, value: float | None) -> pl.DataFrame:
    values = mart[feature].to_list()
    values[row] = value
    return mart.with_columns(pl.Series(feature, values, dtype=pl.Float64))


def test_a_frame_equals_itself(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    mart, bars = frames
    found = compare_frames(mart, mart, bars)
    assert isinstance(found, Comparison)
    assert (found.features, found.loose, found.missing) == (170, {}, ())


@pytest.mark.parametrize(("feature", "row"), [("rsi_14", 5000), ("oi_sma_20", 700), ("hour_sin", 71)])
def test_one_wrong_value_is_found(frames: tuple[pl.DataFrame, pl.DataFrame], feature: str, row: int) -> None:
    mart, bars = frames
    right = mart[feature][row]
    with pytest.raises(NotEqualError, match=f"{feature} differs by"):
        compare_frames(mart, spoilt(mart, feature, row, right * 1.00001), bars)
    with pytest.raises(NotEqualError, match=f"{feature} is null on one side only, 1 times"):
        compare_frames(mart, spoilt(mart, feature, row, None), bars)
    close = compare_frames(mart, spoilt(mart, feature, row, right * (1 + 5e-9) + 5e-9), bars)
    assert list(close.loose) == [feature]


def test_rows_that_are_absent_are_found(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    mart, bars = frames
    with pytest.raises(NotEqualError, match="other rows: 6,911 against 6,912"):
        compare_frames(mart, mart.slice(1), bars)


def test_the_scales_of_comparison_are_those_of_the_reference(
    frames: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    _, bars = frames
    some = bars.filter(pl.col("symbol").is_in(["BTC/USDT", "SOL/USDT"]))
    reference = scales(some.to_pandas())
    mine = addends(some)
    assert set(mine) == set(reference)
    for name, scale in mine.items():
        theirs = reference[name].to_numpy()
        if name == "atr_14_1h":  # a bar's range for an hour's: stricter
            assert (scale <= theirs * (1 + 1e-9))[theirs > 0].all()
        else:
            np.testing.assert_allclose(
                np.broadcast_to(scale, theirs.shape), theirs, rtol=1e-9, atol=1e-9, err_msg=name
            )


def test_generated_rows_are_those_that_the_simulator_gives(connection: Connection) -> None:
    market = wide_market(symbols=2, days=1, restless=True)
    written = fill(connection, market, market.start, market.end)
    expected, found = raw_of(market), read_raw(connection)
    for kind in KINDS:
        keys = [
            name for name in ("symbol", "time", "funding_time", "ratio_type", "price") if name in found[kind]
        ]
        mine, theirs = (
            frame.sort_values(keys, ignore_index=True).reset_index(drop=True)
            for frame in (found[kind], expected[kind])
        )
        assert len(mine) == len(theirs) > 0, kind
        for name in mine:
            if mine[name].dtype == float:
                np.testing.assert_array_equal(
                    mine[name], theirs[name].astype(float), err_msg=f"{kind}.{name}"
                )
            else:
                assert mine[name].tolist() == theirs[name].tolist(), f"{kind}.{name}"
    assert written == sum(len(found[kind]) for kind in KINDS)


def test_the_build_notices_what_was_generated(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("select count(*) from raw.ohlcv").fetchone() == (0,)
    with connect_to(empty_url) as connection:
        market = wide_market(symbols=1, days=1)
        fill(connection, market, market.start, market.start.replace(hour=1), kinds=("ohlcv",))
        noted = connection.execute("select stream, symbol, from_time from raw.changes order by id").fetchall()
        assert ("ohlcv", "BTC/USDT", market.start) in noted
        connection.execute("truncate raw.ohlcv, raw.instruments, raw.coverage, raw.changes")
