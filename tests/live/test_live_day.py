"""A live run through a broken exchange: at last the mart is that of a batch build over complete data."""

from __future__ import annotations

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
