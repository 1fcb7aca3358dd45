"""A market whose future can be taken away, row by row as the exchange published it.

Raw holds the first version of everything; when each row was published is kept beside it. A cut removes from
raw what was published later, and the models compute anew: rows known at the cut must not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd
from psycopg import sql

from collectors.rows import Coverage
from perpmart.database import Connection
from perpmart.engine import run_models
from simulator.market import Kind, Market
from simulator.presets import odd_market

from .mart import KINDS, source_of, streams_of, write

KEYS: Mapping[Kind, tuple[str, ...]] = {
    "ohlcv": ("symbol", "time"),
    "open_interest": ("symbol", "time"),
    "long_short_ratio": ("symbol", "ratio_type", "time"),
    "funding_rate": ("symbol", "funding_time"),
    "liquidations": ("symbol", "time", "side", "price", "quantity"),
    "mark_price": ("symbol", "time"),
    "order_book": ("symbol", "time"),
}
MARKET = odd_market(days=12)
"""Nine symbols with every oddity at a known time, every input changing at every bar."""

SHOWN = ("mart.feature_mart", "bars.bars_5m")
LONG_AGO = timedelta(days=3650)


@dataclass(frozen=True)
class Difference:
    """A column of which rows differ, how many, and the first; "row": rows are absent or too many."""

    column: str
    rows: int
    symbol: str
    time: datetime


@dataclass(frozen=True)
class Fault:
    """A planted look-ahead: text to be replaced in models and staging views."""

    models: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    views: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


def keep_world(connection: Connection, market: Market) -> None:
    """Store every version of every row with the instant of its publication, in schema `world`."""
    connection.execute("create schema world")
    for kind in KINDS:
        frame = pd.concat(
            [market.publication_frame(kind, symbol) for symbol in market.symbols], ignore_index=True
        )
        columns = list(frame.columns)
        world = sql.Identifier("world", kind)
        connection.execute(
            sql.SQL(
                "create table {} as select {}, now() as published_at, 0 as version from {} where false"
            ).format(world, _names(columns[:-2]), sql.Identifier(kind))
        )
        copy = sql.SQL("copy {} ({}) from stdin").format(world, _names(columns))
        with connection.cursor() as cursor, cursor.copy(copy) as stream:
            for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None):
                stream.write_row(row)
        connection.execute(sql.SQL("analyze {}").format(world))
    connection.commit()


def show(
    connection: Connection,
    market: Market,
    *,
    until: datetime,
    since: datetime | None = None,
    version: int = 1,
) -> None:
    """Put into raw what was published in (since, until], of one version."""
    after = since or market.start - LONG_AGO
    for kind in KINDS:
        columns = _columns(connection, kind)
        connection.execute(
            sql.SQL(
                "insert into {} ({}, source) select {}, %s from {}"
                " where version = %s and published_at > %s and published_at <= %s"
                " on conflict ({}) do update set {}"
            ).format(
                sql.Identifier(kind),
                _names([*columns, *_slot(kind)]),
                sql.SQL(", ").join([_names(columns), *(_SLOT for _ in _slot(kind))]),
                sql.Identifier("world", kind),
                _names(_primary_key(connection, kind)),
                sql.SQL(", ").join(
                    sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
                    for name in columns
                    if name not in KEYS[kind]
                ),
            ),
            [source_of(kind), version, after, until],
        )
    write(connection, market.instruments(at=until), now=until)
    for kind in KINDS:
        covered = [
            Coverage(stream, symbol, since or market.start, until)
            for stream in streams_of(kind)
            for symbol in market.symbols
        ]
        write(connection, [], source=source_of(kind), now=until, covered=covered)


def forget(connection: Connection, market: Market, *, after: datetime) -> None:
    """Take out of raw and the universe what was not known at an instant, without a trace. Commits nothing."""
    connection.execute("set local session_replication_role = replica")
    for kind in KINDS:
        key = sql.SQL(" and ").join(
            sql.SQL("r.{0} = w.{0}").format(sql.Identifier(name)) for name in KEYS[kind]
        )
        connection.execute(
            sql.SQL(
                "delete from {} as r using {} as w where {} and w.version = 1 and w.published_at > %s"
            ).format(sql.Identifier(kind), sql.Identifier("world", kind), key),
            [after],
        )
    connection.execute("delete from coverage where from_time >= %s", [after])
    connection.execute("update coverage set to_time = least(to_time, %s)", [after])
    listed = [one.symbol for one in market.instruments(at=after)]
    connection.execute("delete from instruments where symbol <> all(%s)", [listed])
    for one in market.instruments(at=after):
        connection.execute(
            "update instruments set valid_to = %s where symbol = %s", [one.valid_to, one.symbol]
        )
    connection.execute("delete from seeds.universe where valid_from > %s", [after])
    connection.execute("update seeds.universe set valid_to = null where valid_to > %s", [after])
    connection.execute("set local session_replication_role = origin")


def keep_reference(connection: Connection, *, since: datetime | None = None) -> None:
    """Keep what mart and bars show now (from a time on), to be compared with later."""
    for relation in SHOWN:
        kept = _reference(relation)
        connection.execute(f"drop table if exists {kept}".encode())
        connection.execute(
            f"create table {kept} as select * from {relation} where time >= %s".encode(),
            [since or MARKET.start],
        )
        connection.execute(f"create unique index on {kept} (symbol, time)".encode())
        connection.execute(f"analyze {kept} (symbol, time)".encode())


def compute_from(
    connection: Connection, time: datetime | None, *, models: Sequence[str] | None = None
) -> None:
    """Compute the rows from `time` on anew (None: all of them), of all models or only of those named."""
    connection.execute("select take_changes()")
    connection.execute("delete from pending")
    connection.execute(
        "insert into pending (model, symbol, from_time)"
        " select model, '*', coalesce(%s, '-infinity'::timestamptz) from models",
        [time],
    )
    if models is None:
        run_models(connection)
        return
    order = connection.execute(
        "select model from models where model = any(%s) order by depth", [list(models)]
    )
    for (model,) in order.fetchall():
        connection.execute("select run_model(%s)", [model])


def differences(
    connection: Connection, *, cut: datetime, since: datetime | None = None, tolerance: float = 1e-12
) -> list[Difference]:
    """Compare mart and bars with the reference, row by row up to a cut.

    Parameters
    ----------
    cut : rows with available_at up to it are compared; later ones may exist only in the reference
    since : rows from this time on are compared
    tolerance : numbers are equal when |a - b| <= tolerance max(|a|, |b|)
    """
    found = []
    for relation in SHOWN:
        found += _compare(connection, relation, cut, since or cut - LONG_AGO, tolerance)
    return found


def plant(connection: Connection, fault: Fault) -> None:
    """Replace text in compiled models and views; every replacement must find its place."""
    for model, pairs in fault.models.items():
        row = connection.execute("select compiled_sql from models where model = %s", [model]).fetchone()
        assert row is not None, model
        text = _replace(row[0], pairs)
        connection.execute("update models set compiled_sql = %s where model = %s", [text, model])
    for view, pairs in fault.views.items():
        row = connection.execute("select pg_get_viewdef(%s::regclass)", [view]).fetchone()
        assert row is not None, view
        connection.execute(f"create or replace view {view} as {_replace(row[0], pairs)}".encode())


def _replace(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    for old, new in pairs:
        assert old in text, f"not there, so not planted: {old}"
        text = text.replace(old, new)
    return text


def _compare(
    connection: Connection, relation: str, cut: datetime, since: datetime, tolerance: float
) -> list[Difference]:
    columns = _described(connection, relation)
    tests = [_differs(name, is_float=is_float) for name, is_float in columns.items()]
    query = f"""
        with a as (select * from {relation} where time >= %(since)s),
        r as (select * from {_reference(relation)} where time >= %(since)s and available_at <= %(cut)s)
        select 'row', coalesce(a.symbol, r.symbol), coalesce(a.time, r.time)
        from a full join r on a.symbol = r.symbol and a.time = r.time
        where a.symbol is null or r.symbol is null
        union all
        select different.name, r.symbol, r.time
        from a
        inner join r on a.symbol = r.symbol and a.time = r.time
        cross join lateral unnest(
            array[{", ".join(f"'{name}'" for name in columns)}], array[{", ".join(tests)}]
        ) as different (name, found)
        where different.found
    """
    parameters = {"since": since, "cut": cut, "tolerance": tolerance}
    rows = connection.execute(query.encode(), parameters).fetchall()
    by_column: dict[str, list[tuple[datetime, str]]] = {}
    for column, symbol, time in rows:
        by_column.setdefault(column, []).append((time, symbol))
    return [Difference(c, len(places), min(places)[1], min(places)[0]) for c, places in by_column.items()]


def _differs(name: str, *, is_float: bool) -> str:
    a, r = f'a."{name}"', f'r."{name}"'
    if not is_float:
        return f"{a} is distinct from {r}"
    close = f"abs({a} - {r}) <= %(tolerance)s * greatest(abs({a}), abs({r}))"
    return f"{a} is distinct from {r} and not coalesce({close}, false)"


def _described(connection: Connection, relation: str) -> dict[str, bool]:
    description = connection.execute(f"select * from {relation} limit 0".encode()).description or ()
    return {
        column.name: column.type_code == 701
        for column in description
        if column.name not in ("symbol", "time")
    }


def _reference(relation: str) -> str:
    return f"world.{relation.replace('.', '_')}"


_SLOT = sql.SQL("date_bin(interval '10 seconds', time, timestamptz 'epoch')")


def _slot(kind: Kind) -> list[str]:
    return ["slot"] if kind in ("mark_price", "order_book") else []


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _columns(connection: Connection, kind: Kind) -> list[str]:
    description = connection.execute(f"select * from world.{kind} limit 0".encode()).description or ()
    return [column.name for column in description if column.name not in ("published_at", "version")]


def _primary_key(connection: Connection, kind: Kind) -> list[str]:
    row = connection.execute("select key_columns(%s::regclass)", [kind]).fetchone()
    assert row is not None
    return list(row[0])
