# ruff: noqa: PT017  # what an error says is part of its promise
"""What is fuzzed: each target takes bytes, and may raise only the errors that it promises.

`TARGETS` is used by hypothesis (``make test``) and by atheris (``make proof``); seeds lie in
``seeds/<target>/``.
"""

import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from collectors import parse, parse_now, parse_stream
from collectors.archive_files import ArchiveError, read_lines
from collectors.archive_kinds import recognise
from collectors.archive_lines import parse_line, split_cells
from collectors.errors import ExchangeError
from collectors.fields import error_of
from collectors.rejects import Reject, RejectError, rows_of
from collectors.rows import Row
from collectors.symbols import SymbolError, canonical_symbol
from perpmart.errors import PerpmartError
from perpmart.urls import mask_password

SEEDS = Path(__file__).parent / "seeds"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
Target = Callable[[bytes], None]

_PAYLOADS: dict[str, Callable[[object], object]] = {
    "klines": partial(parse.parse_klines, symbol="SOL/USDT", timeframe="5m"),
    "price_klines": partial(parse.parse_price_klines, endpoint="/fapi/v1/markPriceKlines", timeframe="5m"),
    "open_interest": partial(parse.parse_open_interest, symbol="SOL/USDT", period="5m"),
    "ratio": partial(parse.parse_long_short_ratio, symbol="SOL/USDT", period="5m", ratio_type="top_account"),
    "taker": partial(parse.parse_long_short_ratio, symbol="SOL/USDT", period="5m", ratio_type="taker_volume"),
    "funding": parse.parse_funding_rates,
    "funding_info": parse_now.parse_funding_info,
    "depth": partial(parse_now.parse_order_book, symbol="SOL/USDT"),
    "premium": parse_now.parse_premium_index,
    "server_time": parse_now.parse_server_time,
    "exchange_info": parse_now.parse_exchange_info,
    "force_order": parse_stream.parse_force_order,
    "mark_price": parse_stream.parse_mark_price_update,
    "kline_event": parse_stream.parse_kline_event,
    "partial_depth": parse_stream.parse_partial_depth,
    "error_object": partial(error_of, endpoint="/fapi/v1/klines"),
}
"""Parsers of decoded JSON."""


def _check(made: object) -> None:
    """Rows hold finite numbers and aware times: what a parser lets through, a table can be asked about."""
    rows: Iterable[object] = made if isinstance(made, list) else [made]
    for row in rows:
        if not isinstance(row, Row):
            continue
        for value in row:
            assert not isinstance(value, float) or math.isfinite(value), row
            assert not isinstance(value, datetime) or value.tzinfo is not None, row


def _payload(read: Callable[[object], object], data: bytes) -> None:
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        _check(read(payload))
    except ExchangeError as error:
        assert "\n" not in str(error)


_NAMES = (
    "SOLUSDT-5m-2026-02-01.csv",
    "SOLUSDT-metrics-2026-02-01.csv",
    "SOLUSDT-fundingRate-2026-02.csv",
    "SOLUSDT-5m.csv",
    "SOLUSDT-globalLongShortAccountRatio-30m.csv",
    "forceOrder.csv",
)


def csv_text(data: bytes) -> None:
    """A csv file under any of the names that are known: recognised and read, or refused in words."""
    name = _NAMES[data[0] % len(_NAMES)] if data else _NAMES[0]
    texts = data[1:].decode("utf-8", "backslashreplace").splitlines()
    told = []
    for text in texts[:50]:
        try:
            told.append(split_cells(text))
        except ValueError:
            continue
    try:
        shape = recognise(Path("folder") / name, told)
    except ArchiveError as error:
        assert str(error)
        return
    for text in texts:
        try:
            parse_line(text, shape)
        except (ValueError, OverflowError):
            continue


def archive_bytes(data: bytes) -> None:
    """A file of any bytes: lines, or an error that names the file."""
    suffix = (".csv", ".csv.gz", ".zip")[data[0] % 3] if data else ".csv"
    with TemporaryDirectory(prefix="perpmart-fuzz-") as folder:
        path = Path(folder) / f"SOLUSDT-5m-2026-02-01{suffix}"
        path.write_bytes(data[1:])
        try:
            for _ in read_lines(path):
                pass
        except ArchiveError as error:
            assert str(path) in str(error)


def reject_payload(data: bytes) -> None:
    """What was refused, read again."""
    text = data[1:].decode("utf-8", "backslashreplace")
    streams = ("ohlcv:5m", "order_book", "funding_rate", "liquidations", "mark_price", "nonsense")
    stream = streams[data[0] % len(streams)] if data else streams[0]
    reject = Reject(1, stream, NOW, "rest", "", "", text, "open", None, None)
    try:
        rows_of(reject)
    except (ValueError, OverflowError, PerpmartError, RejectError) as error:
        assert str(error)


_QUESTIONS: tuple[tuple[str, dict[str, object]], ...] = (
    ("/fapi/v1/klines", {"symbol": "SOLUSDT", "interval": "5m"}),
    ("/futures/data/openInterestHist", {"symbol": "SOLUSDT", "period": "5m"}),
    ("/futures/data/takerlongshortRatio", {"symbol": "SOLUSDT", "period": "5m"}),
    ("/fapi/v1/fundingRate", {"symbol": "SOLUSDT"}),
    ("/fapi/v1/depth", {"symbol": "SOLUSDT", "limit": 20}),
    ("/fapi/v1/markPriceKlines", {"symbol": "SOLUSDT", "interval": "5m"}),
)


def broken_page(data: bytes) -> None:
    """A page of REST that was refused, read again."""
    text = data[1:].decode("utf-8", "backslashreplace")
    path, params = _QUESTIONS[data[0] % len(_QUESTIONS)] if data else _QUESTIONS[0]
    context = {"endpoint": path, "params": params, "asked_at": NOW.isoformat(), "characters": len(text)}
    reject = Reject(1, "x", NOW, "rest", "", "", text, "open", context, None)
    try:
        rows, covered = rows_of(reject)
    except (ValueError, PerpmartError) as error:
        assert str(error)
        return
    _check(rows)
    assert not covered


def symbol_text(data: bytes) -> None:
    """A symbol in any spelling is canonical, and stays so, or an error."""
    try:
        symbol = canonical_symbol(data.decode("utf-8", "backslashreplace"))
    except SymbolError:
        return
    assert canonical_symbol(symbol) == symbol


def address(data: bytes) -> None:
    """No address shows its password, however broken it is."""
    rest = data.decode("utf-8", "backslashreplace").replace("s3cr3t", "")
    for url in (
        f"postgresql://ann:s3cr3t@db/{rest}",
        f"redis://:s3cr3t@{rest}",
        f"postgresql://db/?password=s3cr3t&{rest}",
    ):
        assert "s3cr3t" not in mask_password(url), url


TARGETS: dict[str, Target] = {
    **{name: partial(_payload, read) for name, read in _PAYLOADS.items()},
    "csv_text": csv_text,
    "archive_bytes": archive_bytes,
    "reject_payload": reject_payload,
    "broken_page": broken_page,
    "symbol_text": symbol_text,
    "address": address,
}


def seeds_of(name: str) -> list[bytes]:
    """Inputs from which a target's search begins: kept ones, and those that once broke something."""
    return [path.read_bytes() for path in sorted((SEEDS / name).glob("*"))]
