"""From the mart's newest rows to the online store, each vector logged as it was sent."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import psycopg
from psycopg import sql

from ml.errors import MartMissingError
from ml.feature_store_writer import FeatureStoreWriter, PushOutcome
from ml.feature_vector import VectorToPush
from ml.registry import FeatureSet, read_registry
from ml.timerange import BASE_TIMEFRAME
from perpmart.database import Connection

# Source -> the column of a bar that is NULL while it is unknown, and the stream whose coverage says that it
# is collected at all ('' = every symbol has it).
_SOURCES: dict[str, tuple[str, str]] = {
    "klines": ("is_filled", ""),
    "open_interest": ("open_interest", "open_interest:"),
    "funding_rate": ("funding_rate", "funding_rate"),
    "global_account_ratio": ("long_short_ratio", "long_short_ratio:global_account:"),
    "top_position_ratio": ("top_position_ratio", "long_short_ratio:top_position:"),
    "top_account_ratio": ("top_account_ratio", "long_short_ratio:top_account:"),
    "taker_volume_ratio": ("taker_volume_ratio", "long_short_ratio:taker_volume:"),
    "liquidations": ("long_liquidations", "liquidations"),
    "mark_price": ("mark_price", "mark_price"),
    "order_book": ("book_imbalance_20", "order_book"),
}
_LOCK = "perpmart push"


class Pushed(NamedTuple):
    """What became of one symbol's newest vector.

    ``outcome`` is that of `ml.feature_store_writer.PushOutcome`, ``nulls`` the number of NULL features.
    """

    symbol: str
    time: datetime
    outcome: str
    revision: int
    nulls: int
    unknown_sources: tuple[str, ...]


class Drift(NamedTuple):
    """A served vector that the mart would not give any more."""

    symbol: str
    time: datetime
    revision: int


class _Row(NamedTuple):
    """A newest row of the mart, with the last version of this bar that was sent."""

    symbol: str
    time: datetime
    available_at: datetime
    values: list[float]
    unknown: list[str]
    sent_revision: int | None
    sent_values: list[float] | None
    sent_set: str | None


def push(
    connection: Connection,
    writer: FeatureStoreWriter,
    *,
    schema_prefix: str = "",
    symbols: Collection[str] | None = None,
    history: int = 0,
    now: datetime | None = None,
) -> list[Pushed]:
    """Send the newest published vector of every symbol to the online store, and log it.

    A vector that was sent before is sent again only where the store lost it. A bar whose features changed
    since gets the next revision. Runs at the same time wait for each other; each commits its transaction.

    Parameters
    ----------
    connection : psycopg.Connection
        Database with a built mart; not inside a transaction that must not be committed.
    writer : FeatureStoreWriter
        The store.
    schema_prefix : str, optional
        What stands before every schema's name.
    symbols : collection of str, optional
        Only these; all by default.
    history : int, optional
        Also put this many earlier bars into the store, for readers of sequences.
    now : datetime, optional
        Time of sending to log; the present by default.

    Raises
    ------
    MartMissingError
        The mart was never built in this database.
    RedisError
        Redis cannot be reached; what was sent before stays sent, and is logged on the next run.
    """
    feature_set = read_registry(connection, schema_prefix=schema_prefix).feature_set
    moment = now or datetime.now(UTC)
    done = []
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK + schema_prefix])
        for row in _newest_rows(connection, feature_set, schema_prefix, symbols):
            vector, outcome = _send(writer, row, feature_set, moment)
            if outcome.outcome in ("written", "unchanged"):
                _log(connection, schema_prefix, vector, outcome.revision, feature_set, moment)
            if history and outcome.outcome in ("written", "unchanged"):
                past = _past_rows(connection, feature_set, schema_prefix, vector, history)
                writer.fill_history(vector.symbol, BASE_TIMEFRAME, past, feature_set)
            nulls = int(np.isnan(vector.values).sum())
            done.append(Pushed(row.symbol, row.time, *outcome, nulls, vector.unknown_sources))
    connection.commit()
    return done


def find_drift(
    connection: Connection, *, schema_prefix: str = "", since: datetime | None = None
) -> list[Drift]:
    """Compare what was served with what the mart says today, bit for bit.

    A difference means that data were corrected after the vector was sent, or that the live run and the build
    disagree. Only the last revision of a bar is compared, and only vectors of today's feature set.

    Parameters
    ----------
    since : datetime, optional
        First bar to compare; all by default.
    """
    feature_set = read_registry(connection, schema_prefix=schema_prefix).feature_set
    query = sql.SQL(
        "select s.symbol, s.time, s.revision from (select distinct on (symbol, time) * from {served}"
        " where timeframe = %s and time >= %s order by symbol, time, revision desc) as s"
        " join {mart} as m on m.symbol = s.symbol and m.time = s.time and m.time >= %s"
        " where s.feature_set = %s and {vector} is distinct from s.v order by 1, 2"
    ).format(
        served=sql.Identifier(f"{schema_prefix}build", "served"),
        mart=sql.Identifier(f"{schema_prefix}mart", "feature_mart"),
        vector=_vector("m", feature_set),
    )
    first = since or datetime(1970, 1, 1, tzinfo=UTC)
    rows = connection.execute(query, (BASE_TIMEFRAME, first, first, feature_set.hash)).fetchall()
    return [Drift(*row) for row in rows]


def _vector(alias: str, feature_set: FeatureSet) -> sql.Composable:
    """The features of a mart row as one array, NaN for NULL."""
    items = (sql.SQL("coalesce({}, 'NaN')").format(sql.Identifier(alias, name)) for name in feature_set.names)
    return sql.SQL("array[{}]::float8[]").format(sql.SQL(", ").join(items))


def _unknown_sources(connection: Connection, schema_prefix: str) -> sql.Composable:
    """The names of the sources collected for a symbol that are NULL in its bar ``b``."""
    query = sql.SQL("select * from {} where false").format(sql.Identifier(f"{schema_prefix}bars", "bars_5m"))
    have = {column.name for column in connection.execute(query).description or []}
    items = []
    for source, (column, stream) in _SOURCES.items():
        if column not in have:
            continue
        collected = sql.SQL(
            "exists (select from {} as c where starts_with(c.stream, {}) and c.symbol in (b.symbol, '*'))"
        )
        items.append(
            sql.SQL("case when b.{} is null and {} then {} end").format(
                sql.Identifier(column),
                collected.format(sql.Identifier(f"{schema_prefix}raw", "coverage"), sql.Literal(stream))
                if stream
                else sql.SQL("true"),
                sql.Literal(source),
            )
        )
    return sql.SQL("array_remove(array[{}]::text[], null)").format(sql.SQL(", ").join(items))


def _newest_rows(
    connection: Connection, feature_set: FeatureSet, schema_prefix: str, symbols: Collection[str] | None
) -> list[_Row]:
    query = sql.SQL(
        "select b.symbol, b.time, b.available_at, {vector}, {unknown}, s.revision, s.v, s.feature_set"
        " from {latest} as m join {bars} as b on b.symbol = m.symbol and b.time = m.time"
        " left join lateral (select revision, v, feature_set from {served} where symbol = b.symbol"
        " and timeframe = %s and time = b.time order by revision desc limit 1) as s on true"
        " where %s::text[] is null or b.symbol = any(%s) order by 1"
    ).format(
        vector=_vector("m", feature_set),
        unknown=_unknown_sources(connection, schema_prefix),
        latest=sql.Identifier(f"{schema_prefix}mart", "latest_features"),
        bars=sql.Identifier(f"{schema_prefix}bars", "bars_5m"),
        served=sql.Identifier(f"{schema_prefix}build", "served"),
    )
    chosen = None if symbols is None else sorted(symbols)
    try:
        rows = connection.cursor(binary=True).execute(query, (BASE_TIMEFRAME, chosen, chosen)).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise MartMissingError(f"{error.diag.message_primary}: run `perpmart init` and build first") from None
    return [_Row(*row) for row in rows]


def _send(
    writer: FeatureStoreWriter, row: _Row, feature_set: FeatureSet, moment: datetime
) -> tuple[VectorToPush, PushOutcome]:
    """Send one vector under the revision that its history asks for."""
    values = np.array(row.values, dtype=np.float64)
    same = (
        row.sent_values is not None
        and row.sent_set == feature_set.hash
        and np.array_equal(values, np.array(row.sent_values), equal_nan=True)
    )
    revision = (row.sent_revision or 0) + (0 if same else 1)
    vector = VectorToPush(row.symbol, row.time, row.available_at, revision, values, tuple(row.unknown))
    outcome = writer.push(vector, feature_set, BASE_TIMEFRAME, pushed_at=moment)
    if outcome.outcome == "superseded":
        # The store holds another content of this bar that was never logged: a run died between the two.
        vector = VectorToPush(
            row.symbol, row.time, row.available_at, outcome.revision + 1, values, tuple(row.unknown)
        )
        outcome = writer.push(vector, feature_set, BASE_TIMEFRAME, pushed_at=moment)
    return vector, outcome


def _log(
    connection: Connection,
    schema_prefix: str,
    vector: VectorToPush,
    revision: int,
    feature_set: FeatureSet,
    moment: datetime,
) -> None:
    """Note what was sent; what is noted already stays as it is."""
    query = sql.SQL(
        "insert into {} (symbol, timeframe, time, available_at, pushed_at, revision, feature_set,"
        " unknown_sources, v) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing"
    ).format(sql.Identifier(f"{schema_prefix}build", "served"))
    values: list[Any] = [vector.symbol, BASE_TIMEFRAME, vector.time, vector.available_at, moment, revision]
    values += [feature_set.hash, list(vector.unknown_sources), vector.values.tolist()]
    connection.execute(query, values, binary=True)


def _past_rows(
    connection: Connection, feature_set: FeatureSet, schema_prefix: str, newest: VectorToPush, bars: int
) -> list[VectorToPush]:
    """The bars before the newest one; revision 0, so that whatever was really sent stands."""
    query = sql.SQL(
        "select time, available_at, {} from {} as m"
        " where symbol = %s and time >= %s and time < %s order by time"
    ).format(_vector("m", feature_set), sql.Identifier(f"{schema_prefix}mart", "feature_mart"))
    first = newest.time - bars * timedelta(minutes=5)
    rows = connection.cursor(binary=True).execute(query, (newest.symbol, first, newest.time)).fetchall()
    return [VectorToPush(newest.symbol, time, known, 0, np.array(values)) for time, known, values in rows]
