"""How long PostgreSQL plans queries on mart.feature_mart; under 50 ms each is the promise.

Usage: python benchmarks/planning_time.py postgresql://user@host/database

Needs a built mart; nothing is changed. Each query is planned in a fresh session, as by a first visitor
(who reads the catalogue too), and again in the same one; the worst of seven sessions counts. Prints a
markdown table.
"""

import re
import sys

from perpmart.database import connect_to

LIMIT_MS = 50
SESSIONS = 7
BTC = "select * from mart.feature_mart where symbol = 'BTC/USDT'"
QUERIES = {
    "all features, all bars": "select * from mart.feature_mart",
    "all features of a symbol": BTC,
    "a symbol's last day": f"{BTC} and time >= now() - interval '1 day'",
    "a symbol's newest bar": f"{BTC} order by time desc limit 1",
    "one feature of all symbols": (
        "select symbol, time, rsi_14 from mart.feature_mart where time >= '2026-03-10Z'"
    ),
    "mean by symbol": ("select symbol, avg(return_1), avg(oi_zscore) from mart.feature_mart group by symbol"),
    "newest vectors": "select * from mart.latest_features",
    "a group's view": "select * from mart.price_features where symbol = 'BTC/USDT'",
}


def planning_ms(url: str, query: str) -> tuple[float, float]:
    """Plan a query twice in one fresh session."""
    with connect_to(url) as connection:
        times = []
        for _ in range(2):
            lines = connection.execute(f"explain (summary) {query}".encode()).fetchall()
            found = re.search(r"Planning Time: ([\d.]+) ms", "\n".join(line for (line,) in lines))
            assert found is not None
            times.append(float(found[1]))
    return times[0], times[1]


def main() -> None:
    """Measure and print."""
    url = sys.argv[1]
    with connect_to(url) as connection:
        row = connection.execute(
            "select count(*), count(distinct symbol), max(time) - min(time) from bars.bars_5m"
        ).fetchone()
    print(f"rows, symbols, span: {row}\n")
    print("| query | first in a session, ms | later, ms |\n|---|---|---|")
    for name, query in QUERIES.items():
        times = [planning_ms(url, query) for _ in range(SESSIONS)]
        first, later = (max(one[place] for one in times) for place in (0, 1))
        print(f"| {name} | {first:.1f} | {later:.1f} |{' too slow' if max(first, later) > LIMIT_MS else ''}")


if __name__ == "__main__":
    main()
