"""Faults on purpose: seeded, so that a run repeats, and bounded, so that a patient client gets through."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

import numpy as np

from simulator.noise import scattered

Fault: TypeAlias = Literal["429", "418", "5xx", "reset", "slow"]
FAULTS: tuple[Fault, ...] = ("429", "418", "5xx", "reset", "slow")


@dataclass(frozen=True)
class FaultPlan:
    """How often the simulator misbehaves.

    Attributes
    ----------
    rate_429, rate_418, rate_5xx, rate_reset, rate_slow : float
        Share of answers (0..1) that are a refusal, a ban, a server error, a connection reset in the middle of
        the body, a body that dribbles.
    latency_ms : float
        Mean delay of every answer; single ones vary between half and one and a half of it.
    slow_seconds : float
        How long a dribbling body takes.
    ban_seconds : float
        How long an injected ban lasts.
    most_in_a_row : int
        After so many faults on one and the same request it is answered.
    seed : int
        Decides which requests are hit.
    """

    rate_429: float = 0.0
    rate_418: float = 0.0
    rate_5xx: float = 0.0
    rate_reset: float = 0.0
    rate_slow: float = 0.0
    latency_ms: float = 0.0
    slow_seconds: float = 0.5
    ban_seconds: float = 1.0
    most_in_a_row: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        rates = [getattr(self, f"rate_{fault}") for fault in FAULTS]
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError("fault rates are shares of all answers: not negative, together at most 1")
        if min(self.latency_ms, self.slow_seconds, self.ban_seconds, self.most_in_a_row) < 0:
            raise ValueError("delays and bounds of faults are not negative")

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)


def parse_plan(text: str, *, seed: int = 0) -> FaultPlan:
    """Return the plan written as ``429=0.05,5xx=0.1,latency_ms=20``.

    Raises
    ------
    ValueError
        When a name is unknown or a value is no number.
    """
    values: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError:
            raise ValueError(f"fault {part!r} is not written as name=number") from None
    return plan_from({"seed": seed, **values})


def plan_from(values: dict[str, Any]) -> FaultPlan:
    """Return a plan from a mapping whose names may lack ``rate_`` (``{"429": 0.1}``)."""
    known = {one.name for one in fields(FaultPlan)}
    named = {f"rate_{name}" if name in FAULTS else name: value for name, value in values.items()}
    unknown = sorted(set(named) - known)
    if unknown:
        raise ValueError(f"unknown fault {unknown[0]!r}; known are {', '.join([*FAULTS, *sorted(known)])}")
    typed: dict[str, Any] = {
        name: int(value) if name in ("seed", "most_in_a_row") else float(value)
        for name, value in named.items()
    }
    return FaultPlan(**typed)


class FaultInjector:
    """Decides which answers are spoilt. The n-th answer to one request depends on the seed alone.

    Parameters
    ----------
    plan : FaultPlan
        Rates and bounds.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self._asked: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def next_fault(self, request: str) -> Fault | None:
        """Return the fault for the next answer to `request` (path and query), None for a good one."""
        self._asked[request] += 1
        draw = self._draw("fault", request)
        if self._in_a_row[request] < self.plan.most_in_a_row:
            for fault in FAULTS:
                draw -= getattr(self.plan, f"rate_{fault}")
                if draw < 0:
                    self._in_a_row[request] += 1
                    return fault
        del self._in_a_row[request]
        return None

    def next_latency(self, request: str) -> float:
        """Return how many seconds the answer to `request` waits."""
        if self.plan.latency_ms == 0:
            return 0.0
        return self.plan.latency_ms / 1000.0 * (0.5 + self._draw("latency", request))

    def _draw(self, name: str, request: str) -> float:
        turn = np.array([self._asked[request]], dtype=np.int64)
        return float(scattered(self.plan.seed, f"{name}/{request}", turn)[0])
