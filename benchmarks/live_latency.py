"""From a bar's last kline to its vectors in Redis: `perpmart live` against the simulated exchange.

Usage: python benchmarks/live_latency.py --symbols 10 [--history 3] [--bars 30] [--speed 10] [--hour 12]

Starts servers of its own, fills a mart with some days of history (order books and mark prices of the live
bars only), lets the exchange's clock run `speed` times as fast, and reads what the live process says of each
bar. The first bars, served while a process that has just started still catches up, are not counted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np

from benchmarks.increment import NOON
from perpmart.build import run_dbt
from perpmart.database import connect_to
from perpmart.migrations import migrate
from perpmart.servers.addresses import database_url, redis_url
from perpmart.servers.embedded import down, up
from perpmart.settings import Settings
from simulator.market import Kind
from simulator.presets import wide_market
from simulator.stream_plan import StreamPlan
from tests.dbt_project.mart import Databases, name_of
from tests.live.day import EVERY_MS, Day, lived, prepare

HISTORY: tuple[Kind, ...] = (*("ohlcv", "open_interest", "long_short_ratio", "funding_rate", "liquidations"),)
STARTING = 3

LINE = re.compile(r"vectors: run ([\d.]+) s, push ([\d.]+) s, ([\d.]+) s after its last kline")


def measure(settings: Settings, day: Day, folder: Path) -> list[tuple[float, ...]]:
    """Give seconds of models, of push, and from the last kline to the end of the push, a bar each."""
    server = database_url(settings)
    with connect_to(server, autocommit=True) as admin:
        admin.execute("create database latency_template")
    url = server.replace("/perpmart?", "/latency_template?")
    with connect_to(url) as connection:
        migrate(connection)
    run_dbt(["build", "--resource-type", "seed", "--resource-type", "model"], url)
    url = prepare(Databases(server, name_of(url)), day, kinds=HISTORY)
    with lived(day, url, redis_url(settings), folder) as live:
        found = [LINE.search(line) for line in live.lines]
        return [tuple(map(float, match.groups())) for match in found if match][STARTING:]


def main() -> None:
    """Prepare, live, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--history", type=int, default=3, help="days before the run")
    parser.add_argument("--bars", type=int, default=30)
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--hour", type=int, default=NOON, help="UTC, of the first bar")
    options = parser.parse_args()
    market = wide_market(symbols=options.symbols, days=options.history + 2)
    start = market.end - timedelta(days=2) + timedelta(hours=options.hour)
    day = Day(
        market,
        start,
        start + options.bars * timedelta(minutes=5),
        options.speed,
        StreamPlan(least_every_ms=EVERY_MS),
    )
    folder = Path(tempfile.mkdtemp(prefix="perpmart-latency-"))
    settings = Settings(_env_file=None, state_dir=folder / ".perpmart")  # type: ignore[call-arg]
    up(settings)
    before = os.getloadavg()[::2]
    try:
        seconds = np.array(measure(settings, day, folder))
    finally:
        down(settings)
        shutil.rmtree(folder)
    load = ", ".join(f"{one:.1f}" for one in (*before, *os.getloadavg()[:1]))
    print(
        f"{options.symbols} symbols, {options.history} days of history, {len(seconds)} bars from"
        f" {options.hour}:00 UTC; load before"
        f" (1 and 15 min) and after: {load}"
    )
    for name, column in zip(("models", "push", "last kline to Redis"), seconds.T, strict=True):
        middle, high, most = np.percentile(column, [50, 95, 100])
        print(f"{name}: median {middle:.2f} s, p95 {high:.2f} s, max {most:.2f} s")


if __name__ == "__main__":
    main()
