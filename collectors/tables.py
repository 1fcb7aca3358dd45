"""What the writer must know about each raw table beyond what PostgreSQL can tell it."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Union, get_args, get_origin, get_type_hints

from collectors.rows import (
    FundingRate,
    Instrument,
    Kline,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    OrderBookSnapshot,
    Row,
    table_of,
)

SLOT = "date_bin(interval '10 seconds', time, timestamptz 'epoch')"
"""SQL expression of the slot of a snapshot: one row per symbol and slot is kept."""

FUTURE = "in the future by the exchange's clock"
FORMING = "bar still forming by the exchange's clock"


@dataclass(frozen=True, kw_only=True)
class Table:
    """How rows of one type become rows of a raw table.

    Parameters
    ----------
    row_type : type
        Named tuple of `collectors.rows`.
    key : tuple of str
        Primary key; the first columns up to the time are equal within a series.
    clock : str
        The key column that counts time.
    optional : tuple of str
        Measures that a source may leave unknown (None) and another may supply. The other measures count as
        one block: they are taken from one version.
    untimely : tuple of pairs of str
        SQL condition on the columns and ``%(now)s`` that refuses a row, and the reason given.
    slotted : bool
        Snapshots of which the newest of each slot stays.
    """

    row_type: type[Row]
    key: tuple[str, ...]
    clock: str = "time"
    optional: tuple[str, ...] = ()
    untimely: tuple[tuple[str, str], ...] = ()
    slotted: bool = False

    @property
    def name(self) -> str:
        """Name of the table."""
        return table_of(self.row_type)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a row fills."""
        return self.row_type._fields

    @property
    def measures(self) -> tuple[str, ...]:
        """Columns outside the key."""
        return tuple(column for column in self.columns if column not in self.key)

    @property
    def series(self) -> tuple[str, ...]:
        """Key columns that are equal within one series: those before the time."""
        return self.key[: self.key.index(self.clock)]

    @property
    def lends(self) -> bool:
        """Whether the table has a column ``borrowed``: unknown measures are filled from other sources."""
        return bool(self.optional) and not self.slotted

    @property
    def column_types(self) -> list[str]:
        """PostgreSQL types of `columns`."""
        hints = get_type_hints(self.row_type)
        return [_postgres_type(hints[column]) for column in self.columns]


_NOT_YET = ("time > %(now)s", FUTURE)

_TABLES = (
    Table(
        row_type=Kline,
        key=("symbol", "timeframe", "time"),
        optional=("quote_volume", "trades", "taker_buy_base", "taker_buy_quote"),
        untimely=(_NOT_YET, ("time + width_of(timeframe) > %(now)s", FORMING)),
    ),
    Table(
        row_type=OpenInterest,
        key=("symbol", "period", "time"),
        optional=("open_interest", "open_interest_value"),
        untimely=(_NOT_YET,),
    ),
    Table(
        row_type=FundingRate,
        key=("symbol", "funding_time"),
        clock="funding_time",
        optional=("mark_price",),
        untimely=(("funding_time_raw > %(now)s", FUTURE),),
    ),
    Table(
        row_type=Liquidation,
        key=("symbol", "time", "side", "price", "quantity"),
        optional=(
            "original_price",
            "original_quantity",
            "order_type",
            "time_in_force",
            "status",
            "event_time",
        ),
        untimely=(_NOT_YET,),
    ),
    Table(
        row_type=LongShortRatio,
        key=("symbol", "period", "ratio_type", "time"),
        optional=("long_account", "short_account"),
        untimely=(
            _NOT_YET,
            ("ratio_type = 'taker_volume' and time + width_of(period) > %(now)s", FORMING),
        ),
    ),
    Table(
        row_type=OrderBookSnapshot, key=("symbol", "slot"), clock="slot", untimely=(_NOT_YET,), slotted=True
    ),
    Table(
        row_type=MarkPrice,
        key=("symbol", "slot"),
        clock="slot",
        optional=("mark_price", "index_price", "predicted_funding_rate", "next_funding_time"),
        untimely=(_NOT_YET,),
        slotted=True,
    ),
    # A listing may be announced: its time may lie ahead.
    Table(row_type=Instrument, key=("symbol", "valid_from"), clock="valid_from"),
)

TABLES: Mapping[type[Row], Table] = {table.row_type: table for table in _TABLES}


@cache
def _postgres_type(hint: object) -> str:
    names: Mapping[object, str] = {str: "text", float: "float8", int: "int8", datetime: "timestamptz"}
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not types.NoneType)
    if get_origin(hint) is list:
        return f"{_postgres_type(get_args(hint)[0])}[]"
    return names[hint]
