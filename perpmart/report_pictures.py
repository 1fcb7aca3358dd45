"""The report's pictures, each an SVG text to put into the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ml.registry import Registry
from perpmart.report_data import SymbolReport

INK, MUTED, GRID = "#0f172a", "#64748b", "#e2e8f0"
PRICE, LONGS, SHORTS = "#2563eb", "#dc2626", "#059669"
SERIES = ("#2563eb", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
_COVERAGE = LinearSegmentedColormap.from_list("coverage", ["#fee2e2", "#dbeafe", "#93c5fd", "#2563eb"])
#: How all pictures look.
PICTURE_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "perpmart",
}
_MOST_POINTS = 1500


def price_with_liquidations(report: SymbolReport) -> str:
    """Close price, and below it what was liquidated in each hour: longs downwards, shorts upwards."""
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=(11, 4), layout="constrained")
        price, flow = figure.subplots(2, 1, sharex=True, height_ratios=[1.9, 1])
        close = thinned(report.bars["close"])
        price.plot(close.index, close.to_numpy(), color=PRICE, linewidth=1.1)
        price.fill_between(close.index, close.to_numpy(), close.min(), color=PRICE, alpha=0.06, linewidth=0)
        price.set_ylabel(f"Close ({report.symbol.rpartition('/')[2]})")
        price.set_title(report.symbol)
        price.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        _draw_flow(flow, report.bars)
        date_axis(flow)
        return to_svg(figure)


def _draw_flow(axes: Any, bars: pd.DataFrame) -> None:
    hourly = bars[["long_liquidations", "short_liquidations"]].resample("1h").sum(min_count=1)
    width = pd.Timedelta(hours=1)
    # One filled outline a side: a rectangle an hour would take seconds to draw.
    for side, sign, color, label in (
        ("short_liquidations", 1, SHORTS, "shorts liquidated"),
        ("long_liquidations", -1, LONGS, "longs liquidated"),
    ):
        steps = sign * hourly[side].to_numpy()
        axes.fill_between(hourly.index, steps, step="post", color=color, linewidth=0.3, label=label)
    unknown = hourly["long_liquidations"].isna()
    for start, end in _runs(unknown):
        axes.axvspan(start, end + width, color=GRID, alpha=0.6, linewidth=0)
    if unknown.all():
        axes.text(0.5, 0.5, "not recorded in this range", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_yticks([])
    else:
        axes.legend(loc="lower right", ncols=2, fontsize=8, borderpad=0, bbox_to_anchor=(1, 0.98))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(abs(value))))
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_ylabel("Quote an hour")


def coverage_map(reports: Sequence[SymbolReport]) -> str:
    """Share of feature values that are not NULL, by group and UTC day; one panel a symbol."""
    with mpl.rc_context({**PICTURE_STYLE, "axes.grid": False}):
        rows = max(len(report.coverage) for report in reports)
        figure = Figure(figsize=(11, 0.75 + len(reports) * (0.55 + 0.24 * rows)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(len(reports), 1, sharex=True))
        for axes, report in zip(panels, reports, strict=True):
            days = pd.DatetimeIndex(report.coverage.columns)
            edges = pd.DatetimeIndex([*days, days[-1] + pd.Timedelta(days=1)])
            image = axes.pcolormesh(
                edges.tz_localize(None),
                np.arange(len(report.coverage) + 1),
                report.coverage.to_numpy() * 100,
                cmap=_COVERAGE,
                vmin=0,
                vmax=100,
                edgecolors="white",
                linewidth=1,
            )
            axes.set_yticks(np.arange(len(report.coverage)) + 0.5, report.coverage.index)
            axes.invert_yaxis()
            axes.set_title(report.symbol)
            axes.spines["bottom"].set_visible(False)
        date_axis(panels[-1])
        bar = figure.colorbar(image, ax=list(panels), shrink=0.8, pad=0.01, aspect=30)
        bar.set_label("values known (%)", color=MUTED)
        bar.outline.set_visible(False)
        return to_svg(figure)


def feature_lines(reports: Sequence[SymbolReport], registry: Registry, *, days: int = 7) -> str:
    """A few features over the last days, one panel a feature, one line a symbol, at each full hour."""
    units = {feature.name: feature.unit for feature in registry.features}
    names = list(dict.fromkeys(name for report in reports for name in report.features.columns))
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=(11, 0.4 + 1.55 * len(names)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
        for axes, name in zip(panels, names, strict=True):
            for color, report in zip(SERIES, reports, strict=False):
                if name not in report.features.columns or report.features.empty:
                    continue
                values = report.features[name]
                recent = values[values.index >= values.index[-1] - pd.Timedelta(days=days)]
                hourly = recent[recent.index.minute == 55]  # the bar that closes on the full hour
                axes.plot(hourly.index, hourly, color=color, linewidth=1.1, label=report.symbol, alpha=0.9)
            axes.set_title(name)
            axes.set_ylabel(units[name])
        panels[0].legend(
            loc="lower right", ncols=len(reports), fontsize=8, bbox_to_anchor=(1, 1), borderpad=0
        )
        date_axis(panels[-1])
        return to_svg(figure)


def thinned(series: pd.Series) -> pd.Series:
    """At most 1,500 points that keep every extreme: the lowest and highest of each stretch."""
    known = series.dropna()
    if len(known) <= _MOST_POINTS:
        return known
    stretch = np.arange(len(known)) * (_MOST_POINTS // 2) // len(known)
    grouped = known.reset_index(drop=True).groupby(stretch)
    places = np.unique(np.concatenate([grouped.idxmin().to_numpy(), grouped.idxmax().to_numpy()]))
    return known.iloc[places]


def amount(value: float) -> str:
    """A quantity in few letters: 1200 -> 1.2k."""
    for limit, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element, without XML header, width and height."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _runs(flags: pd.Series) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """First and last label of each run of True."""
    true = flags.index[flags.to_numpy()]
    if true.empty:
        return []
    number = (~flags).cumsum()[true]
    return [(run.index[0], run.index[-1]) for _, run in number.groupby(number)]


def date_axis(axes: Any) -> None:
    """Dates below, as short as they can be."""
    locator = AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    axes.set_xlabel("UTC")
    axes.margins(x=0.005)
