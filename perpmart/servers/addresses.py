"""Where PostgreSQL and Redis are: addresses given in the settings, else those of the embedded servers."""

from perpmart.errors import DatabaseError, RedisError
from perpmart.servers.state import read_state
from perpmart.settings import Settings


def database_url(settings: Settings) -> str:
    """Return the address of PostgreSQL, password included.

    Raises
    ------
    DatabaseError
        If none is given and the embedded one was never started here.
    """
    if settings.database_url:
        return settings.database_url
    state = read_state(settings.state_dir)
    if state is None:
        raise DatabaseError(
            f"no database: run `perpmart up` (none in {settings.state_dir} yet) or set PERPMART_DATABASE_URL"
        )
    return state.database_url


def redis_url(settings: Settings) -> str:
    """Return the address of Redis, password included.

    Raises
    ------
    RedisError
        If none is given and the embedded one was never started here.
    """
    if settings.redis_url:
        return settings.redis_url
    state = read_state(settings.state_dir)
    if state is None:
        raise RedisError(
            f"no Redis: run `perpmart up` (none in {settings.state_dir} yet) or set PERPMART_REDIS_URL"
        )
    return state.redis_url
