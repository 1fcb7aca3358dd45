"""What is flagged comparable does not depend on the units in which prices and quantities are counted.

Prices times 8 and quantities by 64: powers of two move no bit of a mantissa.
"""

import numpy as np

from perpmart.database import Connection, connect_to
from perpmart.engine import run_pending
from simulator.presets import odd_market

from .cuts import compute_from
from .mart import Databases, load_market, read_frame, read_mart

PRICE, QUANTITY = 8, 1 / 64
SCALED = {
    "ohlcv": {
        **dict.fromkeys(("open", "high", "low", "close"), PRICE),
        **dict.fromkeys(("volume", "taker_buy_base"), QUANTITY),
        **dict.fromkeys(("quote_volume", "taker_buy_quote"), PRICE * QUANTITY),
    },
    "open_interest": {"open_interest": QUANTITY, "open_interest_value": PRICE * QUANTITY},
    "mark_price": {"mark_price": PRICE, "index_price": PRICE},
    "liquidations": {"price": PRICE, "quantity": QUANTITY},
    "order_book": {
        **dict.fromkeys(("bid_price", "ask_price"), PRICE),
        **dict.fromkeys(("bid_quantity", "ask_quantity"), QUANTITY),
    },
}
UNIT_FREE_BUT_NOT_COMPARABLE = {
    "oi_quadrant": "a category, no number",
    "funding_rate_current": "as paid: rates of 4 h and 8 h contracts differ by their interval",
    "book_spread_bps": "the tick of the contract sets it",
    "liquidation_count_1h": "more trade in larger markets",
}
SYMBOLS = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "LINK/USDT", "LTC/USDT"]


def rescale(connection: Connection) -> None:
    # Without the triggers that would keep every row's earlier version.
    connection.execute("set local session_replication_role = replica")
    for table, factors in SCALED.items():
        form = (
            "{0} = (select array_agg(v * {1} order by i) from unnest({0}) with ordinality as u (v, i))"
            if table == "order_book"
            else "{0} = {0} * {1}"
        )
        assignments = ", ".join(form.format(name, factor) for name, factor in factors.items())
        connection.execute(f"update {table} set {assignments}".encode())
    connection.execute("set local session_replication_role = origin")


def test_other_units_change_exactly_the_features_that_are_not_comparable(databases: Databases) -> None:
    market = odd_market(days=12)
    with databases.lent() as url, connect_to(url) as connection:
        load_market(connection, market, symbols=SYMBOLS)
        connection.execute("delete from ohlcv where time >= '2026-03-10Z'")
        run_pending(connection)
        before = read_mart(connection)
        registry = read_frame(connection, "select feature, comparable from mart.feature_registry")
        rescale(connection)
        compute_from(connection, None)
        after = read_mart(connection)
    assert after[["symbol", "time"]].equals(before[["symbol", "time"]])
    features = registry["feature"].tolist()
    assert (before[features].notna().sum() > 100).all()
    unchanged = {
        name
        for name in features
        if np.array_equal(before[name].to_numpy(), after[name].to_numpy(), equal_nan=True)
    }
    comparable = set(registry.loc[registry["comparable"].astype(bool), "feature"])
    assert unchanged - comparable == set(UNIT_FREE_BUT_NOT_COMPARABLE)
    assert comparable - unchanged == set()
