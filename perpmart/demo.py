"""The whole way once, on a simulated exchange: collect, build, push, read back, and a page to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from collectors.quality import validate as check_raw
from collectors.quality_checks import configured
from collectors.symbols import canonical_symbol
from ml.errors import FeatureStoreError
from ml.feature_store import FeatureStore
from ml.feature_store_writer import FeatureStoreWriter
from perpmart.build import build
from perpmart.collect import backfill
from perpmart.database import connect
from perpmart.demo_database import claim_database
from perpmart.demo_recordings import close_recorded_gaps, import_recordings, record_books, record_liquidations
from perpmart.errors import PerpmartError
from perpmart.push import push
from perpmart.report import write_page
from perpmart.report_data import Range, ReportData, SymbolReport, read_report
from perpmart.report_page import Table
from perpmart.servers.addresses import database_url, redis_url
from perpmart.servers.embedded import up
from perpmart.settings import Settings
from perpmart.validate import write_pages
from simulator.market import Market
from simulator.presets import demo_market
from simulator.recorded import RecordedMarket
from simulator.server import Simulator, running

DEFAULT_SYMBOLS = ("SOL/USDT", "BTC/USDT", "ETH/USDT")
DEFAULT_DAYS = 30
BOOK_DAYS = 1


@dataclass(frozen=True)
class Step:
    """One step of the demo: its name, how long it took, what came of it."""

    name: str
    seconds: float
    outcome: str


@dataclass(frozen=True)
class SymbolOutcome:
    """One symbol at the end: rows of raw, bars, share of feature values known, and what Redis served."""

    symbol: str
    klines: int
    settlements: int
    raw_rows: int
    bars: int
    known: float
    served: str


@dataclass(frozen=True)
class DemoResult:
    """What the demo did.

    ``ok`` is whether no check of the raw tables failed and every symbol's vector came back from Redis as the
    mart has it.
    """

    steps: tuple[Step, ...]
    symbols: tuple[SymbolOutcome, ...]
    features: int
    holes: int
    page: Path
    ok: bool

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(step.seconds for step in self.steps)


@dataclass
class _Course:
    """The steps so far; each is told when it begins."""

    say: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what the block appends to the yielded list is its outcome."""
        self.say(name)
        outcome: list[str] = []
        started = time.perf_counter()
        yield outcome
        self.steps.append(Step(name, time.perf_counter() - started, "; ".join(outcome)))


