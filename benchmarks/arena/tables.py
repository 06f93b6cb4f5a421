"""Tables of a comparison. In our rows (or columns) what another solver, random search aside, does better is bold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arena import profiles
from benchmarks.arena.document import Table
from benchmarks.arena.slices import Slice, ordered, ours

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

_TIE = 1e-9


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def compared(
    caption: str,
    columns: Sequence[tuple[str, FloatArray, Callable[[float], str], int]],
    solvers: Sequence[str],
) -> Table:
    """Rows of solvers; each column has a title, values (S,), a format and +1 if more is better, -1 if less, 0 neither."""
    bold = set()
    for j, (_, values, _, better) in enumerate(columns, start=1):
        # Not finite (never reached, not there) is worst.
        score = np.array([better * v if math.isfinite(v) else -math.inf for v in values])
        rivals = [score[i] for i, name in enumerate(solvers) if not ours(name) and name != "random"]
        for i, name in enumerate(solvers):
            tie = _TIE * max(1.0, abs(score[i])) if math.isfinite(score[i]) else 0.0
            if better and ours(name) and rivals and max(rivals) > score[i] + tie:
                bold.add((i, j))
    rows = [(name, *(form(float(values[i])) for _, values, form, _ in columns)) for i, name in enumerate(solvers)]
    return Table(("solver", *(c[0] for c in columns)), tuple(rows), frozenset(bold), caption)


def target_times(part: Slice, kind: str) -> tuple[FloatArray, str]:
    """(S, P, T) times to the targets of a slice, and their name.

    Five precisions where optima are known, else (and where problems of very different scales are brought together, as
    in suites whose unit is n+1) Moré and Wild's relative accuracies.
    """
    if part.known and part.unit == "n":
        return part.times(kind, part.f_opt[:, None] + np.asarray(profiles.SHORT_TARGETS)[None, :]), "five targets"
    return part.times(kind, profiles.relative_levels(part.f_start[kind], part.f_ref[kind])), "four accuracies tau"


def shares(part: Slice, kind: str) -> Table:
    """Shares of problems at each target and accuracy at the full budget, ECDF and area over 51 targets."""
    columns: list[tuple[str, FloatArray, Callable[[float], str], int]] = []
    if part.known:
        times = part.times(kind, part.f_opt[:, None] + np.asarray(profiles.SHORT_TARGETS)[None, :])
        for t, target in enumerate(profiles.SHORT_TARGETS):
            columns.append((f"{target:g}", np.mean(np.isfinite(times[:, :, t]), axis=1), _share, 1))
        columns.append(("mean of five", np.mean(np.isfinite(times), axis=(1, 2)), _share, 1))
        all_times = part.times(kind, part.f_opt[:, None] + profiles.TARGETS[None, :])
        columns.append(("ECDF 51", np.mean(np.isfinite(all_times), axis=(1, 2)), _share, 1))
        columns.append(("area", profiles.area(all_times / part.sizes[None, :, None], part.multiple), _share, 1))
    solved = part.times(kind, profiles.relative_levels(part.f_start[kind], part.f_ref[kind]))
    for t, tau in enumerate(profiles.TAUS):
        columns.append((f"tau {tau:g}", np.mean(np.isfinite(solved[:, :, t]), axis=1), _share, 1))
    rule = {"strict": "c <= 0", "loose": "c <= 1e-6"}[kind]
    text = f"Share of {len(part.keys)} problems at the full budget" + (f", {rule}" if part.constrained else "")
    return compared(text + ".", columns, part.solvers)


def soft(part: Slice) -> Table:
    """COCO's own score of constrained problems, in which slightly infeasible points count; optima must be known."""
    nothing = np.zeros((len(part.keys), 1))
    times = part.times("soft", nothing + np.asarray(profiles.SHORT_TARGETS)[None, :])
    columns: list[tuple[str, FloatArray, Callable[[float], str], int]] = [
        (f"{target:g}", np.mean(np.isfinite(times[:, :, t]), axis=1), _share, 1)
        for t, target in enumerate(profiles.SHORT_TARGETS)
    ]
    columns.append(("mean of five", np.mean(np.isfinite(times), axis=(1, 2)), _share, 1))
    every = part.times("soft", nothing + profiles.TARGETS[None, :])
    columns.append(("ECDF 51", np.mean(np.isfinite(every), axis=(1, 2)), _share, 1))
    columns.append(("area", profiles.area(every / part.sizes[None, :, None], part.multiple), _share, 1))
    caption = "COCO's own score max(f - f_opt, 0) + sum max(c, 0): share of problems at each target at the full budget."
    return compared(caption, columns, part.solvers)


