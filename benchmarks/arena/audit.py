"""A log is what an adaptor hands back, so it is checked: a solver must not gain by what it writes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks import scores

if TYPE_CHECKING:
    from benchmarks.log import Log
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

# A network answers a row of a block to round-off as it answers the row alone.
_RELATIVE = 1e-6


def audit(log: Log, problem: Problem, budget: float) -> tuple[str, list[str]]:
    """("cheat", why) if the log contradicts the problem or the rules, else ("", remarks).

    Contradictions: another budget than was given; points that were not paid for; values at the best points, under both
    rules of feasibility, that the problem does not give there. What was asked for beyond the budget is remarked only: it
    does not count.
    """
    if log.budget != budget:
        return "cheat", [f"the log is that of a budget of {log.budget:g}, not {budget:g}"]
    if not len(log):
        return "", []
    order = np.argsort(log.spent, kind="stable")
    points = [x.tobytes() for x in log.X[order] + 0.0]
    first = {x: i for i, x in reversed(list(enumerate(points)))}
    distinct = np.cumsum([first[x] == i for i, x in enumerate(points)])
    unpaid = np.flatnonzero(log.spent[order] < distinct)
    if len(unpaid):
        i = int(unpaid[0])
        return "cheat", [f"{distinct[i]} different points for {log.spent[order][i]:g} evaluations"]
    # Noise has another value each time.
    if getattr(problem.objective, "exact", None) is None:
        for tolerance in (0.0, 1e-6):
            text = _contradiction(log, problem, tolerance)
            if text:
                return "cheat", [text]
    beyond = int(np.sum(log.spent > budget))
    return "", [f"{beyond} evaluations beyond the budget, which do not count"] if beyond else []


def _contradiction(log: Log, problem: Problem, tolerance: float) -> str:
    """What is wrong at the best point of the log; empty where nothing is."""
    rows = np.flatnonzero(scores.feasible(log, problem, tolerance))
    if not len(rows):
        return ""
    best = rows[np.argmin(problem.sign * log.f[rows])]
    x = log.X[best][None]
    try:
        f, C = problem.outer(x, problem.forward(x))
    except problem.failures as error:
        return f"the best point of the log has no value: {type(error).__name__}"
    if not _equal(log.f[best], f[0]):
        return f"the log says f = {log.f[best]:.9g} at its best point, where it is {f[0]:.9g}"
    if not _equal(log.C[best], C[0]):
        j = int(np.argmax(np.abs(log.C[best] - C[0])))
        return f"the log says c[{j}] = {log.C[best][j]:.9g} at its best point, where it is {C[0][j]:.9g}"
    return ""


def _equal(logged: FloatArray | float, true: FloatArray | float) -> bool:
    return bool(np.allclose(logged, true, rtol=_RELATIVE, atol=1e-9))
