"""Millions of inputs, guided by what they reach: atheris, one process a target."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .targets import SEEDS, TARGETS

pytest.importorskip(
    "atheris", reason="atheris runs on Linux only: the parsers are fuzzed by hypothesis alone"
)

RUNS = int(os.environ.get("FUZZ_RUNS", "1000000"))
FEWER = {"archive_bytes": 20, "csv_text": 6, "exchange_info": 2}
"""Targets that write files or read many lines a run get a part of the runs."""

_PROGRAM = """
import sys
import atheris
with atheris.instrument_imports(include=["collectors", "perpmart"]):
    from tests.fuzz.targets import TARGETS
atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
atheris.Fuzz()
"""


@pytest.mark.proof
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_stands_its_runs(name: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(SEEDS / name, corpus)
    runs = RUNS // FEWER.get(name, 1)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, name, f"-runs={runs}", "-max_len=4096", "-seed=7", "-timeout=20",
         f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": "."},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = re.search(r"Done (\d+) runs", done.stderr)
    assert found is not None, done.stderr[-2000:]
    assert int(found[1]) >= runs
