"""A live run through a broken exchange: at last the mart is that of a batch build over complete data."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from tests.dbt_project.mart import Databases
from tests.live.day import lived, prepare
from tests.live.judge import check_holes, judge
from tests.live.scenario import make_day


@pytest.mark.timeout(900)
def test_half_an_hour_with_every_failure_and_two_kills_ends_as_a_batch_build(
    databases: Databases, redis_url: str, tmp_path: Path
) -> None:
    day = make_day(
        symbols=3, bars=7, history=2, speed=60, outage=(11, 21), drops_per_hour=4.0, silences_per_hour=2.0
    )
    url = prepare(databases, day)
    history = databases.make(of=url)
    kills = (timedelta(minutes=7), timedelta(minutes=26))
    with lived(day, url, redis_url, tmp_path, kills=kills) as live:
        print("\n".join(live.lines))
        print(judge(databases, live, history, by_dbt=False))
        check_holes(live)


DAY_SPEED = 40.0
"""A bar in 7.5 s: its models, statistics and repairs fit in that on two cores that have other work too."""

OUTAGE = (11 * 60 + 2, 11 * 60 + 32)
"""Minutes of the day; it begins and ends within bars."""


@pytest.mark.proof
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("kills", [0, 10], ids="{} kills".format)
def test_a_day_with_every_failure_ends_as_a_batch_build(
    databases: Databases, redis_url: str, tmp_path: Path, kills: int
) -> None:
    day = make_day(
        symbols=10,
        bars=288,
        history=2,
        speed=DAY_SPEED,
        outage=OUTAGE,
        drops_per_hour=1.0,
        silences_per_hour=0.5,
    )
    url = prepare(databases, day)
    history = databases.make(of=url)
    chance = random.Random(kills)
    moments = [timedelta(seconds=chance.uniform(0, 86_400)) for _ in range(kills)]
    # One of them in the outage: a process that starts then finds no exchange.
    moments[:1] = [timedelta(minutes=chance.uniform(*OUTAGE)) for _ in moments[:1]]
    with lived(day, url, redis_url, tmp_path, kills=tuple(moments)) as live:
        print("\n".join(live.lines))
        print("killed at", ", ".join(f"{day.start + moment:%H:%M:%S}" for moment in sorted(moments)))
        print(judge(databases, live, history))
        check_holes(live)
