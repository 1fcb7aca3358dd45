"""``python -m simulator``: one line with the URL, then an exchange."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from simulator.__main__ import main


@contextmanager
def command(*arguments: str) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"simulator: (http://127\.0\.0\.1:\d+)\n", line)
        assert match, (line, process.stderr.read() if process.stderr and not line else "")
        yield match[1]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_it_serves_until_it_is_told_to_end() -> None:
    with command("--market", "demo", "--days", "2", "--end", "2026-05-04", "--seed", "3") as url:
        info = json.load(urlopen(f"{url}/fapi/v1/exchangeInfo"))
    assert [one["symbol"] for one in info["symbols"]] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert info["serverTime"] == 1_777_852_800_000


def test_faults_and_speed_can_be_given() -> None:
    with command("--market", "test", "--speed", "600", "--faults", "5xx=0.25,latency_ms=1") as url:
        plan = json.load(urlopen(f"{url}/_sim/faults"))
        first = json.load(urlopen(f"{url}/_sim/clock"))["now"]
        assert json.load(urlopen(f"{url}/_sim/clock"))["now"] > first
    assert (plan["rate_5xx"], plan["latency_ms"], plan["seed"]) == (0.25, 1.0, 7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "5x=1"], "unknown fault '5x'"),
        (["--market", "test", "--days", "3"], "need 12 days"),
        (["--data", "no/such/folder"], "none of the folders"),
        (["--speed", "-1"], "runs forward"),
        (["--days", "0"], "at least one day"),
        (["--market", "wide", "--symbols", "0"], "needs symbols"),
        (["--days", "1", "--port", "70000"], "port must be"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(arguments) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert said in errors


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with command("--days", "1") as url:
        assert main(["--days", "1", "--port", url.rsplit(":", 1)[1]]) == 1
    assert "address already in use" in capsys.readouterr().err


def test_a_day_must_be_a_day() -> None:
    with pytest.raises(SystemExit):
        main(["--end", "tomorrow"])
