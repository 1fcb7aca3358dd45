"""What the exchange's REST interface cannot give, recorded for the demo as a listener would have done."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from collectors.archive import import_files
from collectors.coverage import close_gaps
from collectors.rows import Coverage, Liquidation
from collectors.symbols import exchange_symbol
from collectors.writer import Writer
from perpmart.database import Connection
from simulator.market import Market

_SLOT = timedelta(seconds=10)
_COLUMNS = (
    *("symbol", "side", "order_type", "time_in_force", "orig_qty", "price", "avg_price", "status"),
    *("last_filled_qty", "filled_accum_qty", "trade_time"),
)


def record_liquidations(
    connection: Connection, market: Market, symbols: Sequence[str], start: datetime
) -> int:
    """Import the market's forced orders as a file of recorded messages; returns the number of new rows.

    Somebody is said to have listened all the time from ``start`` to the market's end.
    """
    events = [row for symbol in symbols for row in market.rows("liquidations", symbol, start)]
    with TemporaryDirectory(prefix="perpmart-") as folder:
        path = Path(folder) / "forceOrder.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(_line(event) for event in events if isinstance(event, Liquidation))
        report = import_files(connection, [path], now=market.end, watched=[(start, market.end)])
    return report.total.inserted


def _line(event: Liquidation) -> tuple[object, ...]:
    return (
        *(exchange_symbol(event.symbol), event.side, event.order_type, event.time_in_force),
        *(event.original_quantity, event.original_price, event.price, event.status),
        *(event.quantity, event.quantity, round(event.time.timestamp() * 1000)),
    )


def import_recordings(connection: Connection, folder: Path, now: datetime) -> int:
    """Import the recorded files that the simulated exchange can't serve; returns the number of new rows.

    These are liquidations, which have no REST history, and statistics of a wider period than the 5 minutes
    that the collectors ask for. Nobody knows when the liquidations were listened for, so bars without one
    stay unknown.
    """
    kinds = ("liquidations", "open_interest", "long_short_ratio")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.startswith(kinds))
    return import_files(connection, folders, now=now).total.inserted if folders else 0


def record_books(connection: Connection, market: Market, symbols: Sequence[str], length: timedelta) -> int:
    """Write the books of the market's last stretch, one each ten seconds; returns the number of new rows."""
    start, written = market.end - length, 0
    for symbol in symbols:
        rows = market.rows("order_book", symbol, start, every=_SLOT)
        covered = [Coverage("order_book", symbol, start, market.end)]
        result = Writer(connection).write(rows, source="stream", now=market.end, covered=covered)
        written += result.inserted
    return written


def close_recorded_gaps(connection: Connection, market: Market) -> None:
    """Strike off the holes that the recordings have filled."""
    close_gaps(connection, now=market.end)
    connection.commit()
