"""Bars with every source as of the close, in polars."""

from __future__ import annotations

import polars as pl

FIVE_MINUTES = pl.duration(minutes=5)
QUERIES = {
    "ohlcv": (
        "select symbol, time, open, high, low, close, volume, quote_volume, trades, taker_buy_base"
        " from raw.ohlcv where timeframe = '5m' order by symbol, time"
    ),
    "open_interest": (
        "select symbol, time, open_interest, open_interest_value from raw.open_interest"
        " where period = '5m' order by symbol, time"
    ),
    "long_short_ratio": (
        "select symbol, time, ratio_type, long_short_ratio from raw.long_short_ratio where period = '5m'"
        " and ratio_type in ('global_account', 'top_position') order by symbol, time"
    ),
    "funding_rate": (
        "select symbol, funding_time, funding_rate from raw.funding_rate order by symbol, funding_time"
    ),
    "liquidations": "select symbol, time, side, price * quantity as notional from raw.liquidations",
    "mark_price": (
        "select symbol, time, mark_price, index_price, predicted_funding_rate, next_funding_time"
        " from raw.mark_price order by symbol, time"
    ),
    "order_book": (
        "select symbol, time, bid_price, bid_quantity, ask_price, ask_quantity from raw.order_book"
        " order by symbol, time"
    ),
    "universe": "select symbol from seeds.universe where valid_to is null",
}
"""What is read; everything else happens outside the database."""

Raw = dict[str, pl.DataFrame]


def align(raw: Raw) -> pl.DataFrame:
    """Join all sources to the klines; one row per symbol and bar, ordered by both."""
    bars = raw["ohlcv"].with_columns(
        pl.col("trades").cast(pl.Float64), available_at=pl.col("time") + FIVE_MINUTES
    )
    interest = raw["open_interest"].rename({"time": "oi_time"}).with_columns(time=pl.col("oi_time"))
    bars = _as_of(bars, interest, "time")
    for kind, name in (("global_account", "ls_ratio"), ("top_position", "top_ratio")):
        ratio = raw["long_short_ratio"].filter(ratio_type=kind).drop("ratio_type")
        stamped = ratio.rename({"time": f"{name}_time", "long_short_ratio": name})
        bars = _as_of(bars, stamped.with_columns(time=pl.col(f"{name}_time")), "time")
    bars = _as_of(bars, settlements(raw["funding_rate"]), "available_at")
    marks = raw["mark_price"].with_columns(available_at=pl.col("time")).drop("time")
    prices = marks.select("symbol", "available_at", "mark_price", "index_price")
    bars = bars.join_asof(prices, on="available_at", by="symbol", tolerance="59999ms", check_sortedness=False)
    changed = pl.col("next_funding_time").ne_missing(pl.col("next_funding_time").shift(1).over("symbol"))
    following = marks.select(
        "symbol",
        "available_at",
        "predicted_funding_rate",
        "next_funding_time",
        earlier_funding_time=pl.when(changed)
        .then(pl.col("next_funding_time").shift(1).over("symbol"))
        .forward_fill()
        .over("symbol"),
    )
    bars = bars.join_asof(
        following, on="available_at", by="symbol", tolerance="599999ms", check_sortedness=False
    )
    joined = bars.join(_liquidations(raw["liquidations"]), on=["symbol", "time"], how="left")
    sums = ("long_liquidations", "short_liquidations", "liquidation_count", "max_liquidation")
    joined = joined.with_columns(pl.col(sums).fill_null(0))
    return joined.join(_books(raw["order_book"]), on=["symbol", "time"], how="left").sort("symbol", "time")


def _as_of(bars: pl.DataFrame, source: pl.DataFrame, on: str) -> pl.DataFrame:
    return bars.join_asof(source, on=on, by="symbol", check_sortedness=False)


