"""What the log of a run says: improvements, which step earned what, constraints at a point. Numbers only, no text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import IntArray
from dfoattack.result import Records
from dfoattack.trials import Status


@dataclass(frozen=True)
class StepShare:
    """What one step has done: evaluated points, failed ones among them, how often it improved the best point, and its
    share in [0, 1] of the whole improvement (NaN if there was none)."""

    step: str
    points: int
    failed: int
    improvements: int
    gain: float


def improvements(records: Records, sense: str) -> IntArray:
    """Rows at which the best point changed: feasible ones by objective, before the first one by violation."""
    feasible = records.maxcv <= 0.0
    sign = -1.0 if sense == "maximize" else 1.0
    rows = []
    best = least = np.inf
    for row in np.flatnonzero(np.isfinite(records.maxcv)):
        if feasible[row] and sign * records.fun[row] < best:
            best = sign * records.fun[row]
            rows.append(row)
        elif best == np.inf and records.maxcv[row] < least:
            least = records.maxcv[row]
            rows.append(row)
    return np.array(rows, dtype=np.int64)


def best_row(records: Records, sense: str) -> int:
    """Row of the best feasible point, of the least infeasible one if there is none, -1 if all failed."""
    rows = improvements(records, sense)
    return int(rows[-1]) if rows.size else -1


def step_shares(records: Records, sense: str) -> list[StepShare]:
    """One entry a step, in order of first appearance.

    The whole improvement is that of the objective from the first feasible point to the last one; without a feasible
    point that of the violation.
    """
    rows = improvements(records, sense)
    feasible = records.maxcv <= 0.0
    any_feasible = bool(feasible.any())
    values = records.fun if any_feasible else records.maxcv
    counted = rows[feasible[rows]] if any_feasible else rows
    gains = np.abs(np.diff(values[counted]))
    total = float(gains.sum())
    step = np.array(records.step, dtype=object)
    out = []
    for name in dict.fromkeys(records.step):
        own = step == name
        gain = float(gains[own[counted[1:]]].sum()) / total if total > 0.0 else float("nan")
        failed = int(np.count_nonzero(records.status[own] != Status.OK))
        out.append(StepShare(str(name), int(own.sum()), failed, int(own[rows].sum()), gain))
    return out