def by_n(parts: Sequence[Slice], kind: str) -> Table:
    """Mean share of targets, one column an n."""
    solvers = ordered(name for part in parts for name in part.solvers)
    columns: list[tuple[str, FloatArray, Callable[[float], str], int]] = []
    kinds = set()
    for part in parts:
        times, what = target_times(part, kind)
        kinds.add(what)
        hit = np.mean(np.isfinite(times), axis=2)
        for size in np.unique(part.sizes):
            mean = dict(zip(part.solvers, hit[:, part.sizes == size].mean(axis=1), strict=True))
            values = np.array([mean.get(name, np.nan) for name in solvers])
            columns.append((f"n={size:g}, {part.label.partition(', ')[2]}", values, _share, 1))
    if len(columns) > 1:
        columns.append(("mean", np.mean([values for _, values, _, _ in columns], axis=0), _share, 1))
    return compared(f"Share of targets ({' or '.join(sorted(kinds))}) hit at the full budget.", columns, solvers)


def finals(part: Slice, kind: str) -> list[Table]:
    """One table an instance, for suites of a few: last gaps over seeds, and evaluations to two levels."""
    out = []
    for instance in dict.fromkeys(part.instances):
        members = [p for p, name in enumerate(part.instances) if name == instance]
        level = part.f_ref[kind][members[0]]
        last = np.full((len(part.solvers), len(members)), np.inf)
        for s, solver in enumerate(part.solvers):
            for j, p in enumerate(members):
                values = part.runs[solver][part.keys[p]].curves[kind][1]
                last[s, j] = values[-1] - level if len(values) else np.inf
        levels = np.tile([level + 1e-3, level + 1e-2 * abs(level)], (len(part.keys), 1))
        times = part.times(kind, levels)[:, members]
        columns: list[tuple[str, FloatArray, Callable[[float], str], int]] = [
            ("median gap", np.array([profiles.median(row) for row in last]), _number, -1),
            ("worst gap", np.max(last, axis=1), _number, -1),
        ]
        for t, title in enumerate(("1e-3", "1 %")):
            columns.append((f"within {title}", np.mean(np.isfinite(times[:, :, t]), axis=1), _share, 1))
            medians = np.array([profiles.median(row) for row in times[:, :, t]])
            columns.append((f"evaluations to {title}", medians, _number, -1))
        rule = f", {'every c <= 0' if kind == 'strict' else 'every c <= 1e-6'}" if part.constrained else ""
        caption = f"{instance}: {len(members)} runs{rule}; gaps to {level:.9g} (minimised)."
        out.append(compared(caption, columns, part.solvers))
    return out


def by_group(part: Slice, kind: str) -> Table:
    """Mean share of targets, rows of groups, columns of solvers; our columns are bold where we lose."""
    times, what = target_times(part, kind)
    hit = np.mean(np.isfinite(times), axis=2)
    rows, bold = [], set()
    for i, name in enumerate(sorted(set(part.groups))):
        members = [p for p, group in enumerate(part.groups) if group == name]
        mean = hit[:, members].mean(axis=1)
        rivals = [mean[s] for s, solver in enumerate(part.solvers) if not ours(solver) and solver != "random"]
        for s, solver in enumerate(part.solvers):
            if ours(solver) and rivals and max(rivals) > mean[s] + _TIE:
                bold.add((i, s + 1))
        rows.append((name, *(_share(float(v)) for v in mean)))
    return Table(("group", *part.solvers), tuple(rows), frozenset(bold), f"Share of targets ({what}) by group.")


