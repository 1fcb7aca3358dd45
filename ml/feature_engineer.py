"""Features of a frame that is not in the mart: the mart's own SQL, over tables that are gone afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import numpy as np
import pandas as pd
from psycopg import sql

from ml.bar_frame import BarFrame, bar_frame, klines, settlements
from ml.bars import bar_columns
from ml.copy_stream import Columns, Times, float_fields, read_columns
from ml.errors import FrameError, MissingInputsError
from ml.feature_inputs import FeatureInputs, read_inputs
from ml.mart import all_symbols
from ml.raw_frames import copy_frame, load_raw
from ml.scratch_mart import RAW_TABLES, ScratchMart, scratch_mart
from perpmart.database import Connection, connect, connect_to
from perpmart.settings import Settings, load_settings

_logger = logging.getLogger(__name__)

# Columns of the bars that a raw table feeds.
_FED_BY: Mapping[str, tuple[str, ...]] = {
    "ohlcv": (
        *("open", "high", "low", "close", "volume", "quote_volume"),
        *("trades", "taker_buy_base", "taker_buy_quote"),
    ),
    "open_interest": ("open_interest", "open_interest_value", "open_interest_time"),
    "funding_rate": ("funding_rate", "funding_time"),
    "long_short_ratio": (
        *("long_short_ratio", "long_short_ratio_time", "top_position_ratio"),
        *("top_account_ratio", "taker_volume_ratio"),
    ),
    "liquidations": ("long_liquidations", "short_liquidations", "liquidation_count", "max_liquidation"),
    "mark_price": ("mark_price", "index_price", "predicted_funding_rate", "next_funding_time"),
    "order_book": ("order_book",),
    "coverage": ("is_filled",),
}


class FeatureEngineer:
    """Computes features of frames with the SQL of the mart, inside its database.

    Nothing of the mart is read but the models, the universe and, where the caller gives none, the
    instruments; nothing of it is written. The work is one transaction that is rolled back.

    Parameters
    ----------
    database : str, Settings or psycopg.Connection, optional
        A database in which the models were built once. An address or settings: a connection is opened for
        each call. A connection is used and left open. None: the settings of the environment.
    schema_prefix : str, optional
        What stands before every schema's name; settings bring their own.

    Examples
    --------
    >>> bars = MarketDataLoader(url).load_all_data("SOL/USDT", "5m", start, end)  # doctest: +SKIP
    >>> FeatureEngineer(url).engineer_all_features(bars, allow_missing=True)  # doctest: +SKIP
    """

    def __init__(
        self, database: str | Settings | Connection | None = None, *, schema_prefix: str = ""
    ) -> None:
        self._database = load_settings() if database is None else database
        self._prefix = self._database.schema_prefix if isinstance(self._database, Settings) else schema_prefix

    def engineer_all_features(
        self,
        df: pd.DataFrame | Mapping[str, pd.DataFrame],
        *,
        symbol: str | None = None,
        allow_missing: bool = False,
    ) -> pd.DataFrame:
        """Compute every feature of the registry.

        Parameters
        ----------
        df : pandas.DataFrame or mapping of str to pandas.DataFrame
            Bars as `MarketDataLoader.load_all_data` gives them: one symbol, or several told apart by a column
            ``symbol``; ascending in time. Each column counts as known at the row's ``available_at``, that is
            ``timestamp`` + 5 minutes: no further lag is added. NaN means unknown. A row missing from the grid
            is unknown too, and a hole of over 24 hours ends every window. Bars hold nothing of order books:
            those features need raw rows. Give the listings of a ticker that was used again apart.
            Or raw rows by table (`ml.scratch_mart.RAW_TABLES`), which go the whole way with its lags. Without
            ``coverage``, a missing kline is a hole and no liquidation is known, as nobody says who listened.
        symbol : str, optional
            Symbol of a frame without a column of that name: it finds the listing, and the benchmark itself.
        allow_missing : bool
            Whether features whose inputs are not there are left NaN, instead of an error. Who gives one
            symbol only has neither the benchmark (``beta_to_btc_288``) nor others to rank it with.

        Returns
        -------
        pandas.DataFrame
            float64, columns in registry order, the index of `df`; of raw rows (symbol, time) of each bar.
            ``attrs["missing_features"]`` names each feature left out, with the inputs it lacks. The first
            values of a series come after its warm-up, counted from the first row given.

        Raises
        ------
        FrameError
            Naming row and column: a naive time, one off the grid, rows twice or out of order, what is not
            finite.
        MissingInputsError
            Naming features and the inputs that they lack.
        MartMissingError
            The models were never built in this database.
        DatabaseError
            The database cannot be reached.
        """
        with self._connection() as connection:
            inputs = read_inputs(connection, schema_prefix=self._prefix)
            if isinstance(df, pd.DataFrame):
                return self._of_bars(connection, inputs, df, symbol, allow_missing)
            if symbol is not None:
                raise FrameError("raw rows name their symbols: a further symbol is not understood")
            return self._of_raw(connection, inputs, df, allow_missing)

    def _of_bars(
        self,
        connection: Connection,
        inputs: FeatureInputs,
        df: pd.DataFrame,
        symbol: str | None,
        allow_missing: bool,
    ) -> pd.DataFrame:
        taken = bar_frame(df, bar_columns(connection, schema_prefix=self._prefix), symbol=symbol)
        symbols = list(taken.bars["symbol"].unique())
        with scratch_mart(connection, schema_prefix=self._prefix) as mart:
            span = (taken.bars["time"].min(), taken.bars["time"].max())
            missing = self._missing(mart, inputs, taken.given, symbols, span, allow_missing)
            self._copy_instruments(mart)
            _fill_bars(mart, taken)
            mart.run(symbols, bars_are_given=True)
            _, values = _read(mart, symbols, inputs.features)
        return _result(values[:, taken.place], inputs.features, df.index, missing)

    def _of_raw(
        self,
        connection: Connection,
        inputs: FeatureInputs,
        frames: Mapping[str, pd.DataFrame],
        allow_missing: bool,
    ) -> pd.DataFrame:
        held = {table for table, frame in frames.items() if len(frame)}
        if "ohlcv" not in held:
            raise FrameError("there are no raw rows under ohlcv: the klines make the bars")
        given = {column for table in held for column in _FED_BY.get(table, ())}
        if "coverage" not in held:
            given -= set(_FED_BY["liquidations"])
        with scratch_mart(connection, schema_prefix=self._prefix) as mart:
            if "instruments" not in held:
                self._copy_instruments(mart)
            load_raw(
                connection, {table: frames[table] for table in (*RAW_TABLES, *frames) if table in frames}
            )
            found = connection.execute("select symbols(), min(time), max(time) from ohlcv").fetchone()
            symbols, *span = found or ((), None, None)
            missing = self._missing(mart, inputs, given, symbols, (span[0], span[1]), allow_missing)
            mart.run(symbols)
            times, values = _read(mart, symbols, inputs.features)
            counts: dict[str, int] = dict(
                connection.execute("select symbol, count(*) from bars_5m group by 1").fetchall()
            )
        index = pd.MultiIndex.from_arrays(
            [
                np.repeat(np.array(symbols, dtype=object), [counts.get(one, 0) for one in symbols]),
                pd.DatetimeIndex(times.view("datetime64[us]")).tz_localize("UTC"),
            ],
            names=["symbol", "time"],
        )
        return _result(values, inputs.features, index, missing)

    def _missing(
        self,
        mart: ScratchMart,
        inputs: FeatureInputs,
        given: set[str] | frozenset[str],
        symbols: Sequence[str],
        span: tuple[object, object],
        allow_missing: bool,
    ) -> dict[str, tuple[str, ...]]:
        missing = inputs.lacking(
            given,
            benchmark=mart.benchmark in symbols,
            universe=self._universe(mart, span) <= set(symbols),
        )
        if missing and not allow_missing:
            lacks = sorted({name for names in missing.values() for name in names})
            raise MissingInputsError(
                f"{len(missing)} features lack their inputs ({', '.join(lacks)}): {', '.join(missing)};"
                " allow_missing=True leaves them NaN",
                missing,
            )
        if missing:
            _logger.warning(
                "%d features lack their inputs and are NaN", len(missing), extra={"missing": missing}
            )
        return missing

    def _universe(self, mart: ScratchMart, span: tuple[object, object]) -> set[str]:
        """Symbols of the mart that rank in the time of the frame."""
        query = sql.SQL(
            "select symbol from {} where symbol = any(%s) and valid_from <= %s"
            " and coalesce(valid_to, 'infinity') > %s"
        ).format(sql.Identifier(f"{self._prefix}seeds", "universe"))
        of_mart = all_symbols(mart.connection, schema_prefix=self._prefix)
        return {row[0] for row in mart.connection.execute(query, [list(of_mart), span[1], span[0]])}

    def _copy_instruments(self, mart: ScratchMart) -> None:
        mart.connection.execute(
            sql.SQL("insert into instruments select * from {}").format(
                sql.Identifier(f"{self._prefix}raw", "instruments")
            )
        )

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if isinstance(self._database, (str, Settings)):
            opened = (
                connect(self._database)
                if isinstance(self._database, Settings)
                else connect_to(self._database, prefix=self._prefix)
            )
            with closing(opened):
                yield opened
        else:
            with self._database.transaction():
                yield self._database


def _fill_bars(mart: ScratchMart, taken: BarFrame) -> None:
    """Put the bars in their table, their klines where roll-ups look, their settlements in place of raw's."""
    execute = mart.connection.execute
    for column in ("open", "high", "low", "close", "volume"):
        execute(sql.SQL("alter table ohlcv alter column {} drop not null").format(sql.Identifier(column)))
    rows_of_klines = klines(taken.bars)
    copy_frame(mart.connection, "bars_5m", taken.bars)
    try:
        copy_frame(mart.connection, "ohlcv", rows_of_klines)
    except FrameError as error:
        raise FrameError(f"among the klines of the frame, by symbol and time: {error}") from None
    execute("alter view stg_funding_rate rename to raw_settlements")
    execute("create table stg_funding_rate as select * from raw_settlements with no data")
    if {"funding_rate", "funding_time"} <= taken.given:
        copy_frame(mart.connection, "stg_funding_rate", settlements(taken.bars))
    for table in ("bars_5m", "ohlcv", "stg_funding_rate"):
        execute(sql.SQL("analyze {}").format(sql.Identifier(table)))


def _read(mart: ScratchMart, symbols: Sequence[str], features: Sequence[str]) -> tuple[Times, Columns]:
    """Read the symbols one after the other, oldest first: times (rows,), values (features, rows)."""
    parts = [
        read_columns(
            mart.connection,
            sql.SQL("select time, {} from feature_mart where symbol = {} order by time").format(
                sql.SQL(", ").join(float_fields(features)), sql.Literal(symbol)
            ),
            times=1,
            floats=len(features),
        )
        for symbol in symbols
    ]
    return np.concatenate([t[0] for t, _ in parts]), np.concatenate([v for _, v in parts], axis=1)


def _result(
    values: Columns, features: Sequence[str], index: pd.Index, missing: dict[str, tuple[str, ...]]
) -> pd.DataFrame:
    result = pd.DataFrame(values.T, index=index, columns=list(features))
    result[list(missing)] = np.nan
    result.attrs["missing_features"] = missing
    return result
