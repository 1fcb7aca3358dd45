"""The kinds of history that REST gives: where each is kept, how it is asked for, how far it goes.

A kind's rows carry a time on a grid of ``width``. Pages are fixed windows of that grid, never longer than the
exchange's page: whatever order it fills a page in, none of a window's rows can be left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from collectors.client import FUNDING_PAGE, STATISTICS_PAGE, BinanceFuturesClient
from collectors.coverage import Segment, merge_segments, subtract_segments
from collectors.errors import CollectorError
from collectors.limits import KLINES_PAGE
from collectors.parse import closed_klines, pair_prices
from collectors.rows import RATIO_TYPES, WIDTHS, Row

BAR = timedelta(minutes=5)
TIMEFRAME = "5m"

OVERLAP = timedelta(hours=1)
"""The end of what is covered that is read again: a bar just closed can still be revised."""

KEPT = timedelta(days=30)
"""How long the exchange keeps open interest and ratios."""

STATISTICS = ("open_interest", *RATIO_TYPES)
"""Kinds that the exchange publishes in several periods."""

PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
"""Periods of the statistics."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


Client = BinanceFuturesClient
Fetch = Callable[[BinanceFuturesClient, str, Segment, datetime], Awaitable[list[Row]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of history.

    Attributes
    ----------
    name : str
        What people call it: ``klines``, ``open_interest``, ...
    stream : str
        Its name in coverage and gaps.
    fetch : callable
        Asks for one window: client, symbol, ``[from, to)``, the exchange's clock at the start of the run.
    width : timedelta
        Grid of the rows' times.
    rows_per_page : int
        Grid points of a window.
    known_after : timedelta
        A row is certain to be there so long after its time; until then its absence proves nothing.
    closed_only : bool
        The row stamped T describes what follows T: the newest one usable began a width ago.
    every_step : bool
        There is a row at every grid point; one that is missing is a hole, not a quiet market.
    shift : timedelta
        From the open of a bar to the time of its row.
    kept : timedelta or None
        How far back the exchange goes; None: to the listing.
    """

    name: str
    stream: str
    fetch: Fetch
    width: timedelta = BAR
    rows_per_page: int = STATISTICS_PAGE
    known_after: timedelta = BAR
    closed_only: bool = False
    every_step: bool = True
    shift: timedelta = timedelta(0)
    kept: timedelta | None = None

    def end_of_reading(self, now: datetime) -> datetime:
        """Give the end of what may be asked at ``now``: rows before it have happened."""
        end = floor(now, self.width)
        return end if self.closed_only else end + self.width

    def start_of_keeping(self, now: datetime) -> datetime | None:
        """Give the oldest instant that the exchange still answers for; None when there is no such bound."""
        if self.kept is None:
            return None
        return ceil(now - self.kept, self.width)

    def end_of_certainty(self, now: datetime, newest: datetime | None) -> datetime:
        """Give the end of what a reading at ``now`` proves.

        Parameters
        ----------
        now : datetime
            The exchange's clock before the reading.
        newest : datetime or None
            Time of the newest row received: what is there needs no patience.
        """
        certain = floor(now - self.known_after, self.width) + self.width
        if newest is not None:
            certain = max(certain, newest + self.width)
        return min(certain, floor(now, self.width))


def floor(time: datetime, width: timedelta) -> datetime:
    """Give the last point of the UTC grid of ``width`` that is not after ``time``."""
    return time - (time - _EPOCH) % width


def ceil(time: datetime, width: timedelta) -> datetime:
    """Give the first point of the UTC grid of ``width`` that is not before ``time``."""
    return time + (_EPOCH - time) % width


def missing_segments(
    wanted: Segment, covered: list[Segment], *, overlap: timedelta = OVERLAP
) -> list[Segment]:
    """Give what has to be read: the wanted range without what is covered, whose ends are read again.

    Examples
    --------
    >>> hour = [datetime(2026, 2, 1, n, tzinfo=UTC) for n in range(6)]
    >>> missing_segments((hour[0], hour[5]), [(hour[0], hour[3])]) == [(hour[2], hour[5])]
    True
    """
    settled = [(start, max(start, end - overlap)) for start, end in merge_segments(covered)]
    return subtract_segments([wanted], settled)


def absent(window: Segment, width: timedelta, present: set[datetime]) -> list[Segment]:
    """Give the parts of a window whose grid points have no row."""
    start, end = window
    points = (start + step * width for step in range((end - start) // width))
    return merge_segments((point, point + width) for point in points if point not in present)


def windows(segment: Segment, kind: Kind) -> Iterator[Segment]:
    """Cut a segment into windows of at most one page, oldest first: the oldest expire first."""
    start, end = segment
    step = kind.rows_per_page * kind.width
    while start < end:
        stop = min(start + step, end)
        yield start, stop
        start = stop


async def _fetch_klines(client: Client, symbol: str, window: Segment, now: datetime) -> list[Row]:
    start, end = window
    rows = await client.fetch_klines(symbol, TIMEFRAME, start=start, end=end, limit=(end - start) // BAR)
    return [*closed_klines(rows, now=now)]


async def _fetch_mark_price(client: Client, symbol: str, window: Segment, now: datetime) -> list[Row]:
    """Ask for the bars that end in the window: their closes are the prices at its instants."""
    start, end = window[0] - BAR, window[1] - BAR
    limit = (end - start) // BAR
    mark = await client.fetch_mark_price_klines(symbol, TIMEFRAME, start=start, end=end, limit=limit)
    index = await client.fetch_index_price_klines(symbol, TIMEFRAME, start=start, end=end, limit=limit)
    return [row for row in pair_prices(mark, index, symbol=symbol) if row.time <= now]


def _fetch_open_interest(period: str) -> Fetch:
    async def fetch(client: Client, symbol: str, window: Segment, now: datetime) -> list[Row]:
        start, end = window
        return [*await client.fetch_open_interest_history(symbol, period, start=start, end=end)]

    return fetch


async def _fetch_funding(client: Client, symbol: str, window: Segment, now: datetime) -> list[Row]:
    """Walk through a window by the last stamp + 1: how many settlements it holds nobody knows beforehand."""
    start, end = window[0], min(window[1], now + timedelta(milliseconds=1))
    rows: list[Row] = []
    while start < end:
        page = await client.fetch_funding_rates(symbol, start=start, end=end, limit=FUNDING_PAGE)
        rows += page
        if len(page) < FUNDING_PAGE:
            break
        start = max(row.funding_time_raw for row in page) + timedelta(milliseconds=1)
    return rows


def _fetch_ratio(ratio_type: str, period: str) -> Fetch:
    async def fetch(client: Client, symbol: str, window: Segment, now: datetime) -> list[Row]:
        start, end = window
        return [
            *await client.fetch_long_short_ratio(symbol, period, ratio_type=ratio_type, start=start, end=end)
        ]

    return fetch


def statistic(name: str, period: str) -> Kind:
    """Give the kind of a statistic (``open_interest`` or a ratio) in a period: ``5m``, ``4h``, ..."""
    width, takers = WIDTHS[period], name == "taker_volume"
    plain = name == "open_interest"
    return Kind(
        name=name if period == TIMEFRAME else f"{name}:{period}",
        stream=f"{name}:{period}" if plain else f"long_short_ratio:{name}:{period}",
        fetch=_fetch_open_interest(period) if plain else _fetch_ratio(name, period),
        width=width,
        known_after=width + BAR if takers else BAR,
        closed_only=takers,
        kept=KEPT,
    )


def kind_named(name: str) -> Kind:
    """Give a kind by its name: one of `KINDS`, or a statistic in another period (``open_interest:4h``).

    Raises
    ------
    CollectorError
        When there is no such kind.
    """
    if name in KINDS:
        return KINDS[name]
    base, _, period = name.partition(":")
    if base in STATISTICS and period in PERIODS:
        return statistic(base, period)
    raise CollectorError(
        f"unknown kind {name!r}; known are {', '.join(KINDS)}"
        f" (of these {', '.join(STATISTICS)} in other periods too, like open_interest:4h)"
    )


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "klines",
            f"ohlcv:{TIMEFRAME}",
            _fetch_klines,
            rows_per_page=KLINES_PAGE,
            known_after=BAR + 10 * _SECOND,
            closed_only=True,
            every_step=False,
        ),
        Kind(
            "mark_price",
            "mark_price",
            _fetch_mark_price,
            rows_per_page=KLINES_PAGE,
            known_after=10 * _SECOND,
            shift=BAR,
        ),
        statistic("open_interest", TIMEFRAME),
        # 180 days: 540 settlements at 8 h, and rarely a second page at 4 h.
        Kind(
            "funding_rate",
            "funding_rate",
            _fetch_funding,
            width=_MINUTE,
            rows_per_page=180 * 24 * 60,
            known_after=_MINUTE,
            every_step=False,
        ),
        *(statistic(ratio_type, TIMEFRAME) for ratio_type in RATIO_TYPES),
    )
}
"""Every kind that has a history, by name."""

STREAM_ONLY: Mapping[str, str] = {
    "liquidations": "the exchange keeps no history of liquidations: only its stream has them",
    "order_book": "the exchange keeps no history of its order book: only its stream has it",
}
"""Streams of which REST cannot give the past, and why."""
