"""Who may run when, and by which cause a served bar is revised: without servers, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectors.coverage import Connection
from collectors.metrics import Metrics
from collectors.rows import Coverage
from collectors.stream_clock import ExchangeClock
from collectors.stream_cycles import BarClosed
from collectors.stream_polls import Gathered
from collectors.writer import WriteResult
from perpmart import live, live_serving
from perpmart.errors import RedisError
from perpmart.live import LiveMart
from perpmart.live_serving import HISTORY, UNEXPLAINED, Causes, spans_before
from perpmart.push import Pushed

BAR = timedelta(minutes=5)
CLOSE = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
NOW = CLOSE + timedelta(seconds=30)


class Bench:
    """A live mart whose steps only note that they were done; a step waits while `gates` holds its event."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, now: datetime = NOW) -> None:
        self.done: list[str] = []
        self.compared: list[dict[str, Any]] = []
        self.pushes: list[dict[str, Any]] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.is_store_away = False
        monkeypatch.setattr(live, "run_pending", lambda connection: [])
        monkeypatch.setattr(live, "_repair", lambda *given: (WriteResult(), [], None))
        monkeypatch.setattr(live_serving, "push", self._push)
        monkeypatch.setattr(live_serving, "push_revised", self._compare)
        monkeypatch.setattr(live_serving, "fill_unserved", lambda *given, **options: 0)
        clock = ExchangeClock(now)
        self.metrics = Metrics(clock.now)
        self.mart = LiveMart(self, object(), clock=clock, metrics=self.metrics, say=self.done.append)  # type: ignore[arg-type]

    async def call(self, function: Callable[..., Any], *given: Any) -> Any:
        before = len(self.pushes), len(self.compared)
        result = function(None, *given)
        step = "run"
        if (len(self.pushes), len(self.compared)) != before:
            step = "push" if len(self.pushes) > before[0] else "compare"
        elif given:
            step = "repair"
        self.done.append(step)
        if step in self.gates:
            await self.gates.pop(step).wait()
        return result

    insist = call

    def cancel(self) -> None:
        self.done.append("cancel")

    def _push(self, connection: Connection, store: object, **options: Any) -> list[Pushed]:
        self.pushes.append(options)
        if self.is_store_away:
            raise RedisError("away")
        return []

    def _compare(self, connection: Connection, store: object, **options: Any) -> list[Any]:
        self.compared.append(options)
        return []

    @property
    def causes(self) -> list[str]:
        return [one["cause"] for one in self.compared]

    async def close_bar(self) -> None:
        await self.mart.on_bar(BarClosed(CLOSE - BAR, (), None, False))


async def ticks() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_change_is_named_until_a_run_that_began_later_is_compared() -> None:
    causes = Causes()
    causes.name("a")
    causes.begin_run()
    causes.name("b")
    assert causes.all() == {"a", "b"}
    causes.have_been_told()
    assert causes.all() == {"b"}
    causes.begin_run()
    causes.have_been_told()
    assert causes.all() == set()


def test_a_bar_that_runs_before_its_turn_names_a_change_that_came_in_the_run_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)

    async def overtake() -> None:
        bench.gates["push"] = gate = asyncio.Event()
        first = asyncio.ensure_future(bench.mart.on_change("revised bars"))
        await ticks()
        # The run is over: it has not seen the statistics. The bar waits for its turn before them.
        bar = asyncio.ensure_future(bench.close_bar())
        await ticks()
        second = asyncio.ensure_future(bench.mart.on_change("late statistics"))
        await ticks()
        gate.set()
        await asyncio.gather(first, bar, second)

    asyncio.run(overtake())
    assert bench.causes == ["late statistics; revised bars", "late statistics", UNEXPLAINED]


def test_changes_that_wait_for_one_turn_are_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)

    async def change_often() -> None:
        bench.gates["run"] = gate = asyncio.Event()
        changes = [asyncio.ensure_future(bench.mart.on_change("revised bars"))]
        await ticks()
        for what in ("late messages", "late statistics", "missing bars"):
            changes.append(asyncio.ensure_future(bench.mart.on_change(what)))
            await ticks()
        gate.set()
        await asyncio.gather(*changes)

    asyncio.run(change_often())
    assert bench.done.count("run") == 2
    assert bench.causes[1] == "late messages; late statistics; missing bars"


