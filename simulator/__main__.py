"""Command line: ``python -m simulator --market demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from simulator.faults import FaultPlan, parse_plan
from simulator.presets import MARKETS, open_market
from simulator.server import make_clock, serve
from simulator.stream_plan import parse_stream_plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and serve; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        market = open_market(
            options.market,
            data=options.data,
            symbols=options.symbols,
            days=options.days,
            end=options.end,
            seed=options.seed,
        )
        faults = parse_plan(options.faults, seed=options.seed) if options.faults else FaultPlan()
        streams = parse_stream_plan(options.stream_faults, seed=options.seed)
        clock = make_clock(market, speed=options.speed)
        serve(market, port=options.port, clock=clock, faults=faults, streams=streams)
    except (ValueError, OverflowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description="A local exchange for tests and demos."
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--market", choices=MARKETS, default="demo", help="synthetic market to serve")
    source.add_argument("--data", type=Path, metavar="DIR", help="serve recorded files instead")
    parser.add_argument("--symbols", type=int, default=10, help="number of symbols of the wide market")
    parser.add_argument("--seed", type=int, default=7, help="seed of the market and the faults")
    parser.add_argument("--days", type=int, help="days of history (demo and wide: 30, test: 14)")
    parser.add_argument("--end", type=_day, help="day at whose 00:00 UTC the history ends, like 2026-07-01")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--speed", type=float, default=0.0, help="exchange seconds per second; 0: the clock stands"
    )
    parser.add_argument(
        "--faults", default="", help="like 429=0.05,418=0.01,5xx=0.05,reset=0.02,slow=0.02,latency_ms=20"
    )
    parser.add_argument(
        "--stream-faults", default="", help="like drops_per_hour=2,silences_per_hour=1,duplicate_share=0.01"
    )
    return parser


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day like 2026-07-01") from None


if __name__ == "__main__":
    sys.exit(main())
