"""Which answer becomes which error, and which of them are worth another try."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from collectors import errors
from perpmart.errors import PerpmartError

NOW = datetime(2026, 5, 1, tzinfo=UTC)

ANSWERS = [
    (429, "-1003", errors.RateLimitError, True),
    (200, "-1003", errors.RateLimitError, True),
    (418, "-1003", errors.BanError, True),
    (451, "0", errors.RestrictedLocationError, False),
    (400, "-1121", errors.UnknownSymbolError, False),
    (400, "-1130", errors.RefusedError, False),
    (401, "-2015", errors.RefusedError, False),
    (403, "", errors.RefusedError, False),
    (404, "-5000", errors.RefusedError, False),
    (200, "99099990", errors.RefusedError, False),
    (408, "", errors.ServerFaultError, True),
    (500, "", errors.ServerFaultError, True),
    (503, "-1008", errors.ServerFaultError, True),
    (400, "-1001", errors.ServerFaultError, True),
]


@pytest.mark.parametrize(("status", "code", "expected", "retryable"), ANSWERS)
def test_each_answer_has_its_type(
    status: int, code: str, expected: type[errors.ExchangeError], retryable: bool
) -> None:
    error = errors.error_from_response("/fapi/v1/klines", status, code=code, message="why")
    assert type(error) is expected
    assert errors.is_retryable(error) is retryable
    assert isinstance(error, PerpmartError)
    assert "/fapi/v1/klines" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (errors.UnreachableError("u", "refused"), True),
        (errors.UntrustedError("u", "self-signed"), False),
        (errors.ExchangeTimeoutError("u", "late"), True),
        (errors.NotJsonError("u", "<html>"), True),
        (errors.MissingFieldError("u", "markPrice"), False),
        (errors.InvalidFieldError("u", "markPrice", "x"), False),
        (errors.CollectorError("no symbol"), False),
        (ValueError("ours"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_what_can_pass_is_tried_again(error: BaseException, retryable: bool) -> None:
    assert errors.is_retryable(error) is retryable


def test_a_ban_lasts_from_the_answers_own_date_to_its_stamp() -> None:
    until = NOW + timedelta(minutes=2)
    text = f"Way too many requests; IP(198.51.100.9) banned until {int(until.timestamp() * 1000)}. Please"
    error = errors.error_from_response("/x", 418, message=text, retry_after=3.0, answered_at=NOW)
    assert isinstance(error, errors.BanError)
    assert error.until == until
    assert error.retry_after == 121.0


def test_a_ban_without_a_stamp_keeps_the_header() -> None:
    error = errors.error_from_response("/x", 418, message="go away", retry_after=40.0, answered_at=NOW)
    assert isinstance(error, errors.BanError)
    assert (error.until, error.retry_after) == (None, 40.0)


def test_a_message_of_unknown_origin_stays_one_short_line() -> None:
    error = errors.error_from_response("/x", 502, message="<html>\n<body>" + "bad gateway " * 100)
    assert "\n" not in str(error)
    assert len(str(error)) < 200


def test_delays_grow_to_a_ceiling_and_stay_within_half_of_their_length() -> None:
    shortest = list(errors.backoff_delays(retries=9, jitter=lambda: 0.0))
    longest = list(errors.backoff_delays(retries=9, jitter=lambda: 1.0))
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert shortest == [delay / 2 for delay in longest]
    drawn = list(errors.backoff_delays(retries=9))
    assert all(low <= delay <= high for low, delay, high in zip(shortest, drawn, longest, strict=True))
    assert all(a <= b for a, b in itertools.pairwise(longest))


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    drawn = set()
    text = errors.__doc__ or ""
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, errors.CollectorError):
            drawn.add(name)
            assert name in text, f"{name} is missing in the tree"
    assert len(drawn) == 16
