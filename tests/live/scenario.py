"""Days to live through, and all that goes wrong in them."""

from __future__ import annotations

from datetime import timedelta

from simulator.presets import wide_market
from simulator.stream_plan import StreamPlan
from tests.live.day import EVERY_MS, Day

FAILURES = {
    "least_every_ms": EVERY_MS,
    "silence_seconds": 240.0,
    "duplicate_share": 0.02,
    "disorder_share": 0.02,
    "disorder_ms": 800,
    "seed": 5,
}


def make_day(
    *,
    symbols: int,
    bars: int,
    history: int,
    speed: float,
    outage: tuple[int, int],
    after: int = 2,
    **plan: float,
) -> Day:
    """Make a day: `history` days go before it, it begins `after` days before the market's end.

    `outage` is its first and last minute.
    """
    market = wide_market(symbols=symbols, days=history + after)
    start = market.end - timedelta(days=after)
    out = tuple(start + timedelta(minutes=minute) for minute in outage)
    failures = StreamPlan(**FAILURES, **plan, outages=((out[0], out[1]),))  # type: ignore[arg-type]
    return Day(market, start, start + timedelta(minutes=5 * bars), speed, failures)
