"""Databases with all models built, and what the tests do to them: load, run, read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pandas as pd
import psycopg
from psycopg import sql

from collectors.rows import Coverage, Row, Source
from collectors.writer import Writer
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from simulator.market import Kind, Market

KINDS: tuple[Kind, ...] = (
    *("ohlcv", "open_interest", "long_short_ratio", "funding_rate"),
    *("liquidations", "mark_price", "order_book"),
)
STREAMED = ("liquidations", "order_book")
KEYS = ("symbol", "time", "available_at")

# Some of the test market's symbols count for ranks from a day or until a day, 1000PEPE never does.
UNIVERSE = """
    truncate seeds.universe;
    insert into seeds.universe (symbol, valid_from)
    select s || '/USDT', '2021-01-01Z'
    from unnest('{BTC,ETH,SOL,LINK,AVAX,LTC,DOT,NEAR,ALGO,FIL}'::text[]) as s;
    insert into seeds.universe (symbol, valid_from, valid_to)
    values ('DOGE/USDT', '2026-03-07Z', null), ('XRP/USDT', '2026-03-02Z', '2026-03-13 06:00Z')
"""


@dataclass
class Databases:
    """Makes databases on the test server, and drops them.

    Parameters
    ----------
    server_url : address of a superuser's database there
    template : name of the database with all models built empty
    """

    server_url: str
    template: str
    made: list[str] = field(default_factory=list)

    def make(self, *, of: str | None = None) -> str:
        """Copy the template, or the database at the address `of`; gives the copy's address.

        Nobody may be connected to what is copied.
        """
        name = f"test_mart_{uuid4().hex[:8]}"
        with psycopg.connect(self.server_url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("create database {} template {} strategy file_copy").format(
                    sql.Identifier(name), sql.Identifier(name_of(of) if of else self.template)
                )
            )
        self.made.append(name)
        return address(self.server_url, name)

    def drop(self, names: Iterable[str] | None = None) -> None:
        """Drop databases by name; all that were made when none is given."""
        with psycopg.connect(self.server_url, autocommit=True) as admin:
            for name in list(self.made if names is None else names):
                admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
                self.made.remove(name)

    @contextmanager
    def lent(self, *, of: str | None = None) -> Iterator[str]:
        """Make a database for the time of a block."""
        url = self.make(of=of)
        try:
            yield url
        finally:
            self.drop([name_of(url)])


def address(server_url: str, name: str) -> str:
    """Address of another database of the same server."""
    parts = urlsplit(server_url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def name_of(url: str) -> str:
    """Name of the database at an address."""
    return urlsplit(url).path.removeprefix("/")


def load_market(
    connection: Connection,
    market: Market,
    *,
    symbols: Sequence[str] | None = None,
    kinds: Sequence[Kind] = KINDS,
    as_of: datetime | None = None,
) -> None:
    """Write a market and its coverage as the collectors do: final versions, or those of an instant."""
    now = as_of or market.end
    write(connection, market.instruments(at=as_of), now=now)
    for symbol in symbols or market.symbols:
        for kind in kinds:
            covered = [Coverage(stream, symbol, market.start, now) for stream in streams_of(kind)]
            rows = market.rows(kind, symbol, as_of=as_of)
            write(connection, rows, source=source_of(kind), now=now, covered=covered)


def write(
    connection: Connection,
    rows: Iterable[Row],
    *,
    now: datetime,
    source: Source = "rest",
    covered: Sequence[Coverage] = (),
) -> None:
    """Write rows; none of them may be refused."""
    result = Writer(connection).write(rows, source=source, now=now, covered=covered)
    assert not result.rejected, connection.execute("select reason, payload from rejects limit 3").fetchall()


def source_of(kind: Kind) -> Source:
    """Source by which a kind is collected."""
    return "stream" if kind in STREAMED else "rest"


def streams_of(kind: Kind) -> tuple[str, ...]:
    """Streams whose coverage the models read."""
    return {"ohlcv": ("ohlcv:5m",), "liquidations": ("liquidations",)}.get(kind, ())


def read_frame(connection: Connection, query: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
    """Give the result of a query; numbers are float64 with NaN for NULL."""
    cursor = connection.execute(query.encode(), parameters)
    names = [column.name for column in cursor.description or ()]
    frame = pd.DataFrame(cursor.fetchall(), columns=names)
    floats = [column.name for column in cursor.description or () if column.type_code == _FLOAT8]
    return frame.astype(dict.fromkeys(floats, "float64"))


def read_mart(connection: Connection, *, where: str = "true") -> pd.DataFrame:
    """Give mart.feature_mart, in order of symbol and time."""
    return read_frame(connection, f"select * from mart.feature_mart where {where} order by symbol, time")


def read_universe(connection: Connection) -> pd.DataFrame:
    """Give the seed as the reference takes it."""
    return read_frame(connection, "select symbol, valid_from, valid_to from seeds.universe")


def feature_names(connection: Connection) -> list[str]:
    """Features in the mart's order."""
    rows = connection.execute("select feature from mart.feature_registry order by ordinal")
    return [str(name) for (name,) in rows]


def build_market(databases: Databases, market: Market, **options: Any) -> str:
    """Make a database, load a market and run the models; gives its address."""
    url = databases.make()
    with connect_to(url) as connection:
        load_market(connection, market, **options)
        run_pending(connection)
        connection.commit()
        analyse(connection)
    return url


def analyse(connection: Connection) -> None:
    """Bring the planner's figures up to date, as autovacuum does a minute later."""
    connection.execute("analyze")
    connection.commit()


def tables_of(connection: Connection) -> Mapping[str, list[str]]:
    """Tables of the incremental models and their columns."""
    rows = connection.execute("select relation, columns from models order by depth, model").fetchall()
    return {str(relation): list(columns) for relation, columns in rows}


_FLOAT8 = 701
