"""Pictures of an experiment, each an SVG text."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ml.pipeline.scores import reliability
from ml.pipeline.walk import Evaluation
from ml.report.summary import Summary, chosen_table
from perpmart.report_pictures import GRID, INK, MUTED, PICTURE_STYLE, SERIES, date_axis, thinned, to_svg

MODEL, BASELINE, HOLD = SERIES[0], SERIES[1], "#94a3b8"
RISE, FALL, NONE = "#059669", "#dc2626", "#cbd5e1"
_SHOWN = 25
_SCORES = LinearSegmentedColormap.from_list("scores", ["#dbeafe", "#2563eb", "#1e3a8a"])
_DRIFT = LinearSegmentedColormap.from_list("drift", ["#f8fafc", "#fde68a", "#d97706", "#b91c1c"])


def scores_by_fold(evaluation: Evaluation) -> str:
    """AUC of model and baseline in each test."""
    folds = evaluation.folds
    places = np.arange(len(folds))
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=(11, 3), layout="constrained")
        axes = figure.subplots()
        for shift, color, label, values in (
            (-0.1, MODEL, "model", [fold.auc for fold in folds]),
            (0.1, BASELINE, "baseline", [fold.baseline_auc for fold in folds]),
        ):
            axes.vlines(places + shift, 0.5, values, color=color, linewidth=2)
            axes.plot(places + shift, values, "o", color=color, label=label)
        axes.axhline(0.5, color=MUTED, linewidth=0.8)
        dates = [f"{fold.test.first:%d %b} to\n{fold.test.last:%d %b}" for fold in folds]
        axes.set_xticks(places, dates)
        axes.set_xlim(-0.6, len(folds) - 0.4)
        axes.set_ylabel("AUC, 0.5 is chance")
        axes.legend(loc="upper right", ncols=2)
        return to_svg(figure)


def scores_by_day(summary: Summary) -> str:
    """AUC of each day, and the rank correlation with the return."""
    eras = summary.eras
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        days = pd.DatetimeIndex(eras.index) + pd.Timedelta(hours=12)
        for axes, column, base, label in (
            (top, "auc", 0.5, "AUC"),
            (bottom, "rank_correlation", 0.0, "Rank correlation"),
        ):
            above = eras[column] >= base
            axes.bar(
                days,
                eras[column] - base,
                bottom=base,
                width=0.7,
                color=np.where(above, MODEL, "#93c5fd").tolist(),
            )
            axes.axhline(base, color=MUTED, linewidth=0.8)
            axes.set_ylabel(label)
        date_axis(bottom)
        return to_svg(figure)


def importance_and_stability(evaluation: Evaluation) -> str:
    """Which features each fold chose, the darker the better ranked; in how many folds, at the right."""
    table = chosen_table(evaluation)
    often = table.notna().sum(axis=1)
    order = pd.DataFrame({"often": often, "score": table.mean(axis=1)}).sort_values(
        ["often", "score"], ascending=False
    )
    shown = table.loc[order.index[:_SHOWN]]
    with mpl.rc_context({**PICTURE_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(11, 0.9 + 0.25 * len(shown)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.2])
        image = _cells(left, shown, _SCORES, float(np.nanmin(shown)), 1.0)
        left.set_title("Chosen in fold, by score")
        bar = figure.colorbar(image, ax=left, shrink=0.6, pad=0.02, aspect=30)
        bar.set_label("mean rank among all, 1 is best", color=MUTED)
        bar.outline.set_visible(False)
        places = np.arange(len(shown)) + 0.5
        right.barh(places, shown.mean(axis=1), height=0.62, color=MODEL, alpha=0.85)
        for place, row, folds in zip(places, shown.to_numpy(), often[shown.index], strict=True):
            right.text(
                0.01,
                place,
                f"{folds} of {table.shape[1]} folds",
                va="center",
                color="white",
                fontsize=7,
            )
            right.plot([np.nanmin(row), np.nanmax(row)], [place, place], color=INK, linewidth=1)
        right.set_title("Mean score where chosen, and its range")
        right.set_xlim(0, 1.02)
        return to_svg(figure)


def _cells(axes: Any, table: pd.DataFrame, colors: Any, low: float, high: float) -> Any:
    """A row a feature and a column a fold, the first feature on top."""
    image = axes.pcolormesh(
        np.arange(table.shape[1] + 1),
        np.arange(len(table) + 1),
        np.ma.masked_invalid(table.to_numpy()),
        cmap=colors,
        vmin=low,
        vmax=high,
        edgecolors="white",
        linewidth=1,
    )
    axes.set_facecolor("#f1f5f9")
    axes.set_yticks(np.arange(len(table)) + 0.5, table.index)
    axes.set_xticks(np.arange(table.shape[1]) + 0.5, [str(one) for one in table.columns])
    axes.set_ylim(len(table), 0)
    axes.set_xlabel("fold")
    return image


def drift(evaluation: Evaluation) -> str:
    """Population stability index of the chosen features that moved most."""
    table = pd.DataFrame({number: fold.drift for number, fold in enumerate(evaluation.folds, start=1)})
    shown = table.loc[table.max(axis=1).sort_values(ascending=False).index[:_SHOWN]]
    with mpl.rc_context({**PICTURE_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(11, 0.9 + 0.25 * len(shown)), layout="constrained")
        axes = figure.subplots()
        image = _cells(axes, shown, _DRIFT, 0.0, 0.5)
        for row, values in enumerate(shown.to_numpy()):
            for column, value in enumerate(values):
                if np.isfinite(value):
                    color = "white" if value > 0.35 else INK
                    axes.text(
                        column + 0.5,
                        row + 0.5,
                        f"{value:.2f}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color=color,
                    )
        bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, aspect=30, extend="max")
        bar.set_label("PSI", color=MUTED)
        bar.outline.set_visible(False)
        return to_svg(figure)


def label_balance(evaluation: Evaluation) -> str:
    """Share of rises among the labels of each fold's training and test."""
    folds = evaluation.folds
    names = [f"fold {number} {part}" for number in range(1, len(folds) + 1) for part in ("train", "test")]
    shares = np.array([share for fold in folds for share in fold.rises])
    with mpl.rc_context({**PICTURE_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(11, 0.6 + 0.22 * len(names)), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(names), dtype=float)
        axes.barh(places, shares, color=RISE, height=0.7, label="rise")
        axes.barh(places, 1 - shares, left=shares, color=FALL, alpha=0.75, height=0.7, label="fall")
        for place, share in zip(places, shares, strict=True):
            axes.text(0.005, place, f"{share:.1%}", va="center", color="white", fontsize=7)
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0)
        return to_svg(figure)


