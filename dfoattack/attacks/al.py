"""Polish by an augmented Lagrangian, all centres in lockstep."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks._quasi_newton import Descent, polish_rows
from dfoattack.attacks._settings import whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View

_MARGIN = 1e-7  # shift of the scaled constraints, so that the limit is strictly feasible
_PENALTY, _PENALTY_MAX, _GROW = 1.0, 1e9, 4.0
_ENOUGH = 0.25  # share of the violation left by a round that spares the penalty
_FIRST, _FINEST = 1e-2, 1e-10  # relative gain that ends the first round, and the last ones
_ROUND = 12  # steps of one round at most, times its number


class AL(AttackOperator):
    """Follow curved active constraints by multipliers (Powell 1969, Hestenes 1969, Rockafellar 1973; schedule after Birgin & Martinez 2014).

    Minimises F + sum_j [max(0, lambda_j + mu c_j)^2 - lambda_j^2] / (2 mu) by limited-memory BFGS inside the box; when a round is at rest
    lambda <- max(0, lambda + mu c), and mu is raised where the violation did not fall to a quarter. Whatever the number of constraints, a
    step costs one pass and one product. All rows that still run share them. One displacement a centre: the best point visited, violation
    first, then F. Multipliers start from those of the target and are returned.

    Parameters
    ----------
    iterations : int        >= 1, passes from one centre at most
    memory : int            >= 1, curvature pairs kept a row
    rounds : int            >= 1, updates of the multipliers at most
    """

    name: ClassVar[str] = "al"
    inner_points: ClassVar[bool] = True
    whole_box: ClassVar[bool] = True

    def __init__(self, iterations: int = 300, memory: int = 10, rounds: int = 25) -> None:
        self.iterations = whole("iterations", iterations, 1)
        self.memory = whole("memory", memory, 1)
        self.rounds = whole("rounds", rounds, 1)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        multipliers = np.zeros_like(target.C)

        def descend(descent: Descent, rows: IntArray, gradient: FloatArray) -> None:
            size = np.max(np.abs(gradient * descent.scale), axis=1)
            # Without a gradient of F the violation is attacked alone.
            unit = np.where((size > 0.0) & np.isfinite(1.0 / size), 1.0 / size, 0.0)
            merit = _Lagrangian(target, rows, unit, self.rounds)
            descent.run(merit, gradient, self.iterations)
            multipliers[rows] = np.where(unit[:, None] > 0.0, merit.multipliers / unit[:, None], 0.0)

        found = polish_rows(target, radii, view, self.memory, np.errstate(all="ignore")(descend))
        return replace(found, multipliers=multipliers)


class _Lagrangian:
    """The augmented Lagrangian of every row: its own multipliers (k, p), penalty (k,), unit of F (k,) and round (k,)."""

    def __init__(self, target: Target, rows: IntArray, unit: FloatArray, rounds: int) -> None:
        self._target, self._unit, self._rounds = target, unit, rounds
        k, p = rows.size, target.tol.size
        known = np.zeros((k, p)) if target.multipliers is None else target.multipliers[rows]
        self.multipliers = known * unit[:, None]
        self._penalty = np.full(k, _PENALTY)
        self._round = np.zeros(k, dtype=np.int64)
        self._missed = np.full(k, np.inf)

    def _shifted(self, C: FloatArray) -> FloatArray:
        c: FloatArray = (C - self._target.tol) / self._target.scale + _MARGIN
        return c

    def values(self, rows: IntArray, F: FloatArray, C: FloatArray) -> FloatArray:
        lam, mu = self.multipliers[rows], self._penalty[rows]
        pull = np.maximum(0.0, lam + mu[:, None] * self._shifted(C))
        values: FloatArray = self._unit[rows] * F + np.sum(pull * pull - lam * lam, axis=1) / (2.0 * mu)
        return np.where(np.isfinite(F), values, np.inf)

    def weights(self, rows: IntArray, F: FloatArray, C: FloatArray) -> tuple[FloatArray, FloatArray]:
        pull = np.maximum(0.0, self.multipliers[rows] + self._penalty[rows, None] * self._shifted(C))
        W: FloatArray = pull / self._target.scale
        return self._unit[rows], W

    def at_rest(self, rows: IntArray, F: FloatArray, C: FloatArray) -> BoolArray:
        lam, mu, c = self.multipliers[rows], self._penalty[rows], self._shifted(C)
        missed = np.max(np.abs(np.maximum(c, -lam / mu[:, None])), axis=1, initial=0.0)
        fine = (missed <= _MARGIN) & (self._tolerance(rows) <= _FINEST)
        fine |= ~np.any(lam + mu[:, None] * c > 0.0, axis=1) & (self._tolerance(rows) <= _FINEST)
        self.multipliers[rows] = np.maximum(0.0, lam + mu[:, None] * c)
        lagging = rows[missed > _ENOUGH * self._missed[rows]]
        self._penalty[lagging] *= _GROW
        self._missed[rows] = missed
        self._round[rows] += 1
        going: BoolArray = ~fine & (self._round[rows] < self._rounds) & (self._penalty[rows] <= _PENALTY_MAX)
        return going

    def _tolerance(self, rows: IntArray) -> FloatArray:
        tolerance: FloatArray = np.maximum(_FIRST * 10.0 ** (-2.0 * self._round[rows]), _FINEST)
        return tolerance

    def steps(self, row: int) -> int:
        return _ROUND * (1 + int(self._round[row]))

    def accuracy(self, row: int) -> float:
        return float(self._tolerance(np.array([row]))[0])
