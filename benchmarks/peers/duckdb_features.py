# ruff: noqa: E501  # the expressions are read as lines
"""Features as DuckDB's window expressions, in three layers: each reads the columns of the one before."""

from __future__ import annotations

SIZES = (2, 3, 12, 14, 20, 50, 200, 288)
"""Rows of the windows w2, w3, ...; `s` reaches back to the first bar, `d` to midnight, `f` to the settlement."""


def _full(expression: str, n: int) -> str:
    """Leave out windows of fewer than n rows with a value."""
    inner = expression.partition("(")[2].rpartition(")")[0].rpartition(",")[2]
    return f"case when count({inner}) over w{n} = {n} then {expression} over w{n} end"


def _within(column: str, low: str, high: str, n: int) -> str:
    bottom, top = _full(f"min({low})", n), _full(f"max({high})", n)
    return f"({column} - {bottom}) / nullif({top} - {bottom}, 0)"


def _over(numerator: str, denominator: str, n: int) -> str:
    return f"{_full(f'sum({numerator})', n)} / nullif({_full(f'sum({denominator})', n)}, 0)"


def _zscore(column: str, n: int) -> str:
    return f"({column} - {_full(f'avg({column})', n)}) / nullif({_full(f'stddev_samp({column})', n)}, 0)"


def _change(column: str, n: int) -> str:
    return f"{column} / nullif(lag({column}, {n}) over s, 0) - 1"


def _move(n: int) -> str:
    moved = _change("oi_price", n)
    return f"case when abs({moved}) < 1e-12 then 0 else {moved} end"


def _divergence(n: int) -> str:
    opened = f"({_change('open_interest', n)}) / ({_full('stddev_samp(oi_1)', n)} * sqrt({n}))"
    return f"{opened} - ({_move(n)}) / ({_full('stddev_samp(p1)', n)} * sqrt({n}))"


def _lagged(column: str, n: int) -> str:
    return f"lag({column}, {n}) over s"


