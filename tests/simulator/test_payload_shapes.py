"""Answers have the fields of recorded ones, no more and no less, and their types."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from simulator.presets import odd_market
from simulator.server import Simulator, running
from tests.simulator.shared_data import shared_data


@pytest.fixture(scope="module")
def exchange() -> Iterator[Simulator]:
    with running(Simulator(odd_market())) as simulator:
        yield simulator


def recorded(name: str) -> Any:
    return json.loads((shared_data() / "payloads" / f"{name}.json").read_text())


def get(exchange: Simulator, path: str, **query: Any) -> Any:
    with urlopen(f"{exchange.url}{path}?{urlencode(query)}") as answer:
        return json.load(answer)


def shape(item: dict[str, Any]) -> dict[str, str]:
    return {name: type(value).__name__ for name, value in item.items()}


def test_open_interest_history(exchange: Simulator) -> None:
    real = recorded("futures_data_openInterestHist")["payload_1h"][0]
    ours = get(exchange, "/futures/data/openInterestHist", symbol="BTCUSDT", period="1h")[0]
    assert shape(ours) == shape(real)
    decimals = {name: len(value.partition(".")[2]) for name, value in real.items() if "." in str(value)}
    assert {name: len(ours[name].partition(".")[2]) for name in decimals} == decimals


def test_account_ratios(exchange: Simulator) -> None:
    real = recorded("futures_data_globalLongShortAccountRatio")["payload_1h"][0]
    for name in ("globalLongShortAccountRatio", "topLongShortAccountRatio", "topLongShortPositionRatio"):
        assert shape(get(exchange, f"/futures/data/{name}", symbol="BTCUSDT", period="1h")[0]) == shape(real)


def test_taker_ratio(exchange: Simulator) -> None:
    real = recorded("futures_data_takerlongshortRatio")["payload"][0]
    ours = get(exchange, "/futures/data/takerlongshortRatio", symbol="BTCUSDT", period="1h")[0]
    assert shape(ours) == shape(real)


def test_funding(exchange: Simulator) -> None:
    rate = recorded("fapi_v1_fundingRate")["payload"]["SOLUSDT"][0]
    assert shape(get(exchange, "/fapi/v1/fundingRate", symbol="SOLUSDT")[0]) == shape(rate)
    info = recorded("fapi_v1_fundingInfo")["payload"][0]
    assert shape(get(exchange, "/fapi/v1/fundingInfo")[0]) == shape(info)


def test_premium_index(exchange: Simulator) -> None:
    real = recorded("fapi_v1_premiumIndex")["payload"][0]
    assert shape(get(exchange, "/fapi/v1/premiumIndex", symbol="ETHUSDT")) == shape(real)


def test_depth(exchange: Simulator) -> None:
    real = next(iter(recorded("fapi_v1_depth")["payloads"].values()))["payload"]
    ours = get(exchange, "/fapi/v1/depth", symbol="BTCUSDT", limit=20)
    assert shape(ours) == shape(real)
    assert all(isinstance(value, str) for level in ours["bids"] for value in level)


def test_open_interest(exchange: Simulator) -> None:
    real = recorded("fapi_v1_openInterest")["payload"]
    assert shape(get(exchange, "/fapi/v1/openInterest", symbol="BTCUSDT")) == shape(real)


def test_exchange_info(exchange: Simulator) -> None:
    real = recorded("fapi_v1_exchangeInfo")["payload"]
    ours = get(exchange, "/fapi/v1/exchangeInfo")
    assert shape(ours) == shape(real)
    assert ours["rateLimits"] == real["rateLimits"]
    assert shape(ours["assets"][0]) == shape(real["assets"][0])
    assert shape(ours["symbols"][0]) == shape(real["symbols"][0])
    ours_filters = {one["filterType"]: shape(one) for one in ours["symbols"][0]["filters"]}
    assert ours_filters == {one["filterType"]: shape(one) for one in real["symbols"][0]["filters"]}


def test_error_bodies(exchange: Simulator) -> None:
    entries = {entry["body"].get("code"): entry for entry in recorded("errors")["entries"]}
    body = get(exchange, "/fapi/v1/fundingRate", symbol="SOLUSDT", limit=1001)
    assert body == entries["99099990"]["body"]
