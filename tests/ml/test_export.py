"""Files made from a real mart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from ml.errors import UnknownFeatureError
from perpmart.export import ExportError, export
from tests.ml.conftest import Mart

RANGE = {"start": "2026-06-28", "end": "2026-07-01"}


def test_parquet_and_csv_hold_the_mart_bit_for_bit_with_nulls_kept(mart: Mart, folder: Path) -> None:
    whole = mart.loader.load_features(None, *RANGE.values(), comparable_only=False)
    for name in ("features.parquet", "features.csv"):
        done = export(mart.loader, folder / name, symbols=None, **RANGE, chunk_rows=500)
        read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
        frame = read(folder / name)
        assert (done.rows, done.columns) == frame.shape == (len(whole), whole.shape[1] + 3)
        assert np.array_equal(frame[whole.columns].to_numpy(), whole.to_numpy(), equal_nan=True)
        assert frame.columns[:3].tolist() == ["symbol", "time", "available_at"]
    table = pyarrow.parquet.read_table(folder / "features.parquet")
    assert table["sma_200"].null_count == int(whole["sma_200"].isna().sum()) > 0
    assert b"feature_set" in table.schema.metadata[b"perpmart"]
    assert not list(folder.glob(".*"))


def test_the_schema_is_the_same_where_a_column_holds_nothing(mart: Mart, folder: Path) -> None:
    empty = {"start": "2026-06-28", "end": "2026-06-28T01:00"}
    for name, span in (("empty.parquet", empty), ("full.parquet", RANGE)):
        export(mart.loader, folder / name, symbols=["SOL/USDT"], **span, features=["sma_200", "rsi_14"])
    schemas = [pyarrow.parquet.read_schema(folder / name) for name in ("empty.parquet", "full.parquet")]
    assert schemas[0].remove_metadata() == schemas[1].remove_metadata()


def test_bars_are_exported_at_any_timeframe(mart: Mart, folder: Path) -> None:
    export(mart.loader, folder / "bars.csv", symbols=None, **RANGE, content="bars", timeframe="4h")
    frame = pd.read_csv(folder / "bars.csv")
    assert frame.groupby("symbol").size().to_dict() == {"BTC/USDT": 18, "ETH/USDT": 18, "SOL/USDT": 18}


def test_a_failed_export_leaves_the_earlier_file_and_no_other(mart: Mart, folder: Path) -> None:
    target = folder / "features.csv"
    target.write_text("earlier")
    with pytest.raises(ExportError, match="no rows"):
        export(mart.loader, target, symbols=None, start="2020-01-01", end="2020-01-02")
    with pytest.raises(UnknownFeatureError):
        export(mart.loader, target, symbols=None, **RANGE, features=["nonsense"])
    assert [path.name for path in folder.iterdir()] == ["features.csv"]
    assert target.read_text() == "earlier"


def test_a_wrong_format_or_place_is_one_line(mart: Mart, folder: Path) -> None:
    with pytest.raises(ExportError, match=r"'xls' for x\.xls: choose csv or parquet"):
        export(mart.loader, folder / "x.xls", symbols=None, **RANGE)
    with pytest.raises(ExportError, match=r"nowhere/x\.csv cannot be written: No such file or directory"):
        export(mart.loader, folder / "nowhere" / "x.csv", symbols=None, **RANGE)
    with pytest.raises(ExportError, match="5m bars only"):
        export(mart.loader, folder / "x.csv", symbols=None, **RANGE, timeframe="1h")
