"""Raw tables to a Parquet file of all features: polars in memory beside perpmart's build and export.

Usage: python -m benchmarks.files [--days 30] [--symbols 10] [--repeats 3] [--server postgresql://...]

polars never writes to the database here. perpmart's mart stays behind for everyone else; both ways to a first
file are shown, and the export of a mart that stands already.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from benchmarks.equal import Comparison, compare_frames, read_frame
from benchmarks.frame import Section, Spent, arguments, in_turn, middle, show, spent
from benchmarks.generate import fill
from benchmarks.peers import polars_adbc
from benchmarks.scratch import empty_mart
from ml.data_loader import MarketDataLoader
from perpmart.build import build
from perpmart.database import connect_to
from perpmart.export import export
from simulator.presets import wide_market

PEER = "polars: raw to Parquet"
OURS = "perpmart: full refresh and export"
EXPORT = "perpmart: export alone"


def export_mart(url: str, path: Path) -> None:
    """Do as `perpmart export` does."""
    export(MarketDataLoader(url), path, symbols=None, start="1970-01-01", end="2100-01-01")


def measure(
    url: str, folder: Path, *, repeats: int, say: Callable[[str], None] = print
) -> tuple[dict[str, list[Spent]], Comparison]:
    """Time the ways on a filled database in which dbt has built the models; compare the files."""
    peer, ours = folder / "peer.parquet", folder / "ours.parquet"

    def refresh_and_export() -> None:
        build(url, full_refresh=True, threads=2)
        export_mart(url, ours)

    ways = {
        PEER: partial(spent, url, lambda: polars_adbc.to_parquet(url, peer)),
        OURS: partial(spent, url, refresh_and_export),
        EXPORT: partial(spent, url, lambda: export_mart(url, ours)),
    }
    found = in_turn(ways, repeats=repeats, say=say)
    bars = read_frame(url, "select * from bars.bars_5m").sort("symbol", "time")
    frames = (pl.read_parquet(path).sort("symbol", "time") for path in (ours, peer))
    return found, compare_frames(*frames, bars)


def run(server: str, *, days: int, symbols: int, repeats: int) -> Section:
    """Measure and give the table."""
    market = wide_market(symbols=symbols, days=days, restless=True)
    with empty_mart(server) as url, tempfile.TemporaryDirectory() as folder:
        with connect_to(url) as connection:
            fill(connection, market, market.start, market.end)
        found, compared = measure(url, Path(folder), repeats=repeats)
    peer = middle(found[PEER])
    table = []
    for name, times in found.items():
        wall, cpu = middle(times)
        table.append([name, f"{wall:.1f}", f"{wall / peer.wall:.1f}", f"{cpu:.1f}", f"{cpu / peer.cpu:.1f}"])
    note = (
        f"{symbols} symbols x {days} days = {symbols * days * 288:,} bars, zstd; median of {repeats} in turn."
        f" The files hold the same numbers: {compared.text}."
    )
    header = ("way", "seconds", "times polars", "processor seconds", "times polars")
    picture = {name: middle(times).wall for name, times in found.items()}
    return Section("In memory", note, header, table, picture, others=[PEER])


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, days=30, symbols=10, repeats=3)
    section = run(options.server, days=options.days, symbols=options.symbols, repeats=options.repeats)
    show(section, options.server)


if __name__ == "__main__":
    main()
