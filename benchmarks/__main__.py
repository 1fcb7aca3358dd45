"""All benchmarks in one run; `make bench`.

Usage: python -m benchmarks [--days 30] [--symbols 10] [--only build files] [--write docs/benchmarks.md]

Prints each table as soon as it stands. With --write it also replaces what stands between the benchmark's two
marks on that page, with the machine and its load before and after; pictures go to a folder named as the page.
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

NAMES = ("build", "files", "increment", "scale", "ingest", "features")


def main() -> None:
    """Run what was chosen."""
    options = _arguments()
    server = options.server or database_url(load_settings())
    works = _benchmarks(server, options)
    for name in options.only or NAMES:
        begun = machine(server)
        print(f"\n{name}: {begun}", flush=True)
        found = works[name]()
        print(f"\n{found.markdown}\n{machine(server)}", flush=True)
        if options.write:
            text = found.markdown
            if found.picture:
                picture = options.write.with_suffix("") / f"{name}.png"
                draw(picture, found)
                text += f"\n![{found.title}]({picture.parent.name}/{picture.name})\n"
            put(options.write, name, f"{text}\nBefore: {begun}\n\nAfter: {machine(server)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--server", help="address of a superuser's database; default that of the settings")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=int, nargs="+", default=[18, 90], help="days of the full builds")
    parser.add_argument(
        "--sizes",
        type=increment.pair,
        nargs="+",
        default=increment.SIZES,
        help="symbols x days below a new bar",
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows to ingest")
    parser.add_argument("--bars", type=int, default=5, help="new bars each way")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], help="default all of them")
    parser.add_argument("--write", type=Path, help="page whose figures are replaced")
    return parser.parse_args()


def _benchmarks(server: str, options: argparse.Namespace) -> Mapping[str, Callable[[], Section]]:
    symbols = options.symbols
    size = {"days": options.days, "symbols": symbols, "repeats": options.repeats}
    few = min(options.days, 10)
    return {
        "build": lambda: build.run(server, **size),
        "files": lambda: files.run(server, **size),
        "increment": lambda: increment.run(server, sizes=options.sizes, bars=options.bars),
        "scale": lambda: scale.run(server, days=options.scale, symbols=symbols),
        "ingest": lambda: ingest.run(server, rows=options.rows, repeats=options.repeats),
        "features": lambda: feature_cost.run(server, days=few, symbols=symbols, repeats=2),
    }


def put(page: Path, name: str, figures: str) -> None:
    """Replace what stands between the marks of a benchmark on a page.

    Raises
    ------
    PerpmartError
        When the page has no such marks.
    """
    opening, closing = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise PerpmartError(f"{page} has no {opening} followed by {closing}")
    page.write_text(f"{before}{opening}\n\n{figures}\n\n{closing}{after}", encoding="utf-8")


def draw(path: Path, section: Section) -> None:
    """Draw a section's figures as bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(section.picture)[::-1]
    figure, axis = plt.subplots(figsize=(9, 1 + 0.35 * len(names)), layout="constrained")
    colours = ["#aaaaaa" if name in section.others else "#1f77b4" for name in names]
    shown = axis.barh(names, [section.picture[name] for name in names], color=colours)
    axis.bar_label(shown, fmt="%.3g", padding=3)
    axis.set_xlabel(section.unit)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
