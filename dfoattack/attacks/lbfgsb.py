"""Polish by projected limited-memory BFGS, all centres in lockstep."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks._quasi_newton import Descent, polish_rows
from dfoattack.attacks._settings import real, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View

_TIGHTER = 1e-3  # how far inside the constraints an infeasible row aims, in units of h's scale


class LBFGSB(AttackOperator):
    """Minimise F from every centre inside box and trust region by limited-memory BFGS (Liu & Nocedal 1989; Byrd, Lu, Nocedal & Zhu 1995).

    All rows that still run share one forward pass and one product an iteration. A feasible row never takes an infeasible point, so that it
    stops at the first curved constraint it meets (`AL` and `SQP` follow it); an infeasible row minimises its violation alone until it is
    feasible. One displacement a centre: the best point visited, violation first, then F.

    Parameters
    ----------
    iterations : int        >= 1, passes from one centre at most
    memory : int            >= 1, curvature pairs kept a row
    accuracy : float        > 0, relative gain of F of which two steps in a row end the row
    """

    name: ClassVar[str] = "lbfgsb"
    inner_points: ClassVar[bool] = True
    whole_box: ClassVar[bool] = True

    def __init__(self, iterations: int = 200, memory: int = 10, accuracy: float = 1e-9) -> None:
        self.iterations = whole("iterations", iterations, 1)
        self.memory = whole("memory", memory, 1)
        self.accuracy = real("accuracy", accuracy)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        def descend(descent: Descent, rows: IntArray, gradient: FloatArray) -> None:
            merit = _Objective(target, rows, self.accuracy, self.iterations)
            descent.run(merit, gradient, self.iterations)

        return polish_rows(target, radii, view, self.memory, descend)


class _Objective:
    """F of feasible rows; of the others the violation, until a feasible point was met."""

    def __init__(self, target: Target, rows: IntArray, accuracy: float, steps: int) -> None:
        self._target = target
        self._seeking = np.any(self._over(target.C[rows]) > 0.0, axis=1)
        self._accuracy, self._steps = accuracy, steps

    def _over(self, C: FloatArray) -> FloatArray:
        over: FloatArray = (C - self._target.tol) / self._target.scale
        return over

    def values(self, rows: IntArray, F: FloatArray, C: FloatArray) -> FloatArray:
        feasible = np.all(self._over(C) <= 0.0, axis=1)
        h = np.sum(np.maximum(self._over(C) + _TIGHTER, 0.0) ** 2, axis=1)
        values: FloatArray = np.where(self._seeking[rows], np.where(feasible, 0.0, h), np.where(feasible, F, np.inf))
        return values

    def weights(self, rows: IntArray, F: FloatArray, C: FloatArray) -> tuple[FloatArray, FloatArray]:
        seeking, over = self._seeking[rows], self._over(C)
        outside = seeking & np.any(over > 0.0, axis=1)
        W = np.where(outside[:, None], 2.0 * np.maximum(over + _TIGHTER, 0.0) / self._target.scale, 0.0)
        return np.where(seeking, 0.0, 1.0), W

    def at_rest(self, rows: IntArray, F: FloatArray, C: FloatArray) -> BoolArray:
        arrived: BoolArray = self._seeking[rows] & np.all(self._over(C) <= 0.0, axis=1)
        self._seeking[rows[arrived]] = False
        return arrived

    def steps(self, row: int) -> int:
        return self._steps

    def accuracy(self, row: int) -> float:
        return self._accuracy
