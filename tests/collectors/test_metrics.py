"""Figures of a live process: what is counted, ages that go on growing, and what a person sees of them."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta

from prometheus_client import generate_latest

from collectors.coverage import Gap
from collectors.metrics import Metrics
from collectors.rows import MarkPrice, Refusal
from collectors.stream_intake import Taken
from collectors.stream_socket import StreamCounts
from collectors.writer import WriteResult
from perpmart.live_status import age_of_vectors, lines_of, read_live

NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_ages_grow_while_nothing_comes() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    row = MarkPrice("SOL/USDT", NOON - timedelta(seconds=3), 1.0, 1.0)
    metrics.wrote(Taken([row], [], NOON), WriteResult(1, 1), StreamCounts(connections=2))
    metrics.served("SOL/USDT", NOON)
    assert dict(lines_of(generate_latest(metrics.registry).decode()))["lag of mark_price"] == "3 s (SOL/USDT)"
    clock.now = NOON + timedelta(minutes=1)
    lines = dict(lines_of(generate_latest(metrics.registry).decode()))
    assert lines["lag of mark_price"] == "63 s (SOL/USDT)"
    assert lines["age of vectors"] == "60 s (SOL/USDT)"
    assert (lines["rows inserted"], lines["sockets opened"]) == (1, 2)


def test_holes_are_counted_by_what_became_of_them() -> None:
    metrics = Metrics(Clock())
    gap = Gap("mark_price", "SOL/USDT", NOON, NOON + timedelta(minutes=1), "silent")
    metrics.found([gap, gap._replace(stream="liquidations", state="unrepairable")])
    metrics.wrote_polled(WriteResult(5, updated=2), [gap._replace(state="repaired_rest")])
    metrics.steps.labels("run").observe(0.5)
    lines = dict(lines_of(generate_latest(metrics.registry).decode()))
    assert (lines["holes found"], lines["holes unrepairable"], lines["holes repaired_rest"]) == (2, 1, 1)
    assert (lines["rows updated"], lines["mean seconds of run"]) == (2, 0.5)


def test_they_are_served_on_loopback_only_and_read_back() -> None:
    metrics = Metrics(Clock())
    metrics.wrote(
        Taken([], [Refusal("mark_price", "x", "y", "z")], NOON), WriteResult(1, rejected=1), StreamCounts()
    )
    port = metrics.serve(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"perpmart_parity_mismatches 0.0" in answer.read()
    assert dict(read_live(port))["rows rejected"] == 1
    assert read_live(1) == []


def test_the_newest_vector_tells_whether_a_live_process_is_alive() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    port = metrics.serve(0)
    assert age_of_vectors(port) is None
    metrics.served("SOL/USDT", NOON - timedelta(days=3))  # delisted
    metrics.served("BTC/USDT", NOON)
    clock.now = NOON + timedelta(minutes=2)
    assert age_of_vectors(port) == 120
    assert age_of_vectors(1) is None
