"""One figure of a run: progress by step, who earned the gain, and the problem's own picture."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.errors import MissingExtraError, OptionError
from dfoattack.problem import Problem
from dfoattack.result import Result
from dfoattack.summary import improvements, step_shares
from dfoattack.trials import Status

__all__ = ["check_target", "draw", "save"]

SUFFIXES = (".png", ".pdf", ".svg")
# Okabe and Ito's colours, to be told apart by everybody.
COLOURS = {
    "start": "#5f6368",
    "attack": "#d55e00",
    "poll": "#0072b2",
    "model": "#e69f00",
    "speculative": "#cc79a7",
    "covering": "#009e73",
    "cma": "#56b4e9",
    "nelder-mead": "#a6761d",
    "subspace": "#8c6bb1",
    "vns": "#b5a800",
    "boundary": "#117733",
}
_SPARE = ("#882255", "#44aa99", "#999933", "#332288")
_GRID = {"color": "#e3e5e8", "linewidth": 0.8}
_STYLE = {
    "axes.edgecolor": "#9aa0a6",
    "axes.labelcolor": "#3c4043",
    "axes.titlecolor": "#202124",
    "axes.titlesize": "medium",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10.0,
    "text.color": "#202124",
    "xtick.color": "#5f6368",
    "ytick.color": "#5f6368",
}


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise what would make `save` fail, before a run is paid for: `MissingExtraError`, `OptionError`."""
    matplotlib_module("figure")
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise OptionError(f"A picture must be a file ending in {', '.join(SUFFIXES)}, got {str(file)!r}.")
    if not file.parent.is_dir():
        raise OptionError(
            f"A picture must lie in an existing folder, got {str(file)!r}. Create {str(file.parent)!r} first."
        )


def save(path: str | os.PathLike[str], result: Result, problem: Problem) -> None:
    """Write the figure of `draw` to a PNG, PDF or SVG file.

    Raises
    ------
    MissingExtraError       matplotlib is not installed
    OptionError             another suffix, or no such folder
    """
    check_target(path)
    draw(result, problem).savefig(path, dpi=150)


def draw(result: Result, problem: Problem) -> Any:
    """Return a `matplotlib.figure.Figure`: the run to the left, the problem's picture, where it has one, to the right.

    No window is opened, and matplotlib's global settings are left as they were. A picture that raises is replaced by
    what it raised: the run is paid for.
    """
    with matplotlib_module("").rc_context(_STYLE):
        return _drawn(result, problem)


def _drawn(result: Result, problem: Problem) -> Any:
    figure_class = matplotlib_module("figure").Figure
    if problem.picture is None or result.best_index < 0:
        figure = figure_class(figsize=(8.5, 6.5), layout="constrained")
        left = figure
    else:
        figure = figure_class(figsize=(15.0, 6.5), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1.0), wspace=0.04)
        try:
            problem.picture(result, right)
        except Exception as error:
            right.clear()
            text = f"The problem's picture could not be drawn.\n{type(error).__name__}: {error}"
            right.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    top, bottom = left.subplots(2, 1, height_ratios=(4.0, 1.0))
    colours = _colours(result)
    _progress(top, result, problem, colours)
    _gains(bottom, result, colours)
    return figure


def _colours(result: Result) -> dict[str, str]:
    names = list(dict.fromkeys(result.records.step))
    spare = iter(_SPARE * (1 + len(names) // len(_SPARE)))
    return {name: COLOURS.get(name) or next(spare) for name in names}


def _progress(axes: Any, result: Result, problem: Problem, colours: dict[str, str]) -> None:
    """Every evaluated point by step, hollow if infeasible, and the best feasible value so far."""
    records = result.records
    ok = records.status == Status.OK
    feasible = ok & (records.maxcv <= 0.0)
    number = np.arange(1, len(records) + 1)
    step = np.array(records.step, dtype=object)
    value = records.fun if feasible.any() or not ok.any() else records.maxcv
    by_value = value is records.fun
    low, high = _limits(value, ok, feasible if by_value else ok, number)
    inside = np.clip(value, low, high)
    axes.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    for name, colour in colours.items():
        own = step == name
        for rows, fill in ((own & ok & ~feasible, "none"), (own & feasible, colour)):
            clipped = (value < low) | (value > high)
            for part, marker in ((rows & ~clipped, "o"), (rows & (value < low), "v"), (rows & (value > high), "^")):
                axes.scatter(
                    number[part], inside[part], s=16, marker=marker, facecolors=fill, edgecolors=colour,
                    linewidths=0.8, alpha=0.75 if fill != "none" else 0.6, zorder=2, clip_on=False,
                )  # fmt: skip
        axes.scatter([], [], s=28, color=colour, label=name)
    if np.any(ok & ~feasible) and by_value:
        axes.scatter([], [], s=28, facecolors="none", edgecolors="#5f6368", label="infeasible")
    if np.any(~ok):
        axes.plot(number[~ok], np.zeros(int(np.sum(~ok))), "|", color="#b3261e", transform=axes.get_xaxis_transform(),
                  markersize=8, label="failed", clip_on=False)  # fmt: skip
    _best_line(axes, result, by_value)
    known = problem.known
    if by_value and known is not None and math.isfinite(known.value):
        _known_line(axes, known.value, low, high)
    name = problem.name or "run"
    if by_value and result.best_index >= 0:
        ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "color": "#202124", "zorder": 4}
        axes.plot(result.best_index + 1, result.fun, clip_on=False, **ring)
        title = f"{name}: best feasible f = {result.fun:.7g} at evaluation {result.best_index + 1}"
        axes.set_ylabel(f"f ({'larger' if result.sense == 'maximize' else 'smaller'} is better)")
    else:
        title = f"{name}: no feasible point, least violation {result.maxcv:.3g}"
        axes.set_ylabel("largest violation")
    axes.set_title(title, loc="left", pad=30.0)
    extra = f", {result.ngev} gradients" if result.ngev else ""
    axes.set_xlabel(f"evaluation ({result.nfev} in all{extra})")
    axes.set_xlim(0, max(2, len(records) + 1))
    axes.grid(axis="y", **_GRID)
    axes.set_axisbelow(True)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize="small", ncols=9, columnspacing=1.1,
        handletextpad=0.5, borderaxespad=0.2,
    )  # fmt: skip


