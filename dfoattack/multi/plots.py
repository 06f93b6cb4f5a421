"""Pictures of a front, with matplotlib (optional)."""

from __future__ import annotations

import os
from typing import Any

from dfoattack.errors import OptionError
from dfoattack.multi.result import FrontResult
from dfoattack.plots import check_target, matplotlib_module

__all__ = ["draw_front", "save_front"]


def save_front(path: str | os.PathLike[str], result: FrontResult) -> None:
    """Write the figure of `draw_front` to a PNG, PDF or SVG file.

    Raises
    ------
    MissingExtraError       matplotlib is not installed
    OptionError             another suffix, no such folder, or four objectives
    """
    check_target(path)
    draw_front(result).savefig(path, dpi=150)


def draw_front(result: FrontResult) -> Any:
    """Return a `matplotlib.figure.Figure`: the front of two or three objectives over all evaluated points; no window is opened.

    Raises
    ------
    MissingExtraError       matplotlib is not installed
    OptionError             four objectives
    """
    q = len(result.sense)
    if q > 3:
        raise OptionError(f"A front can be drawn with 2 or 3 objectives, got {q}.")
    figure = matplotlib_module("figure").Figure(figsize=(8.0, 6.0), layout="constrained")
    axes = figure.add_subplot(projection="3d") if q == 3 else figure.add_subplot()
    records = result.records
    feasible, evaluated = records.maxcv <= 0.0, records.status == 0
    groups = (
        (records.fun[evaluated & ~feasible], {"color": "#bdc1c6", "marker": "x", "s": 12}, "infeasible"),
        (records.fun[evaluated & feasible], {"color": "#9aa0a6", "marker": "o", "s": 8}, "feasible"),
        (result.F, {"color": "#1a73e8", "marker": "o", "s": 22}, f"front, {len(result)} points"),
    )
    for values, style, label in groups:
        if values.shape[0]:
            axes.scatter(*values.T, label=label, **style)
    if len(result) and q == 2:
        # Points far from the front would squeeze it into a corner: the view is that of the front and its reference point.
        for set_limits, j in ((axes.set_xlim, 0), (axes.set_ylim, 1)):
            low, high = result.F[:, j].min(), result.F[:, j].max()
            margin = 0.15 * (high - low) or 1.0
            set_limits(low - margin, high + margin)
    labels = [
        f"{name} ({'min' if s == 'minimize' else 'max'})"
        for name, s in zip(result.objective_names, result.sense, strict=True)
    ]
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    if q == 3:
        axes.set_zlabel(labels[2])
    axes.legend(loc="best", fontsize="small")
    axes.set_title(f"hypervolume {result.hypervolume:.6g}, {result.nfev} evaluations", loc="left", fontsize="small")
    return figure
