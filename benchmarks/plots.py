"""Plots of the documentation, all in one style: one axis, thin lines, names beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

mpl.use("Agg")

#: Distinguishable in grey and by colour-blind readers (Okabe and Ito's palette).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_STYLE: Any = {
    "svg.hashsalt": "inference-engine",
    "figure.figsize": (7.0, 3.6),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "font.size": 10,
    "figure.autolayout": True,
}


def lines(
    path: Path,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    title: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Lines of (x values, y values) by name, as an SVG file; its file name."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots()
        for name, (xs, ys) in series.items():
            axes.plot(xs, ys, label=name, marker="o" if len(xs) <= 20 else None, markersize=4)
        if log_x:
            axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set(xlabel=x, ylabel=y, title=title)
        if len(series) > 1:
            axes.legend(frameon=False)
        return _save(figure, path)


def bars(path: Path, values: Mapping[str, float], *, x: str, title: str) -> str:
    """Horizontal bars by name, the first on top, as an SVG file; its file name."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots()
        names = list(values)
        drawn = axes.barh(names[::-1], [values[name] for name in names[::-1]], color=COLOURS[0])
        axes.bar_label(drawn, fmt=lambda value: f"{value:,.4g}", padding=3)
        axes.set(xlabel=x, title=title)
        return _save(figure, path)


def panels(
    path: Path,
    series: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    x: str,
    y: str,
    title: str,
) -> str:
    """Steps of (x values, y values) by panel and name, the panels below each other on the same axes; an SVG file's name."""
    with plt.rc_context(_STYLE):
        size = (7.0, 0.8 + 1.5 * len(series))
        figure, every_axes = plt.subplots(len(series), sharex=True, sharey=True, figsize=size, squeeze=False)
        for axes, (panel, of_panel) in zip(every_axes[:, 0], series.items(), strict=True):
            for name, (xs, ys) in of_panel.items():
                axes.plot(xs, ys, label=name, drawstyle="steps-post", linewidth=1.0)
            axes.set(ylabel=y)
            axes.set_title(panel, loc="left", fontsize=9)
        # The axes are shared: a limit set too early would cut off later panels.
        every_axes[0, 0].set_ylim(bottom=0)
        every_axes[0, 0].legend(frameon=False, fontsize=8, loc="upper right")
        every_axes[-1, 0].set(xlabel=x)
        figure.suptitle(title)
        return _save(figure, path)


def _save(figure: Figure, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date, an unchanged plot is an unchanged file.
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
    return path.name
