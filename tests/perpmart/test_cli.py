"""The command line: one line for each error, exit codes that tell the truth, a quick start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perpmart import cli
from perpmart.servers.embedded import down
from perpmart.settings import Settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets it


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, output and errors."""
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    captured = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, captured.out, captured.err


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail with exit code 1 and one line; return the line."""
    code, _, errors = run(capsys, *arguments)
    assert code == 1
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors


@pytest.mark.parametrize("command", ["up", "init", "backfill", "build", "push", "report"])
def test_misspelt_setting_stops_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PERPMART_SIMBOLS", "SOL/USDT")
    assert "PERPMART_SIMBOLS in the environment: did you mean PERPMART_SYMBOLS?" in fails(capsys, command)


@pytest.mark.parametrize("command", ["init", "backfill", "build", "report"])
def test_unreachable_database_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", "postgresql://ann:hush@127.0.0.1:1/mart")
    line = fails(capsys, command)
    assert "PostgreSQL at 127.0.0.1:1 (database mart, user ann)" in line
    assert "hush" not in line


@pytest.mark.parametrize("command", ["init", "backfill", "build", "env"])
def test_without_any_database_the_way_out_is_named(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert "perpmart up" in fails(capsys, command)


def test_database_without_schema_asks_for_init(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", database_url)
    assert "run `perpmart init`" in fails(capsys, "backfill")
    assert "run `perpmart init`" in fails(capsys, "build")


@pytest.mark.parametrize(
    "options",
    [[], ["--symbols", "SOL/USDT"], ["--symbols", "SOL", "--from", "2026-01-01", "--to", "2026-02-01"]],
)
def test_report_on_a_mart_that_was_never_built_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, migrated_url: str, options: list[str]
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", migrated_url)
    assert "run `perpmart build` first" in fails(capsys, "report", *options)


def test_unreachable_exchange_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, migrated_url: str
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", migrated_url)
    monkeypatch.setenv("PERPMART_EXCHANGE_URL", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1" in fails(capsys, "backfill")


def test_missing_and_broken_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, migrated_url: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", migrated_url)
    assert "nowhere.csv" in fails(capsys, "import", "nowhere.csv")
    broken = tmp_path / "SOLUSDT-5m-2026-02.zip"
    broken.write_bytes(b"not a zip file")
    code, output, _ = run(capsys, "import", str(broken))
    assert code == 1
    assert "error: " in output
    assert broken.name in output


def test_wrong_usage_is_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["nonsense"], ["status", "--nonsense"], ["import"], ["demo", "--days", "0"]):
        code, _, errors = run(capsys, *arguments)
        assert code == 2
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1


def test_status_tells_what_it_must(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, servers: Settings
) -> None:
    monkeypatch.setenv("PERPMART_STATE_DIR", str(servers.state_dir))
    if servers.database_url:
        monkeypatch.setenv("PERPMART_DATABASE_URL", servers.database_url)
    code, output, _ = run(capsys, "status", "--json")
    found = json.loads(output)
    assert code == 0
    assert found["tier"] == "plain"
    assert found["versions"]["redis"]
    assert found["redis_url"].startswith("unix://:")
    assert "***" not in found["redis_url"]  # our own servers: the address is for use
    code, output, _ = run(capsys, "status")
    assert code == 0
    assert "unix://:***@" in output
    monkeypatch.setenv("PERPMART_METRICS_PORT", "1")
    code, _, errors = run(capsys, "status", "--live-within", "900")
    assert code == 1
    assert "no live process has served a vector" in errors


def test_status_masks_given_passwords_and_fails_when_nothing_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", "postgresql://ann:hush@127.0.0.1:1/mart")
    monkeypatch.setenv("PERPMART_REDIS_URL", "redis://:hush@127.0.0.1:1")
    code, output, _ = run(capsys, "status", "--json")
    found = json.loads(output)
    assert code == 1
    assert "hush" not in output
    assert found["database_url"] == "postgresql://ann:***@127.0.0.1:1/mart"
    assert found["tier"] is None
    assert len(found["problems"]) == 2


def test_init_may_be_repeated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("PERPMART_DATABASE_URL", database_url)
    assert run(capsys, "init")[0] == 0
    code, output, _ = run(capsys, "init", "--json")
    assert code == 0
    assert json.loads(output)["applied"] == []
    assert json.loads(output)["chunks"] == []


def test_up_and_down_say_what_they_did(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = Settings(_env_file=None, state_dir=tmp_path / ".perpmart")  # type: ignore[call-arg]
    try:
        assert "PostgreSQL: started" in run(capsys, "up")[1]
        assert "PostgreSQL: runs already" in run(capsys, "up")[1]
        assert "export PGPASSWORD='" in run(capsys, "env")[1]
        assert "stopped: PostgreSQL, Redis" in run(capsys, "down")[1]
        assert "no embedded server was running" in run(capsys, "down")[1]
    finally:
        down(settings)


_UNEXPECTED = """
import sys
from perpmart import cli
from perpmart.servers import embedded
embedded.up = lambda settings: 1 // 0
cli.main(sys.argv[1:])
"""


def test_unexpected_error_is_one_line_and_with_debug_a_traceback() -> None:
    for arguments, traceback in (["up"], False), (["--debug", "up"], True):
        done = subprocess.run(
            [sys.executable, "-c", _UNEXPECTED, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is traceback
        assert "ZeroDivisionError" in done.stderr
        if not traceback:
            assert done.stderr.count("\n") == 1


def test_help_answers_at_once() -> None:
    heavy = "pandas, numpy, ccxt, aiohttp, dbt, psycopg, redis, pydantic, matplotlib"
    script = f"import sys, perpmart.cli; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
