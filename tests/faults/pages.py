"""Pages of the exchange that cannot be read, met by a backfill and by a poll: kept, and not covered."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from aiohttp import web

from collectors.backfill import HistoricalDataCollector
from collectors.client import BinanceFuturesClient
from collectors.errors import ExchangeError
from collectors.kinds import KINDS
from collectors.stream_polls import gather_history, write_gathered
from simulator.market import Market
from simulator.presets import demo_market
from simulator.replies import Reply
from simulator.server import Simulator, running

from .bench import Bench, Fault, Outcome, covered, tidy

GROUP = "Page of the exchange"
SYMBOL = "SOL/USDT"
BAR = timedelta(minutes=5)
KLINES, STATISTICS = "/fapi/v1/klines", "/futures/data/openInterestHist"

Spoil = Callable[[Any], Any]


class Spoiling(Simulator):
    """The exchange, but for one answer: the ``turn``-th from ``path`` is spoilt (0: each of them)."""

    def __init__(self, market: Market, path: str, spoil: Spoil, *, turn: int = 0) -> None:
        super().__init__(market)
        self.path, self.spoil, self.turn, self.seen = path, spoil, turn, 0

    def _reply(self, request: web.Request, fault: Any) -> Reply:
        reply = super()._reply(request, fault)
        if request.path != self.path or reply.status != 200:
            return reply
        self.seen += 1
        if self.turn not in (0, self.seen):
            return reply
        body = self.spoil(json.loads(reply.body))
        text = body if isinstance(body, str) else json.dumps(body)
        return Reply(reply.status, text.encode(), reply.headers)


def cut_a_bar(page: list[list[Any]]) -> list[list[Any]]:
    """Take the volume and all after it from the third bar."""
    return [*page[:2], page[2][:5], *page[3:]]


def in_words(page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the second open interest in words."""
    return [page[0], page[1] | {"sumOpenInterest": "many"}, *page[2:]]


def another_page(page: object) -> str:
    """Put the page of a proxy in its place."""
    return "<html><body>please log in</body></html>"


def backfill(bench: Bench, url: str, market: Market, kind: str) -> str:
    """Collect one kind of the whole market; gives the error that ended it."""

    async def collect() -> None:
        async with BinanceFuturesClient(url, attempts=2, first_delay=0.01) as client:
            collector = HistoricalDataCollector(client, bench.connection, kinds=[kind], pages_per_write=1)
            await collector.collect_all_data(SYMBOL, market.start, market.end)

    try:
        asyncio.run(collect())
    except ExchangeError as error:
        return f"{type(error).__name__}: {error.endpoint.replace(url, '')}: {error.reason}"
    return ""


def poll(bench: Bench, url: str, market: Market) -> str:
    """Read the last hour's klines and open interest as the live collector does; gives the error noted."""

    async def gather() -> str:
        async with BinanceFuturesClient(url, attempts=2, first_delay=0.01) as client:
            now = await client.server_time()
            listing = {one.symbol: one for one in await client.fetch_exchange_info()}[SYMBOL]
            wanted = [
                (KINDS[name], listing, now - timedelta(hours=1), now) for name in ("klines", "open_interest")
            ]
            gathered = await gather_history(client, wanted, now=now)
        write_gathered(bench.connection, gathered, origin="poll")
        return "; ".join(gathered.errors)

    return asyncio.run(gather())


def kept(bench: Bench) -> int:
    """Rows of the pages in ``rejects``; a page that is none at all counts as one."""
    pages = bench.connection.execute("select payload from rejects where context ? 'endpoint'").fetchall()
    bench.connection.rollback()
    return sum(text.count("[") - 1 if text.startswith("[[") else max(1, text.count("{")) for (text,) in pages)


def _rows(bench: Bench) -> int:
    return bench.count("ohlcv") + bench.count("open_interest")


def _answered(bench: Bench) -> int:
    """Grid points that coverage says are answered for: the other side of the sum."""
    return sum((one.to_time - one.from_time) // BAR for one in covered(bench))


def _backfill(kind: str, path: str, spoil: Spoil, turn: int, again: bool, bench: Bench) -> Outcome:
    market = demo_market(days=4)
    with running(Spoiling(market, path, spoil, turn=turn)) as exchange:
        said = backfill(bench, exchange.url, market, kind)
        refused, accepted = kept(bench), _rows(bench)
        if again:
            assert backfill(bench, exchange.url, market, kind) == ""
            assert (kept(bench), _answered(bench)) == (refused, 1152)
            return Outcome(1152 + refused, _rows(bench), refused, 0, "kept; the next backfill reads it anew")
    asked = 1152 + (1 if spoil is another_page else 0)
    return Outcome(asked, accepted, refused, asked - _answered(bench) - refused, tidy(bench, said))


def _poll(bench: Bench) -> Outcome:
    market = demo_market(days=4)
    with running(Spoiling(market, STATISTICS, in_words)) as exchange:
        said = poll(bench, exchange.url, market)
    accepted, refused = _rows(bench), kept(bench)
    return Outcome(12 + 12, accepted, refused, 24 - _answered(bench) - refused, said)


FAULTS = (
    Fault(GROUP, "a bar of too few fields in the second of three pages",
          partial(_backfill, "klines", KLINES, cut_a_bar, 2, False)),
    Fault(GROUP, "a bar of too few fields once, then all is well",
          partial(_backfill, "klines", KLINES, cut_a_bar, 2, True)),
    Fault(GROUP, "open interest in words",
          partial(_backfill, "open_interest", STATISTICS, in_words, 0, False)),
    Fault(GROUP, "a proxy's page in the place of klines",
          partial(_backfill, "klines", KLINES, another_page, 0, False)),
    Fault(GROUP, "open interest in words, at a live poll", _poll),
)  # fmt: skip
