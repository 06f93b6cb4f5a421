"""Tables and pictures of a comparison, drawn from logs."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import scores

if TYPE_CHECKING:
    from benchmarks.log import Log
    from benchmarks.scores import Curve
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

OURS = "dfoattack"
ABSOLUTE_GAP = 1e-3
RELATIVE_GAP = 1e-2


@dataclass(frozen=True)
class Comparison:
    """All runs on one problem: solver name -> {seed: log}."""

    problem: Problem
    budget: float
    gradient_cost: float
    logs: dict[str, dict[int, Log]]

    def curves(self, tolerance: float) -> dict[str, list[Curve]]:
        """Staircases of every solver, one a seed."""
        return {
            solver: [scores.curve(log, self.problem, tolerance) for log in runs.values()]
            for solver, runs in self.logs.items()
        }

    def level(self, tolerance: float) -> tuple[float, str]:
        """Best known value and where it comes from."""
        return scores.best_known(self.problem, [c for curves in self.curves(tolerance).values() for c in curves])


@dataclass(frozen=True)
class Row:
    """One solver on one problem at one tolerance; values in the user's sense, shares in [0, 1]."""

    solver: str
    runs: int
    median: float
    worst: float
    share_feasible: float
    share_absolute: float
    share_relative: float
    evaluations: float
    cpu: float


def rows(comparison: Comparison, tolerance: float) -> list[Row]:
    """One row a solver. A run without a feasible point counts as infinitely bad; evaluations of a miss as infinite."""
    sign = comparison.problem.sign
    level, _ = comparison.level(tolerance)
    table = []
    for solver, curves in comparison.curves(tolerance).items():
        final = np.array([sign * c.final if len(c.value) else np.inf for c in curves])
        near = level + sign * ABSOLUTE_GAP
        share = level + sign * RELATIVE_GAP * abs(level)
        hits = np.array([c.reached(near, sign) for c in curves])
        table.append(
            Row(
                solver=solver,
                runs=len(curves),
                median=sign * _median(final),
                worst=sign * float(np.max(final)),
                share_feasible=float(np.mean(np.isfinite(final))),
                share_absolute=float(np.mean(np.isfinite(hits))),
                share_relative=float(np.mean([math.isfinite(c.reached(share, sign)) for c in curves])),
                evaluations=_median(hits),
                cpu=float(np.median([log.seconds_cpu for log in comparison.logs[solver].values()])),
            )
        )
    return table


def _median(values: FloatArray) -> float:
    """The lower of two middle values for even counts: a value that was measured, no average with an infinity."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def markdown(comparison: Comparison, tolerance: float) -> str:
    """The table of one problem at one tolerance; in our row, what another solver does better is bold."""
    table = rows(comparison, tolerance)
    sign = comparison.problem.sign
    ours = next((row for row in table if row.solver == OURS), None)
    others = [row for row in table if row.solver not in (OURS, "random")]

    def number(value: float) -> str:
        return f"{value:.6g}" if math.isfinite(value) else "none"

    def beaten(badness: Callable[[Row], float]) -> bool:
        if ours is None or not others:
            return False
        best, mine = min(badness(row) for row in others), badness(ours)
        return best < mine - 1e-6 * max(1.0, abs(best)) if math.isfinite(mine) else math.isfinite(best)

    fields: list[tuple[str, Callable[[Row], str], Callable[[Row], float] | None]] = [
        ("median f", lambda r: number(r.median), lambda r: sign * r.median),
        ("worst f", lambda r: number(r.worst), lambda r: sign * r.worst),
        ("feasible", lambda r: _share(r.share_feasible), lambda r: -r.share_feasible),
        (f"within {ABSOLUTE_GAP:g}", lambda r: _share(r.share_absolute), lambda r: -r.share_absolute),
        (f"within {RELATIVE_GAP:.0%}", lambda r: _share(r.share_relative), lambda r: -r.share_relative),
        (
            f"evaluations to {ABSOLUTE_GAP:g}",
            lambda r: number(r.evaluations) if math.isfinite(r.evaluations) else "-",
            lambda r: r.evaluations,
        ),
        ("CPU s", lambda r: f"{r.cpu:.2f}", lambda r: r.cpu),
    ]
    lines = [
        "| solver | runs | " + " | ".join(name for name, _, _ in fields) + " |",
        "| --- | ---: | " + " | ".join("---:" for _ in fields) + " |",
    ]
    for row in table:
        cells = [row.solver, str(row.runs)]
        for _, text, badness in fields:
            lost = row.solver == OURS and badness is not None and beaten(badness)
            cells.append(f"**{text(row)}**" if lost else text(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(value: float) -> str:
    return f"{value:.0%}"


def write_csv(comparisons: Sequence[Comparison], path: Path) -> None:
    """Every improvement of every run, at both tolerances: enough to draw tables and pictures again."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["problem", "solver", "seed", "tolerance", "spent", "best_feasible"])
        for comparison in comparisons:
            for tolerance in scores.TOLERANCES:
                for solver, runs in comparison.logs.items():
                    for seed, log in runs.items():
                        c = scores.curve(log, comparison.problem, tolerance)
                        for spent, value in zip(c.spent, c.value, strict=True):
                            writer.writerow(
                                [comparison.problem.name, solver, seed, tolerance, f"{spent:g}", repr(float(value))]
                            )


