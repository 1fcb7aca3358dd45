"""What was refused, wired to the settings."""

from collections.abc import Sequence
from datetime import UTC, datetime

from collectors import rejects
from perpmart.database import connect, require_schema
from perpmart.settings import Settings


def find(
    settings: Settings, *, stream: str = "", every: bool = False, limit: int = 100
) -> list[rejects.Reject]:
    """Give refusals that are open, or ``every`` one; see `collectors.rejects.read_rejects`."""
    with connect(settings) as connection:
        require_schema(connection, settings.schema_prefix)
        state: rejects.State | None = None if every else "open"
        return rejects.read_rejects(connection, state=state, stream=stream, limit=limit)


def find_one(settings: Settings, number: int) -> rejects.Reject:
    """Give one refusal; raises RejectError when there is none of this number."""
    with connect(settings) as connection:
        require_schema(connection, settings.schema_prefix)
        return rejects.read_reject(connection, number)


def retry(settings: Settings, numbers: Sequence[int], *, stream: str = "") -> list[rejects.Retried]:
    """Submit refusals once more, all open ones unless `numbers` are given.

    Raises
    ------
    PerpmartError
        If the database cannot be reached, or a number is unknown.
    """
    with connect(settings) as connection:
        require_schema(connection, settings.schema_prefix)
        chosen = [rejects.read_reject(connection, number) for number in numbers]
        chosen = chosen or rejects.read_rejects(connection, stream=stream)
        return rejects.retry(connection, chosen, now=datetime.now(UTC))


def drop(settings: Settings, numbers: Sequence[int]) -> int:
    """Note that refusals are no data; gives how many were open."""
    with connect(settings) as connection:
        require_schema(connection, settings.schema_prefix)
        return rejects.drop(connection, [rejects.read_reject(connection, number) for number in numbers])
