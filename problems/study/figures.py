"""The study's figures, from traces alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack.plots import COLOURS, matplotlib_module

from .books import FloatArray
from .settings import MAIN, MENDED, OURS, Probe, Setting
from .trace import Trace

PALETTE = dict(zip(MAIN, ("#999999", "#0072b2", "#e69f00", "#d55e00", "#000000"), strict=True))
PALETTE[MENDED] = "#cc79a7"
STEPS = {**COLOURS, "line": "#999999", "search": "#e69f00"}


def values_over_work(setting: Setting, traces: dict[str, list[Trace]], best_known: float | None, path: Path) -> None:
    """Best feasible value against counted work: median over seeds, and from worst to best."""
    figure, axes = _figure(8.0, 5.0)
    last = max(float(trace.spent[-1]) for method in MAIN for trace in traces[method])
    grid = np.unique(np.round(np.geomspace(1.0, last, 400)))
    for method in (*MAIN, MENDED):
        curves = np.array([_at(trace, grid) for trace in traces[method]])
        width, front = (2.4, 5) if method == OURS else (1.4, 3)
        shown = _shown(setting, _median(curves))
        axes.plot(
            grid, shown, color=PALETTE[method], linewidth=width, zorder=front, label=method, drawstyle="steps-post"
        )
        known = ~np.isnan(curves).any(0)
        low, high = (_shown(setting, g[:, known]) for g in (curves.min(0)[None], curves.max(0)[None]))
        axes.fill_between(grid[known], low[0], high[0], color=PALETTE[method], alpha=0.12, linewidth=0, step="post")
    if best_known is not None and not setting.logarithmic:
        axes.axhline(best_known, color="#202124", linestyle=(0, (4, 3)), linewidth=0.9, label="best known")
    axes.set_xscale("log")
    if setting.logarithmic:
        axes.set_yscale("log")
        axes.invert_yaxis()
    axes.set_xlabel("counted work: points + 2 x gradients")
    axes.set_ylabel("best feasible f" if not setting.logarithmic else "-f of the best feasible point (up is better)")
    axes.set_title(f"{setting.name}: median, worst and best of {len(traces[OURS])} seeds", loc="left")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def values_over_iterations(setting: Setting, traces: dict[str, list[Trace]], path: Path) -> None:
    """Value of every improving point against its iteration, coloured by the step that found it; first seed."""
    figure, panels = _figure(11.0, 4.6, 1, 2)
    for axes, method in zip(panels, ("hybrid", OURS), strict=True):
        trace = traces[method][0]
        better = trace.improving()
        iteration, step = trace.iteration[better] + 1, trace.step[better]
        value = _shown(setting, trace.f[better])
        feasible = trace.violation[better] <= 0.0
        axes.plot(iteration, value, color="#c5c8cc", linewidth=0.8, zorder=1)
        for name in dict.fromkeys(step.tolist()):
            colour = STEPS.get(name, "#882255")
            for part, fill in ((feasible, colour), (~feasible, "none")):
                rows = (step == name) & part
                axes.scatter(
                    iteration[rows], value[rows], s=22, facecolors=fill, edgecolors=colour, linewidths=0.9, zorder=2
                )
            axes.scatter([], [], s=24, color=colour, label=name)
        axes.set_xscale("log")
        if setting.logarithmic:
            axes.set_yscale("log")
            axes.invert_yaxis()
        axes.set_xlabel("iteration (hollow: not feasible yet)")
        axes.set_title(f"{setting.name}: {method}, first seed", loc="left")
        axes.legend(frameon=False, fontsize="small")
    panels[0].set_ylabel("-f (up is better)" if setting.logarithmic else "f")
    figure.savefig(path, dpi=120)


def run_times(setting: Setting, traces: dict[str, list[Trace]], path: Path) -> None:
    """Seconds of whole runs, one dot a seed, and the median as a bar."""
    figure, axes = _figure(7.0, 3.2)
    for i, method in enumerate(MAIN):
        seconds = np.array([trace.wall for trace in traces[method]])
        axes.barh(i, np.median(seconds), color=PALETTE[method], alpha=0.55, height=0.6)
        axes.plot(seconds, np.full(len(seconds), float(i)), "o", color=PALETTE[method], markersize=4)
        work = np.median([trace.spent[-1] for trace in traces[method]])
        axes.text(float(seconds.max()) * 1.12, i, f"{work:.0f} counted", va="center", fontsize="small")
    axes.set_yticks(range(len(MAIN)), MAIN)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 2.5)
    axes.set_xlabel("seconds of a run")
    axes.set_title(f"{setting.name}: run time", loc="left")
    figure.savefig(path, dpi=120)


def attack_success(setting: Setting, probes: Sequence[Probe], path: Path) -> None:
    """Which sign steps improve, by radius and by point of the run."""
    figure, panels = _figure(4.4 * len(probes), 4.2, 1, len(probes))
    for axes, probe in zip(np.atleast_1d(panels), probes, strict=True):
        k, q = probe.success.shape
        axes.imshow(probe.success.T, origin="lower", aspect="auto", cmap="Greens", vmin=0.0, vmax=1.3)
        every = np.arange(0, q, 2)
        axes.set_yticks(every, [f"{probe.radii[j]:.0e}" for j in every], fontsize="small")
        columns = np.unique(np.linspace(0, k - 1, 5).astype(int))
        axes.set_xticks(columns, [f"{probe.at[i]:.0f}" for i in columns], fontsize="small")
        axes.set_xlabel("counted work at the point")
        axes.set_title(f"{probe.title}\n{probe.success.mean():.0%} of the steps improve", fontsize="small", loc="left")
    np.atleast_1d(panels)[0].set_ylabel("radius of the attack")
    figure.savefig(path, dpi=120)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    figure = matplotlib_module("figure").Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def _shown(setting: Setting, f: FloatArray) -> FloatArray:
    return np.maximum(-f, 1e-14) if setting.logarithmic else f


def _at(trace: Trace, grid: FloatArray) -> FloatArray:
    """Best feasible value when so much was spent; NaN before there was one."""
    best = trace.best()
    rows = np.searchsorted(trace.spent, grid, side="right") - 1
    return np.where(rows >= 0, best[np.maximum(rows, 0)], np.nan)


def _median(curves: FloatArray) -> FloatArray:
    """Median of every column; NaN where a curve has no value yet (the median run has none, or nearly)."""
    median = np.full(curves.shape[1], np.nan)
    whole = ~np.isnan(curves).any(0)
    median[whole] = np.median(curves[:, whole], axis=0)
    return median
