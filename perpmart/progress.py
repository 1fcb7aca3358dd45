"""How far long work is: a bar with rate and time left on a terminal, a line now and then elsewhere.

Everything goes to standard error, so that what a command prints can be piped on.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

_SECONDS_BETWEEN_LINES = 10.0


class Show(Protocol):
    """Tells how far the work is."""

    def __call__(self, done: float, total: float, *, rows: int, what: str = "") -> None:
        """Show `done` of `total` steps, the rows so far and what is being done."""


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show the progress of the work inside the block; yields the function to call at each step.

    Examples
    --------
    >>> with progress("importing") as show:
    ...     show(1, 2, rows=1000, what="SOLUSDT-5m-2026-02.zip")
    """
    if sys.stderr.isatty():
        with _bar(title) as show:
            yield show
    else:
        yield _Lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[what]}", style="dim"),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=None, rate="", what="")

        def show(done: float, total: float, *, rows: int, what: str = "") -> None:
            rate = _rate(rows, time.monotonic() - started)
            bar.update(task, completed=done, total=total, rate=rate, what=what)

        yield show
        bar.update(task, what="")


class _Lines:
    """A line at most every ten seconds: for logs and for continuous integration."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = self._said = time.monotonic()

    def __call__(self, done: float, total: float, *, rows: int, what: str = "") -> None:
        now = time.monotonic()
        if now - self._said < _SECONDS_BETWEEN_LINES:
            return
        self._said = now
        elapsed = now - self._started
        left = timedelta(seconds=round(elapsed * (total - done) / done)) if done else "unknown time"
        share = f"{done / total:.0%}" if total else "0%"
        print(f"{self._title}: {share}, {_rate(rows, elapsed)}, {left} left {what}".rstrip(), file=sys.stderr)


def _rate(rows: int, seconds: float) -> str:
    return f"{rows:,} rows, {rows / seconds:,.0f}/s" if seconds > 0 else f"{rows:,} rows"