def settlements(funding: pl.DataFrame) -> pl.DataFrame:
    """Give what is known at each settlement: rates over 8 h and their statistics of the last 30 days.

    Settlements come at a fixed step, so that the windows change only where one becomes known.
    """
    hours = pl.col("funding_time").diff().dt.total_seconds() / 3600
    rate = pl.col("r8")
    parts = []
    for frame in funding.partition_by("symbol"):
        known = frame.with_columns(
            available_at=pl.col("funding_time") + pl.duration(minutes=1),
            interval=pl.when(hours.is_in([1.0, 2.0, 4.0, 8.0])).then(hours),
        ).with_columns(r8=pl.col("funding_rate") * (8 / pl.col("interval")))
        month = {"by": "available_at", "window_size": "30d"}
        known = known.with_columns(
            first_known=pl.col("available_at").first(),
            r8_before=rate.shift(1),
            sum_1d=pl.col("funding_rate").rolling_sum_by("available_at", "1d"),
            sum_7d=pl.col("funding_rate").rolling_sum_by("available_at", "7d"),
            r8_mean=rate.rolling_mean_by(**month),
            r8_std=rate.rolling_std_by(**month),
            r8_count=rate.is_not_null().cast(pl.Float64).rolling_sum_by(**month),
        )
        below = (
            known.with_row_index()
            .rolling("available_at", period="30d")
            .agg(
                below=(rate < rate.last()).sum() + 0.5 * (rate == rate.last()).sum(),
                is_flat=rate.n_unique() == 1,
            )
        )
        parts.append(known.with_columns(below["below"], below["is_flat"]))
    return pl.concat(parts)


def _liquidations(orders: pl.DataFrame) -> pl.DataFrame:
    notional = pl.col("notional")
    return (
        orders.with_columns(time=(pl.col("time") + pl.duration(seconds=2)).dt.truncate("5m"))
        .group_by("symbol", "time")
        .agg(
            long_liquidations=notional.filter(side="SELL").sum(),
            short_liquidations=notional.filter(side="BUY").sum(),
            liquidation_count=pl.len().cast(pl.Float64),
            max_liquidation=notional.max(),
        )
    )


def _books(snapshots: pl.DataFrame) -> pl.DataFrame:
    bid, ask = pl.col("bid_price").list.first(), pl.col("ask_price").list.first()
    bid_quantity, ask_quantity = pl.col("bid_quantity"), pl.col("ask_quantity")
    first_bid, first_ask = bid_quantity.list.first(), ask_quantity.list.first()
    mid = (bid + ask) / 2
    micro = (ask * first_bid + bid * first_ask) / (first_bid + first_ask)

    def imbalance(levels: int) -> pl.Expr:
        bids, asks = bid_quantity.list.head(levels).list.sum(), ask_quantity.list.head(levels).list.sum()
        return (bids - asks) / (bids + asks)

    def notional(side: str) -> pl.Expr:
        return (pl.col(f"{side}_price").list.head(20) * pl.col(f"{side}_quantity").list.head(20)).list.sum()

    measured = snapshots.filter(bid < ask).select(
        "symbol",
        stamp="time",
        time=pl.col("time").dt.truncate("5m"),
        book_spread_bps=1e4 * (ask - bid) / mid,
        book_microprice_premium=1e4 * (micro / mid - 1),
        book_imbalance_5=imbalance(5),
        book_imbalance_20=imbalance(20),
        book_depth_bid_20=notional("bid"),
        book_depth_ask_20=notional("ask"),
    )
    fresh = pl.col("stamp").last() >= pl.col("time").first() + pl.duration(minutes=4)
    averaged = ("book_spread_bps", "book_imbalance_5", "book_imbalance_20")
    last = ("book_microprice_premium", "book_depth_bid_20", "book_depth_ask_20")
    return measured.group_by("symbol", "time").agg(
        pl.col(averaged).mean(), *(pl.when(fresh).then(pl.col(name).last()).alias(name) for name in last)
    )
