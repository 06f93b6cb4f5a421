"""Scores of a run, computed from its log alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.log import Log
    from dfoattack._typing import BoolArray, FloatArray
    from dfoattack.problem import Problem


def feasible(log: Log, problem: Problem, tolerance: float) -> BoolArray:
    """(N,) rows inside the bounds (by 0 ulp), with every raw c <= tolerance, answered, and within the budget.

    Of an equality |c| may be as large as its own tolerance, if that is larger.
    """
    inside = np.all((log.X >= problem.space.lower) & (log.X <= problem.space.upper), axis=1)
    C = log.C
    if problem.equality.any():
        C = np.where(problem.equality, np.minimum(np.abs(C), problem.excess(C) + tolerance), C)
    largest = np.max(C, axis=1, initial=-np.inf) if C.shape[1] else np.full(len(log), -np.inf)
    # NaN compares as false, so failed rows drop out here.
    return np.asarray(inside & (largest <= tolerance) & (log.status == 0) & (log.spent <= log.budget), dtype=np.bool_)


@dataclass(frozen=True)
class Curve:
    """Best feasible objective against counted evaluations: a staircase, improvements only; k = 0: never feasible.

    spent : float64 (k,)   strictly increasing
    value : float64 (k,)   user sense, strictly improving
    """

    spent: FloatArray
    value: FloatArray

    @property
    def final(self) -> float:
        """Best feasible value, NaN if there is none."""
        return float(self.value[-1]) if len(self.value) else float("nan")


def curve(log: Log, problem: Problem, tolerance: float) -> Curve:
    """The staircase of a run. Rows are taken in the order in which they were paid for."""
    rows = np.flatnonzero(feasible(log, problem, tolerance))
    rows = rows[np.argsort(log.spent[rows], kind="stable")]
    spent: list[float] = []
    value: list[float] = []
    for i in rows:
        if not value or problem.sign * log.f[i] < problem.sign * value[-1]:
            if spent and spent[-1] == log.spent[i]:
                value[-1] = float(log.f[i])
            else:
                spent.append(float(log.spent[i]))
                value.append(float(log.f[i]))
    return Curve(np.array(spent), np.array(value))
