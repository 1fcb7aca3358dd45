"""Where recorded market data lie, outside of the repository."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_data() -> Path:
    """Return the folder of recorded data; the test is skipped where there is none."""
    folder = Path(os.environ.get("PERPMART_SHARED_DATA", _BESIDE))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}; PERPMART_SHARED_DATA names the folder of market data")
    return folder