STEPS = {
    "r1": _change("close", 1),
    "log_r1": "ln(close / lag(close) over s)",
    "log_range_2": "ln(high / low) ** 2",
    "gk": "0.5 * ln(high / low) ** 2 - (2 * ln(2) - 1) * ln(close / open) ** 2",
    "step": "abs(close - lag(close) over s)",
    "delta": "2 * taker_buy_base - volume",
    "hour_long": _full("sum(longs)", 12),
    "hour_short": _full("sum(shorts)", 12),
    "hour_all": _full("sum(longs + shorts)", 12),
    "hour_count": _full("sum(count)", 12),
    "b1": _change("benchmark", 1),
    "oi_1": _change("open_interest", 1),
    "oi_price": "open_interest_value / open_interest",
    "mfv": "case when high = low then 0 else volume * ((close - low) - (high - close)) / (high - low) end",
    "signed": "coalesce(sign(close - lag(close) over s), 0) * volume",
    "typical": "(high + low + close) / 3",
    "stoch_k_14": f"100 * {_within('close', 'low', 'high', 14)}",
    "velocity": _change("open_interest", 12),
    "top": _full("max(high)", 20),
    "bottom": _full("min(low)", 20),
    "volume_12": _full("sum(volume)", 12),
    "sma": _full("avg(close)", 20),
    "depth": "book_depth_bid_20 + book_depth_ask_20",
    "minute": "hour(available_at) * 60 + minute(available_at)",
    "premium": "close / index_price - 1",
}
MORE_STEPS = {
    "p1": _move(1),
    "impact": "abs(r1) / nullif(quote_volume, 0)",
    "before": "lag(log_r1) over s",
    "balance": "sum(signed) over s",
    "gained": "case when typical > lag(typical) over s then typical * volume"
    " when typical <= lag(typical) over s then 0 end",
    "lost": "case when typical < lag(typical) over s then typical * volume"
    " when typical >= lag(typical) over s then 0 end",
    "score": f"case when {_full('stddev_samp(hour_all)', 288)} = 0 then 0 else {_zscore('hour_all', 288)} end",
    "beta": "case when count(r1) over w288 = 288 then covar_samp(r1, b1) over w288 / var_samp(b1) over w288 end",
    "vwap": "sum(quote_volume) over d / nullif(sum(volume) over d, 0)",
    "same_time": "(" + " + ".join(f"lag(volume, {288 * day}) over s" for day in range(1, 8)) + ") / 7",
    "week_minute": "(isodow(available_at) - 1) * 1440 + minute",
    "risen": f"(close > {_lagged('close', 12)})::int::double",
}
FEATURES = {
    **{f"return_{n}": _change("close", n) for n in (1, 5, 20, 100, 288)},
    "log_return_1": "log_r1",
    "log_return_5": "ln(close / lag(close, 5) over s)",
    **{f"realized_vol_{n}": _full("stddev_samp(log_r1)", n) for n in (20, 288)},
    "vol_ratio_20_288": f"{_full('stddev_samp(log_r1)', 20)} / {_full('stddev_samp(log_r1)', 288)}",
    "parkinson_vol_20": f"sqrt({_full('avg(log_range_2)', 20)} / (4 * ln(2)))",
    "garman_klass_vol_20": f"sqrt({_full('avg(gk)', 20)})",
    **{f"sma_{n}": _full("avg(close)", n) for n in (20, 50, 200)},
    **{f"price_vs_sma{n}": f"close / {_full('avg(close)', n)} - 1" for n in (20, 50, 200)},
    "price_zscore_50": _zscore("close", 50),
    "stoch_k_14": "stoch_k_14",
    "stoch_d_3": _full("avg(stoch_k_14)", 3),
    "bb_width": f"4 * {_full('stddev_pop(close)', 20)} / {_full('avg(close)', 20)}",
    "bb_position": (
        f"(close - {_full('avg(close)', 20)}) / nullif(4 * {_full('stddev_pop(close)', 20)}, 0) + 0.5"
    ),
    "donchian_position_288": _within("close", "low", "high", 288),
    "drawdown_288": f"close / {_full('max(close)', 288)} - 1",
    "body_ratio": "(close - open) / nullif(high - low, 0)",
    "upper_wick_ratio": "(high - greatest(open, close)) / nullif(high - low, 0)",
    "lower_wick_ratio": "(least(open, close) - low) / nullif(high - low, 0)",
    "volume_change": _change("volume", 1),
    "volume_sma_20": _full("avg(volume)", 20),
    "volume_ratio": f"volume / nullif({_full('avg(volume)', 20)}, 0)",
    "volume_roc": _change("volume", 10),
    "volume_zscore_288": _zscore("volume", 288),
    "taker_buy_ratio": "taker_buy_base / nullif(volume, 0)",
    **{
        f"taker_imbalance_{n}": f"{_full('sum(delta)', n)} / nullif({_full('sum(volume)', n)}, 0)"
        for n in (12, 288)
    },
    "cvd": "sum(delta) over s",
    "cvd_24h": _full("sum(delta)", 288),
    "obv": "sum(signed) over s",
    "cmf": _over("mfv", "volume", 20),
    "vwap_24h": _over("quote_volume", "volume", 288),
    "price_vs_vwap_24h": f"close / ({_over('quote_volume', 'volume', 288)}) - 1",
    "avg_trade_size": "quote_volume / nullif(trades, 0)",
    "trades_zscore_288": _zscore("trades", 288),
    "oi_volume_ratio": f"open_interest / nullif({_full('sum(volume)', 288)}, 0)",
    "oi_value": "open_interest_value",
    **{f"oi_change_{n}": _change("open_interest", n) for n in (1, 5, 20)},
    "oi_velocity_1h": "velocity",
    "oi_velocity_4h": f"({_change('open_interest', 48)}) / 4",
    "oi_velocity_24h": f"({_change('open_interest', 288)}) / 24",
    "oi_acceleration_1h": "velocity - lag(velocity, 12) over s",
    **{f"oi_sma_{n}": _full("avg(open_interest)", n) for n in (20, 50)},
    "oi_zscore": _zscore("open_interest", 288),
    "funding_rate_current": "funding_rate",
    "mark_premium": "close / mark_price - 1",
    "mark_index_premium": "mark_price / index_price - 1",
    "liquidation_vol_1h": "hour_all",
    "long_liq_vol_1h": "hour_long",
    "short_liq_vol_1h": "hour_short",
    "net_liquidation": "hour_long - hour_short",
    "liquidation_count_1h": _full("sum(count)", 12),
    "max_liq_size_1h": _full("max(greatest)", 12),
    "liq_imbalance_1h": "case when hour_all = 0 then 0 else (hour_long - hour_short) / hour_all end",
    "liquidation_vol_24h": _full("sum(longs + shorts)", 288),
    "liq_to_volume_1h": f"hour_all / nullif({_full('sum(quote_volume)', 12)}, 0)",
    "liq_to_oi_1h": "hour_all / nullif(open_interest_value, 0)",
    "ls_ratio_current": "ls_ratio",
    "ls_ratio_change_1h": _change("ls_ratio", 12),
    "ls_ratio_change_4h": _change("ls_ratio", 48),
    "ls_ratio_zscore": _zscore("ls_ratio", 288),
    "ls_top_trader_ratio": "top_ratio",
    "ls_top_vs_global": "top_ratio / nullif(ls_ratio, 0) - 1",
    "btc_return_1": "b1",
    "btc_return_12": _change("benchmark", 12),
    "corr_to_btc_288": "case when count(r1) over w288 = 288 then corr(r1, b1) over w288 end",
    "relative_strength_288": f"{_change('close', 288)} - ({_change('benchmark', 288)})",
    "oi_age_minutes": "date_diff('minute', oi_time, available_at)::double",
    "ls_age_minutes": "date_diff('minute', ls_time, available_at)::double",
    "funding_age_minutes": "date_diff('minute', funding_time, available_at)::double",
    "sma_20_slope_5": _change("sma", 5),
    "market_structure": (
        f"case when {_lagged('top', 20)} is null then null"
        f" when top > {_lagged('top', 20)} and bottom > {_lagged('bottom', 20)} then 1.0"
        f" when top < {_lagged('top', 20)} and bottom < {_lagged('bottom', 20)} then -1.0 else 0.0 end"
    ),
    "efficiency_ratio_20": f"abs(close - {_lagged('close', 20)}) / nullif({_full('sum(step)', 20)}, 0)",
    "return_autocorr_50": "case when count(before) over w50 = 50 then corr(log_r1, before) over w50 end",
    "volume_tod_ratio_7d": "volume / nullif(same_time, 0)",
    "price_volume_corr": "case when count(*) over w20 = 20 then corr(close, volume) over w20 end",
    "obv_sma_20": _full("avg(balance)", 20),
    "mfi": (
        f"case when {_full('sum(lost)', 14)} = 0 then case when {_full('sum(gained)', 14)} > 0 then 100.0 else 50.0 end"
        f" else 100 - 100 / (1 + {_full('sum(gained)', 14)} / {_full('sum(lost)', 14)}) end"
    ),
    "vwap": "vwap",
    "price_vs_vwap": "close / vwap - 1",
    "oi_volume_divergence": f"{_zscore('open_interest', 288)} - {_zscore('volume', 288)}",
    "amihud_20": "case when lag(close, 20) over s is not null then avg(impact) over w20 end",
    "oi_std_20": _full("stddev_samp(open_interest)", 20),
    "oi_bb_upper": f"{_full('avg(open_interest)', 20)} + 2 * {_full('stddev_pop(open_interest)', 20)}",
    "oi_bb_lower": f"{_full('avg(open_interest)', 20)} - 2 * {_full('stddev_pop(open_interest)', 20)}",
    "oi_bb_position": (
        f"(open_interest - {_full('avg(open_interest)', 20)})"
        f" / nullif(4 * {_full('stddev_pop(open_interest)', 20)}, 0) + 0.5"
    ),
    "oi_price_divergence_20": _divergence(20),
    "oi_price_divergence_50": _divergence(50),
    "oi_price_corr_50": "case when count(p1) over w50 = 50 then corr(oi_1, p1) over w50 end",
    "oi_opening_share_12": f"(open_interest - {_lagged('open_interest', 12)}) / nullif({_lagged('volume_12', 1)}, 0)",
    "oi_quadrant": (
        f"case when {_move(12)} is null then null"
        f" when open_interest = {_lagged('open_interest', 12)} or {_move(12)} = 0 then 0.0"
        f" when {_move(12)} > 0 then case when open_interest > {_lagged('open_interest', 12)} then 1.0 else 4.0 end"
        f" else case when open_interest > {_lagged('open_interest', 12)} then 2.0 else 3.0 end end"
    ),
    "funding_rate_change": "r8 - r8_before",
    "funding_rate_change_24h": f"r8 - {_lagged('r8', 288)}",
    "cumulative_funding_24h": "case when first_known <= available_at - interval 1 day then sum_1d end",
    "cumulative_funding_7d": "case when first_known <= available_at - interval 7 day then sum_7d end",
    "funding_zscore": "case when r8_count >= 10 then (r8 - r8_mean) / nullif(r8_std, 0) end",
    "funding_annualized": "r8 * 3 * 365",
    "premium_since_funding": "case when funding_time is not null and premium is not null then avg(premium) over f end",
    "avg_liq_size": "hour_all / nullif(hour_count, 0)",
    "liq_zscore_24h": "score",
    "liq_spike": "(score > 3)::int::double",
    "book_spread_bps": "book_spread_bps",
    "book_microprice_premium": "book_microprice_premium",
    "book_imbalance_5": "book_imbalance_5",
    "book_imbalance_20": "book_imbalance_20",
    "book_imbalance_change_12": f"book_imbalance_20 - {_lagged('book_imbalance_20', 12)}",
    "book_depth_bid_20": "book_depth_bid_20",
    "book_depth_ask_20": "book_depth_ask_20",
    "book_depth_zscore_288": _zscore("depth", 288),
    "book_depth_to_turnover": f"depth / nullif({_full('avg(quote_volume)', 288)}, 0)",
    "hour_sin": "sin(2 * pi() * minute / 1440)",
    "hour_cos": "cos(2 * pi() * minute / 1440)",
    "dow_sin": "sin(2 * pi() * week_minute / 10080)",
    "dow_cos": "cos(2 * pi() * week_minute / 10080)",
    "is_weekend": "(isodow(available_at) >= 6)::int::double",
    "session_asia": "(minute < 480)::int::double",
    "session_europe": "(minute >= 420 and minute < 960)::int::double",
    "session_us": "(minute >= 780 and minute < 1320)::int::double",
    "beta_to_btc_288": "beta",
    "btc_residual_return_12": (
        f"({_change('close', 12)}) - {_lagged('beta', 12)} * ({_change('benchmark', 12)})"
    ),
    "is_filled": "0.0",
    "filled_bars_288": "case when count(*) over w288 = 288 then 0.0 end",
    "return_1h_htf": "return_1h_htf",
    "trend_4h": "trend_4h",
    "range_position_1d": "(close - day_low) / nullif(day_high - day_low, 0)",
}
RANKED = {
    "xs_rank_return_288": "return_288",
    "xs_rank_volume_ratio": "volume_ratio",
    "xs_rank_oi_change_20": "oi_change_20",
    "xs_rank_funding": "funding_annualized",
}


