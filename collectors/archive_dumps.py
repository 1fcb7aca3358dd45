"""Dumps of REST statistics and recorded liquidations: lines made into rows; no I/O here."""

from collections.abc import Mapping, Sequence

from collectors.archive_files import ArchiveError
from collectors.archive_shape import UNKNOWN, FileName, Shape, instant, optional, spacing
from collectors.rows import WIDTHS, Liquidation, LongShortRatio, OpenInterest, Row
from collectors.symbols import canonical_symbol

_RATIO_WORDS: Mapping[str, str] = {
    "globallongshortaccountratio": "global_account",
    "toplongshortaccountratio": "top_account",
    "toplongshortpositionratio": "top_position",
    "globalaccount": "global_account",
    "topaccount": "top_account",
    "topposition": "top_position",
    "global": "global_account",
}


def open_interest_dump(
    name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool
) -> Shape:
    """Dump of ``openInterestHist``; the period comes from the name or the distance of the stamps."""
    at = {column: columns.index(column) for column in columns}
    period = spacing(name, at["timestamp"], body)
    symbol_at = at.get("symbol")
    of_file = name.symbol if symbol_at is None else ""

    def parse(cells: list[str]) -> list[Row]:
        symbol = of_file if symbol_at is None else canonical_symbol(cells[symbol_at])
        held, worth = optional(cells[at["sumOpenInterest"]]), optional(cells[at["sumOpenInterestValue"]])
        return [OpenInterest(symbol, period, instant(cells[at["timestamp"]]), held, worth)]

    return Shape(
        kind=f"open interest {period}",
        source="rest",
        columns=columns,
        parse=parse,
        stream=f"open_interest:{period}",
        covers=((f"open_interest:{period}", WIDTHS[period]),),
    )


def open_interest_value_dump(
    name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool
) -> Shape:
    """The value of open interest out of a file of several measures; what does not fit raw is named."""
    at = {column: columns.index(column) for column in columns}
    period, symbol = spacing(name, at["open_time"], body), name.symbol

    def parse(cells: list[str]) -> list[Row]:
        worth = optional(cells[at["sum_open_interest_value"]])
        return [OpenInterest(symbol, period, instant(cells[at["open_time"]]), None, worth)]

    left = [column for column in columns if column not in ("open_time", "sum_open_interest_value")]
    return Shape(
        kind=f"open interest value {period}",
        source="rest",
        columns=columns,
        parse=parse,
        # It covers nothing: the amount of open interest is still to be asked for.
        stream=f"open_interest:{period}",
        notes=(
            f"not taken: {', '.join(left)} (prices without volume are no klines, a net taker volume is no"
            " ratio, a funding rate without its settlement time is no settlement)",
        ),
    )


def ratio_dump(
    name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool
) -> Shape:
    """Dump of a long/short ratio; which of the kinds only its name can tell, taker volumes aside."""
    at = {column: columns.index(column) for column in columns}
    taker = "buySellRatio" in at
    kind = "taker_volume" if taker else next((_RATIO_WORDS[w] for w in name.words if w in _RATIO_WORDS), None)
    if kind is None:
        raise ArchiveError(
            f"{name.path}: its name must tell the kind of ratio (globalAccount, topAccount or topPosition)"
        )
    period = spacing(name, at["timestamp"], body)
    symbol_at = at.get("symbol")
    of_file = name.symbol if symbol_at is None else ""
    ratio, long, short = (
        at[column]
        for column in (
            ("buySellRatio", "buyVol", "sellVol")
            if taker
            else ("longShortRatio", "longAccount", "shortAccount")
        )
    )

    def parse(cells: list[str]) -> list[Row]:
        symbol = of_file if symbol_at is None else canonical_symbol(cells[symbol_at])
        time, sides = instant(cells[at["timestamp"]]), (optional(cells[long]), optional(cells[short]))
        return [LongShortRatio(symbol, period, kind, time, float(cells[ratio]), *sides)]

    return Shape(
        kind=f"{kind} ratio {period}",
        source="rest",
        columns=columns,
        parse=parse,
        stream=f"long_short_ratio:{kind}:{period}",
        covers=((f"long_short_ratio:{kind}:{period}", WIDTHS[period]),),
    )


def liquidations_dump(
    name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool
) -> Shape:
    """Recorded ``forceOrder`` messages of all symbols."""
    at = {column: columns.index(column) for column in columns}

    def text(cells: list[str], column: str) -> str | None:
        return (cells[at[column]] or None) if column in at else None

    def parse(cells: list[str]) -> list[Row]:
        limit, average = optional(cells[at["price"]]), optional(cells[at["avg_price"]])
        price = limit if average is None else average
        if price is None:
            raise ValueError("neither average price nor price given")
        return [
            Liquidation(
                canonical_symbol(cells[at["symbol"]]),
                instant(cells[at["trade_time"]]),
                cells[at["side"]],
                price,
                float(cells[at["filled_accum_qty"]]),
                limit,
                optional(cells[at["orig_qty"]]),
                text(cells, "order_type"),
                text(cells, "time_in_force"),
                text(cells, "status"),
            )
        ]

    without = sum(cells[at["avg_price"]] in UNKNOWN for cells in body if len(cells) == len(columns))
    notes = ("where there is no average price the order's own price stands for it",) if without else ()
    return Shape(
        kind="liquidations",
        source="stream",
        columns=columns,
        parse=parse,
        stream="liquidations",
        notes=notes,
    )
