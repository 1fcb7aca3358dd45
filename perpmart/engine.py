"""Running the models inside the database, without dbt: what a live run and the tests do after each write.

Once dbt has compiled the models, their SQL is registered in ``build.models`` and the engine's functions bring
the mart up to date by themselves. Both ways execute the same SQL over the same pending ranges.
"""

from typing import NamedTuple

import psycopg

from perpmart.build import BuildError
from perpmart.database import Connection


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
        with connection.transaction():
            runs = run_models(connection)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return runs


def run_models(connection: Connection) -> list[ModelRun]:
    """Do the work of `run_pending` in the caller's transaction; nothing is committed."""
    try:
        # All locks in one order, before the first model is touched: two runs cannot block each other.
        connection.execute("select lock_models()")
    except psycopg.errors.UndefinedFunction as error:
        raise BuildError("this database has no perpmart schema yet: run `perpmart init` first") from error
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