def calibration(evaluation: Evaluation) -> str:
    """Said against seen: mean probability and share of rises in ten bins, over all tests."""
    known = evaluation.predictions[evaluation.predictions["y"].notna()]
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=(11, 4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.2])
        limits = [1.0, 0.0]
        for column, color, label in (
            ("probability", MODEL, "model"),
            ("baseline_probability", BASELINE, "baseline"),
        ):
            table = reliability(known["y"].to_numpy(), known[column].to_numpy())
            left.plot(table["probability"], table["rises"], "o-", color=color, label=label, markersize=4)
            low, high = (
                table[["probability", "rises"]].min().min(),
                table[["probability", "rises"]].max().max(),
            )
            limits = [min(limits[0], low), max(limits[1], high)]
            right.hist(known[column], bins=60, color=color, alpha=0.6, label=label)
        left.plot(limits, limits, color=MUTED, linewidth=0.8, linestyle=":")
        left.set_xlabel("probability said")
        left.set_ylabel("share of rises seen")
        left.set_title("Calibration")
        left.legend(loc="best")
        right.set_title("Probabilities said")
        right.set_xlabel("probability of a rise")
        right.set_ylabel("rows")
        return to_svg(figure)


def equity(evaluation: Evaluation) -> str:
    """The accounts over the tested time, after and before costs."""
    with mpl.rc_context(PICTURE_STYLE):
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        for name, color, label in (
            ("hold", HOLD, "hold all symbols"),
            ("baseline", BASELINE, "baseline"),
            ("model", MODEL, "model"),
        ):
            account = evaluation.accounts[name]
            line = thinned((1 + account["net"]).cumprod() - 1)
            top.plot(line.index, line, color=color, linewidth=1.3, label=f"{label}, net")
        model = evaluation.accounts["model"]
        gross = thinned((1 + model["gain"]).cumprod() - 1)
        top.plot(gross.index, gross, color=MODEL, linewidth=0.9, linestyle=":", label="model before costs")
        top.axhline(0, color=MUTED, linewidth=0.6)
        top.set_ylabel("Return")
        top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, borderpad=0)
        for column, color, label in (("fee", "#b91c1c", "fees paid"), ("funding", "#7c3aed", "funding paid")):
            line = thinned(model[column].cumsum())
            bottom.plot(line.index, line, color=color, linewidth=1.1, label=label)
        bottom.axhline(0, color=MUTED, linewidth=0.6)
        bottom.set_ylabel("Model's costs")
        bottom.legend(loc="upper left", ncols=2, fontsize=8)
        for axes in (top, bottom):
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1%}"))
            axes.grid(visible=True, axis="y", color=GRID)
        for fold in evaluation.folds[1:]:
            top.axvline(fold.test.first, color=GRID, linewidth=0.8)
        date_axis(bottom)
        return to_svg(figure)
