"""A connection to the database that comes back: after a restart, or when the disk has room again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import psycopg

from collectors.coverage import Connection
from collectors.errors import backoff_delays
from perpmart.errors import DatabaseError

P = ParamSpec("P")
T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
_NEVER_MORE = 1_000_000
_log = logging.getLogger(__name__)


def may_pass(error: BaseException) -> bool:
    """Tell whether a failure of the database can pass by itself.

    A lost connection, a server that starts or stops, a full disk, too many connections, a lock or a statement
    that was given up: yes. A missing table or a wrong type: no.
    """
    if isinstance(error, DatabaseError):
        return error.__cause__ is None or may_pass(error.__cause__)
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


class Database:
    """Runs functions of one connection in a thread, one at a time.

    Parameters
    ----------
    connect : callable
        Opens a connection; raises DatabaseError when it cannot.
    on_failure : callable, optional
        Told each failure that may pass, in words.
    """

    def __init__(
        self, connect: Callable[[], Connection], *, on_failure: Callable[[str], None] = lambda why: None
    ) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._on_failure = on_failure
        self.failures = 0

    @property
    def is_busy(self) -> bool:
        """Whether a function runs at this moment."""
        return self._turn.locked()

    async def call(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function with the connection; what it had not committed is rolled back when it fails.

        Raises
        ------
        DatabaseError, psycopg.Error
            As they come. A broken connection is replaced on the next call.
        """
        async with self._turn:
            work = asyncio.ensure_future(asyncio.to_thread(lambda: self._run(function, *args, **kwargs)))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                # The thread cannot be stopped: let it end, or two would share the connection.
                while not work.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([work])
                work.exception()
                raise

    async def insist(
        self, what: str, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function until it succeeds, as long as its failures are such as may pass.

        Raises
        ------
        DatabaseError, psycopg.Error
            The first failure that will not pass by itself.
        """
        delays = backoff_delays(retries=_NEVER_MORE, first=FIRST_WAIT, ceiling=LONGEST_WAIT)
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except (psycopg.Error, DatabaseError) as error:
                if not may_pass(error):
                    raise
                self.failures += 1
                said = next(iter(str(error).splitlines()), type(error).__name__)
                _log.info("%s failed, tried again: %s", what, said)
                self._on_failure(f"{what} failed, tried again: {said}")
                await asyncio.sleep(next(delays))

    def cancel(self) -> None:
        """Ask the server to give up the statement that runs; its function then fails with QueryCanceled."""
        connection = self._connection
        if connection is not None and not connection.closed:
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=2.0)

    async def close(self) -> None:
        """Close the connection once it is idle."""
        async with self._turn:
            if self._connection is not None:
                self._connection.close()

    def _run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        connection = self._connection
        try:
            return function(connection, *args, **kwargs)
        except BaseException:
            try:
                connection.rollback()
            except psycopg.Error:
                connection.close()
            raise
