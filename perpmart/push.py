"""From the mart's newest rows to the online store: logged first, sent then, acknowledged last.

A reader can only have seen what stands in ``build.served``: a vector is written there and committed before it
is sent. A row without ``acknowledged_at`` may or may not have reached the store, as the sender died between.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import psycopg
from psycopg import sql

from ml.errors import MartMissingError
from ml.feature_store_writer import FeatureStoreWriter
from ml.feature_vector import VectorToPush
from ml.registry import FeatureSet, read_registry
from ml.timerange import BASE_TIMEFRAME
from perpmart.database import Connection
from perpmart.push_history import fill_before
from perpmart.push_queries import newest_query, revised_query, vector_of
from perpmart.served_log import acknowledge, lock_served, log_vectors

_TAKEN = ("written", "unchanged")
_OTHER_CONTENT = "the store held another vector of the bar"
_ATTEMPTS = 3


class Pushed(NamedTuple):
    """What became of one symbol's newest vector.

    ``outcome`` is that of `ml.feature_store_writer.PushOutcome`, ``nulls`` the number of NULL features,
    ``cause`` why the bar has a revision above 1, as logged.
    """

    symbol: str
    time: datetime
    outcome: str
    revision: int
    nulls: int
    unknown_sources: tuple[str, ...]
    cause: str = ""


class Drift(NamedTuple):
    """A served vector that the mart would not give any more."""

    symbol: str
    time: datetime
    revision: int


class _Row(NamedTuple):
    """A row of the mart, with the last version of this bar that was logged."""

    symbol: str
    time: datetime
    available_at: datetime
    values: list[float]
    unknown: list[str]
    sent_revision: int | None
    is_same: bool

    def to_push(self, revision: int) -> VectorToPush:
        values = np.array(self.values, dtype=np.float64)
        return VectorToPush(self.symbol, self.time, self.available_at, revision, values, tuple(self.unknown))


def push(
    connection: Connection,
    writer: FeatureStoreWriter,
    *,
    schema_prefix: str = "",
    symbols: Collection[str] | None = None,
    history: int = 0,
    until: datetime | None = None,
    now: datetime | None = None,
    cause: str = "",
) -> list[Pushed]:
    """Send the newest published vector of every symbol to the online store, and log it.

    A vector that was sent before is sent again only where the store lost it. A bar whose features changed
    since gets the next revision. What is sent is committed to the log before; the store itself refuses an
    older bar or revision, so runs at the same time do no harm.

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
        Also put this many earlier bars into the store, for readers of sequences; all that it keeps of a
        symbol of which it held nothing: it is new, or was emptied.
    until : datetime, optional
        Newest bar to send (its open, UTC): of a later one not all may have come yet. No bound by default.
    now : datetime, optional
        Time of sending to log; the present by default.
    cause : str, optional
        Why a bar has another revision, in words.

    Raises
    ------
    MartMissingError
        The mart was never built in this database.
    RedisError
        Redis cannot be reached; what is logged and not acknowledged is sent on the next run.
    """
    feature_set = read_registry(connection, schema_prefix=schema_prefix).feature_set
    moment = now or datetime.now(UTC)
    least: dict[str, int] = {}
    bars: dict[str, int] = {}
    for _ in range(_ATTEMPTS):
        with connection.transaction():
            connection.execute("set local synchronous_commit = on")
            lock_served(connection, schema_prefix)
            rows = _newest_rows(connection, feature_set, schema_prefix, symbols, until)
            vectors = [row.to_push(_revision(row, least)) for row in rows]
            log_vectors(connection, schema_prefix, vectors, feature_set, moment, cause)
        connection.commit()
        outcomes = writer.push_many(vectors, feature_set, BASE_TIMEFRAME, pushed_at=moment)
        done = [
            Pushed(
                vector.symbol,
                vector.time,
                outcome.outcome,
                outcome.revision,
                int(np.isnan(vector.values).sum()),
                vector.unknown_sources,
                cause,
            )
            for vector, outcome in zip(vectors, outcomes, strict=True)
        ]
        acknowledge(connection, schema_prefix, vectors, [one.outcome in _TAKEN for one in done])
        bars |= {
            v.symbol: writer.history for v, outcome in zip(vectors, outcomes, strict=True) if outcome.is_first
        }
        # The store holds another content of this bar that is not in the log: it was restored, or emptied.
        least = {one.symbol: one.revision + 1 for one in done if one.outcome == "superseded"}
        if not least:
            break
        cause = _OTHER_CONTENT
    for vector, one in zip(vectors, done, strict=True):
        past = bars.get(vector.symbol, history)
        if past and one.outcome in _TAKEN:
            fill_before(connection, writer, feature_set, schema_prefix, vector, past)
    connection.commit()
    return done


def push_revised(
    connection: Connection,
    writer: FeatureStoreWriter,
    *,
    schema_prefix: str = "",
    since: datetime,
    before: datetime | None = None,
    until: datetime | None = None,
    now: datetime | None = None,
    cause: str = "",
) -> list[Drift]:
    """Give earlier bars whose features changed after they were served their next revision, in log and store.

    What was logged and never acknowledged is sent again: the sender died, or the store was away.

    Parameters
    ----------
    since : datetime
        First bar to look at (its open, UTC). The newest bar of each symbol is left to `push`.
    before : datetime, optional
        End of the bars to look at. No bound by default.
    until : datetime, optional
        Newest bar that `push` sends.
    cause : str, optional
        Why they changed, in words; it goes to the log.

    Returns
    -------
    list of Drift
        The bars, with their new revisions.
    """
    feature_set = read_registry(connection, schema_prefix=schema_prefix).feature_set
    moment = now or datetime.now(UTC)
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        lock_served(connection, schema_prefix)
        query = revised_query(connection, feature_set, schema_prefix)
        found = connection.cursor(binary=True).execute(
            query,
            {
                "timeframe": BASE_TIMEFRAME,
                "since": since,
                "before": before,
                "until": until,
                "feature_set": feature_set.hash,
            },
        )
        rows = [_Row(*row) for row in found]
        vectors = [row.to_push(_revision(row, {})) for row in rows]
        log_vectors(connection, schema_prefix, vectors, feature_set, moment, cause)
    connection.commit()
    for symbol in sorted({vector.symbol for vector in vectors}):
        mine = [vector for vector in vectors if vector.symbol == symbol]
        writer.fill_history(symbol, BASE_TIMEFRAME, mine, feature_set)
    done = [Pushed(v.symbol, v.time, "written", v.revision, 0, v.unknown_sources) for v in vectors]
    acknowledge(connection, schema_prefix, vectors, [one.outcome in _TAKEN for one in done])
    return [Drift(row.symbol, row.time, (row.sent_revision or 0) + 1) for row in rows if not row.is_same]


def find_drift(
    connection: Connection, *, schema_prefix: str = "", since: datetime | None = None
) -> list[Drift]:
    """Compare what was served with what the mart says today, bit for bit.

    A difference means that data were corrected after the vector was sent, or that the live run and the build
    disagree. Only the last revision of a bar is compared, and only vectors of today's feature set.

    Parameters
    ----------
    since : datetime
        First bar to compare; all by default.
    """
    feature_set = read_registry(connection, schema_prefix=schema_prefix).feature_set
    query = sql.SQL(
        "select s.symbol, s.time, s.revision from (select distinct on (symbol, time) * from {served}"
        " where timeframe = %s and time >= %s order by symbol, time, revision desc) as s"
        " cross join lateral (select {vector} as v from {mart} as m"
        " where m.symbol = s.symbol and m.time = s.time offset 0) as n"
        " where s.feature_set = %s and n.v is distinct from s.v order by 1, 2"
    ).format(
        served=sql.Identifier(f"{schema_prefix}build", "served"),
        mart=sql.Identifier(f"{schema_prefix}mart", "feature_mart"),
        vector=vector_of("m", feature_set),
    )
    first = since or datetime(1970, 1, 1, tzinfo=UTC)
    rows = connection.execute(query, (BASE_TIMEFRAME, first, feature_set.hash)).fetchall()
    return [Drift(*row) for row in rows]


def _revision(row: _Row, least: dict[str, int]) -> int:
    if row.symbol in least:
        return max(least[row.symbol], (row.sent_revision or 0) + 1)
    return (row.sent_revision or 0) + (0 if row.is_same else 1)


def _newest_rows(
    connection: Connection,
    feature_set: FeatureSet,
    schema_prefix: str,
    symbols: Collection[str] | None,
    until: datetime | None,
) -> list[_Row]:
    chosen = None if symbols is None else sorted(symbols)
    try:
        query = newest_query(connection, feature_set, schema_prefix)
        rows = connection.cursor(binary=True).execute(
            query,
            {
                "timeframe": BASE_TIMEFRAME,
                "feature_set": feature_set.hash,
                "symbols": chosen,
                "until": until,
            },
        )
    except psycopg.errors.UndefinedTable as error:
        raise MartMissingError(f"{error.diag.message_primary}: run `perpmart init` and build first") from None
    return [_Row(*row) for row in rows]