def features_query() -> str:
    """Give the query over `bars` and `universe`."""
    by_symbol = "partition by symbol order by time rows"
    windows = ", ".join(
        [
            f"s as ({by_symbol} unbounded preceding)",
            "d as (partition by symbol, date_trunc('day', time) order by time rows unbounded preceding)",
            "f as (partition by symbol, funding_time order by time rows unbounded preceding)",
            *(f"w{n} as ({by_symbol} between {n - 1} preceding and current row)" for n in SIZES),
        ]
    )

    def layer(columns: dict[str, str], source: str, kept: str = "*") -> str:
        listed = ", ".join(f"({expression})::double as {name}" for name, expression in columns.items())
        return f"select {kept}, {listed} from {source} window {windows}"

    ranks = ", ".join(_rank(name, ranked) for name, ranked in RANKED.items())
    known = "count(risen) filter (where listed) over (partition by time)"
    breadth = f"case when {known} >= 5 then avg(risen) filter (where listed) over (partition by time) end"
    return (
        f"with steps as ({layer(STEPS, 'bars')}), more as ({layer(MORE_STEPS, 'steps')}),"
        f" features as ({layer(FEATURES, 'more', 'symbol, time, risen')}),"
        " members as (select *, symbol in (select symbol from universe) as listed from features)"
        f" select * exclude (risen, listed), {ranks}, ({breadth})::double as xs_breadth_12 from members"
    )


def _rank(name: str, ranked: str) -> str:
    """Rank within the universe from 0 to 1, ties sharing their average."""
    group = f"partition by time, listed and {ranked} is not null"
    below = f"rank() over ({group} order by {ranked}) - 1"
    ties = f"count(*) over ({group}, {ranked}) - 1"
    return (
        f"case when listed and {ranked} is not null and count(*) over ({group}) >= 2"
        f" then ({below} + ({ties}) / 2.0) / (count(*) over ({group}) - 1) end::double as {name}"
    )
