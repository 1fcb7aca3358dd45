"""All benchmarks in one run; `make bench`.

Usage: python -m benchmarks [--days 30] [--symbols 10] [--only build files] [--write docs/benchmarks.md]

Prints each table as soon as it stands. With --write the tables also replace what stands between the two marks
of that page, and a picture is drawn beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import build, feature_cost, files, increment, ingest, scale
from benchmarks.frame import Section, machine
from perpmart.errors import PerpmartError
from perpmart.servers.addresses import database_url
from perpmart.settings import load_settings

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> None:
    """Run what was chosen."""
    options = _arguments()
    server = options.server or database_url(load_settings())
    found: list[Section] = []
    begun = machine(server)
    print(begun, flush=True)
    for name, work in _benchmarks(server, options).items():
        if options.only and name not in options.only:
            continue
        print(f"\n{name}", flush=True)
        found.append(work())
        print(f"\n{found[-1].markdown}", flush=True)
    figures = "\n".join(
        [f"Begun: {begun}", "", *(one.markdown for one in found), f"Ended: {machine(server)}"]
    )
    if options.write:
        put(options.write, figures)
        draw(options.write.with_suffix(".png"), found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--server", help="address of a superuser's database; default that of the settings")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=int, nargs="+", default=[18, 90], help="days of the full builds")
    parser.add_argument("--history", type=int, nargs="+", default=[7, 60], help="days below the new bar")
    parser.add_argument("--universe", type=int, nargs="+", default=[10, 200], help="symbols of the new bar")
    parser.add_argument("--rows", type=int, default=100_000, help="rows to ingest")
    parser.add_argument(
        "--only", nargs="+", default=[], help="build, files, increment, scale, ingest, features"
    )
    parser.add_argument("--write", type=Path, help="page whose figures are replaced")
    return parser.parse_args()


def _benchmarks(server: str, options: argparse.Namespace) -> Mapping[str, Callable[[], Section]]:
    size = {"days": options.days, "symbols": options.symbols, "repeats": options.repeats}
    return {
        "build": lambda: build.run(server, **size),
        "files": lambda: files.run(server, **size),
        "increment": lambda: increment.run(server, symbols=options.universe, days=options.history, bars=5),
        "scale": lambda: scale.run(server, days=options.scale, symbols=options.symbols),
        "ingest": lambda: ingest.run(server, rows=options.rows, repeats=options.repeats),
        "features": lambda: feature_cost.run(server, days=10, symbols=options.symbols, repeats=2),
    }


def put(page: Path, figures: str) -> None:
    """Replace what stands between the marks of a page.

    Raises
    ------
    PerpmartError
        When the page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise PerpmartError(f"{page} has no {BEGIN} followed by {END}")
    page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")


def draw(path: Path, sections: list[Section]) -> None:
    """Draw each section that has something to draw as bars of seconds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn = [one for one in sections if one.picture]
    if not drawn:
        return
    heights = [0.8 + 0.35 * len(one.picture) for one in drawn]
    figure, axes = plt.subplots(
        len(drawn), figsize=(9, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, one in zip(axes[:, 0], drawn, strict=True):
        names = list(one.picture)[::-1]
        colours = ["#1f77b4" if "perpmart" in name else "#aaaaaa" for name in names]
        shown = axis.barh(names, [one.picture[name] for name in names], color=colours)
        axis.bar_label(shown, fmt="%.2g", padding=3)
        axis.set_title(one.title, loc="left")
        axis.set_xlabel(one.unit)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
