"""Addresses: a password in them is never shown, wherever it stands."""

import pytest

from perpmart.urls import check_scheme, mask_password


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://ann:s@host:5432/db", "postgresql://ann:***@host:5432/db"),
        ("postgresql://ann@host/db", "postgresql://ann@host/db"),
        ("postgresql://ann:a@b@host/db", "postgresql://ann:***@host/db"),
        ("postgresql:///db?host=/tmp/x&password=s", "postgresql:///db?host=/tmp/x&password=***"),
        ("unix://:s@/tmp/redis.sock?db=1", "unix://:***@/tmp/redis.sock?db=1"),
        ("redis://host", "redis://host"),
        ("postgresql://ann:s@[::1/db", "***"),
    ],
)
def test_password_is_masked(url: str, masked: str) -> None:
    assert mask_password(url) == masked


def test_scheme_is_checked() -> None:
    assert check_scheme("redis://x", ("redis",)) == "redis://x"
    with pytest.raises(ValueError, match="redis://"):
        check_scheme("redis:x", ("redis",))
