"""The client against a server on loopback: what it sends, what it makes of errors, when it tries again."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from collectors import errors
from collectors.client import BinanceFuturesClient
from collectors.limits import Pool
from collectors.transport import Transport
from tests.collectors.exchange import Answer, Quick, ask, scripted
from tests.collectors.recorded import payload

T = 1_760_000_100_000
START, END = datetime(2025, 10, 9, 8, 55, tzinfo=UTC), datetime(2025, 10, 9, 9, 55, tzinfo=UTC)
SETTLEMENT = {"symbol": "SOLUSDT", "fundingTime": T, "fundingRate": "0.0001", "markPrice": "151.2"}
GOOD = Answer(body=[SETTLEMENT])
BUSY = Answer(503, {"code": -1008, "msg": "Server is currently overloaded."})
HTML = Answer(502, "<html><h1>502 Bad Gateway</h1></html>")


async def settlements(client: BinanceFuturesClient) -> Any:
    return await client.fetch_funding_rates("SOL/USDT")


CALLS: list[tuple[str, Any, str, dict[str, str]]] = [
    (
        "fetch_klines", {"limit": 12}, "/fapi/v1/klines",
        {"symbol": "SOLUSDT", "interval": "5m", "limit": "12"},
    ),
    (
        "fetch_mark_price_klines", {}, "/fapi/v1/markPriceKlines",
        {"symbol": "SOLUSDT", "interval": "5m", "limit": "499"},
    ),
    (
        "fetch_index_price_klines", {}, "/fapi/v1/indexPriceKlines",
        {"pair": "SOLUSDT", "interval": "5m", "limit": "499"},
    ),
    (
        "fetch_open_interest_history", {}, "/futures/data/openInterestHist",
        {"symbol": "SOLUSDT", "period": "5m", "limit": "500"},
    ),
    ("fetch_funding_rates", {}, "/fapi/v1/fundingRate", {"symbol": "SOLUSDT", "limit": "1000"}),
    *(
        (
            "fetch_long_short_ratio", {"ratio_type": ratio_type}, f"/futures/data/{path}",
            {"symbol": "SOLUSDT", "period": "5m", "limit": "500"},
        )
        for ratio_type, path in {
            "global_account": "globalLongShortAccountRatio",
            "top_account": "topLongShortAccountRatio",
            "top_position": "topLongShortPositionRatio",
            "taker_volume": "takerlongshortRatio",
        }.items()
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "options", "path", "query"), CALLS)
@pytest.mark.parametrize("symbol", ["SOL/USDT", "SOLUSDT", "SOL/USDT:USDT"])
def test_each_method_asks_its_endpoint_for_a_half_open_range(
    method: str, options: dict[str, Any], path: str, query: dict[str, str], symbol: str
) -> None:
    _, exchange = ask(
        lambda client: getattr(client, method)(symbol, start=START, end=END, **options), Answer(body=[])
    )
    (request,) = exchange.asked
    assert request.path == path
    assert dict(request.query) == {**query, "startTime": str(T), "endTime": str(T + 3_600_000 - 1)}


def test_an_answer_becomes_rows() -> None:
    rows, _ = ask(settlements, GOOD)
    assert [(row.symbol, row.funding_rate) for row in rows] == [("SOL/USDT", 0.0001)]


def test_the_exchanges_clock_is_remembered() -> None:
    async def clock(client: BinanceFuturesClient) -> tuple[datetime, datetime]:
        return await client.server_time(), client.now()

    (told, now), _ = ask(clock, Answer(body={"serverTime": T}))
    assert told == START
    assert timedelta(0) <= now - START < timedelta(seconds=2)


def test_listings_carry_their_funding_interval() -> None:
    listing = {
        "symbol": "SOLUSDT", "contractType": "PERPETUAL", "status": "TRADING", "onboardDate": T,
        "baseAsset": "SOL", "quoteAsset": "USDT", "filters": [],
    }  # fmt: skip

    async def run() -> Any:
        app = web.Application()
        app.router.add_get("/fapi/v1/exchangeInfo", listings)
        app.router.add_get("/fapi/v1/fundingInfo", intervals)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with BinanceFuturesClient(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            rows = await client.fetch_exchange_info()
        await runner.cleanup()
        return rows

    async def listings(_: web.Request) -> web.Response:
        return web.json_response({"symbols": [listing]})

    async def intervals(_: web.Request) -> web.Response:
        return web.json_response([{"symbol": "SOLUSDT", "fundingIntervalHours": 4}])

    assert [row.funding_interval_hours for row in asyncio.run(run())] == [4]


FINAL = [
    (Answer(400, {"code": -1121, "msg": "Invalid symbol."}), errors.UnknownSymbolError),
    (Answer(400, {"code": -1130, "msg": "parameter 'startTime' is invalid."}), errors.RefusedError),
    (
        Answer(451, {"code": 0, "msg": "Service unavailable from a restricted location"}),
        errors.RestrictedLocationError,
    ),
    (Answer(403, "<html>forbidden</html>"), errors.RefusedError),
    (
        Answer(200, {"status": "ERROR", "code": "99099990", "errorData": "illegal params."}),
        errors.RefusedError,
    ),
    (Answer(200, {"code": -1121, "msg": "Invalid symbol."}), errors.UnknownSymbolError),
    (Answer(200, {"odd": 1}), errors.MalformedError),
    (Answer(200, [{"symbol": "SOLUSDT", "fundingTime": T}]), errors.MissingFieldError),
]


@pytest.mark.parametrize(("answer", "expected"), FINAL)
def test_a_final_error_is_raised_at_once_and_typed(answer: Answer, expected: type[Exception]) -> None:
    quick = Quick()
    with pytest.raises(expected) as caught:
        ask(settlements, answer, quick=quick)
    assert type(caught.value) is expected
    assert "/fapi/v1/fundingRate" in str(caught.value)
    assert quick.slept == []


def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(errors.UnknownSymbolError, match="SOLUSDT"):
        ask(settlements, FINAL[0][0])


PASSING = [
    (BUSY, errors.ServerFaultError),
    (HTML, errors.ServerFaultError),
    (Answer(200, "<html>please wait</html>"), errors.NotJsonError),
    (Answer(200, '[{"symbol": "SOLUSDT", "fundi'), errors.NotJsonError),
    (Answer(200, ""), errors.NotJsonError),
    (Answer(how="reset"), errors.UnreachableError),
    (Answer(body=[SETTLEMENT] * 50, how="half"), errors.NotJsonError),
    (Answer(body=[SETTLEMENT] * 50, how="slow"), errors.ExchangeTimeoutError),
    (Answer(429, {"code": -1003, "msg": "Too many requests."}, {"Retry-After": "3"}), errors.RateLimitError),
    (Answer(418, {"code": -1003, "msg": "banned"}, {"Retry-After": "3"}), errors.BanError),
]


@pytest.mark.parametrize(("answer", "expected"), PASSING)
def test_what_passes_is_ridden_out(answer: Answer, expected: type[Exception]) -> None:
    del expected
    rows, exchange = ask(settlements, answer, answer, GOOD, timeout=0.3)
    assert len(rows) == 1
    assert len(exchange.asked) == 3


@pytest.mark.parametrize(("answer", "expected"), PASSING)
def test_what_does_not_pass_is_raised_after_the_last_attempt(
    answer: Answer, expected: type[Exception]
) -> None:
    quick = Quick()
    with pytest.raises(expected) as caught:
        ask(settlements, answer, quick=quick, attempts=3, timeout=0.3)
    assert type(caught.value) is expected
    assert "/fapi/v1/fundingRate" in str(caught.value)


def test_delays_between_attempts_grow() -> None:
    quick = Quick()
    ask(settlements, *[BUSY] * 4, GOOD, quick=quick)
    assert len(quick.slept) == 4
    for slept, nominal in zip(quick.slept, [0.5, 1, 2, 4], strict=True):
        assert nominal / 2 <= slept <= nominal


def test_retry_after_is_kept_by_every_pool() -> None:
    quick = Quick()

    async def two(client: BinanceFuturesClient) -> None:
        await client.fetch_funding_rates("SOL/USDT")

    ask(two, Answer(429, {"code": -1003, "msg": "x"}, {"Retry-After": "17"}), GOOD, quick=quick)
    assert sum(quick.slept) == pytest.approx(17, abs=0.01)


def test_a_429_that_does_not_say_how_long_is_a_minute_of_silence() -> None:
    quick = Quick()
    ask(settlements, Answer(429, {"code": -1003, "msg": "x"}), GOOD, quick=quick)
    assert sum(quick.slept) == pytest.approx(60, abs=0.01)


def ban(seconds: float) -> Answer:
    now = datetime.now(UTC).replace(microsecond=0)
    until = int((now + timedelta(seconds=seconds)).timestamp() * 1000)
    text = f"Way too many requests; IP(198.51.100.4) banned until {until}. Please use the websocket"
    return Answer(418, {"code": -1003, "msg": text}, {"Date": format_datetime(now, usegmt=True)})


def test_a_ban_stops_everything_until_the_stamp_in_its_message() -> None:
    quick = Quick()
    ask(settlements, ban(120), GOOD, quick=quick)
    assert sum(quick.slept) == pytest.approx(121, abs=0.01)


def test_a_ban_of_days_is_an_error_at_once() -> None:
    quick = Quick()
    with pytest.raises(errors.BanError, match="banned until"):
        ask(settlements, ban(3 * 86400), quick=quick)
    assert sum(quick.slept) < 1


def test_the_used_weight_of_an_answer_reaches_the_limiter() -> None:
    async def used(client: BinanceFuturesClient) -> int:
        await client.fetch_klines("SOL/USDT")
        return client.limiter.used(Pool.WEIGHT)

    weight, _ = ask(used, Answer(body=[], headers={"X-MBX-USED-WEIGHT-1M": "1234"}))
    assert weight == 1234


def test_each_request_is_counted_under_its_pool() -> None:
    async def run(client: BinanceFuturesClient) -> list[int]:
        await client.fetch_klines("SOL/USDT", limit=499)
        await client.fetch_open_interest_history("SOL/USDT")
        await client.fetch_funding_rates("SOL/USDT")
        return [client.limiter.used(pool) for pool in (Pool.WEIGHT, Pool.STATISTICS, Pool.FUNDING)]

    assert ask(run, Answer(body=[]))[0] == [2, 1, 1]


def test_many_requests_at_once_do_not_mix_their_answers() -> None:
    async def run(client: BinanceFuturesClient) -> None:
        results = await asyncio.gather(*(settlements(client) for _ in range(60)), return_exceptions=True)
        assert sum(isinstance(result, list) for result in results) == 60

    answers = [BUSY if n % 3 == 0 else Answer(body=[SETTLEMENT]) for n in range(200)]
    ask(run, *answers)


def test_an_exchange_that_is_not_there_is_named() -> None:
    async def run() -> None:
        quick = Quick()
        async with quick.client("http://127.0.0.1:9", attempts=2) as client:
            await client.server_time()

    with pytest.raises(errors.UnreachableError, match=r"http://127\.0\.0\.1:9/fapi/v1/time"):
        asyncio.run(run())


@pytest.mark.parametrize("url", ["fapi.binance.com", "ftp://fapi.binance.com", "", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    async def run() -> None:
        BinanceFuturesClient(url)

    with pytest.raises(errors.CollectorError, match="is no http or https address"):
        asyncio.run(run())


def test_a_certificate_nobody_vouches_for_is_refused_and_not_tried_again(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))

    async def run() -> int:
        app = web.Application()
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        quick = Quick()
        try:
            async with quick.client(f"https://127.0.0.1:{port}") as client:
                with pytest.raises(errors.UntrustedError, match="certificate"):
                    await client.server_time()
                return client.retries
        finally:
            await runner.cleanup()

    assert asyncio.run(run()) == 0


def self_signed(folder: Path) -> Path:
    """Write a certificate for loopback with its key, signed by itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def test_certificates_are_verified_by_default() -> None:
    async def run() -> bool:
        transport = Transport("https://fapi.binance.com", timeout=1.0, on_used_weight=lambda _: None)
        verify = transport._exchange.verify
        await transport.close()
        return bool(verify)

    assert asyncio.run(run())


def test_recorded_error_bodies_are_typed() -> None:
    expected = {
        429: errors.RateLimitError, 418: errors.BanError, 451: errors.RestrictedLocationError,
        400: errors.UnknownSymbolError, 401: errors.RefusedError, 200: errors.RefusedError,
    }  # fmt: skip
    for entry in payload("errors")["entries"]:
        with pytest.raises(errors.ExchangeError) as caught:
            ask(settlements, Answer(entry["status"], entry["body"]), attempts=1)
        assert type(caught.value) is expected[entry["status"]]


def test_closing_leaves_no_connection_open() -> None:
    async def run() -> None:
        async with scripted(GOOD) as exchange:
            client = Quick().client(exchange.url)
            async with client:
                await settlements(client)
            assert client._transport._exchange.session is None

    asyncio.run(run())
