"""Several sessions, kills and a policy's work beside a run: on the Community server that is given."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import sleep
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from perpmart import build as building
from perpmart.build import BuildError, build, run_dbt
from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from perpmart.errors import PerpmartError
from perpmart.hypertables import Upkeep, keep_in_chunks
from perpmart.migrations import migrate
from perpmart.roles import ROLES, make_roles, role_name
from tests.dbt_project.project import changed, copy_project

from .market import MARKET, catch_up, disagreements, fill, snapshot
from .rollups import buckets, faults, jobs
from .servers import NativeServer, initialise

pytestmark = pytest.mark.proof

ROLLUPS = "path:dbt_project/models/rollups"
ROUNDS = 100


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Models folder of a copy of the project, which `build` takes for the checkout."""
    patch = pytest.MonkeyPatch()
    patch.setattr(building, "PROJECT", copy_project(tmp_path))
    yield tmp_path / "dbt_project"
    patch.undo()


@pytest.fixture(scope="module")
def url(native: NativeServer) -> str:
    """Address of a database with the market, built."""
    made = native.new_database()
    with connect_to(made) as connection:
        fill(connection)
    build(made)
    return made


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with connect_to(url) as opened:
        yield opened
        opened.rollback()


def aggregate_ids(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        "select user_view_name, mat_hypertable_id from _timescaledb_catalog.continuous_agg"
    )
    found: dict[str, int] = dict(rows.fetchall())
    connection.rollback()
    return found


def test_changed_sql_makes_one_roll_up_anew_and_no_other(
    url: str, connection: Connection, project: Path
) -> None:
    before, held = aggregate_ids(connection), snapshot(connection)
    with changed(project / "models/rollups/roll_ohlcv_4h.sql", "max(high) as high", "max(high) + 0 as high"):
        outcomes = build(url)
    after = aggregate_ids(connection)
    assert {name for name in before if before[name] != after[name]} == {"roll_ohlcv_4h"}
    said = {one.name for one in outcomes if "definition has changed" in one.message}
    assert said == {"roll_ohlcv_4h"}
    assert disagreements(held, snapshot(connection)) == []
    assert faults(connection) == []
    with changed(project / "models/rollups/roll_ohlcv_4h.sql", "max(high) as high", "max(high) * 2 as high"):
        build(url)
    differ = {name.split(".")[0] for name in disagreements(held, snapshot(connection))}
    assert differ
    build(url)
    assert disagreements(held, snapshot(connection)) == []


def test_a_run_without_changes_touches_no_row_policy_or_chunk(url: str, connection: Connection) -> None:
    before = buckets(connection), jobs(connection), aggregate_ids(connection)
    build(url)
    assert (buckets(connection), jobs(connection), aggregate_ids(connection)) == before


def test_late_rows_reach_compressed_chunks_aggregates_and_features(
    native: NativeServer, url: str, connection: Connection
) -> None:
    compressed = connection.execute(
        "select count(compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass))"
        " from timescaledb_information.chunks where hypertable_schema = 'raw'"
    ).fetchone()
    connection.commit()
    assert compressed is not None
    assert compressed[0] > 3
    before = snapshot(connection)
    catch_up(connection)
    run_pending(connection)
    after = snapshot(connection)
    differ = disagreements(before, after)
    assert any("rollups" in name for name in differ)
    assert any("features" in name for name in differ)
    assert faults(connection) == []
    twin = native.new_database()
    with connect_to(twin) as other:
        fill(other)
        catch_up(other)
    build(twin)
    with connect_to(twin) as other:
        assert disagreements(after, snapshot(other)) == []


def test_late_rows_reach_compressed_features_too(url: str, connection: Connection) -> None:
    said = keep_in_chunks(connection, upkeep=Upkeep(compress_features=30))
    assert "features.feat_oi__interest is compressed after 30 days" in said
    connection.execute(
        "select compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass)"
        " from timescaledb_information.chunks where hypertable_schema in ('bars', 'features')"
    )
    connection.execute(
        "update raw.ohlcv set close = low where time = %s", [MARKET.start + timedelta(hours=30)]
    )
    connection.commit()
    before = snapshot(connection)
    # As 100,000 are where there are many symbols.
    connection.execute("set timescaledb.max_tuples_decompressed_per_dml_transaction = 100")
    assert {run.model for run in run_pending(connection) if run.written} >= {"bars_5m", "feat_price__trend"}
    after = snapshot(connection)
    assert disagreements(before, after) != []
    build(url, full_refresh=True)
    assert disagreements(after, snapshot(connection)) == []


