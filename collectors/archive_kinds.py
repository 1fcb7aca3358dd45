"""The kinds of files that can be imported: recognised by name and header, lines made into rows; no I/O here.

The bulk archive names its files ``SYMBOL-5m-2026-02`` (klines), ``SYMBOL-metrics-2026-02-01`` and
``SYMBOL-fundingRate-2026-02``; such a file speaks of its whole day or month. Dumps of REST answers and
recorded messages are known by their header; they speak of the time from their first to their last row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from collectors.archive_dumps import (
    liquidations_dump,
    open_interest_dump,
    open_interest_value_dump,
    ratio_dump,
)
from collectors.archive_files import ArchiveError
from collectors.archive_shape import (
    FileName,
    Shape,
    instant,
    optional,
    read_name,
    spacing,
    whole_number,
)
from collectors.rows import WIDTHS, FundingRate, Kline, LongShortRatio, OpenInterest, Row
from collectors.symbols import canonical_symbol

_OTHER_KLINES = ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
_KLINES = [
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
]
_METRICS = [
    *("create_time", "symbol", "sum_open_interest", "sum_open_interest_value"),
    *("count_toptrader_long_short_ratio", "sum_toptrader_long_short_ratio"),
    *("count_long_short_ratio", "sum_taker_long_short_vol_ratio"),
]
_FUNDING = ["calc_time", "funding_interval_hours", "last_funding_rate"]
_ALIASES: Mapping[str, str] = {
    "quote_asset_volume": "quote_volume",
    "trades": "count",
    "number_of_trades": "count",
    "taker_buy_base": "taker_buy_volume",
    "taker_buy_base_asset_volume": "taker_buy_volume",
    "taker_buy_quote": "taker_buy_quote_volume",
    "taker_buy_quote_asset_volume": "taker_buy_quote_volume",
}
_RATIOS: Mapping[str, str] = {
    "count_toptrader_long_short_ratio": "top_account",
    "sum_toptrader_long_short_ratio": "top_position",
    "count_long_short_ratio": "global_account",
    "sum_taker_long_short_vol_ratio": "taker_volume",
}


def recognise(path: Path, first_lines: Sequence[list[str]]) -> Shape:
    """Say what a file holds from its name and its first lines (split into fields).

    Raises
    ------
    ArchiveError
        When it is none of the known kinds, or says too little (which symbol, period, kind of ratio).
    """
    name = read_name(path)
    refused = [part for part in path.parts if part in _OTHER_KLINES]
    if refused:
        raise ArchiveError(f"{path}: {refused[0]} cannot be imported; their prices would pass for trades")
    if not first_lines:
        raise ArchiveError(f"{path}: empty")
    header = [cell.strip() for cell in first_lines[0]]
    has_header = any(cell[:1].isalpha() for cell in header) and not any(
        cell.replace(".", "", 1).isdigit() for cell in header
    )
    body = first_lines[1:] if has_header else first_lines
    if not has_header:
        header = _headerless(name, len(header))
    columns = tuple(_ALIASES.get(cell, cell) for cell in header)
    for required, make in _MAKERS:
        if required <= set(columns):
            return make(name, columns, body, has_header)
    raise ArchiveError(f"{path}: columns of no known kind: {', '.join(header)[:200]}")


def recognise_again(path: Path, columns: tuple[str, ...], stream: str) -> Shape:
    """Give the shape of a file whose columns and stream are known from an earlier reading.

    Raises
    ------
    ArchiveError
        When the columns are of no known kind.
    """
    name = read_name(path)
    period = stream.rpartition(":")[2]
    if period in WIDTHS:  # once told by the distances of rows that are no longer at hand
        name = replace(name, words=(period, *name.words))
    for required, make in _MAKERS:
        if required <= set(columns):
            return make(name, columns, [], True)
    raise ArchiveError(f"{path}: columns of no known kind: {', '.join(columns)[:200]}")


def _headerless(name: FileName, width: int) -> list[str]:
    known = {"metrics": _METRICS, "fundingRate": _FUNDING}.get(name.what, _KLINES if name.width else [])
    if len(known) != width:
        raise ArchiveError(f"{name.path}: no header, and {width} columns fit no kind that its name tells")
    return known


def _klines(name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool) -> Shape:
    at = {column: columns.index(column) for column in columns}
    timeframe = spacing(name, at["open_time"], body)
    symbol, width = name.symbol, WIDTHS[timeframe]
    prices = [at[column] for column in ("open", "high", "low", "close", "volume")]
    close_time, quote, count = at.get("close_time"), at.get("quote_volume"), at.get("count")
    base_bought, quote_bought = at.get("taker_buy_volume"), at.get("taker_buy_quote_volume")
    opened, last = at["open_time"], width // timedelta(milliseconds=1) - 1

    def parse(cells: list[str]) -> list[Row]:
        time = instant(cells[opened])
        if close_time is not None and int(cells[close_time]) - int(cells[opened]) != last:
            raise ValueError(f"close time does not fit the timeframe {timeframe}")
        open_, high, low, close, volume = [float(cells[index]) for index in prices]
        return [
            Kline(
                symbol,
                timeframe,
                time,
                open_,
                high,
                low,
                close,
                volume,
                None if quote is None else optional(cells[quote]),
                None if count is None else whole_number(cells[count]),
                None if base_bought is None else optional(cells[base_bought]),
                None if quote_bought is None else optional(cells[quote_bought]),
            )
        ]

    missing = [column for column in ("quote_volume", "count", "taker_buy_volume") if column not in at]
    notes = (f"has no {', '.join(missing)}: left unknown",) if missing else ()
    doubtful = close_time is None and name.whole is None
    return Shape(
        kind=f"klines {timeframe}",
        source="archive" if name.whole else "rest",
        columns=columns,
        parse=parse,
        stream=f"ohlcv:{timeframe}",
        covers=((f"ohlcv:{timeframe}", width),),
        symbol=symbol,
        whole=name.whole,
        has_header=has_header,
        notes=notes,
        last_is_doubtful=doubtful,
    )


def _metrics(name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool) -> Shape:
    at = {column: columns.index(column) for column in columns}
    ratios = [(at[column], kind) for column, kind in _RATIOS.items() if column in at]
    amount, value = at["sum_open_interest"], at["sum_open_interest_value"]

    def parse(cells: list[str]) -> list[Row]:
        symbol, time = canonical_symbol(cells[at["symbol"]]), instant(cells[at["create_time"]])
        rows: list[Row] = []
        held, worth = optional(cells[amount]), optional(cells[value])
        if held is not None or worth is not None:
            rows.append(OpenInterest(symbol, "5m", time, held, worth))
        for index, kind in ratios:
            ratio = optional(cells[index])
            if ratio is not None:
                rows.append(LongShortRatio(symbol, "5m", kind, time, ratio, None, None))
        return rows

    width = WIDTHS["5m"]
    streams = [("open_interest:5m", width), *((f"long_short_ratio:{kind}:5m", width) for _, kind in ratios)]
    return Shape(
        kind="metrics",
        source="archive",
        columns=columns,
        parse=parse,
        stream="open_interest:5m",
        covers=tuple(streams),
        symbol=name.symbol,
        whole=name.whole,
        has_header=has_header,
    )


def _funding(name: FileName, columns: tuple[str, ...], body: Sequence[list[str]], has_header: bool) -> Shape:
    at = {column: columns.index(column) for column in columns}
    time_at = at["calc_time"] if "calc_time" in at else at["fundingTime"]
    rate_at = at["last_funding_rate"] if "last_funding_rate" in at else at["fundingRate"]
    symbol_at, mark_at = at.get("symbol"), at.get("markPrice")
    from_archive = "calc_time" in at
    of_file = name.symbol if symbol_at is None else ""

    def parse(cells: list[str]) -> list[Row]:
        raw = instant(cells[time_at])
        symbol = of_file if symbol_at is None else canonical_symbol(cells[symbol_at])
        mark = None if mark_at is None else optional(cells[mark_at])
        minute = raw.replace(second=0, microsecond=0)
        return [FundingRate(symbol, minute, raw, float(cells[rate_at]), mark)]

    return Shape(
        kind="funding rate",
        source="archive" if from_archive else "rest",
        columns=columns,
        parse=parse,
        stream="funding_rate",
        covers=(("funding_rate", timedelta(minutes=1)),),
        symbol=of_file,
        whole=name.whole if from_archive else None,
        has_header=has_header,
    )


_Maker = Callable[[FileName, tuple[str, ...], Sequence[list[str]], bool], Shape]
_MAKERS: tuple[tuple[set[str], _Maker], ...] = (
    ({"open_time", "open", "high", "low", "close", "volume"}, _klines),
    ({"create_time", "symbol", "sum_open_interest", "sum_open_interest_value"}, _metrics),
    ({"calc_time", "last_funding_rate"}, _funding),
    ({"fundingTime", "fundingRate"}, _funding),
    ({"timestamp", "sumOpenInterest", "sumOpenInterestValue"}, open_interest_dump),
    ({"timestamp", "longShortRatio", "longAccount", "shortAccount"}, ratio_dump),
    ({"timestamp", "buySellRatio", "buyVol", "sellVol"}, ratio_dump),
    (
        {"symbol", "side", "price", "avg_price", "orig_qty", "filled_accum_qty", "trade_time"},
        liquidations_dump,
    ),
    ({"open_time", "sum_open_interest_value"}, open_interest_value_dump),
)
