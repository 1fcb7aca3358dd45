"""What every simulated market offers: tables with a publication clock, as rows and as frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias, TypedDict, get_args

import numpy as np
import pandas as pd

from collectors.rows import Instrument, Row
from simulator.shape import to_frame, to_rows
from simulator.table import Table

Kind: TypeAlias = Literal[
    "ohlcv",
    "mark_price_klines",
    "index_price_klines",
    "open_interest",
    "long_short_ratio",
    "funding_rate",
    "liquidations",
    "mark_price",
    "order_book",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
RATIOS = ("global_account", "top_account", "top_position", "taker_volume")
FIVE_MINUTES = timedelta(minutes=5)


class _Labels(TypedDict):
    ratio_type: str
    period: str


class Publication(NamedTuple):
    """One version of one row and the instant (exchange clock, UTC) at which the exchange showed it.

    `version` is 1 for what was shown first and 2 for its correction.
    """

    published_at: datetime
    version: int
    row: Row


class Market(ABC):
    """A market that can be read as raw-table rows without a server, and that the server reads."""

    @property
    @abstractmethod
    def symbols(self) -> tuple[str, ...]:
        """Symbols ever traded, canonical, the benchmark first."""

    @property
    @abstractmethod
    def start(self) -> datetime:
        """First instant with data (UTC)."""

    @property
    @abstractmethod
    def end(self) -> datetime:
        """Past-the-end instant of the prepared history (UTC): where a standing clock stands."""

    @abstractmethod
    def instruments(self, *, at: datetime | None = None) -> list[Instrument]:
        """Return the listings known at an instant (default: `end`), delisted ones included."""

    def instrument(self, symbol: str, *, at: datetime) -> Instrument | None:
        """Return one symbol's listing as known at an instant, None when it has none yet."""
        return next((one for one in self.instruments(at=at) if one.symbol == symbol), None)

    @abstractmethod
    def table(
        self,
        kind: Kind,
        symbol: str,
        *,
        start_ms: int,
        end_ms: int,
        period: str = "5m",
        ratio_type: str = "global_account",
        every: timedelta = FIVE_MINUTES,
    ) -> Table:
        """Return the rows with a time in [start_ms, end_ms), all versions.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        symbol : str
            Canonical symbol; one that the market does not have gives a KeyError.
        start_ms, end_ms : int
            Epoch ms.
        period : str
            Width of klines and step of statistics; synthetic markets hold 5m only, the server aggregates.
        ratio_type : str
            For `long_short_ratio`: one of `RATIOS`.
        every : timedelta
            For `mark_price` and `order_book`: one row in each such step.
        """

    @abstractmethod
    def book(self, symbol: str, at_ms: int) -> Table:
        """Return the order book at an instant: a table of one row, or of none where nothing is known."""

    @abstractmethod
    def mark(self, symbol: str, at_ms: int) -> Table:
        """Return mark price, index price and expected funding at an instant: one row or none."""

    def recorded_period(self, kind: Kind, symbol: str, period: str) -> str:
        """Return the period of the rows from which statistics of `period` are made."""
        del kind, symbol, period
        return "5m"

    def periods(self, kind: Kind, symbol: str) -> tuple[str, ...]:
        """Return the periods that a kind is held in, finest first."""
        del kind, symbol
        return ("5m",)

    def forming_kline(self, kind: Kind, symbol: str, at_ms: int) -> dict[str, float] | None:
        """Return the columns of the 5m kline that is open at an instant, or None."""
        del kind, symbol, at_ms
        return None

    def rows(
        self,
        kind: Kind,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        as_of: datetime | None = None,
        period: str | None = None,
        ratio_type: str | None = None,
        every: timedelta = FIVE_MINUTES,
    ) -> list[Row]:
        """Return raw-table rows with a time in [start, end), default the whole history.

        Parameters
        ----------
        kind, symbol
            As in `table`. ``mark_price_klines`` gives `MarkPrice` rows at the klines' ends without a
            predicted rate; ``mark_price`` gives them at every multiple of `every`, with one.
        start, end : datetime, optional
            UTC.
        as_of : datetime, optional
            Only what the exchange had published by then, in the version of then; default all, final versions.
        period : str, optional
            Default the finest that the market holds.
        ratio_type : str, optional
            One of `RATIOS`; default all four.
        every : timedelta
            Step of `mark_price` and `order_book`.
        """
        rows: list[Row] = []
        for labels, table in self._tables(kind, symbol, start, end, period, ratio_type, every):
            shown = table.final() if as_of is None else table.as_of(to_ms(as_of))
            rows += to_rows(kind, symbol, shown, **labels)
        return rows

    def frame(
        self,
        kind: Kind,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        as_of: datetime | None = None,
        period: str | None = None,
        ratio_type: str | None = None,
        every: timedelta = FIVE_MINUTES,
    ) -> pd.DataFrame:
        """Return what `rows` returns as a frame with the raw table's columns: much faster for long ranges."""
        frames = []
        for labels, table in self._tables(kind, symbol, start, end, period, ratio_type, every):
            shown = table.final() if as_of is None else table.as_of(to_ms(as_of))
            frames.append(to_frame(kind, symbol, shown, **labels))
        return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]

    def publications(
        self,
        kind: Kind,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        period: str | None = None,
        ratio_type: str | None = None,
        every: timedelta = FIVE_MINUTES,
    ) -> list[Publication]:
        """Return every version of every row with a time in [start, end), in order of publication.

        Klines and their mark and index twins are published at their close, corrections 20 to 100 s later;
        open interest and account ratios 1 to 4 min after their stamp, the taker ratio 1 to 4 min after the
        end of the bar that its stamp begins; settlements 2 to 15 s after they took place; liquidations 0.6
        to 1.6 s after their fill; mark prices and books at their own time.
        """
        found: list[Publication] = []
        for labels, table in self._tables(kind, symbol, start, end, period, ratio_type, every):
            first = to_rows(kind, symbol, table.first_versions(), **labels)
            found += [
                Publication(to_time(at), 1, row) for at, row in zip(table.published_at, first, strict=True)
            ]
            for position, at in zip(table.revised, table.revised_at, strict=True):
                one = table.final().between(int(table.time[position]), int(table.time[position]) + 1)
                found.append(Publication(to_time(at), 2, to_rows(kind, symbol, one, **labels)[0]))
        return sorted(found, key=lambda publication: publication.published_at)

    def publication_frame(
        self,
        kind: Kind,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        period: str | None = None,
        ratio_type: str | None = None,
        every: timedelta = FIVE_MINUTES,
    ) -> pd.DataFrame:
        """Return `publications` as a frame: the raw table's columns and `published_at`, `version`."""
        frames = []
        for labels, table in self._tables(kind, symbol, start, end, period, ratio_type, every):
            first = to_frame(kind, symbol, table.first_versions(), **labels)
            frames.append(first.assign(published_at=to_times(table.published_at), version=1))
            second = to_frame(kind, symbol, table.final(), **labels).iloc[table.revised]
            frames.append(second.assign(published_at=to_times(table.revised_at), version=2))
        return pd.concat(frames, ignore_index=True).sort_values(
            "published_at", kind="stable", ignore_index=True
        )

    def _tables(
        self,
        kind: Kind,
        symbol: str,
        start: datetime | None,
        end: datetime | None,
        period: str | None,
        ratio_type: str | None,
        every: timedelta,
    ) -> Iterator[tuple[_Labels, Table]]:
        start_ms, end_ms = to_ms(start or self.start), to_ms(end or self.end)
        width = period or next(iter(self.periods(kind, symbol)), "5m")
        ratios = RATIOS if kind == "long_short_ratio" and ratio_type is None else (ratio_type or RATIOS[0],)
        for ratio in ratios:
            yield (
                {"ratio_type": ratio, "period": width},
                self.table(
                    kind,
                    symbol,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    period=width,
                    ratio_type=ratio,
                    every=every,
                ),
            )


def to_ms(at: datetime) -> int:
    """Return an aware instant as epoch milliseconds, rounded down.

    Raises
    ------
    ValueError
        When the instant has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def to_time(at_ms: int | np.integer) -> datetime:
    """Return epoch milliseconds as an aware instant in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(at_ms))


def to_times(stamps: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> pd.DatetimeIndex:
    """Return epoch milliseconds (shape (n,)) as a UTC index."""
    return pd.DatetimeIndex(pd.to_datetime(stamps, unit="ms", utc=True))