@pytest.mark.parametrize(
    ("table", "model"),
    [
        ("ohlcv", "bars_5m"),
        ("mark_price", "bars_5m"),
        ("open_interest", "bars_5m"),
        ("funding_rate", "feat_funding__rates"),
    ],
)
def test_what_was_made_from_rows_that_raw_has_dropped_is_not_lost_silently(
    native: NativeServer, table: str, model: str
) -> None:
    url = native.new_database()
    with connect_to(url) as connection:
        connection.execute("select set_chunk_time_interval(%s, interval '1 day')", [f"raw.{table}"])
        fill(connection)
    build(url)
    with connect_to(url) as connection:
        # The market is not as old as the policy wants: what its job would do is done by hand.
        keep_in_chunks(connection, upkeep=Upkeep(retain=40_000))
        before = snapshot(connection)
        kept_from = MARKET.start + timedelta(days=1)
        dropped = connection.execute("select drop_chunks(%s, older_than => %s)", [f"raw.{table}", kept_from])
        assert dropped.fetchall()
        connection.commit()
    with pytest.raises(
        BuildError, match=rf"{model} cannot be computed anew .* rows of {table} .* no longer in raw"
    ):
        build(url, select=model, full_refresh=True)
    with connect_to(url) as connection:
        assert disagreements(before, snapshot(connection)) == []
        connection.execute("update raw.ohlcv set close = low where time = (select max(time) from raw.ohlcv)")
        connection.commit()
        ran = {run.model for run in run_pending(connection) if run.written}
        assert ran >= {"bars_5m", "feat_price__trend"}


def test_roll_ups_of_a_builder_are_refreshed_by_jobs_and_no_session_is_the_builders(
    native: NativeServer,
) -> None:
    url, prefix, bob = native.new_database(), "rt_", f"bob_{uuid4().hex[:6]}"
    with connect_to(url, prefix=prefix) as owner:
        migrate(owner, prefix)
        keep_in_chunks(owner, prefix)
        make_roles(owner, prefix)
        names = [role_name(role, prefix) for role in ROLES]
        owner.execute(
            f"create role {bob} login password 'for-this-test-only'; grant {names[1]} to {bob};"
            f" alter role {bob} set role = {names[1]}".encode()
        )
        owner.commit()
        try:
            run_dbt(["build"], as_user(url, bob), prefix=prefix)
            owner.execute(
                "select alter_job(job_id, next_start => now()) from timescaledb_information.jobs"
                " where owner::text = %s",
                [names[1]],
            )
            owner.commit()
            for _ in range(100):
                done = owner.execute(
                    "select count(*) from timescaledb_information.job_stats"
                    " inner join timescaledb_information.jobs using (job_id)"
                    " where owner::text = %s and last_run_status = 'Success'",
                    [names[1]],
                ).fetchone()
                owner.rollback()
                if done == (6,):
                    break
                sleep(0.2)
            assert done == (6,)
            with pytest.raises(psycopg.OperationalError, match=r"too many connections|password"):
                psycopg.connect(as_user(url, names[1]))
        finally:
            owner.rollback()
            for name in (bob, *names):
                owner.execute(f"reassign owned by {name} to current_user; drop owned by {name}".encode())
                owner.execute(f"drop role {name}".encode())
            owner.commit()


