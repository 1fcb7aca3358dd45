"""Running dbt on the project of this checkout, in this process, against the database of the settings."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from perpmart.database import libpq_environment
from perpmart.errors import PerpmartError

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout: dbt_project.yml and profiles.yml lie there."""

_ATTEMPTS = 5
_CONCURRENT = "due to a concurrent refresh"
_logger = logging.getLogger(__name__)


class BuildError(PerpmartError):
    """A dbt run that failed; the message names the nodes that did."""


@dataclass(frozen=True)
class NodeOutcome:
    """What became of one model, test or seed.

    Attributes
    ----------
    name : its name in dbt
    kind : model, test, unit_test, seed or operation
    status : success, pass, warn, error, fail or skipped
    seconds : wall time
    message : dbt's message, empty when there is none
    """

    name: str
    kind: str
    status: str
    seconds: float
    message: str

    @property
    def failed(self) -> bool:
        """Whether the run counts as failed because of this node."""
        return self.status in {"error", "fail", "skipped", "runtime error"}


def build(
    database_url: str,
    *,
    prefix: str = "",
    full_refresh: bool = False,
    test: bool = False,
    select: str | None = None,
    benchmark: str = "",
    threads: int = 0,
) -> list[NodeOutcome]:
    """Bring seeds and models up to date with the raw tables, as ``dbt build`` at the root does.

    Parameters
    ----------
    database_url : where raw lies and the models go
    prefix : put before each schema's name
    full_refresh : compute everything anew instead of what is pending
    test : run the tests of the models too
    select : dbt's selection syntax; None takes all
    benchmark : symbol that the cross-asset features compare with; empty takes the project's
    threads : models to compute at once; 0 takes the profile's

    Returns
    -------
    list of NodeOutcome
        In the order in which they ended.

    Raises
    ------
    BuildError
        When a node failed or dbt could not run at all.
    """
    arguments = ["build"]
    if not test:
        arguments += ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
    if full_refresh:
        arguments.append("--full-refresh")
    if select:
        arguments += ["--select", select]
    environment = {"PERPMART_BENCHMARK": benchmark, "PERPMART_THREADS": str(threads or "")}
    for _ in range(_ATTEMPTS - 1):
        try:
            return run_dbt(arguments, database_url, prefix=prefix, environment=environment)
        except BuildError as error:
            # A policy began with the same buckets in the moment between a model's look and its call.
            if _CONCURRENT not in str(error):
                raise
            _logger.warning("%s: once more", error)
    return run_dbt(arguments, database_url, prefix=prefix, environment=environment)


def run_dbt(
    arguments: list[str],
    database_url: str,
    *,
    prefix: str = "",
    environment: Mapping[str, str] | None = None,
) -> list[NodeOutcome]:
    """Run a dbt command in this process; raises BuildError naming what failed."""
    from dbt.cli.main import dbtRunner

    common = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--quiet", "--no-use-colors"]
    values = {
        **libpq_environment(database_url),
        "PERPMART_SCHEMA_PREFIX": prefix,
        "DBT_LOG_PATH": str(PROJECT / "logs"),
        **{name: value for name, value in (environment or {}).items() if value},
    }
    with _environment(values):
        result = dbtRunner().invoke([*arguments, *common])
    outcomes = [_outcome(node) for node in getattr(result.result, "results", None) or []]
    failed = [outcome for outcome in outcomes if outcome.failed]
    if failed:
        first = next((o for o in failed if o.message and o.status != "skipped"), failed[0])
        names = ", ".join(outcome.name for outcome in failed[:5]) + (" ..." if len(failed) > 5 else "")
        raise BuildError(
            f"dbt {arguments[0]}: {len(failed)} failed ({names}); {first.name}: {_one_line(first.message)}"
        )
    if not result.success:
        reason = _one_line(str(result.exception)) if result.exception else "see logs/dbt.log"
        raise BuildError(f"dbt {arguments[0]} did not run: {reason}")
    return outcomes


def require_schema(connection: "psycopg.Connection[Any]", prefix: str = "") -> None:
    """Raise BuildError unless `perpmart init` has been run on this database."""
    row = connection.execute("select to_regclass(%s)", [f"{prefix}build.models"]).fetchone()
    if row is None or row[0] is None:
        raise BuildError("this database has no perpmart schema yet: run `perpmart init` first")


def _outcome(node: Any) -> NodeOutcome:
    kind = getattr(node.node.resource_type, "value", str(node.node.resource_type))
    return NodeOutcome(node.node.name, kind, str(node.status), float(node.execution_time), node.message or "")


def _one_line(message: str) -> str:
    return " ".join(message.split())[:500]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for dbt, which reads its profile from the environment only."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
