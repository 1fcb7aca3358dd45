"""Faults on purpose: seeded, bounded, and of the kinds that a client must live with."""

import json
from collections import Counter
from collections.abc import Iterator
from http.client import IncompleteRead
from time import monotonic
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from simulator.faults import FAULTS, FaultInjector, FaultPlan, parse_plan, plan_from
from simulator.limits import RateLimits
from simulator.presets import demo_market
from simulator.server import Simulator, running

PATH = "/fapi/v1/klines?symbol=SOLUSDT&interval=5m&limit=200"


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    with running(Simulator(demo_market(days=2), limits=RateLimits(patience=0))) as simulator:
        yield simulator


def test_the_same_seed_hits_the_same_requests() -> None:
    plan = FaultPlan(rate_429=0.1, rate_5xx=0.1, rate_reset=0.1, rate_slow=0.1, rate_418=0.1, seed=3)
    requests = [f"/fapi/v1/klines?startTime={number}" for number in range(300)] * 2
    one, other = FaultInjector(plan), FaultInjector(plan)
    faults = [one.next_fault(request) for request in requests]
    assert faults == [other.next_fault(request) for request in requests]
    counts = Counter(faults)
    assert set(counts) == {None, *FAULTS}
    assert all(30 <= counts[fault] <= 95 for fault in FAULTS)


def test_the_order_of_requests_does_not_matter() -> None:
    plan = FaultPlan(rate_5xx=0.5, seed=1)
    requests = [f"/{number}" for number in range(50)]
    forward, backward = FaultInjector(plan), FaultInjector(plan)
    first = {request: forward.next_fault(request) for request in requests}
    assert first == {request: backward.next_fault(request) for request in reversed(requests)}


def test_a_request_is_answered_in_the_end() -> None:
    injector = FaultInjector(FaultPlan(rate_5xx=1.0, most_in_a_row=3))
    assert [injector.next_fault("/a") for _ in range(5)] == ["5xx", "5xx", "5xx", None, "5xx"]


def test_no_faults_by_default() -> None:
    injector = FaultInjector(FaultPlan())
    assert {injector.next_fault("/a") for _ in range(100)} == {None}
    assert injector.next_latency("/a") == 0


def test_plans_are_read_from_text() -> None:
    plan = parse_plan("429=0.05, 5xx=0.1,latency_ms=20,most_in_a_row=2", seed=9)
    assert plan == FaultPlan(rate_429=0.05, rate_5xx=0.1, latency_ms=20.0, most_in_a_row=2, seed=9)
    with pytest.raises(ValueError, match="unknown fault 'resett'"):
        parse_plan("resett=0.1")
    with pytest.raises(ValueError, match="name=number"):
        parse_plan("reset")
    with pytest.raises(ValueError, match="together at most 1"):
        plan_from({"429": 0.7, "5xx": 0.7})
    with pytest.raises(ValueError, match="not negative"):
        FaultPlan(latency_ms=-1)


def test_refusals_say_how_long_to_wait(exchange: Simulator) -> None:
    exchange.faults = FaultPlan(rate_429=1.0)
    with pytest.raises(HTTPError) as caught:
        urlopen(exchange.url + PATH)
    assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "1")
    assert json.load(caught.value)["code"] == -1003


def test_a_ban_holds_for_all_requests_until_its_end(exchange: Simulator) -> None:
    exchange.faults = FaultPlan(rate_418=1.0, ban_seconds=30)
    with pytest.raises(HTTPError) as caught:
        urlopen(exchange.url + PATH)
    assert caught.value.code == 418
    assert "banned until" in json.load(caught.value)["msg"]
    exchange.faults = FaultPlan()
    with pytest.raises(HTTPError, match="418"):
        urlopen(f"{exchange.url}/fapi/v1/time")


def test_server_errors_are_json_or_a_page_of_html(exchange: Simulator) -> None:
    exchange.faults = FaultPlan(rate_5xx=1.0, most_in_a_row=100)
    seen = {}
    for _ in range(4):
        with pytest.raises(HTTPError) as caught:
            urlopen(exchange.url + PATH)
        seen[caught.value.code] = caught.value.headers["Content-Type"].partition(";")[0]
    assert seen == {500: "application/json", 502: "text/html", 503: "application/json", 504: "text/html"}


def test_a_reset_comes_in_the_middle_of_the_body(exchange: Simulator) -> None:
    exchange.faults = FaultPlan(rate_reset=1.0, most_in_a_row=1)
    with pytest.raises((IncompleteRead, ConnectionError)):
        urlopen(exchange.url + PATH).read()
    assert (exchange.requests[-1].status, exchange.requests[-1].fault) == (0, "reset")
    assert len(json.load(urlopen(exchange.url + PATH))) == 200


def test_a_slow_body_is_whole_in_the_end(exchange: Simulator) -> None:
    exchange.faults = FaultPlan(rate_slow=1.0, slow_seconds=0.2)
    began = monotonic()
    assert len(json.load(urlopen(exchange.url + PATH))) == 200
    assert monotonic() - began >= 0.2


def test_latency_delays_every_answer(exchange: Simulator) -> None:
    exchange.faults = FaultPlan(latency_ms=100)
    began = monotonic()
    urlopen(f"{exchange.url}/fapi/v1/time").read()
    assert monotonic() - began >= 0.05


def test_faults_are_switched_from_outside(exchange: Simulator) -> None:
    order = Request(f"{exchange.url}/_sim/faults", data=b'{"429": 1.0, "seed": 4}')
    assert json.load(urlopen(order))["rate_429"] == 1.0
    assert exchange.faults.seed == 4
    with pytest.raises(HTTPError, match="429"):
        urlopen(exchange.url + PATH)
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{exchange.url}/_sim/faults", data=b'{"430": 1.0}'))
    assert (caught.value.code, "unknown fault" in json.load(caught.value)["error"]) == (400, True)
    assert json.load(urlopen(f"{exchange.url}/_sim/faults"))["rate_429"] == 1.0


def test_real_limits_refuse_over_the_socket() -> None:
    limits = RateLimits(weight_per_minute=3, patience=1, ban_seconds=60)
    with running(Simulator(demo_market(days=2), limits=limits)) as exchange:
        codes = []
        for _ in range(5):
            try:
                codes.append(urlopen(f"{exchange.url}/fapi/v1/time").status)
            except HTTPError as error:
                codes.append(error.code)
        assert codes == [200, 200, 200, 429, 418]
