"""Runs beside runs and writers: all changes are taken once they are seen, and nobody waits for ever."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from perpmart.build import build
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending

from .arrivals import SLOTS
from .first_build import differences_to_first_build
from .mart import Databases
from .project import fill
from .test_partial_runs import url_of


def together(*actions: Callable[[], object]) -> None:
    """Do several things at once; the first error is raised."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result(timeout=120)


def test_two_runs_and_a_writer_at_once_end_as_a_first_build(
    databases: Databases, mart: Connection, mart_url: str
) -> None:
    finished = threading.Event()

    def write() -> None:
        with connect_to(mart_url) as connection:
            for slot in range(SLOTS):
                fill(mart_url, connection, slot)
        finished.set()

    def run() -> None:
        with connect_to(mart_url) as connection:
            while not finished.is_set():
                run_pending(connection)

    fill(mart_url, mart, 0, symbols=1)
    together(write, run, run)
    run_pending(mart)
    assert differences_to_first_build(databases, mart) == []


def test_dbt_and_a_run_without_it_at_once_end_as_a_first_build(
    databases: Databases, mart: Connection, mart_url: str
) -> None:
    finished = threading.Event()

    def run() -> None:
        with connect_to(mart_url) as connection:
            slot = 0
            while not finished.is_set():
                fill(mart_url, connection, slot % SLOTS)
                run_pending(connection)
                slot += 1

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run)
        try:
            build(url_of(mart), full_refresh=True)
            build(url_of(mart))
        finally:
            finished.set()
        other.result(timeout=120)
    run_pending(mart)
    assert differences_to_first_build(databases, mart) == []


def test_a_transaction_that_commits_late_is_not_missed(
    databases: Databases, mart: Connection, mart_url: str
) -> None:
    fill(mart_url, mart, 0)
    with connect_to(mart_url) as late:
        late.execute(
            "update ohlcv set volume = 2 * volume where symbol = 'BTC/USDT' and time < '2026-03-02 01:00Z'"
        )
        run_pending(mart)
        fill(mart_url, mart, 1)
        run_pending(mart)
        late.commit()
    written = {run.model: run.written for run in run_pending(mart)}
    assert written["bars_5m"] > 0
    assert differences_to_first_build(databases, mart) == []


def test_changes_that_no_run_needs_any_more_are_forgotten(mart: Connection, mart_url: str) -> None:
    fill(mart_url, mart, 0)
    run_pending(mart)
    with connect_to(mart_url) as late:
        late.execute("update open_interest set open_interest = open_interest + 1 where symbol = 'BTC/USDT'")
        for slot in range(1, SLOTS):
            fill(mart_url, mart, slot)
            run_pending(mart)
        late.commit()
    for _ in range(3):
        runs = run_pending(mart)
    assert all(run.ranges == 0 for run in runs)
    assert mart.execute("select count(*) from changes").fetchone() == (0,)
    assert mart.execute("select count(*) from pending").fetchone() == (0,)


def test_pending_ranges_of_a_model_that_no_run_takes_do_not_pile_up(mart: Connection, mart_url: str) -> None:
    fill(mart_url, mart, 0)
    run_pending(mart)
    for number in range(150):
        mart.execute(
            "update open_interest set open_interest = open_interest + 1"
            " where symbol = 'BTC/USDT' and time = %s",
            [f"2026-03-02 {1 + number % 17:02}:00Z"],
        )
        mart.commit()
        mart.execute("select take_changes()")
        mart.commit()
    row = mart.execute(
        "select max(n), min(first)"
        " from (select count(*) as n, min(from_time) as first from pending group by model) as p"
    ).fetchone()
    assert row is not None
    assert row[0] <= 110
    assert f"{row[1]:%H:%M}" == "00:55"


def test_a_restored_database_starts_anew(databases: Databases, mart: Connection, mart_url: str) -> None:
    fill(mart_url, mart, 0)
    run_pending(mart)
    # In another cluster the same numbers are other transactions: here all changes seem to lie in the future.
    mart.execute("update taken_changes set cluster = 'elsewhere/mart'")
    mart.execute(
        "insert into changes (xid, stream, symbol, from_time, to_time)"
        " values ('999999999999', 'ohlcv', 'BTC/USDT', now(), now())"
    )
    mart.commit()
    assert all(run.written > 0 for run in run_pending(mart) if run.model == "bars_5m")
    assert all(run.ranges == 0 for run in run_pending(mart)), (
        "changes of another cluster are taken again and again"
    )
    assert differences_to_first_build(databases, mart) == []
