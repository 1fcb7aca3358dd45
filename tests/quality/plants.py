# ruff: noqa: E501  # statements, each one line
"""Corruptions of real data, one of each kind, and the check that must name each."""

from typing import NamedTuple

AVAX, LTC, SOL, BTC = "AVAX/USDT", "LTC/USDT", "SOL/USDT", "BTC/USDT"


class Plant(NamedTuple):
    """A statement that spoils data, and what must be said of it: check, symbol, time (UTC)."""

    check: str
    symbol: str
    time: str
    statement: str

    @property
    def table(self) -> str:
        return next(table for table in TABLES if self.check.startswith(table))


TABLES = (
    *("ohlcv", "open_interest", "funding_rate", "long_short_ratio"),
    *("liquidations", "order_book", "mark_price", "rejects"),
)


def _kline(check: str, time: str, change: str, symbol: str = AVAX) -> Plant:
    where = f"symbol = '{symbol}' and timeframe = '5m' and time = '{time}+00'"
    return Plant(check, symbol, time, f"update ohlcv set {change} where {where}")


def _book(check: str, time: str, bid: float, ask: float) -> Plant:
    values = f"'{AVAX}', '{time}+00', '{time}+00', '{{{bid}}}', '{{1}}', '{{{ask}}}', '{{1}}', 'stream'"
    columns = "symbol, time, slot, bid_price, bid_quantity, ask_price, ask_quantity, source"
    return Plant(check, AVAX, time, f"insert into order_book ({columns}) values ({values})")


def _mark(check: str, time: str, mark: float, index: float) -> Plant:
    values = f"'{AVAX}', '{time}+00', '{time}+00', {mark}, {index}, 'rest'"
    columns = "symbol, time, slot, mark_price, index_price, source"
    return Plant(check, AVAX, time, f"insert into mark_price ({columns}) values ({values})")


def _liquidation(check: str, time: str, price: float, quantity: float) -> Plant:
    values = f"'{AVAX}', '{time}+00', 'SELL', {price}, {quantity}, 'stream'"
    columns = "symbol, time, side, price, quantity, source"
    return Plant(check, AVAX, time, f"insert into liquidations ({columns}) values ({values})")


def _lost(table: str, key: str, old: str, source: str) -> str:
    return (
        "insert into revisions (stream, key, old, old_source, valid_from, valid_to)"
        f" values ('{table}', '{key}', '{old}', '{source}', now(), now())"
    )


