"""Orders in which data may reach raw, and the proof that the mart does not remember them.

A plan is a list of steps: what arrives, is corrected, withdrawn or interrupted, with runs in between. After
it the tables of all models, states of recursions too, must be those of a first build over the same raw.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import psycopg
from psycopg import sql

from collectors.coverage import add_coverage, withdraw_coverage
from collectors.rows import Coverage, Instrument, Row, Source
from perpmart.build import BuildError
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from simulator.config import FundingChange, MarketConfig, SymbolConfig
from simulator.market import Kind
from simulator.synthetic import SyntheticMarket

from .mart import write

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 3
BAR = timedelta(minutes=5)
SLOT = timedelta(hours=18)
SLOTS = 4
BARS = DAYS * 288
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "LINK/USDT", "AVAX/USDT")
KINDS: tuple[Kind, ...] = (
    *("ohlcv", "open_interest", "long_short_ratio", "funding_rate"),
    *("liquidations", "mark_price_klines", "mark_price", "order_book"),
)
RAW = (
    "ohlcv",
    "open_interest",
    "long_short_ratio",
    "funding_rate",
    "liquidations",
    "mark_price",
    "order_book",
)
# What a correction may do to a row without breaking a rule of its table.
CORRECTIONS = {
    "ohlcv": "close = low + 0.3 * (high - low), volume = volume * 1.5",
    "open_interest": "open_interest = open_interest * 1.1",
    "long_short_ratio": "long_short_ratio = long_short_ratio * 1.1",
    "funding_rate": "funding_rate = funding_rate + 0.0001",
    "liquidations": "quantity = quantity * 2",
    "mark_price": "mark_price = mark_price * 1.001",
    "order_book": "time = slot + (time - slot) / 2",
}
NOW = START + timedelta(days=DAYS)

Name = Literal[
    "deliver",
    "bars",
    "run",
    "correct",
    "delete",
    "cover",
    "withdraw",
    "relist",
    "delist",
    "late",
    "both",
    "cancel",
    "truncate",
]


class Step(NamedTuple):
    """One thing that happens; the numbers mean what `Arrivals` makes of them.

    Attributes
    ----------
    name : what happens
    table : raw table or stream it happens to
    symbol : to whom
    at, length : first bar and number of bars, or row and number of rows
    source : from where
    """

    name: Name
    table: str = ""
    symbol: str = ""
    at: int = 0
    length: int = 0
    source: Source = "rest"


@lru_cache(maxsize=1)
def restless_market() -> SyntheticMarket:
    """Five symbols for three days, with holes of 50 and 3 hours and a changed funding interval."""

    def at(hour: int) -> datetime:
        return START + timedelta(hours=hour)

    made = (
        SymbolConfig("BTC/USDT", 64_000.0, 1, 3, turnover=4e7, volatility=0.0003, beta=0.9),
        SymbolConfig("ETH/USDT", 1_800.0, 2, 3, turnover=2.5e7, holes=((at(30), at(33)),)),
        SymbolConfig("SOL/USDT", 82.0, 2, 2, turnover=9e6, funding_change=FundingChange(at(32), 4)),
        SymbolConfig("LINK/USDT", 9.95, 3, 2, turnover=1.5e6, listed=at(9) + 7 * BAR),
        SymbolConfig("AVAX/USDT", 10.15, 3, 0, turnover=1.2e6, holes=((at(11), at(61)),)),
    )
    return SyntheticMarket(MarketConfig(made, start=START, days=DAYS, restless=True, revised_share=0.02))


@cache
def parcel(symbol: str, slot: int) -> tuple[Row, ...]:
    """Rows of all kinds with a time in one slot."""
    start = START + slot * SLOT
    return tuple(
        row for kind in KINDS for row in restless_market().rows(kind, symbol, start, start + SLOT, every=BAR)
    )


def bar(number: int) -> datetime:
    """Open of a bar, counted from the market's first."""
    return START + number * BAR


