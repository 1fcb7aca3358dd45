"""How the simulated streams behave: how often they speak, and how they fail on purpose."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from simulator.market import to_ms
from simulator.noise import scattered

HOUR_MS = 3_600_000
FailureKind: TypeAlias = Literal["drop", "silence", "outage", "end of life"]


@dataclass(frozen=True)
class StreamPlan:
    """Cadence and failures of the streams; all durations are the exchange's own time.

    Attributes
    ----------
    least_every_ms : int
        No stream speaks more often than this: a clock that runs 100 times as fast would else send 100 times
        as many messages a second.
    drops_per_hour, silences_per_hour : float
        How often, on average, each connection is cut, or stays open and says nothing.
    silence_seconds : float
        How long such a silence lasts.
    duplicate_share, disorder_share : float
        Share of messages (0..1) that come twice, or late and so out of order.
    disorder_ms : int
        How late the latter are at most.
    outages : tuple of (datetime, datetime)
        Half-open spans in which nothing answers: connections are cut and refused, REST too.
    life_seconds : float
        Age at which a connection is closed.
    seed : int
        Decides what is hit.
    """

    least_every_ms: int = 0
    drops_per_hour: float = 0.0
    silences_per_hour: float = 0.0
    silence_seconds: float = 120.0
    duplicate_share: float = 0.0
    disorder_share: float = 0.0
    disorder_ms: int = 800
    outages: tuple[tuple[datetime, datetime], ...] = ()
    life_seconds: float = 86_400.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.duplicate_share, self.disorder_share)
        if min(shares) < 0 or max(shares) > 1:
            raise ValueError("shares of duplicates and of disorder lie between 0 and 1")
        rest = (self.least_every_ms, self.drops_per_hour, self.silences_per_hour, self.silence_seconds)
        if min(*rest, self.disorder_ms, self.life_seconds) < 0:
            raise ValueError("rates and durations of streams are not negative")

    def is_out(self, at_ms: int) -> bool:
        """Tell whether nothing answers at an instant (epoch ms)."""
        return any(to_ms(start) <= at_ms < to_ms(end) for start, end in self.outages)

    def next_failure_ms(self, what: str, per_hour: float, connection: int, from_ms: int) -> int | None:
        """Return when a connection fails next in one way, at a mean rate; None for never."""
        if per_hour <= 0:
            return None
        share = self.draw(f"{what}/{connection}", from_ms)
        return from_ms + int(-np.log(1.0 - share) * HOUR_MS / per_hour)

    def draw(self, name: str, key: int) -> float:
        """Return a number in [0, 1) that depends on the seed, a name and a key alone."""
        return float(scattered(self.seed, name, np.array([key], dtype=np.int64))[0])

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)


class Failure(NamedTuple):
    """A failure that was injected: which streams said nothing, from when to when (epoch ms).

    ``to_ms`` is 0 for a connection that was cut: when it is back is the client's doing.
    """

    kind: FailureKind
    from_ms: int
    to_ms: int
    streams: tuple[str, ...]


def parse_stream_plan(text: str, *, seed: int = 0) -> StreamPlan:
    """Return the plan written as ``drops_per_hour=2,duplicate_share=0.01``; outages have no text.

    Raises
    ------
    ValueError
        When a name is unknown or a value is no number.
    """
    known = {one.name: one.type for one in fields(StreamPlan) if one.name != "outages"}
    values: dict[str, Any] = {"seed": seed}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        if name not in known:
            raise ValueError(f"unknown failure of streams {name!r}; known are {', '.join(known)}")
        try:
            values[name] = int(number) if known[name] == "int" else float(number)
        except ValueError:
            raise ValueError(f"{part!r} is not written as name=number") from None
    return StreamPlan(**values)
