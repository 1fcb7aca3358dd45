"""Running the models inside the database, without dbt: what a live run and the tests do after each write.

Once dbt has compiled the models, their SQL is registered in ``build.models`` and the engine's functions bring
the mart up to date by themselves. Both ways execute the same SQL over the same pending ranges.
"""

from typing import NamedTuple

import psycopg

from perpmart.build import BuildError
from perpmart.database import Connection

_ATTEMPTS = 10


class ModelRun(NamedTuple):
    """What one model did in a run.

    Attributes
    ----------
    model : its name in dbt
    ranges : ranges that it computed, one a symbol; 0 when nothing was pending
    written : rows that it wrote
    """

    model: str
    ranges: int
    written: int


def run_pending(connection: Connection) -> list[ModelRun]:
    """Bring all models up to date with the raw tables, in one transaction, and publish the result.

    Readers see all of the run or nothing of it. An open transaction of the connection becomes part of the run
    and is committed with it; on an error all is rolled back. Runs of two sessions wait for each other.

    On TimescaleDB Community, roll-ups of late and corrected rows are refreshed before: that cannot be part of
    a transaction, so one that is open is committed first. The newest rows need no refresh.

    Parameters
    ----------
    connection : psycopg.Connection
        As `perpmart.database.connect` gives it, to a database on which dbt has built the models once.

    Returns
    -------
    list of ModelRun
        In the order in which they ran: parents before their children.

    Raises
    ------
    BuildError
        When dbt has not built the models here, or a model fails; the text names it.
    """
    try:
        # Not `connection.transaction()` alone: within an open transaction that is only a savepoint.
        refreshed = refresh_rollups(connection)
        with connection.transaction():
            runs = run_models(connection, take=not refreshed)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return runs


def rollups_wait(connection: Connection) -> bool:
    """Tell whether the last run left bars pending until a continuous aggregate is refreshed for them."""
    row = connection.execute("select exists (select from rollups_to_refresh())").fetchone()
    connection.commit()
    return bool(row and row[0])


def refresh_rollups(connection: Connection) -> bool:
    """Bring continuous aggregates up to date with the changes noted so far; each step is committed.

    Returns
    -------
    bool
        Whether there are any, and the changes were taken; otherwise nothing was done, and an open
        transaction is still open.

    Raises
    ------
    BuildError
        When a refresh fails, the text names the roll-up; or the database has no engine.
    """
    try:
        row = connection.execute("select count(*) from models where storage = 'continuous'").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise BuildError("this database has no perpmart schema yet: run `perpmart init` first") from error
    if row is None or not row[0]:
        return False
    connection.execute("select take_changes()")
    stale = [name for (name,) in connection.execute("select rollups_to_refresh()")]
    connection.commit()
    if stale:
        connection.autocommit = True
        try:
            for model in stale:
                _refresh(connection, model)
        finally:
            connection.autocommit = False
    return True


def _refresh(connection: Connection, model: str) -> None:
    """Refresh one roll-up; the connection is in autocommit mode."""
    connection.execute("select hold_model(%s)", [model])
    try:
        for attempt in range(_ATTEMPTS):
            try:
                connection.execute("call refresh_rollup(%s, false, 0)", [model])
            except psycopg.errors.LockNotAvailable as error:
                # A policy's refresh of the same buckets began in the moment between our look and our call.
                if attempt + 1 == _ATTEMPTS:
                    raise BuildError(f"model {model} is being refreshed by others all the time") from error
            except psycopg.Error as error:
                raise BuildError(f"model {model} failed: {str(error).splitlines()[0]}") from error
            else:
                return
    finally:
        if not connection.closed:
            connection.execute("select release_model(%s)", [model])


def run_models(connection: Connection, *, take: bool = True) -> list[ModelRun]:
    """Do the work of `run_pending` in the caller's transaction; nothing is committed.

    `take` says whether to look for new changes first. Where `refresh_rollups` has taken them, later ones
    wait: their roll-ups are not refreshed yet.
    """
    try:
        # All locks in one order, before the first model is touched: two runs cannot block each other.
        connection.execute("select lock_models()")
    except psycopg.errors.UndefinedFunction as error:
        raise BuildError("this database has no perpmart schema yet: run `perpmart init` first") from error
    if take:
        connection.execute("select take_changes()")
    found = connection.execute(
        "select model, compiled_sql is null from models order by depth, model"
    ).fetchall()
    incomplete = [model for model, is_missing in found if is_missing]
    if incomplete or not found:
        what = f"model {incomplete[0]} was" if incomplete else "no model was"
        raise BuildError(f"{what} never built on this database: run `perpmart build` first")
    runs = [_run_model(connection, model) for model, _ in found]
    connection.execute("select publish()")
    return runs


def _run_model(connection: Connection, model: str) -> ModelRun:
    try:
        row = connection.execute("select ranges, written from run_model(%s)", [model]).fetchone()
    except psycopg.Error as error:
        raise BuildError(f"model {model} failed: {str(error).splitlines()[0]}") from error
    if row is None:
        raise BuildError(f"model {model} gave no result")
    return ModelRun(model, *row)