def differences(parts: Sequence[Slice], kind: str, baseline: str) -> Table:
    """Mean share of targets minus that of the baseline, with a bootstrap interval over instances."""
    solvers = [s for s in ordered(n for part in parts for n in part.solvers) if s != baseline]
    rows, bold = [], set()
    for i, solver in enumerate(solvers):
        cells = []
        for j, part in enumerate(parts, start=1):
            if solver not in part.solvers or baseline not in part.solvers:
                cells.append("-")
                continue
            times, _ = target_times(part, kind)
            hit = np.mean(np.isfinite(times), axis=2)
            d = hit[part.solvers.index(solver)] - hit[part.solvers.index(baseline)]
            interval = profiles.bootstrap(d, part.instances)
            cells.append(profiles.interval_text(interval))
            if ours(solver) and interval[2] < 0.0:
                bold.add((i, j))
        rows.append((solver, *cells))
    columns = ("solver", *(part.label for part in parts))
    caption = (
        f"Share of targets minus that of `{baseline}`: mean and 95 % bootstrap interval over instances (bold: we lose "
        "clearly)."
    )
    return Table(columns, tuple(rows), frozenset(bold), caption)


def cpu(parts: Sequence[Slice]) -> Table:
    """The solver's own CPU microseconds per evaluated point, and what comes before the clock starts."""
    solvers = ordered(name for part in parts for name in part.solvers)

    def column(part: Slice, value: Callable[[str], float]) -> FloatArray:
        return np.array([value(name) if name in part.solvers else np.nan for name in solvers])

    columns: list[tuple[str, FloatArray, Callable[[float], str], int]] = []
    for part in parts:

        def microseconds(name: str, part: Slice = part) -> float:
            runs = [r for r in part.runs[name].values() if r.nfev]
            return profiles.median([1e6 * r.cpu_solver / r.nfev for r in runs if r.nfev])

        columns.append((part.label, column(part, microseconds), _number, -1))

    def first(name: str) -> float:
        setups = [r.setup for part in parts for r in part.runs.get(name, {}).values() if r.setup is not None]
        return max(setups, default=float("nan"))

    columns.append(("start-up s", np.array([first(name) for name in solvers]), _number, 0))
    caption = (
        "The solver's own CPU microseconds per evaluated point (user functions subtracted, median over runs); last column: "
        "imports, compilation and warm-up, worst process, wall seconds."
    )
    return compared(caption, columns, solvers)


def feasibility(part: Slice) -> Table:
    """Share of runs that find a feasible point, and evaluations until then."""
    columns: list[tuple[str, FloatArray, Callable[[float], str], int]] = []
    for kind, rule in (("strict", "c <= 0"), ("loose", "c <= 1e-6")):
        first = np.array(
            [
                [float(r.curves[kind][0][0]) if len(r.curves[kind][0]) else math.inf for r in runs.values()]
                for runs in (part.runs[name] for name in part.solvers)
            ]
        )
        columns.append((f"feasible, {rule}", np.mean(np.isfinite(first), axis=1), _share, 1))
        columns.append((f"first at, {rule}", np.array([profiles.median(row) for row in first]), _number, -1))
    return compared("Runs that find a feasible point, and the median evaluation at which.", columns, part.solvers)


def coverage(parts: Sequence[Slice]) -> Table:
    """Runs that count, runs without counterpart, and how they ended."""
    solvers = ordered(name for part in parts for name in part.solvers)
    rows = []
    for name in solvers:
        runs = [r for part in parts for r in part.runs.get(name, {}).values()]
        dropped = sum(part.dropped.get(name, 0) for part in parts)
        ends = {status: sum(r.status == status for r in runs) for status in sorted({r.status for r in runs})}
        text = ", ".join(f"{count} {status}" for status, count in ends.items())
        commits = ", ".join(sorted({r.commit for r in runs}))
        spent = [r.spent / r.cell.budget for r in runs if r.spent is not None]
        used = f"{100.0 * float(np.mean(spent)):.1f}%" if spent else "-"
        rows.append((name, str(len(runs)), str(dropped) if dropped else "", text, used, commits))
    caption = (
        "Runs compared (every solver has run the same problems), runs left out because another solver lacks them, how they "
        "ended and what share of the budget they used."
    )
    return Table(("solver", "runs", "left out", "ended", "used", "commit"), tuple(rows), frozenset(), caption)
