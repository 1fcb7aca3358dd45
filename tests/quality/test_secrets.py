"""Passwords are nowhere but in the environment: not in errors, logs, pages, tables, Redis."""

import logging
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from perpmart import cli
from perpmart.errors import PerpmartError
from perpmart.settings import Settings
from perpmart.urls import mask_password
from perpmart.validate import validate
from perpmart.validation_page import write_validation_page

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "s3cr3t-hunter2"


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command in this process; return everything that it said, a traceback included."""
    shown = ""
    try:
        cli.main(arguments)
    except SystemExit:
        pass
    except PerpmartError as error:  # with --debug, for the interpreter to show
        shown = "".join(traceback.format_exception(error))
    captured = capsys.readouterr()
    return captured.out + captured.err + shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERPMART_DATABASE_URL", f"postgresql://ann:{SECRET}@127.0.0.1:1/mart"),
        ("PERPMART_DATABASE_URL", f"postgresql://127.0.0.1:1/mart?user=ann&password={SECRET}"),
        ("PERPMART_DATABASE_URL", f"postgresql://ann:{SECRET}@[::1/mart"),
        ("PERPMART_DATABASE_URL", f"postgres//ann:{SECRET}@db/mart"),
        ("PERPMART_DATABASE_URL", f"mysql://ann:{SECRET}@db/mart"),
        ("PERPMART_EXCHANGE_URL", f"https://ann:{SECRET}@127.0.0.1:1"),
    ],
)
def test_no_error_or_log_shows_a_password(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets it
    monkeypatch.setenv(name, value)
    for arguments in (["init"], ["--debug", "init"], ["status"], ["doctor"]):
        with caplog.at_level(logging.DEBUG):
            said = say(capsys, *arguments)
        assert said
        assert SECRET not in said, arguments
        assert SECRET not in caplog.text


def test_settings_hide_passwords_when_printed() -> None:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        database_url=f"postgresql://ann:{SECRET}@db/mart",
        redis_url=f"redis://:{SECRET}@cache/0",
    )
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_the_page_of_a_validation_shows_no_password(
    migrated_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = urlsplit(migrated_url).password
    if not password:
        pytest.skip("the test server lets us in without a password")
    settings = Settings(_env_file=None, database_url=migrated_url, state_dir=tmp_path)  # type: ignore[call-arg]
    with caplog.at_level(logging.DEBUG):
        found = validate(settings, page=False).validation
        page = write_validation_page(found, tmp_path / "page.html", tmp_path / "docs.html")
    assert password not in page.read_text(encoding="utf-8")
    assert password not in caplog.text


def test_masking_reaches_every_form_of_an_address() -> None:
    for url in (
        f"postgresql://ann:{SECRET}@db/mart",
        f"postgresql://ann:{SECRET}@db,other/mart",
        f"redis://:{SECRET}@cache/0",
        f"unix://:{SECRET}@/run/redis.sock",
        f"postgresql:///mart?host=/run&password={SECRET}",
        f"postgresql:///mart?sslpassword={SECRET}",
    ):
        assert SECRET not in mask_password(url)
        assert "***" in mask_password(url)


def test_no_tracked_file_holds_a_secret() -> None:
    """Addresses in the repository carry placeholders or none."""
    address = r"(postgres(ql)?|rediss?|https?)://[^/@ \"'`]*:[^/@ \"'`{*$]+@"
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "grep", "-nIE", address], capture_output=True, text=True, check=False
    )
    allowed = ("secret", "hush", "s3cr3t", "...", "***", "ann:", "only-for-this-run", "{")
    found = [line for line in listed.stdout.splitlines() if not any(word in line for word in allowed)]
    assert found == []
