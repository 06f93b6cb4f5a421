"""The rates as a figure: success by radius, and by operator and group of points."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from dfoattack.analysis.rates import Rates
from dfoattack.analysis.text import groups, order
from dfoattack.plots import check_target, matplotlib_module

__all__ = ["draw", "save"]

_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8c6bb1",
    "#a6761d",
    "#5f6368",
    "#b5a800",
)
_MARKERS = "osD^vP"


def save(path: str | os.PathLike[str], rates: Rates, title: str) -> None:
    """Write the figure of `draw` to a PNG, PDF or SVG file; errors as `plots.save`."""
    check_target(path)
    draw(rates, title).savefig(path, dpi=150)


def draw(rates: Rates, title: str) -> Any:
    """Return a `matplotlib.figure.Figure`; no window is opened."""
    rows = order(rates)
    figure = matplotlib_module("figure").Figure(figsize=(14.0, 1.8 + 0.42 * max(10, len(rows))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.1))
    _by_radius(left, rates, rows)
    _by_group(right, rates, rows)
    k = len(rates.points)
    figure.suptitle(f"{title}: share of {k} points that an attack improves", x=0.01, ha="left")
    return figure


def _by_radius(axes: Any, rates: Rates, rows: list[int]) -> None:
    share, ball = 100.0 * rates.by_radius(), np.isfinite(rates.radii)
    drawn = [i for i in rows if rates.tried[i][ball].any()]
    for number, i in enumerate(drawn):
        axes.plot(
            rates.radii[ball], share[i][ball], color=_COLOURS[number % len(_COLOURS)], linewidth=1.4, markersize=5,
            marker=_MARKERS[(number // len(_COLOURS) + number) % len(_MARKERS)], label=rates.operators[i],
            linestyle="-" if number < len(_COLOURS) else "--",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(-3, 103)
    axes.set_xlabel("radius, share of the box")
    axes.set_ylabel("% of the points improved")
    axes.grid(axis="y", color="#e3e5e8", linewidth=0.8)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    if drawn:
        axes.legend(frameon=False, fontsize="small", ncols=2, loc="best")
    axes.set_title("by radius", loc="left")


def _by_group(axes: Any, rates: Rates, rows: list[int]) -> None:
    chosen = {name: group for name, group in groups(rates.points).items() if group.any()}
    table = 100.0 * np.array([rates.at_some_radius(group) for group in chosen.values()]).T[rows]
    axes.imshow(table, cmap="Blues", vmin=0.0, vmax=100.0, aspect="auto")
    for y, x in np.ndindex(*table.shape):
        dark = table[y, x] > 55.0
        axes.text(
            x, y, f"{table[y, x]:.0f}", ha="center", va="center", fontsize="small", color="white" if dark else "#202124"
        )
    labels = [f"{name}\n({int(group.sum())})" for name, group in chosen.items()]
    axes.set_xticks(range(len(chosen)), labels, fontsize="small", rotation=35, ha="right")
    axes.set_yticks(range(len(rows)), [rates.operators[i] for i in rows], fontsize="small")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title("at one radius at least, by group of points (%)", loc="left")
