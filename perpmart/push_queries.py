"""The SQL of the push: vectors of the mart beside the last version of them that was logged."""

from __future__ import annotations

from psycopg import sql

from ml.registry import FeatureSet
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


def vector_of(alias: str, feature_set: FeatureSet) -> sql.Composable:
    """Give the features of a mart row as one array, NaN for NULL."""
    items = (sql.SQL("coalesce({}, 'NaN')").format(sql.Identifier(alias, name)) for name in feature_set.names)
    return sql.SQL("array[{}]::float8[]").format(sql.SQL(", ").join(items))


def newest_query(connection: Connection, feature_set: FeatureSet, schema_prefix: str) -> sql.Composed:
    """Give the query of each symbol's newest published vector.

    The view of all features is asked row by row, laterally: a join with a list of rows would read it whole.

    Its columns: symbol, time, available_at, vector, unknown sources, last revision logged, whether that one
    says the same. Takes ``timeframe``, ``feature_set`` (hash), ``symbols`` (NULL = all) and ``until`` (newest
    bar, NULL = no bound).
    """
    return sql.SQL(
        "select n.symbol, n.time, n.available_at, n.v, n.unknown, s.revision,"
        " coalesce(s.feature_set = %(feature_set)s and s.v is not distinct from n.v"
        " and s.unknown_sources = n.unknown, false)"
        " from (select symbol, least(time, %(until)s) as time from {published}"
        " where %(symbols)s::text[] is null or symbol = any(%(symbols)s)) as p"
        " cross join lateral (select b.symbol, b.time, b.available_at, {vector} as v, {unknown} as unknown"
        " from {mart} as m join {bars} as b on b.symbol = m.symbol and b.time = m.time"
        " where m.symbol = p.symbol and m.time = p.time offset 0) as n"
        " left join lateral (select revision, v, feature_set, unknown_sources from {served}"
        " where symbol = n.symbol and timeframe = %(timeframe)s and time = n.time"
        " order by revision desc limit 1) as s on true order by 1"
    ).format(
        vector=vector_of("m", feature_set),
        unknown=_unknown_sources(connection, schema_prefix),
        published=sql.Identifier(f"{schema_prefix}build", "published"),
        mart=sql.Identifier(f"{schema_prefix}mart", "feature_mart"),
        bars=sql.Identifier(f"{schema_prefix}bars", "bars_5m"),
        served=sql.Identifier(f"{schema_prefix}build", "served"),
    )


def revised_query(connection: Connection, feature_set: FeatureSet, schema_prefix: str) -> sql.Composed:
    """Give the query of earlier bars that were served, and now differ in the mart or were not acknowledged.

    Columns as those of `newest_query`. Takes ``timeframe``, ``feature_set`` (hash), ``since``, ``before``
    (NULL = no bound) and ``until``.
    """
    return sql.SQL(
        "select n.symbol, n.time, n.available_at, n.v, n.unknown, n.revision, n.v is not distinct from s.v"
        " from (select distinct on (symbol, time) symbol, time, revision, feature_set, v, acknowledged_at"
        " from {served} where timeframe = %(timeframe)s and time >= %(since)s"
        " and time < coalesce(%(before)s, 'infinity'::timestamptz)"
        " order by symbol, time, revision desc) as s"
        " join {published} as p on p.symbol = s.symbol and least(p.time, %(until)s) > s.time"
        " cross join lateral (select b.symbol, b.time, b.available_at, {vector} as v, {unknown} as unknown,"
        " s.revision from {mart} as m join {bars} as b on b.symbol = m.symbol and b.time = m.time"
        " where m.symbol = s.symbol and m.time = s.time offset 0) as n"
        " where s.feature_set = %(feature_set)s"
        " and (n.v is distinct from s.v or s.acknowledged_at is null) order by 1, 2"
    ).format(
        vector=vector_of("m", feature_set),
        unknown=_unknown_sources(connection, schema_prefix),
        mart=sql.Identifier(f"{schema_prefix}mart", "feature_mart"),
        bars=sql.Identifier(f"{schema_prefix}bars", "bars_5m"),
        published=sql.Identifier(f"{schema_prefix}build", "published"),
        served=sql.Identifier(f"{schema_prefix}build", "served"),
    )


def unserved_query(feature_set: FeatureSet, schema_prefix: str) -> sql.Composed:
    """Give the query of past bars that the log does not know: symbol, time, available_at and vector.

    Takes ``timeframe``, ``since``, ``before`` and ``until`` (both NULL = no bound).
    """
    return sql.SQL(
        "select n.symbol, n.time, n.available_at, n.v from {published} as p"
        " cross join lateral generate_series(date_bin('5 minutes', %(since)s, '2000-01-01Z'),"
        " least(p.time, %(until)s) - interval '5 minutes', '5 minutes') as bar (time)"
        " cross join lateral (select m.symbol, m.time, m.available_at, {vector} as v from {mart} as m"
        " where m.symbol = p.symbol and m.time = bar.time offset 0) as n"
        " where bar.time < coalesce(%(before)s, 'infinity'::timestamptz) and not exists"
        " (select from {served} as s where s.symbol = p.symbol and s.timeframe = %(timeframe)s"
        " and s.time = bar.time) order by 1, 2"
    ).format(
        vector=vector_of("m", feature_set),
        published=sql.Identifier(f"{schema_prefix}build", "published"),
        mart=sql.Identifier(f"{schema_prefix}mart", "feature_mart"),
        served=sql.Identifier(f"{schema_prefix}build", "served"),
    )


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
