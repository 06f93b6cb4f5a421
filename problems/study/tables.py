"""The study's tables as Markdown, from traces alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .books import FloatArray
from .settings import MAIN, MENDED, OURS, Probe, Setting
from .trace import Trace

QUARTER = 0.25


def finals(traces: Sequence[Trace]) -> FloatArray:
    """Best feasible value of every run; -inf where none was found."""
    return np.array([np.nan_to_num(trace.best()[-1], nan=-np.inf) for trace in traces])


def penalised(trace: Trace, scale: float) -> float:
    """Best value less the squared largest violation of a run: no less than its own best penalised value."""
    return float(np.max(trace.f - (scale * trace.violation) ** 2))


def work_to(trace: Trace, value: float) -> float:
    """Counted work at which a run first had a feasible value at least so good; inf if it never had."""
    reached = np.flatnonzero(trace.best() >= value)
    return float(trace.spent[reached[0]]) if len(reached) else np.inf


def document(
    setting: Setting, traces: dict[str, list[Trace]], best_known: float | None, probes: Sequence[Probe]
) -> str:
    """The whole page."""
    quality = float(np.median(finals(traces["hybrid"])))
    known = "" if best_known is None else f" Best known value: {_number(best_known)}."
    lines = [
        f"# Study: {setting.name}",
        "",
        f"{len(traces[OURS])} seeds. Counted work = evaluated points + 2 x vector-Jacobian products. Values are those of the "
        f"best point with a violation of at most 1e-9; median (worst to best) over the seeds.{known}",
        "",
        *_methods(traces, quality),
        "",
        *_goal(traces, quality, setting.scale),
        "",
        "![value](value.png)",
        "![steps](steps.png)",
        "![time](time.png)",
        "![attack](attack.png)",
        "",
        "## When",
        "",
        "Median over the seeds of the best feasible value once so much was spent; a run that has ended keeps its value.",
        "",
        *_when(traces),
        "",
        "## Who gained",
        "",
        *_gains(traces),
        "",
        "## What the slips of the published code do",
        "",
        "The hybrid without any of them (barrier, exact gradient, full poll, uniform covering), then with one at a time, then "
        "with all of them, as published.",
        "",
        *_slips(setting, traces),
        "",
        "## Attack success",
        "",
        *(
            f"- {probe.title}: {probe.success.mean():.0%} of the sign steps improve, {_by_radius(probe)}."
            for probe in probes
        ),
        "",
    ]
    return "\n".join(lines)


def _methods(traces: dict[str, list[Trace]], quality: float) -> list[str]:
    head = f"work to {_number(quality)}"
    lines = [
        f"| method | final f | feasible runs | {head} | counted work | points | gradients | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method in MAIN:
        runs = traces[method]
        needed = [work_to(trace, quality) for trace in runs]
        lines.append(
            f"| {method} | {_spread(finals(runs))} | {np.isfinite(finals(runs)).sum()} of {len(runs)} | {_spread(needed)} | "
            f"{_middle([trace.spent[-1] for trace in runs])} | {_middle([trace.nfev for trace in runs])} | "
            f"{_middle([trace.ngev for trace in runs])} | {np.median([trace.wall for trace in runs]):.1f} |"
        )
    return lines


def _goal(traces: dict[str, list[Trace]], quality: float, scale: float) -> list[str]:
    """dfoattack's work to the hybrid's final quality as a share of the hybrid's, in two ways of counting the latter."""
    feasible = all(np.isfinite(finals(traces[OURS])))
    end = f"- dfoattack ends feasible (violation at most 1e-9) {'every time' if feasible else 'NOT every time'}."
    if not np.isfinite(quality):
        weighed = float(np.median([penalised(trace, scale) for trace in traces["hybrid"]]))
        least = float(np.median([trace.violation.min() for trace in traces["hybrid"]]))
        first = float(np.median([work_to(trace, -np.inf) for trace in traces[OURS]]))
        return [
            f"- The published hybrid ends without a feasible point in the median run (least violation {least:.3g}), so it has no "
            f"quality to reach: its penalty is least at infeasible points, with a penalised value of at most {weighed:.4g}.",
            f"- dfoattack has its first feasible point after {first:.0f} counted evaluations.",
            end,
        ]
    ours = float(np.median([work_to(trace, quality) for trace in traces[OURS]]))
    whole = float(np.median([trace.spent[-1] for trace in traces["hybrid"]]))
    reached = [work_to(t, v) for t, v in zip(traces["hybrid"], finals(traces["hybrid"]), strict=True)]
    lines = []
    for what, work in (
        ("of its whole run", whole),
        ("of what it had spent when it first had its own final value", float(np.median(reached))),
    ):
        share = ours / work
        verdict = "at most a quarter" if share <= QUARTER else "MORE than a quarter"
        lines.append(
            f"- dfoattack reaches the hybrid's median final value with {ours:.0f} counted evaluations, {share:.3f} {what} "
            f"({work:.0f}): {verdict}."
        )
    lines.append(end)
    return lines