PLANTS: tuple[Plant, ...] = (
    _kline("ohlcv_time", "2026-02-02 10:01:00", "time = '2026-02-02 10:01+00'")._replace(
        statement="update ohlcv set time = '2026-02-02 10:01+00'"
        f" where symbol = '{AVAX}' and time = '2026-02-02 10:00+00'"
    ),
    _kline("ohlcv_range", "2026-02-03 00:05:00", "volume = -1"),
    _kline("ohlcv_range", "2026-02-03 00:10:00", "low = 'nan', close = 'nan'"),
    _kline("ohlcv_order", "2026-02-03 01:00:00", "high = low, open = low * 1.001"),
    _kline("ohlcv_takers", "2026-02-03 02:00:00", "taker_buy_base = volume * 1.01"),
    _kline("ohlcv_mean_price", "2026-02-03 03:00:00", "quote_volume = quote_volume * 1000"),
    _kline("ohlcv_mean_price", "2026-02-03 03:05:00", "volume = quote_volume, quote_volume = volume"),
    _kline("ohlcv_outliers", "2026-02-03 04:00:00", "high = high * 10, close = close * 10"),
    _kline("ohlcv_sums", "2025-11-01 07:00:00", "volume = volume + 1", SOL)._replace(
        statement=f"update ohlcv set volume = volume + 1 where symbol = '{SOL}' and timeframe = '5m'"
        " and time = '2025-11-01 07:35+00'"
    ),
    Plant(
        "ohlcv_quiet", AVAX, "2026-02-04 00:00:00",
        f"delete from ohlcv where symbol = '{AVAX}' and time = '2026-02-04 00:00+00'",
    ),
    Plant(
        "ohlcv_holes", LTC, "2026-02-05 12:00:00",
        f"""delete from ohlcv where symbol = '{LTC}' and time between '2026-02-05 12:00+00' and '2026-02-05 13:00+00';
        select withdraw_coverage('ohlcv:5m', '{LTC}', '2026-02-05 12:00+00', '2026-02-05 13:05+00')""",
    ),
    Plant(
        "ohlcv_traded", AVAX, "2026-02-04 06:00:00",
        f"""delete from ohlcv where symbol = '{AVAX}' and time = '2026-02-04 06:00+00';
        insert into long_short_ratio (symbol, period, ratio_type, time, long_short_ratio, long_account, short_account, source)
        values ('{AVAX}', '5m', 'taker_volume', '2026-02-04 06:00+00', 2, 20, 10, 'rest')""",
    ),
    Plant(
        "ohlcv_sources", AVAX, "2026-02-06 00:00:00",
        _lost("ohlcv", f'{{"symbol": "{AVAX}", "timeframe": "5m", "time": "2026-02-06 00:00+00"}}',
              '{"close": 1.0}', "rest"),
    ),
    Plant(
        "ohlcv_listed", LTC, "2026-02-01 00:00:00",
        f"""insert into instruments (symbol, exchange_symbol, valid_from, multiplier, base, quote, status, source)
        values ('{LTC}', 'LTCUSDT', '2026-02-02 00:00+00', 1, 'LTC', 'USDT', 'TRADING', 'rest')""",
    ),
    Plant(
        "ohlcv_lateness", "DOT/USDT", "2026-02-07 00:00:00",
        "update ohlcv set source = 'stream', ingested_at = time + interval '5 minutes 40 seconds'"
        " where symbol = 'DOT/USDT' and time = '2026-02-07 00:00+00'",
    ),
    Plant(
        "ohlcv_freshness", "FIL/USDT", "2026-02-28 22:00:00",
        "delete from ohlcv where symbol = 'FIL/USDT' and time > '2026-02-28 22:00+00'",
    ),
    Plant(
        "open_interest_range", AVAX, "2026-02-21 00:00:00",
        f"update open_interest set open_interest = -5 where symbol = '{AVAX}' and time = '2026-02-21 00:00+00'",
    ),
    Plant(
        "open_interest_price", AVAX, "2026-02-22 00:00:00",
        "update open_interest set open_interest = open_interest * 1000"
        f" where symbol = '{AVAX}' and time = '2026-02-22 00:00+00'",
    ),
    Plant(
        "open_interest_complete", LTC, "2026-02-23 08:00:00",
        f"delete from open_interest where symbol = '{LTC}' and time = '2026-02-23 08:00+00'",
    ),
    Plant(
        "open_interest_outliers", "FIL/USDT", "2026-02-24 08:00:00",
        "update open_interest set open_interest = open_interest * 9, open_interest_value = open_interest_value * 9"
        " where symbol = 'FIL/USDT' and time = '2026-02-24 08:00+00'",
    ),
    Plant(
        "funding_rate_range", AVAX, "2026-02-10 08:00:00",
        f"update funding_rate set funding_rate = 0.9 where symbol = '{AVAX}' and funding_time = '2026-02-10 08:00+00'",
    ),
    Plant(
        "funding_rate_spacing", AVAX, "2026-02-15 08:00:00",
        f"delete from funding_rate where symbol = '{AVAX}' and funding_time = '2026-02-15 08:00+00'",
    ),
    Plant(
        "funding_rate_price", AVAX, "2026-02-17 08:00:00",
        f"update funding_rate set mark_price = 1 where symbol = '{AVAX}' and funding_time = '2026-02-17 08:00+00'",
    ),
    Plant(
        "funding_rate_outliers", LTC, "2026-02-18 08:00:00",
        f"update funding_rate set funding_rate = -0.02 where symbol = '{LTC}' and funding_time = '2026-02-18 08:00+00'",
    ),
    Plant(
        "long_short_ratio_range", BTC, "2024-08-13 00:00:00",
        f"update long_short_ratio set long_account = 1.4 where symbol = '{BTC}' and time = '2024-08-13 00:00+00'",
    ),
    Plant(
        "long_short_ratio_parts", BTC, "2024-08-14 00:00:00",
        "update long_short_ratio set long_short_ratio = long_short_ratio * 1.1"
        f" where symbol = '{BTC}' and time = '2024-08-14 00:00+00'",
    ),
    Plant(
        "long_short_ratio_complete", BTC, "2024-08-15 00:00:00",
        f"delete from long_short_ratio where symbol = '{BTC}' and time = '2024-08-15 00:00+00'",
    ),
    _liquidation("liquidations_range", "2026-02-08 00:00:01", 9.0, -3),
    _liquidation("liquidations_price", "2026-02-08 00:30:01", 900.0, 3),
    _book("order_book_range", "2026-02-09 00:00:10", 9.2, 9.1),
    _book("order_book_price", "2026-02-09 01:00:10", 900.0, 901.0),
    _mark("mark_price_range", "2026-02-09 02:00:10", 9.0, 12.0),
    _mark("mark_price_price", "2026-02-09 03:00:10", 90.0, 90.0),
    Plant(
        "mark_price_complete", AVAX, "2026-02-09 05:05:00",
        f"select add_coverage('mark_price', '{AVAX}', '2026-02-09 05:05+00', '2026-02-09 05:10+00', 'rest')",
    ),
)  # fmt: skip
