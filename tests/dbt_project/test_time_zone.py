"""Days, weeks and sessions are UTC, whatever the session's time zone."""

from perpmart.database import connect_to
from perpmart.engine import run_pending
from simulator.presets import demo_market

from .mart import Databases, load_market, name_of, read_mart


def test_a_build_in_another_time_zone_gives_the_same_mart(databases: Databases) -> None:
    market = demo_market(days=4)
    with databases.lent() as url, databases.lent() as eastern:
        with connect_to(url) as connection:
            load_market(connection, market)
            run_pending(connection)
            expected = read_mart(connection)
        with connect_to(eastern, autocommit=True) as connection:
            connection.execute(f"alter database {name_of(eastern)} set timezone = 'Asia/Kolkata'".encode())
        with connect_to(eastern) as connection:
            connection.execute("set timezone = 'Asia/Kolkata'")
            load_market(connection, market)
            run_pending(connection)
            assert connection.execute("show timezone").fetchone() == ("Asia/Kolkata",)
            connection.execute("set timezone = 'UTC'")
            found = read_mart(connection)
    assert len(found) == 3 * 4 * 288
    assert found.equals(expected)
