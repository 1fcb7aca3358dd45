"""polars with ADBC: raw tables out, 170 features, one wide table in (or a Parquet file)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import polars as pl

from benchmarks.peers import polars_positions, polars_price
from benchmarks.peers.polars_bars import QUERIES, Raw, align
from benchmarks.peers.polars_price import CLOSE, HIGH, LOW
from benchmarks.peers.polars_windows import change, ratio, rsi, true_range, wilder

BENCHMARK = "BTC/USDT"
THEMES = (
    *(polars_price.returns, polars_price.trend, polars_price.momentum, polars_price.structure),
    *(polars_price.activity, polars_price.flow, polars_positions.open_interest, polars_positions.funding),
    *(polars_positions.liquidations, polars_positions.ratios_and_books, polars_positions.calendar),
)
RANKED = {
    "xs_rank_return_288": "return_288",
    "xs_rank_volume_ratio": "volume_ratio",
    "xs_rank_oi_change_20": "oi_change_20",
    "xs_rank_funding": "funding_annualized",
}


def read(url: str) -> Raw:
    """Read the raw tables, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return dict(
            zip(QUERIES, pool.map(lambda query: _read_one(url, query), QUERIES.values()), strict=True)
        )


def _read_one(url: str, query: str) -> pl.DataFrame:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return pl.DataFrame(cursor.fetch_arrow_table())


def compute(raw: Raw) -> pl.DataFrame:
    """Compute all features; one row per symbol and bar, keys first."""
    bars = align(raw)
    benchmark = bars.filter(symbol=BENCHMARK).select(
        "time", *(change(CLOSE, n).alias(f"benchmark_{n}") for n in (1, 12, 288))
    )
    bars = bars.join(benchmark, on="time", how="left", maintain_order="left")
    themes = [expression.alias(name) for theme in THEMES for name, expression in theme().items()]
    keys = ["symbol", "time", "available_at"]
    parts = []
    for symbol in bars.partition_by("symbol"):
        expressions = [*keys, "close", *themes, *_against_benchmark(), (CLOSE.diff(12) > 0).alias("risen")]
        computed = polars_price.prepare(symbol).select(expressions)
        parts.append(_with_higher_bars(symbol, computed))
    return _across(pl.concat(parts), raw["universe"]["symbol"]).drop("risen", "close")


def _against_benchmark() -> list[pl.Expr]:
    own, benchmark = change(CLOSE, 1), pl.col("benchmark_1")
    beta = pl.rolling_cov(own, benchmark, window_size=288) / benchmark.rolling_var(288)
    found = {
        "btc_return_1": benchmark,
        "btc_return_12": pl.col("benchmark_12"),
        "beta_to_btc_288": beta,
        "corr_to_btc_288": pl.rolling_corr(own, benchmark, window_size=288),
        "relative_strength_288": change(CLOSE, 288) - pl.col("benchmark_288"),
        "btc_residual_return_12": change(CLOSE, 12) - beta.shift(12) * pl.col("benchmark_12"),
    }
    return [expression.alias(name) for name, expression in found.items()]


def _with_higher_bars(bars: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Join what the last complete bars of 1h, 4h and 1d give."""
    wanted = {
        "1h": {
            "return_1h_htf": change(CLOSE, 1),
            "rsi_14_1h": rsi(CLOSE.diff().clip(lower_bound=0), (-CLOSE.diff()).clip(lower_bound=0), 14),
            "atr_14_1h": wilder(true_range(HIGH, LOW, CLOSE), 14),
        },
        "4h": {"trend_4h": CLOSE / CLOSE.rolling_mean(20) - 1},
        "1d": {"day_high": HIGH, "day_low": LOW},
    }
    for width, expressions in wanted.items():
        rolled = bars.group_by_dynamic("time", every=width).agg(
            HIGH.max(), LOW.min(), CLOSE.last(), rows=pl.len()
        )
        whole = rolled.filter(pl.col("rows") == {"1h": 12, "4h": 48, "1d": 288}[width])
        known = whole.select(available_at=pl.col("time").dt.offset_by(width), **expressions)
        features = features.join_asof(known, on="available_at", check_sortedness=False)
    low, high = pl.col("day_low"), pl.col("day_high")
    return features.with_columns(range_position_1d=ratio(CLOSE - low, high - low)).drop("day_low", "day_high")


def _across(features: pl.DataFrame, universe: pl.Series) -> pl.DataFrame:
    """Compare the symbols of the universe at each bar."""
    listed = pl.col("symbol").is_in(universe.implode())
    risen, ranks = pl.when(listed).then(pl.col("risen")), []
    for name, ranked in RANKED.items():
        values = pl.when(listed).then(pl.col(ranked))
        rank = (values.rank("average") - 1).over("time") / (values.count().over("time") - 1)
        ranks.append(pl.when(values.count().over("time") >= 2).then(rank).alias(name))
    breadth = pl.when(risen.count().over("time") >= 5).then(risen.mean().over("time"))
    return features.with_columns(*ranks, xs_breadth_12=breadth)


def write(url: str, features: pl.DataFrame, table: str) -> None:
    """Write two tables at once, half of the symbols each, and a view of both."""
    symbols = features["symbol"].unique().sort()
    middle = symbols[len(symbols) // 2]
    halves = {
        f"{table}_1": features.filter(pl.col("symbol") < middle),
        f"{table}_2": features.filter(pl.col("symbol") >= middle),
    }
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda item: _write_one(url, *item), halves.items()))
    with adbc.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"create view {table} as select * from {table}_1 union all select * from {table}_2")


def _write_one(url: str, table: str, features: pl.DataFrame) -> None:
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(table, features.to_arrow(), mode="create")
        connection.commit()


def build(url: str, table: str) -> None:
    """Do all of it in the database."""
    write(url, compute(read(url)), table)


def to_parquet(url: str, path: Path) -> None:
    """Raw tables to a file, without the way back."""
    compute(read(url)).write_parquet(path, compression="zstd")