def _when(traces: dict[str, list[Trace]]) -> list[str]:
    """Values at fixed counted work: what helps early, what stalls, what refines."""
    last = max(float(trace.spent[-1]) for method in MAIN for trace in traces[method])
    marks = [mark for mark in (10, 30, 100, 300, 1000, 3000) if mark < last] + [round(last)]
    lines = ["| method | " + " | ".join(f"{mark}" for mark in marks) + " |", "|---|" + "---|" * len(marks)]
    for method in MAIN:
        columns = []
        for mark in marks:
            rows = [int(np.searchsorted(trace.spent, mark, side="right")) - 1 for trace in traces[method]]
            values = [trace.best()[row] for trace, row in zip(traces[method], rows, strict=True)]
            columns.append(_number(float(np.median(np.nan_to_num(values, nan=-np.inf)))))
        lines.append(f"| {method} | " + " | ".join(columns) + " |")
    return lines


def _gains(traces: dict[str, list[Trace]]) -> list[str]:
    """Share of each step in the feasible gain, all seeds together."""
    lines = ["| method | share of the gain by step |", "|---|---|"]
    for method in MAIN:
        gains: dict[str, float] = {}
        for trace in traces[method]:
            best = trace.best()
            for step, gain in zip(trace.step[1:].tolist(), np.nan_to_num(np.diff(best)), strict=True):
                gains[step] = gains.get(step, 0.0) + float(gain)
        total = sum(gains.values())
        shares = sorted(((gain / total, step) for step, gain in gains.items() if gain > 0.0), reverse=True)
        lines.append(f"| {method} | {', '.join(f'{step} {share:.1%}' for share, step in shares) or 'nothing gained'} |")
    return lines


def _slips(setting: Setting, traces: dict[str, list[Trace]]) -> list[str]:
    lines = ["| hybrid | final f | feasible runs | counted work |", "|---|---|---|---|"]
    rows = [(MENDED, "without slips")]
    rows += [(f"{MENDED} but {slip}", f"with the slip `{slip}`") for slip in setting.slips]
    rows.append(("hybrid", "with all, as published"))
    for method, title in rows:
        runs = traces[method]
        values = finals(runs)
        work = _middle([trace.spent[-1] for trace in runs])
        lines.append(f"| {title} | {_spread(values)} | {np.isfinite(values).sum()} of {len(runs)} | {work} |")
    return lines


def _by_radius(probe: Probe) -> str:
    third = len(probe.radii) // 3
    names = ("small", "middle", "large")
    parts = np.array_split(probe.success, [third, 2 * third], axis=1)
    return ", ".join(f"{part.mean():.0%} at {name} radii" for part, name in zip(parts, names, strict=True))


def _spread(values: Sequence[float] | FloatArray) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"{_number(middle)} ({_number(low)} to {_number(high)})"


def _middle(values: Sequence[float]) -> str:
    return f"{np.median(values):.0f}"


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else "none"
