"""The documentation is executed: commands, settings and the README's own lines."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from perpmart.cli import app
from perpmart.settings import known_names
from simulator.presets import demo_market
from simulator.server import Simulator, running

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
EXAMPLE = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def commands() -> set[str]:
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_every_command_is_in_the_readme_and_every_one_there_exists() -> None:
    assert set(re.findall(r"^\| `perpmart ([a-z]+)` \|", README, flags=re.MULTILINE)) == commands()
    assert set(re.findall(r"perpmart ([a-z]+)\b", " ".join(blocks("sh")))) <= commands()


def test_every_command_explains_itself_and_its_options() -> None:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_every_setting_is_in_the_readme_and_once_in_the_example() -> None:
    listed = re.findall(r"^\| `(PERPMART_[A-Z_]+)` \|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(known_names())
    for name in known_names():
        assert len(re.findall(rf"^# {name}=", EXAMPLE, flags=re.MULTILINE)) == 1, name


def test_every_variable_of_the_compose_file_is_in_the_example() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    for name in set(re.findall(r"\$\{(\w+):\?", compose)):
        assert f"# {name}=" in EXAMPLE


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", MAKEFILE, flags=re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", " ".join(re.findall(r"`([^`]+)`", README)))) <= targets
    assert {
        "setup",
        "demo",
        "test",
        "proof",
        "lint",
        "types",
        "build",
        "up",
        "down",
        "docs",
        "clean",
    } <= targets


def test_every_path_that_is_named_exists() -> None:
    folders = "collectors|simulator|dbt_project|ml|perpmart|tests|docs"
    for path in re.findall(rf"`((?:{folders})/[\w/]*)`", README):
        assert (REPOSITORY / path).exists(), path


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A user's environment: the checkout's tools, an exchange of three days, servers of her own."""
    market = demo_market(days=3)
    with running(Simulator(market)) as exchange:
        given = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PERPMART_EXCHANGE_URL": exchange.url,
            "PERPMART_STATE_DIR": str(tmp_path / ".perpmart"),
            "PERPMART_SYMBOLS": "SOL/USDT,BTC/USDT",
        }
        yield given
        subprocess.run(["perpmart", "down"], env=given, check=True, capture_output=True)


@pytest.mark.timeout(400)
def test_the_quick_start_works_as_it_stands(environment: dict[str, str], tmp_path: Path) -> None:
    shell, python = ["bash", "-euo", "pipefail", "-c"], [sys.executable, "-c"]
    steps = [*shell, blocks("sh")[0]], *([*python, block] for block in reversed(blocks("python")))
    for command in steps:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "features.parquet").stat().st_size > 0
    assert (tmp_path / "report.html").stat().st_size > 0
    assert "configurations were tried" in (tmp_path / "example.html").read_text()
    assert re.match(r"2026-06-30 23:55:00\+00:00 [\d.]+$", done.stdout.strip())