def as_user(url: str, name: str) -> str:
    return make_conninfo(url, user=name, password="for-this-test-only")


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run something in a thread until the block ends; what it raises is raised here."""
    stop, raised = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001  # raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if raised:
        raise raised[0]


def test_a_policy_and_a_writer_beside_a_hundred_builds(url: str) -> None:
    refreshed = written = 0
    with connect_to(url) as session:
        session.execute(
            "select alter_job(job_id, schedule_interval => interval '1 second', next_start => now())"
            " from timescaledb_information.jobs where proc_name = 'policy_refresh_continuous_aggregate'"
        )
        session.commit()

    def policy(stop: threading.Event) -> None:
        nonlocal refreshed
        with connect_to(url, autocommit=True) as session:
            names = [f"rollups.{name}" for name in aggregate_ids(session)]
            while not stop.is_set():
                for name in names:
                    # As a policy's job does, over all there is: the widest chance to meet.
                    try:
                        session.execute(f"call refresh_continuous_aggregate('{name}', null, null)".encode())
                        refreshed += 1
                    except psycopg.errors.LockNotAvailable:
                        sleep(0.01)

    def writer(stop: threading.Event) -> None:
        nonlocal written
        with connect_to(url) as session:
            while not stop.is_set():
                at = MARKET.start + timedelta(minutes=5 * (written * 37 % 700))
                session.execute("update raw.ohlcv set volume = volume * 1.01 where time = %s", [at])
                session.commit()
                written += 1
                sleep(0.05)

    with beside(policy), beside(writer):
        for place in range(ROUNDS):
            build(url, select=None if place % 10 == 0 else ROLLUPS)
    build(url)
    assert refreshed > ROUNDS
    assert written > ROUNDS
    with connect_to(url) as session:
        assert faults(session) == []
        assert session.execute("select count(*) from pending").fetchone() == (0,)
        jobs_done = session.execute(
            "select sum(total_successes) from timescaledb_information.job_stats"
            " inner join timescaledb_information.jobs using (job_id)"
            " where proc_name = 'policy_refresh_continuous_aggregate'"
        ).fetchone()
        assert jobs_done is not None
        assert jobs_done[0] > ROUNDS


def crash(url: str) -> None:
    """Stop the server at once: it ends all sessions and recovers from its log."""
    with psycopg.connect(url, autocommit=True) as witness:
        with psycopg.connect(url, autocommit=True) as admin, pytest.raises(psycopg.OperationalError):
            admin.execute(
                "do $$ begin execute format('copy (select 1) to program ''kill -9 %s''', pg_backend_pid());"
                " perform pg_sleep(10); end $$"
            )
        # Until the server has noticed, it lets new sessions in, and ends them at once.
        with pytest.raises(psycopg.OperationalError):
            witness.execute("select pg_sleep(60)")
    for _ in range(100):
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            sleep(0.1)
        else:
            return


def interrupted(url: str, work: Callable[[], object], after: float) -> bool:
    """Do some work and stop the server so long after its first session; says whether that hit it."""
    raised: list[PerpmartError | psycopg.Error] = []

    def run() -> None:
        try:
            work()
        except (PerpmartError, psycopg.Error) as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    others = (
        "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend'"
    )
    with psycopg.connect(url, autocommit=True) as watch:
        thread.start()
        while thread.is_alive() and not watch.execute(others).fetchone():
            sleep(0.005)
    sleep(after)
    crash(url)
    thread.join()
    return bool(raised)


def test_a_server_that_stops_during_init_migration_and_refresh_is_completed(native: NativeServer) -> None:
    whole = native.new_database()
    with connect_to(whole) as connection:
        fill(connection)
    build(whole)
    url = native.new_database()
    with psycopg.connect(url, autocommit=True) as admin:
        for schema in ("raw", "build", "staging", "rollups", "bars", "features", "mart"):
            admin.execute(f"drop schema {schema} cascade".encode())

    def init() -> None:
        with connect_to(url) as connection:
            migrate(connection)

    hit = {"init": [interrupted(url, init, after) for after in (0.01, 0.05)]}
    init()
    with connect_to(url) as connection:
        fill(connection)

    def move() -> None:
        with connect_to(url) as connection:
            keep_in_chunks(connection)

    hit["migration"] = [interrupted(url, move, after) for after in (0.02, 0.1, 0.3)]
    initialise(url)
    hit["refresh"] = [
        interrupted(url, lambda: build(url, select=ROLLUPS), after) for after in (0.05, 0.5, 1.0)
    ]
    build(url)
    assert [what for what, tries in hit.items() if not any(tries)] == []
    with connect_to(url) as connection, connect_to(whole) as other:
        assert faults(connection) == []
        assert disagreements(snapshot(connection), snapshot(other)) == []
        count = "select count(*) from timescaledb_information.hypertables where hypertable_schema = 'raw'"
        assert connection.execute(count).fetchone() == (7,)
