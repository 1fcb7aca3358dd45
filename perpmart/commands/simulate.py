"""The command ``simulate``."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder of recorded files to serve, in place of a synthetic market.")
    ] = None,
    market: Annotated[str, typer.Option(help="Synthetic market: demo, test or wide.")] = "demo",
    symbols: Annotated[int, typer.Option(help="Number of symbols of the wide market.")] = 10,
    days: Annotated[int | None, typer.Option(help="Days of history (demo, wide: 30; test: 14).")] = None,
    end: Annotated[
        str | None, typer.Option(help="Day at whose 00:00 UTC the history ends.", metavar="DAY")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the market and of the faults.")] = 7,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = 0,
    speed: Annotated[float, typer.Option(help="Exchange seconds a second; 0: the clock stands.")] = 0.0,
    faults: Annotated[str, typer.Option(help="Like 429=0.05,5xx=0.05,latency_ms=20.", metavar="PLAN")] = "",
    stream_faults: Annotated[
        str, typer.Option(help="Like drops_per_hour=2,duplicate_share=0.01.", metavar="PLAN")
    ] = "",
) -> None:
    """Serve a local exchange until interrupted; prints its PERPMART_EXCHANGE_URL and PERPMART_STREAM_URL."""
    from simulator.__main__ import main

    options = {
        **{"--data": data, "--market": market, "--symbols": symbols, "--days": days, "--end": end},
        **{"--seed": seed, "--port": port, "--speed": speed, "--faults": faults},
        "--stream-faults": stream_faults,
    }
    # The simulator is a program of its own: it takes words, checks them, and names what is wrong.
    code = main([f"{name}={value}" for name, value in options.items() if value not in (None, "")])
    raise typer.Exit(code)