def test_a_change_leaves_the_run_to_a_bar_that_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)

    async def change_at_the_close() -> None:
        await bench.mart.on_close()
        await bench.mart.on_change("late statistics")
        assert bench.done == []
        await bench.close_bar()

    asyncio.run(change_at_the_close())
    assert bench.causes == ["late statistics"]


def test_a_change_that_comes_while_a_repair_runs_is_named_by_the_run_that_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)

    async def change_in_a_repair() -> None:
        bench.gates["repair"] = gate = asyncio.Event()
        repair = asyncio.ensure_future(bench.mart.on_repair(Gathered(NOW), origin=""))
        await ticks()
        change = asyncio.ensure_future(bench.mart.on_change("revised bars"))
        await ticks()
        gate.set()
        await asyncio.gather(repair, change)

    asyncio.run(change_in_a_repair())
    assert bench.causes == ["repair; revised bars", "revised bars"]


def test_no_repair_begins_between_a_close_and_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)

    async def repair_at_the_close() -> None:
        await bench.mart.on_close()
        repair = asyncio.ensure_future(bench.mart.on_repair(Gathered(NOW), origin=""))
        await ticks()
        assert bench.done == []
        await bench.close_bar()
        assert await repair

    asyncio.run(repair_at_the_close())
    assert bench.done.index("repair") > bench.done.index("compare")


def test_a_repair_is_cancelled_when_a_bar_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)

    async def close_in_a_repair() -> None:
        bench.gates["repair"] = gate = asyncio.Event()
        repair = asyncio.ensure_future(bench.mart.on_repair(Gathered(NOW), origin=""))
        await ticks()
        closing = asyncio.ensure_future(bench.mart.on_close())
        while "cancel" not in bench.done:
            await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(repair, closing)

    asyncio.run(close_in_a_repair())


def test_what_a_long_repair_changed_is_compared_in_spans_between_bars(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    old = Coverage("ohlcv:5m", "SOL/USDT", NOW - timedelta(hours=4), NOW - timedelta(hours=3))

    async def repair() -> None:
        bench.gates["compare"] = gate = asyncio.Event()
        repairing = asyncio.ensure_future(bench.mart.on_repair(Gathered(NOW, covered=[old]), origin=""))
        await ticks()
        bar = asyncio.ensure_future(bench.close_bar())
        await ticks()
        gate.set()
        await asyncio.gather(repairing, bar)

    asyncio.run(repair())
    spans = [(one["since"], one["before"]) for one in bench.compared]
    assert bench.causes.count("repair") == len(spans) - 1
    # The newest first, then the bar that came between, then back to the hole.
    assert spans[1] == (CLOSE - BAR - 12 * BAR, None)
    ends = [before for _, before in spans if before is not None]
    assert ends == sorted(ends, reverse=True)
    assert min(since for since, _ in spans) == old.from_time - BAR


def test_spans_cover_the_time_from_the_newest_back() -> None:
    assert spans_before(NOW, NOW - 5 * BAR, 2 * BAR) == [
        (NOW - 2 * BAR, NOW),
        (NOW - 4 * BAR, NOW - 2 * BAR),
        (NOW - 5 * BAR, NOW - 4 * BAR),
    ]
    assert spans_before(NOW, NOW, BAR) == []


def test_a_store_that_comes_back_gets_the_bars_that_it_missed_and_all_causes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    bench.is_store_away = True

    async def go_away_and_come_back() -> None:
        await bench.mart.on_change("late statistics")
        bench.mart._serving._sent = CLOSE - 40 * BAR
        await bench.close_bar()
        await bench.mart.on_change("missing bars")
        bench.is_store_away = False
        while "the store is served again" not in bench.done:
            await asyncio.sleep(0.05)
        await bench.mart.close()

    asyncio.run(go_away_and_come_back())
    last = bench.pushes[-1]
    assert last["history"] == 38
    assert {"late statistics", "missing bars"} <= set(last["cause"].split("; "))


def test_bars_that_were_passed_over_go_into_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)

    async def pass_over() -> None:
        for bars in (0, 1, 4):
            await bench.mart.on_bar(BarClosed(CLOSE + bars * BAR, (), None, False))

    asyncio.run(pass_over())
    assert [one["history"] for one in bench.pushes] == [HISTORY, 0, 2]
