"""Lattice steps of the few granular variables with the largest predicted gain."""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks._settings import active_depth, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.attacks.goals import Goals, plan

TINY = 1e-300


class Flips(AttackOperator):
    """One lattice step against the gradient of the relaxation, in the k granular variables with the largest |g_i| granularity_i and in all subsets of them.

    First the .., 4, 2, 1 best together, then all other combinations, the largest predicted gain first. Costs one vjp a centre and one
    more where constraints matter: an infeasible centre follows the gradient of the violation, a feasible one closer than ``active`` to a
    constraint the sum of the normalised gradients of F and the violation. Continuous variables stay where they are.

    Parameters
    ----------
    most : int, optional            in [1, 10], the number k of variables; 2^k - 1 rows at most
    active : float, optional        >= 0, in units of h's scale: how close to a constraint a feasible centre starts to mind it
    """

    name: ClassVar[str] = "flips"
    lattice: ClassVar[bool] = True

    def __init__(self, most: int = 4, active: float = 1e-3) -> None:
        self.most = whole("most", most, 1, 10)
        self.active = active_depth(active)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        n, unit = target.X.shape[1], target.granularity
        if not view.has_gradient or unit is None or not np.any(unit > 0.0):
            return Displacements.none(n)
        goals = plan(target.X, target.F, target.C, target, self.active).fetch(view)
        rows: list[tuple[FloatArray, int, float]] = []
        for i, x in enumerate(target.X):
            step, gain = _steps(_direction(goals, i), x, unit, target)
            order = np.argsort(-gain, kind="stable")[: self.most]
            for chosen in _subsets(order[gain[order] > 0.0], gain):
                d = np.zeros(n)
                d[chosen] = step[chosen]
                rows.append((d, i, float(np.max(np.abs(d) / target.weights))))
        return Displacements.from_rows(n, rows, goals.g_f)


def _direction(goals: Goals, i: int) -> FloatArray:
    """The gradient to go against, (n,)."""
    g_f, g_h = goals.g_f[i], goals.g_h[i]
    if goals.infeasible[i] or not goals.guarded[i]:
        return np.asarray(g_h if goals.infeasible[i] else g_f)
    total: FloatArray = g_f / max(float(np.max(np.abs(g_f))), TINY)
    return np.asarray(total + g_h / max(float(np.max(np.abs(g_h))), TINY))


def _steps(g: FloatArray, x: FloatArray, unit: FloatArray, target: Target) -> tuple[FloatArray, FloatArray]:
    """The lattice step of every variable and its predicted gain, (n,) each; zero where there is no step inside the box."""
    step = -np.sign(g) * unit
    step = np.where((x + step < target.lower) | (x + step > target.upper), 0.0, step)
    return step, -g * step


def _subsets(best: IntArray, gain: FloatArray) -> list[IntArray]:
    """All non-empty subsets of `best` (descending gain): its heads of length .., 4, 2, 1 first, then by the sum of their gains."""
    heads = [best[:k] for k in (1, 2, 4, 8) if k <= best.size]
    known = {tuple(head) for head in heads}
    others = [c for k in range(1, best.size + 1) for c in combinations(best.tolist(), k) if c not in known]
    others.sort(key=lambda c: -float(np.sum(gain[list(c)])))
    return [*heads[::-1], *(np.array(c, dtype=np.int64) for c in others)]
