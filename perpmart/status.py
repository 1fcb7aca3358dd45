"""What the two servers are and whether they answer."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis

from perpmart.database import TIER_MEANS, Tier, connect, server_versions, tier
from perpmart.errors import PerpmartError, RedisError
from perpmart.servers import addresses, embedded
from perpmart.settings import Settings
from perpmart.urls import mask_password


@dataclass(frozen=True)
class Status:
    """Addresses, versions and process numbers of both servers, and what is wrong with them.

    Attributes
    ----------
    database_url, redis_url : str or None
        Password masked where the address was given, shown where the server is the embedded one; None where
        there is none.
    tier : str or None
        As `perpmart.database.tier`; None while the database does not answer.
    versions : dict
        Of perpmart, Python, PostgreSQL, TimescaleDB and Redis; None where unknown.
    pids : dict
        Of the embedded servers; None where they do not run.
    problems : tuple of str
        One line each; empty when both servers answer.
    """

    state_dir: Path
    database_url: str | None
    redis_url: str | None
    tier: Tier | None
    versions: dict[str, str | None]
    pids: dict[str, int | None]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
        }

    def rows(self) -> list[tuple[str, object]]:
        """Return the fields as lines of a table, for people; passwords masked."""
        return [
            ("PostgreSQL", mask_password(self.database_url) if self.database_url else None),
            ("Redis", mask_password(self.redis_url) if self.redis_url else None),
            ("tier", f"{self.tier}: {TIER_MEANS[self.tier]}" if self.tier else None),
            *((f"{name} version", text) for name, text in self.versions.items()),
            *((f"{name} process", str(pid)) for name, pid in self.pids.items() if pid is not None),
            ("state folder", str(self.state_dir)),
            *(("problem", problem) for problem in self.problems),
        ]


def ask_status(settings: Settings) -> Status:
    """Ask both servers; one that does not answer is a problem in the result, not an error."""
    problems: list[str] = []
    database_tier: Tier | None = None
    versions: dict[str, str | None] = {
        "perpmart": version("perpmart"),
        "python": platform.python_version(),
        "postgresql": None,
        "timescaledb": None,
        "redis": None,
    }
    database_url = redis_url = None
    try:
        database_url = settings.database_url and mask_password(settings.database_url)
        database_url = database_url or addresses.database_url(settings)
        with connect(settings, autocommit=True) as connection:
            versions |= server_versions(connection)
            database_tier = tier(connection)
    except PerpmartError as error:
        problems.append(str(error))
    try:
        redis_url = settings.redis_url and mask_password(settings.redis_url)
        redis_url = redis_url or addresses.redis_url(settings)
        versions["redis"] = redis_version(addresses.redis_url(settings))
    except PerpmartError as error:
        problems.append(str(error))
    return Status(
        state_dir=settings.state_dir,
        database_url=database_url,
        redis_url=redis_url,
        tier=database_tier,
        versions=versions,
        pids=embedded.pids(settings.state_dir),
        problems=tuple(problems),
    )


def redis_version(url: str) -> str:
    """Ask the Redis at `url` for its version.

    Raises
    ------
    RedisError
        If it cannot be reached or refuses us.
    """
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            return str(client.info("server")["redis_version"])
    except (redis.RedisError, ValueError) as error:
        raise RedisError(f"no connection to Redis at {mask_password(url)}: {error}") from error
