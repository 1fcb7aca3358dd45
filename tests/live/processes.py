"""Processes of `perpmart live`, started as a user starts them, without the seconds that imports take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from simulator.server import Simulator

SPARES = 3
REPOSITORY = Path(__file__).resolve().parents[2]

WARM = """
import sys
import perpmart.live_session, perpmart.settings
print("warm", flush=True)
sys.stdin.readline()
from perpmart.cli import main
main(sys.argv[1:])
"""


class Processes:
    """Starts `perpmart live` as a user does; imports, which take seconds, are done beforehand in a spare."""

    def __init__(
        self,
        speed: float,
        symbols: Sequence[str],
        url: str,
        redis_url: str,
        exchange: Simulator,
        log: Path,
        *,
        starts: int,
    ) -> None:
        self._arguments = ["live", "--speed", str(speed), "--grace", "60"]
        self._log = log
        given = {name: value for name, value in os.environ.items() if not name.startswith("PERPMART_")}
        self._environment = given | {
            "PERPMART_DATABASE_URL": url,
            "PERPMART_REDIS_URL": redis_url,
            "PERPMART_EXCHANGE_URL": exchange.url,
            "PERPMART_STREAM_URL": exchange.stream_url,
            "PERPMART_SYMBOLS": ",".join(symbols),
            "PERPMART_METRICS_PORT": "0",
            "PYTHONPATH": str(REPOSITORY),
        }
        self._left = starts - min(starts, SPARES)
        self._spares = [self._warm() for _ in range(min(starts, SPARES))]

    def wait_until_warm(self) -> None:
        while self._log.read_text().count("warm") < len(self._spares):
            time.sleep(0.05)

    def start(self) -> subprocess.Popen[bytes]:
        process = self._spares.pop(0) if self._spares else self._warm()
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        if self._left:
            self._left -= 1
            self._spares.append(self._warm())
        return process

    def stop(self) -> None:
        for process in self._spares:
            process.kill()
            process.wait()

    def _warm(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", WARM, *self._arguments],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._log.parent,
            )
