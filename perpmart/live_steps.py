"""The steps of a live mart: timed, and told when they fail."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from collectors.coverage import Connection
from collectors.metrics import Metrics
from collectors.stream_database import Database

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Steps:
    """Runs steps with one connection.

    Parameters
    ----------
    database : Database
        With build and raw on its search path.
    metrics : Metrics
    say : callable
        Told one line a failure.
    """

    def __init__(self, database: Database, metrics: Metrics, say: Callable[[str], None]) -> None:
        self.database, self.metrics, self.say = database, metrics, say

    async def do(self, step: str, function: Callable[[Connection], T]) -> T:
        """Run a step; its errors are the caller's."""
        began = time.monotonic()
        try:
            return await self.database.call(function)
        finally:
            self.metrics.steps.labels(step).observe(time.monotonic() - began)

    def failed(self, step: str, error: BaseException) -> None:
        """Count a failure and tell it."""
        self.metrics.failures.labels(step).inc()
        said = " ".join(str(error).split())
        _log.info("%s failed: %s", step, said)
        self.say(f"{step} failed, tried again: {said}")
