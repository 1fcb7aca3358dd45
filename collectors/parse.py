"""History from the REST endpoints, made into rows; pure, no input and no output.

Each function takes the decoded JSON of one endpoint. Keys it does not know are ignored (new ones appear
without notice), numbers are taken as text or as numbers, stamps are epoch milliseconds and become aware UTC
datetimes. The state of now (listings, book, clock) is read by `collectors.parse_now`, the websocket messages
by `collectors.parse_stream`.

Every function raises `MissingFieldError` or `InvalidFieldError` (naming endpoint and field), `MalformedError`
for another shape, and the typed error when the exchange answered HTTP 200 with an error object.

The payloads shown are made up; their shape is the exchange's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from collectors.fields import Fields, expect_array
from collectors.rows import (
    WIDTHS,
    FundingRate,
    Kline,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
)

RATIO_ENDPOINTS: Mapping[str, str] = {
    "global_account": "/futures/data/globalLongShortAccountRatio",
    "top_account": "/futures/data/topLongShortAccountRatio",
    "top_position": "/futures/data/topLongShortPositionRatio",
    "taker_volume": "/futures/data/takerlongshortRatio",
}
"""Where each kind of ``long_short_ratio`` comes from."""

_KLINE_FIELDS = (
    "0 (open time)",
    "1 (open)",
    "2 (high)",
    "3 (low)",
    "4 (close)",
    "5 (volume)",
    "6 (close time)",
    "7 (quote volume)",
    "8 (trades)",
    "9 (taker buy base)",
    "10 (taker buy quote)",
)


class PricePoint(NamedTuple):
    """A price at the instant ``time`` (UTC), quote currency."""

    time: datetime
    price: float


def parse_klines(payload: object, *, symbol: str, timeframe: str) -> list[Kline]:
    """Read ``/fapi/v1/klines``; the forming bar is among them, see `closed_klines`.

    ::

        [[1760000100000, "150.10", "150.90", "149.80", "150.55", "1200.5", 1760000399999,
          "180500.25", 840, "640.0", "96210.50", "0"]]

    Parameters
    ----------
    payload : object
        Decoded JSON.
    symbol : str
        Canonical symbol that was asked for; the answer does not hold it.
    timeframe : str
        Width that was asked for.

    Returns
    -------
    list of Kline
        In the order of the answer.
    """
    endpoint = "/fapi/v1/klines"
    rows = []
    for item in expect_array(payload, endpoint):
        bar = Fields(item, endpoint, names=_KLINE_FIELDS)
        rows.append(
            Kline(
                symbol=symbol,
                timeframe=timeframe,
                time=bar.time(_KLINE_FIELDS[0]),
                open=bar.number(_KLINE_FIELDS[1]),
                high=bar.number(_KLINE_FIELDS[2]),
                low=bar.number(_KLINE_FIELDS[3]),
                close=bar.number(_KLINE_FIELDS[4]),
                volume=bar.number(_KLINE_FIELDS[5]),
                quote_volume=bar.number(_KLINE_FIELDS[7]),
                trades=bar.count(_KLINE_FIELDS[8]),
                taker_buy_base=bar.number(_KLINE_FIELDS[9]),
                taker_buy_quote=bar.number(_KLINE_FIELDS[10]),
            )
        )
    return rows


def closed_klines(rows: list[Kline], *, now: datetime) -> list[Kline]:
    """Give the bars that have ended by ``now``, the exchange's clock.

    The last row of an answer is usually the bar still forming; its numbers are not true yet.
    """
    return [row for row in rows if row.time + WIDTHS[row.timeframe] <= now]


def parse_price_klines(payload: object, *, endpoint: str, timeframe: str) -> list[PricePoint]:
    """Read ``/fapi/v1/markPriceKlines`` or ``indexPriceKlines``: closes, at the instant they were true.

    ::

        [[1760000100000, "150.11", "150.88", "149.79", "150.52", "0", 1760000399999, "0", 300, "0", "0", "0"]]

    gives ``150.52`` at 1760000400000: a close is the price when the bar ended, not when it opened.

    Parameters
    ----------
    payload : object
        Decoded JSON.
    endpoint : str
        Which of the two, for errors.
    timeframe : str
        Width that was asked for.

    Returns
    -------
    list of PricePoint
        ``time`` is the bar's open plus its width.
    """
    width = WIDTHS[timeframe]
    bars = (Fields(item, endpoint, names=_KLINE_FIELDS) for item in expect_array(payload, endpoint))
    return [PricePoint(bar.time(_KLINE_FIELDS[0]) + width, bar.number(_KLINE_FIELDS[4])) for bar in bars]


def pair_prices(mark: list[PricePoint], index: list[PricePoint], *, symbol: str) -> list[MarkPrice]:
    """Join mark and index prices of one symbol.

    Parameters
    ----------
    mark, index : list of PricePoint
        From `parse_price_klines`.
    symbol : str
        Canonical symbol.

    Returns
    -------
    list of MarkPrice
        One per instant that both have, ascending: half a row would replace a whole one of the stream.
    """
    marks, indexes = dict(mark), dict(index)
    return [
        MarkPrice(symbol, time, marks[time], indexes[time]) for time in sorted(marks.keys() & indexes.keys())
    ]


def parse_open_interest(payload: object, *, symbol: str, period: str) -> list[OpenInterest]:
    """Read ``/futures/data/openInterestHist``.

    ::

        [{"symbol": "SOLUSDT", "sumOpenInterest": "8200000.50", "sumOpenInterestValue": "1230000075.00",
          "timestamp": 1760000100000}]

    Parameters
    ----------
    payload : object
        Decoded JSON.
    symbol, period : str
        What was asked for.

    Returns
    -------
    list of OpenInterest
        Snapshots at their stamps.
    """
    endpoint = "/futures/data/openInterestHist"
    items = [Fields(item, endpoint) for item in expect_array(payload, endpoint)]
    return [
        OpenInterest(
            symbol=symbol,
            period=period,
            time=item.time("timestamp"),
            open_interest=item.number("sumOpenInterest"),
            open_interest_value=item.number("sumOpenInterestValue"),
        )
        for item in items
    ]


def parse_long_short_ratio(
    payload: object, *, symbol: str, period: str, ratio_type: str
) -> list[LongShortRatio]:
    """Read one of the three account and position ratios, or the takers' ratio.

    ::

        [{"symbol": "SOLUSDT", "longAccount": "0.6200", "longShortRatio": "1.6316", "shortAccount": "0.3800",
          "timestamp": 1760000100000}]
        [{"buySellRatio": "1.2500", "buyVol": "500.0", "sellVol": "400.0", "timestamp": 1760000100000}]

    Parameters
    ----------
    payload : object
        Decoded JSON.
    symbol, period : str
        What was asked for.
    ratio_type : str
        Key of `RATIO_ENDPOINTS`; ``taker_volume`` is the second shape, and describes the bar that *starts* at
        its stamp.

    Returns
    -------
    list of LongShortRatio
        Shares of accounts or positions, for ``taker_volume`` base volumes bought and sold.
    """
    endpoint = RATIO_ENDPOINTS[ratio_type]
    ratio, long, short = (
        ("buySellRatio", "buyVol", "sellVol")
        if ratio_type == "taker_volume"
        else ("longShortRatio", "longAccount", "shortAccount")
    )
    items = [Fields(item, endpoint) for item in expect_array(payload, endpoint)]
    return [
        LongShortRatio(
            symbol=symbol,
            period=period,
            ratio_type=ratio_type,
            time=item.time("timestamp"),
            long_short_ratio=item.number(ratio),
            long_account=item.number(long),
            short_account=item.number(short),
        )
        for item in items
    ]


def parse_funding_rates(payload: object) -> list[FundingRate]:
    """Read ``/fapi/v1/fundingRate``.

    ::

        [{"symbol": "SOLUSDT", "fundingTime": 1760025600007, "fundingRate": "0.0001", "markPrice": "151.2"}]

    The stamp lies up to some milliseconds behind the settlement: ``funding_time`` is its minute. Settlements
    of early years have no mark price.
    """
    endpoint = "/fapi/v1/fundingRate"
    rows = []
    for item in expect_array(payload, endpoint):
        settlement = Fields(item, endpoint)
        time = settlement.time("fundingTime")
        rows.append(
            FundingRate(
                symbol=settlement.symbol("symbol"),
                funding_time=time.replace(second=0, microsecond=0),
                funding_time_raw=time,
                funding_rate=settlement.number("fundingRate"),
                mark_price=settlement.number_or_none("markPrice"),
            )
        )
    return rows