def _known_line(axes: Any, value: float, low: float, high: float) -> None:
    """The best known value: a line where it fits into the range with little loss, else a remark at the edge."""
    span = high - low
    if low - 0.5 * span <= value <= high + 0.5 * span:
        axes.set_ylim(min(low, value) - 0.04 * span, max(high, value) + 0.04 * span)
        axes.axhline(value, color="#202124", linestyle=(0, (4, 3)), linewidth=0.9, zorder=1, label="best known")
        return
    y, side, arrow = (0.99, "top", "\u2191") if value > high else (0.01, "bottom", "\u2193")
    text = f"best known {value:.6g} {arrow}"
    axes.text(0.995, y, text, transform=axes.transAxes, ha="right", va=side, fontsize="small", color="#5f6368")


def _best_line(axes: Any, result: Result, by_value: bool) -> None:
    records = result.records
    if by_value:
        best = records.best_so_far(result.sense)
    else:
        best = np.minimum.accumulate(np.where(np.isfinite(records.maxcv), records.maxcv, np.inf))
        best[~np.isfinite(best)] = np.nan
    axes.step(
        np.arange(1, len(records) + 1),
        best,
        where="post",
        color="#202124",
        linewidth=1.6,
        zorder=3,
        label="best so far",
    )


def _limits(value: FloatArray, ok: BoolArray, counted: BoolArray, number: Any) -> tuple[float, float]:
    """A range that shows all of the way and most of the points; what lies beyond is drawn as a triangle at the edge."""
    if not ok.any():
        return 0.0, 1.0
    seen = value[counted]
    low, high = float(np.quantile(seen, 0.03)), float(np.quantile(seen, 0.97))
    low, high = min(low, float(seen[0])), max(high, float(seen[0]))
    rest = value[ok]
    middle = float(np.quantile(rest, 0.1)), float(np.quantile(rest, 0.9))
    if high - low < 0.01 * (middle[1] - middle[0]):
        # Nothing but the optimum was feasible: show the others around it rather than its last digits.
        low, high = min(low, middle[0]), max(high, middle[1])
    best = [float(seen.min()), float(seen.max())]
    # The best point lies at one end of the feasible values; the other end may be far away.
    span = max(high - low, 1e-12 * max(abs(low), abs(high)), 1e-300)
    low = best[0] if best[0] > low - span else low
    high = best[1] if best[1] < high + span else high
    low = max(low - 0.5 * span, min(low, float(rest.min())))
    high = min(high + 0.5 * span, max(high, float(rest.max())))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _gains(axes: Any, result: Result, colours: dict[str, str]) -> None:
    """Two bars: shares of the points, and shares of the gain."""
    shares = step_shares(result.records, result.sense)
    total = max(1, len(result.records))
    for y, amounts in ((1, [s.points / total for s in shares]), (0, [s.gain for s in shares])):
        left = 0.0
        for share, amount in zip(shares, amounts, strict=True):
            if not amount > 0.0:
                continue
            axes.barh(y, amount, left=left, height=0.62, color=colours[share.step], edgecolor="white", linewidth=1.0)
            if amount >= 0.06:
                axes.text(
                    left + amount / 2, y, f"{amount:.0%}", ha="center", va="center", color="white", fontsize="small"
                )
            left += amount
        if left == 0.0:
            axes.text(0.01, y, "nothing improved on the first point", va="center", fontsize="small", color="#5f6368")
    axes.set_yticks([1, 0], ["points", "gain"])
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(-0.45, 1.45)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("left", "bottom", "top", "right"):
        axes.spines[side].set_visible(False)
    count = max(0, improvements(result.records, result.sense).size - 1)
    times = "1 improvement" if count == 1 else f"{count} improvements"
    axes.set_title(f"share of each step in the points and in the gain ({times})", loc="left", fontsize="small")


def matplotlib_module(module: str) -> Any:
    """matplotlib or one of its modules; by name, so that nothing imports it before a picture is asked for."""
    try:
        return importlib.import_module(f"matplotlib.{module}" if module else "matplotlib")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise MissingExtraError("Pictures need matplotlib. Install `dfoattack[plot]`.") from error