class Arrivals:
    """Does the steps of a plan to a database.

    Parameters
    ----------
    url : address of a database with all models built
    connection : a connection to it
    """

    def __init__(self, url: str, connection: Connection) -> None:
        self.url = url
        self.connection = connection
        write(connection, restless_market().instruments(), now=NOW)

    def take(self, steps: Sequence[Step]) -> None:
        """Do all steps, then bring the mart up to date."""
        for step in steps:
            action: Callable[[Step], None] = getattr(self, step.name)
            action(step)
            self.connection.commit()
        run_pending(self.connection)

    def run(self, step: Step) -> None:
        """Bring the mart up to date."""
        run_pending(self.connection)

    def deliver(self, step: Step) -> None:
        """Write one slot of a symbol; what the stream heard comes without coverage by REST."""
        self._deliver(self.connection, step)

    def _deliver(self, connection: Connection, step: Step) -> None:
        start = START + step.at * SLOT
        streams = ["liquidations"] + (["ohlcv:5m"] if step.source != "stream" else [])
        covered = [Coverage(stream, step.symbol, start, start + SLOT) for stream in streams]
        write(connection, parcel(step.symbol, step.at), now=NOW, source=step.source, covered=covered)

    def bars(self, step: Step) -> None:
        """Write some bars of all symbols one after the other, with a run after each."""
        for start in (bar(step.at + number) for number in range(step.length)):
            for symbol in SYMBOLS:
                rows = [
                    row
                    for kind in KINDS
                    for row in restless_market().rows(kind, symbol, start, start + BAR, every=BAR)
                ]
                covered = [
                    Coverage(stream, symbol, start, start + BAR) for stream in ("liquidations", "ohlcv:5m")
                ]
                write(self.connection, rows, now=NOW, covered=covered)
            self.run(step)

    def correct(self, step: Step) -> None:
        """Change some rows by hand."""
        self._correct(self.connection, step)

    def _correct(self, connection: Connection, step: Step) -> None:
        statement = sql.SQL("update {} set " + CORRECTIONS[step.table] + " where ctid = any(array({}))")
        connection.execute(statement.format(sql.Identifier(step.table), _chosen(step)))

    def delete(self, step: Step) -> None:
        """Delete some rows by hand."""
        statement = sql.SQL("delete from {} where ctid = any(array({}))")
        self.connection.execute(statement.format(sql.Identifier(step.table), _chosen(step)))

    def truncate(self, step: Step) -> None:
        """Forget a table."""
        self.connection.execute(sql.SQL("truncate {}").format(sql.Identifier(step.table)))

    def cover(self, step: Step) -> None:
        """Learn that a source gave everything there is."""
        add_coverage(self.connection, [_segment(step)], source=step.source, now=NOW)

    def withdraw(self, step: Step) -> None:
        """Learn that it did not."""
        withdraw_coverage(self.connection, _segment(step))

    def delist(self, step: Step) -> None:
        """Learn that the symbol was delisted at a bar."""
        self.connection.execute(
            "update instruments set valid_to = %s where symbol = %s and valid_from < %s",
            [bar(step.at), step.symbol, bar(step.at)],
        )

    def relist(self, step: Step) -> None:
        """Learn that the ticker stood for something else until a bar."""
        self.delist(step)
        listed = bar(step.at + step.length)
        new = Instrument(step.symbol, "X", listed, None, 1, step.symbol[:3], "USDT", "TRADING", None, None, 8)
        write(self.connection, [new], now=NOW)

    def late(self, step: Step) -> None:
        """Commit a correction only after two runs that cannot see it."""
        with connect_to(self.url) as other:
            self._correct(other, step)
            run_pending(self.connection)
            run_pending(self.connection)
            other.commit()

    def both(self, step: Step) -> None:
        """Two runs at once, while a slot is written."""
        with _threads([self._run_apart, self._run_apart, lambda: self._deliver_apart(step)]):
            pass

    def cancel(self, step: Step) -> None:
        """Interrupt a run after some milliseconds."""
        with connect_to(self.url) as other, connect_to(self.url, autocommit=True) as admin:

            def run() -> None:
                try:
                    run_pending(other)
                except (psycopg.errors.QueryCanceled, BuildError):
                    other.rollback()

            with _threads([run]):
                time.sleep(step.length / 1000)
                admin.execute("select pg_cancel_backend(%s)", [other.info.backend_pid])

    def _run_apart(self) -> None:
        with connect_to(self.url) as other:
            run_pending(other)

    def _deliver_apart(self, step: Step) -> None:
        with connect_to(self.url) as other:
            self._deliver(other, step)


@contextmanager
def _threads(actions: Sequence[Callable[[], None]]) -> Iterator[None]:
    failures: list[BaseException] = []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _chosen(step: Step) -> sql.Composable:
    stamp = "funding_time" if step.table == "funding_rate" else "time"
    query = "select ctid from {} where symbol = {} order by {} {} offset {} limit {}"
    newest_first = step.at < 0
    return sql.SQL(query).format(
        sql.Identifier(step.table),
        sql.Literal(step.symbol),
        sql.Identifier(stamp),
        sql.SQL("desc" if newest_first else "asc"),
        sql.Literal(-step.at - 1 if newest_first else step.at),
        sql.Literal(step.length),
    )


def _segment(step: Step) -> Coverage:
    return Coverage(step.table, step.symbol, bar(step.at), min(bar(step.at + step.length), NOW))
