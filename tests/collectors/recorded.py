"""Recorded payloads of the exchange, outside of the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def payload(name: str) -> Any:
    """Load one recorded file; the test is skipped where there is none."""
    folder = Path(os.environ.get("PERPMART_SHARED_DATA", _BESIDE)) / "payloads"
    file = folder / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"no recorded payload {file}; PERPMART_SHARED_DATA names the folder of market data")
    return json.loads(file.read_text())