def run_demo(
    settings: Settings,
    *,
    data: Path | None = None,
    days: int = DEFAULT_DAYS,
    symbols: Sequence[str] | None = None,
    page: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> DemoResult:
    """Run everything once and write a page about it.

    A local exchange is started on loopback, with a synthetic market or with recorded files, and its history
    is collected through the real client. What REST cannot give is recorded beside it, as a listener would
    have: liquidations, and of a synthetic market the order books of its last day. The database must be empty,
    or hold an earlier demo; another demo's data are removed first.

    Parameters
    ----------
    settings : Settings
        Servers (embedded ones are started unless addresses are given) and schema prefix.
    data : Path, optional
        Folder of recorded files to serve in place of a synthetic market.
    days : int, optional
        Length of the history that is collected, counted back from its end.
    symbols : sequence of str, optional
        By default SOL, BTC and ETH, of recorded files all that have whole 5m klines.
    page : Path, optional
        Where the page goes; by default ``demo.html`` in the state folder.
    say : callable, optional
        Told each step's name as it begins.

    Raises
    ------
    PerpmartError
        A server that cannot be started, a database that holds other data, files that cannot be read, ...
    """
    course = _Course(say)
    if days < 1:
        raise PerpmartError(f"the demo needs at least one day, not {days}")
    with course.step("Start the servers") as outcome:
        started = up(settings)
        outcome.append(", ".join(started) + " started" if started else "already there")
    with course.step("Open the market") as outcome:
        market, chosen = _open_market(data, days, symbols)
        start = max(market.end - timedelta(days=days), market.start)
        outcome.append(f"{len(chosen)} symbols, {start:%Y-%m-%d} to {market.end:%Y-%m-%d %H:%M} UTC")
    with course.step("Create the schema") as outcome:
        outcome.append(claim_database(settings, _label(data, days, chosen)))
    holes = _collect(settings, market, chosen, start, course, data)
    target = page or settings.state_dir / "demo.html"
    with course.step("Check the raw tables") as outcome, connect(settings) as connection:
        checks = configured(settings.checks)
        found = check_raw(connection, now=market.end + timedelta(minutes=1), checks=checks)
        looks = write_pages(found, target.absolute().parent / "validation")
        outcome.append(f"{len(checks)} checks, {len(found.warned)} warn, {len(found.failed)} failed: {looks}")
    with course.step("Build bars and features") as outcome:
        nodes = build(
            database_url(settings),
            prefix=settings.schema_prefix,
            benchmark=settings.benchmark,
            threads=settings.threads,
        )
        outcome.append(f"{len(nodes)} models")
    served, ok = _serve(settings, market, chosen, course)
    ok = ok and found.ok
    return _report(settings, chosen, Range(start, market.end), course, served, holes, target, ok=ok)


def _open_market(
    data: Path | None, days: int, symbols: Sequence[str] | None
) -> tuple[Market, tuple[str, ...]]:
    """The market to serve, and which of its symbols to collect."""
    try:
        market: Market = demo_market(days=days) if data is None else RecordedMarket(data)
        trading = [one.symbol for one in market.instruments() if one.status == "TRADING"]
    except ValueError as error:
        raise PerpmartError(str(error)) from None
    wanted = symbols or (trading if data is not None else DEFAULT_SYMBOLS)
    chosen = tuple(dict.fromkeys(canonical_symbol(symbol) for symbol in wanted))
    if missing := [symbol for symbol in chosen if symbol not in trading]:
        raise PerpmartError(f"the market has no {missing[0]}; it trades {', '.join(trading) or 'nothing'}")
    if not chosen:
        raise PerpmartError(f"{data} holds no symbol with whole 5m klines")
    return market, chosen


def _label(data: Path | None, days: int, symbols: Sequence[str]) -> str:
    return f"{data.resolve() if data else 'synthetic'}, {days} days, {', '.join(sorted(symbols))}"


def _collect(
    settings: Settings,
    market: Market,
    symbols: Sequence[str],
    start: datetime,
    course: _Course,
    data: Path | None,
) -> int:
    """Fill the raw tables over a real socket; returns the number of holes that the exchange left."""
    with course.step("Collect over REST") as outcome, running(Simulator(market)) as exchange:
        local = settings.model_copy(update={"exchange_url": exchange.url})
        result = backfill(local, symbols=symbols, start=start, end=market.end)
        outcome.append(f"{result.rows:,} rows, {result.requests:,} requests, {len(result.holes)} holes noted")
    with course.step("Record what REST has not") as outcome, connect(settings) as connection:
        if data is not None:
            outcome.append(f"{import_recordings(connection, data, market.end):,} rows of other files")
        else:
            events = record_liquidations(connection, market, symbols, start)
            books = record_books(connection, market, symbols, timedelta(days=BOOK_DAYS))
            outcome.append(f"{events:,} liquidations, {books:,} order books")
        close_recorded_gaps(connection, market)
    return len(result.holes)


def _serve(
    settings: Settings, market: Market, symbols: Sequence[str], course: _Course
) -> tuple[dict[str, str], bool]:
    """Push the newest vectors and read them back; gives a phrase a symbol."""
    namespace = f"{settings.schema_prefix}perpmart"
    address = redis_url(settings)
    with course.step("Push to Redis") as outcome, connect(settings) as connection:
        writer = FeatureStoreWriter(address, namespace=namespace, clock=lambda: market.end)
        pushed = push(
            connection,
            writer,
            schema_prefix=settings.schema_prefix,
            symbols=symbols,
            history=288,
            now=market.end,
        )
        kept = {one.symbol: one for one in pushed if one.outcome in ("written", "unchanged")}
        outcome.append(f"{len(kept)} of {len(symbols)} vectors")
    with course.step("Read back") as outcome:
        store = FeatureStore(address, namespace=namespace, clock=lambda: market.end)
        found = store.get_many(symbols, "5m", on_null="return", on_error="return")
        phrases, good = {}, 0
        for symbol, vector in found.items():
            if isinstance(vector, FeatureStoreError):
                phrases[symbol] = str(vector)
                continue
            good += symbol in kept and kept[symbol].time == vector.time
            known = len(vector.names) - len(vector.nulls)
            age = f"{vector.age.total_seconds():.0f} s old"
            phrases[symbol] = f"{vector.time:%Y-%m-%d %H:%M}, {age}, {known} of {len(vector.names)} known"
        outcome.append(f"{good} of {len(symbols)} as pushed")
    return phrases, good == len(symbols)


def _report(
    settings: Settings,
    symbols: Sequence[str],
    span: Range,
    course: _Course,
    served: dict[str, str],
    holes: int,
    page: Path,
    *,
    ok: bool,
) -> DemoResult:
    """Write the page, and gather what the closing table shows."""
    with course.step("Read the mart") as outcome, connect(settings) as connection:
        data = read_report(connection, symbols, span, schema_prefix=settings.schema_prefix)
        outcome.append(f"{sum(len(one.bars) for one in data.symbols):,} bars")
    outcomes = tuple(_outcome(data, one, served[one.symbol]) for one in data.symbols)
    steps = Table(
        "Seconds a step",
        ("Step", "Seconds", "Outcome"),
        tuple((step.name, step.seconds, step.outcome) for step in course.steps),
    )
    online = Table(
        "Served from Redis",
        ("Symbol", "Newest vector (UTC)"),
        tuple((one.symbol, one.served) for one in outcomes),
    )
    with course.step("Write the page") as outcome:
        written = write_page(data, page, title="perpmart demo", tables=(online, steps))
        outcome.append(f"{written.stat().st_size / 1e6:.1f} MB")
    return DemoResult(tuple(course.steps), outcomes, len(data.registry.features), holes, written, ok)


def _outcome(data: ReportData, one: SymbolReport, served: str) -> SymbolOutcome:
    rows = {kind.kind: kind.rows for kind in data.raw if kind.symbol == one.symbol}
    return SymbolOutcome(
        symbol=one.symbol,
        klines=rows["Klines"],
        settlements=rows["Funding settlements"],
        raw_rows=sum(rows.values()),
        bars=len(one.bars),
        known=one.known,
        served=served,
    )