def picture(comparison: Comparison, path: Path) -> None:
    """Best feasible value, and its gap to the best known one, against counted evaluations: median and quartiles."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tolerance = scores.TOLERANCES[0]
    sign = comparison.problem.sign
    level, _ = comparison.level(tolerance)
    grid = np.unique(np.concatenate([np.geomspace(1.0, comparison.budget, 400), [comparison.budget]]))
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    shown: list[float] = []
    for solver, curves in comparison.curves(tolerance).items():
        values = sign * np.array([c.at(grid) for c in curves])
        values = np.where(np.isnan(values), np.inf, values)
        low, middle, high = (_quantile(values, q) for q in (0.25, 0.5, 0.75))
        style = {"lw": 2.4, "zorder": 5} if solver == OURS else {"lw": 1.4}
        (line,) = left.plot(grid, _finite(sign * middle), label=solver, drawstyle="steps-post", **style)
        left.fill_between(
            grid, _finite(sign * low), _finite(sign * high), step="post", alpha=0.12, color=line.get_color(), lw=0
        )
        floor = 1e-9 * max(1.0, abs(level))
        gap = [np.maximum(v - sign * level, floor) for v in (low, middle, high)]
        right.plot(grid, _finite(gap[1]), label=solver, drawstyle="steps-post", color=line.get_color(), **style)
        right.fill_between(
            grid, _finite(gap[0]), _finite(gap[2]), step="post", alpha=0.12, color=line.get_color(), lw=0
        )
        shown.extend(float(v) for v in (sign * middle)[np.isfinite(middle)][len(grid) // 3 :])
    left.axhline(level, color="black", lw=0.8, ls="--", label="best known")
    right.axhline(ABSOLUTE_GAP, color="black", lw=0.8, ls=":")
    if shown:
        # The first values of bad starts would squeeze everything of interest into a line.
        worst = float(np.quantile(np.array(shown), 0.05 if sign < 0 else 0.95))
        margin = 0.05 * max(abs(level - worst), 1e-12)
        left.set_ylim(*sorted((worst, level - sign * margin)))
    left.set(xscale="log", xlabel="counted evaluations", ylabel="best feasible objective")
    right.set(xscale="log", yscale="log", xlabel="counted evaluations", ylabel="gap to the best known value")
    left.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.25)
    seeds = max(len(runs) for runs in comparison.logs.values())
    figure.suptitle(
        f"{comparison.problem.name}: n = {comparison.problem.n}, {seeds} seeds, median and quartiles, "
        f"one gradient product = {comparison.gradient_cost:g} evaluations"
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _quantile(values: FloatArray, q: float) -> FloatArray:
    """Quantile over runs (axis 0) without interpolation, so that an infinity stays one only where it is reached."""
    order = np.sort(values, axis=0)
    return np.asarray(order[round(q * (len(values) - 1))])


def _finite(values: FloatArray) -> FloatArray:
    """Infinite values leave a gap in a line."""
    return np.where(np.isfinite(values), values, np.nan)
