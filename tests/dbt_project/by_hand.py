"""Raw rows made for values that can be worked by hand."""

from datetime import UTC, datetime, timedelta

from perpmart.database import Connection

START = datetime(2026, 3, 2, tzinfo=UTC)
BAR = timedelta(minutes=5)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return START + timedelta(days=day, hours=hour, minutes=minute)


def add_klines(
    connection: Connection,
    symbol: str,
    *,
    since: datetime = START,
    until: datetime,
    is_covered: bool = True,
    close: str = "100 + n",
) -> None:
    """Write klines of [since, until) that trade 2 for 20; `close` is SQL of n, the bars since `START`."""
    connection.execute(
        f"""
        insert into ohlcv (
            symbol, timeframe, time, open, high, low, close,
            volume, quote_volume, trades, taker_buy_base, taker_buy_quote, source
        )
        select %(symbol)s, '5m', time, close, close + 1, close - 1, close, 2, 20, 4, 1.5, 15, 'rest'
        from (
            select time, ({close})::float8 as close
            from (
                select time, extract(epoch from time - %(start)s) / 300 as n
                from generate_series(%(since)s, %(until)s - %(bar)s, %(bar)s) as g (time)
            ) as numbered
        ) as priced
        """.encode(),
        {"symbol": symbol, "start": START, "since": since, "until": until, "bar": BAR},
    )
    if is_covered:
        cover(connection, symbol, since, until)


def cover(connection: Connection, symbol: str, since: datetime, until: datetime) -> None:
    """Note that REST has answered for all klines of [since, until)."""
    connection.execute("select add_coverage('ohlcv:5m', %s, %s, %s, 'rest')", [symbol, since, until])


def add_settlements(connection: Connection, symbol: str, settled: dict[datetime, float]) -> None:
    """Write funding settlements."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into funding_rate (symbol, funding_time, funding_time_raw, funding_rate, source)"
            " values (%s, %s, %s, %s, 'rest')",
            [(symbol, time, time + timedelta(milliseconds=7), rate) for time, rate in settled.items()],
        )


def announce(
    connection: Connection, symbol: str, *, since: datetime, until: datetime, settles: datetime, rate: float
) -> None:
    """Write mark prices of each five minutes of [since, until) that announce a settlement."""
    connection.execute(
        "insert into mark_price (symbol, time, slot, mark_price, index_price, predicted_funding_rate,"
        " next_funding_time, source)"
        " select %s, time, time, 100, 80, %s, %s, 'rest'"
        " from generate_series(%s, %s - interval '5 minutes', interval '5 minutes') as g (time)",
        [symbol, rate, settles, since, until],
    )


def features(connection: Connection, symbol: str, time: datetime, *names: str) -> tuple[float | None, ...]:
    """Give features of one bar by its open; the row must be there."""
    columns = ", ".join(names)
    row = connection.execute(
        f"select {columns} from mart.feature_mart where symbol = %s and time = %s".encode(), [symbol, time]
    ).fetchone()
    assert row is not None, f"no row of {symbol} at {time}"
    return tuple(row)
