"""Pictures of a comparison as PNG bytes; every solver keeps its colour throughout."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.arena import profiles
from benchmarks.arena.slices import Slice, ours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.arena.race import Race
    from dfoattack._typing import FloatArray

_POINTS = 400
# Gaps below this share of the start's gap (or of 1, where the optimum is known) are drawn as this.
_FLOOR = 1e-10
_PANELS = 30
# More lines than this, and only ours show their quartiles.
_BANDS = 6

Styles = Mapping[str, Mapping[str, Any]]


def styles(solvers: Sequence[str]) -> Styles:
    """Line styles by solver: ours thick, its variants dashed."""
    palette = _pyplot().get_cmap("tab20" if len(solvers) > 10 else "tab10").colors
    out: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(solvers):
        out[name] = {
            "color": palette[i % len(palette)],
            "label": name,
            "lw": 2.4 if ours(name) else 1.4,
            "zorder": 4 if ours(name) else 2,
        }
        out[name] |= {"ls": "--"} if ours(name) and ":" in name else {}
        out[name] |= {"color": "0.55", "ls": ":"} if name == "random" else {}
    return out


def data_profiles(part: Slice, kind: str, look: Styles) -> bytes:
    """Share of problems solved to each tau against evaluations in units."""
    levels = profiles.relative_levels(part.f_start[kind], part.f_ref[kind])
    times = part.times(kind, levels) / part.units[None, :, None]
    grid = np.linspace(0.0, part.multiple, _POINTS)
    figure, axes = _panels(len(profiles.TAUS), 4)
    for t, (ax, tau) in enumerate(zip(axes, profiles.TAUS, strict=True)):
        for solver, curve in zip(part.solvers, profiles.data_profile(times[:, :, t], grid), strict=True):
            ax.plot(grid, curve, drawstyle="steps-post", **look[solver])
        ax.set(title=f"tau = {tau:g}", xlabel=_axis(part), ylim=(-0.02, 1.02))
    axes[0].set_ylabel("share of problems solved")
    return _finish(figure, axes)


def performance_profiles(part: Slice, kind: str, look: Styles) -> bytes:
    """Share of problems solved within a factor of the fastest solver."""
    levels = profiles.relative_levels(part.f_start[kind], part.f_ref[kind])
    times = part.times(kind, levels)
    ratios = np.geomspace(1.0, max(2.0, part.multiple), _POINTS)
    figure, axes = _panels(len(profiles.TAUS), 4)
    for t, (ax, tau) in enumerate(zip(axes, profiles.TAUS, strict=True)):
        for solver, curve in zip(part.solvers, profiles.performance_profile(times[:, :, t], ratios), strict=True):
            ax.plot(ratios, curve, drawstyle="steps-post", **look[solver])
        ax.set(title=f"tau = {tau:g}", xlabel="evaluations / those of the fastest", ylim=(-0.02, 1.02), xscale="log")
    axes[0].set_ylabel("share of problems solved")
    return _finish(figure, axes)


def ecdfs(parts: Sequence[Slice], kind: str, look: Styles) -> bytes:
    """Share of (problem, target) pairs hit, one panel a slice: the 51 targets, and the short list."""
    figure, axes = _panels(2 * len(parts), 4)
    for i, part in enumerate(parts):
        n = part.sizes[None, :, None]
        grid = np.geomspace(1.0 / float(np.max(n)), float(np.max(part.multiple * part.units / part.sizes)), _POINTS)
        for j, (targets, title) in enumerate(((profiles.TARGETS, "51 targets"), (profiles.SHORT_TARGETS, "5 targets"))):
            ax = axes[2 * i + j]
            times = part.times(kind, part.f_opt[:, None] + np.asarray(targets)[None, :]) / n
            for solver, curve in zip(part.solvers, profiles.ecdf(times, grid), strict=True):
                ax.plot(grid, curve, drawstyle="steps-post", **look[solver])
            ax.set(title=f"{part.label}, {title}", xlabel="evaluations / n", xscale="log")
            ax.set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("share of targets hit")
    return _finish(figure, axes)


def bands(part: Slice, kind: str, look: Styles) -> bytes:
    """Gap to the best known value against evaluations, one panel a group: median and quartiles over its runs.

    Where the optimum is known the gap is absolute; elsewhere it is divided by that of the start.
    """
    names = sorted(set(part.groups))[:_PANELS]
    grid = np.geomspace(1.0 / float(np.max(part.units)), part.multiple, _POINTS)
    base = part.f_opt if part.known else part.f_ref[kind]
    width = np.ones(len(base)) if part.known else np.maximum(part.f_start[kind] - base, 1e-300)
    figure, axes = _panels(len(names), 4)
    for ax, name in zip(axes, names, strict=True):
        members = [p for p, group in enumerate(part.groups) if group == name and np.isfinite(base[p])]
        for solver in part.solvers if members else ():
            rows = np.array([_gap(part, kind, solver, p, grid, base, width) for p in members])
            low, middle, high = (_drawn(q) for q in profiles.quantiles(rows))
            ax.plot(grid, middle, drawstyle="steps-post", **look[solver])
            if ours(solver) or len(part.solvers) <= _BANDS:
                ax.fill_between(grid, low, high, step="post", alpha=0.12, lw=0, color=look[solver]["color"])
        ax.set(title=name, xscale="log", yscale="log")
    for ax in axes[-4:]:
        ax.set_xlabel(_axis(part))
    axes[0].set_ylabel("gap" if part.known else "gap / gap of the start")
    return _finish(figure, axes)


def race(found: Race, look: Styles) -> bytes:
    """One line an instance, one mark a solver, ours the large one; on the right edge who does not arrive."""
    figure, (ax,) = _panels(1, 1)
    rows = np.arange(len(found.instances))
    reached = found.times[np.isfinite(found.times)]
    edge = 2.0 * float(np.max(reached, initial=1.0))
    for s, solver in enumerate(found.solvers):
        style = look[solver]
        size = 70.0 if ours(solver) else 28.0
        at = np.where(np.isfinite(found.times[:, s]), found.times[:, s], edge)
        ax.scatter(at, rows, s=size, color=style["color"], label=solver, zorder=style["zorder"], alpha=0.85)
    ax.set(xscale="log", xlabel="evaluations", yticks=rows, yticklabels=found.instances)
    ax.axvline(edge, color="0.6", lw=0.8, ls=":")
    ax.tick_params(axis="y", labelsize="small")
    ax.invert_yaxis()
    figure.set_size_inches(8.0, 1.6 + 0.24 * len(rows))
    return _finish(figure, [ax])


def _axis(part: Slice) -> str:
    return {"n": "evaluations / n", "n+1": "evaluations / (n+1)", "1": "evaluations"}[part.unit]


def _gap(
    part: Slice, kind: str, solver: str, p: int, grid: FloatArray, base: FloatArray, width: FloatArray
) -> FloatArray:
    values = profiles.values_at(*part.runs[solver][part.keys[p]].curves[kind], grid * part.units[p])
    return np.asarray(np.maximum((values - base[p]) / width[p], _FLOOR))


def _drawn(values: FloatArray) -> FloatArray:
    """Infinite values leave a gap in a line."""
    return np.where(np.isfinite(values), values, np.nan)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _panels(count: int, columns: int) -> tuple[Figure, list[Any]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure, grid = _pyplot().subplots(
        rows, columns, figsize=(3.4 * columns + 0.6, 2.7 * rows + 0.8), layout="constrained", squeeze=False
    )
    axes = list(grid.ravel())
    for ax in axes[count:]:
        ax.set_visible(False)
    for ax in axes[:count]:
        ax.grid(alpha=0.25)
    return figure, axes[:count]


def _finish(figure: Figure, axes: Sequence[Any]) -> bytes:
    """One legend below all panels; PNG bytes without a date in them."""
    for ax in axes:
        # A logarithmic axis without a single value on it cannot be drawn: nothing feasible was found there.
        y = [np.asarray(line.get_ydata(), dtype=np.float64) for line in ax.get_lines()]
        if not any(np.any(np.isfinite(values) & (values > 0.0)) for values in y):
            ax.set(xscale="linear", yscale="linear")
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    columns = max(1, int(figure.get_figwidth() / 2.3))
    # Room for a legend of many solvers, or it would squeeze the panels to nothing.
    lines = math.ceil(len(handles) / columns)
    figure.set_figheight(figure.get_figheight() + 0.2 * max(0, lines - 2))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns, fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    _pyplot().close(figure)
    return buffer.getvalue()
