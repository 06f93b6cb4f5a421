"""The smallest displacement that achieves a gain: counterfactuals (after the decoupled direction and norm of Rony et al. 2019)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.attacks._settings import real, whole
from dfoattack.attacks._walk import Walk, Walker
from dfoattack.attacks.goals import Goals


class SmallestRadius(Walker):
    """The least |W^-1 d|_2 <= r with F(x + d) <= F(x) - gain |F(x)|, feasible; from an infeasible centre the least that is feasible.

    z <- z - eta step, projected on the sphere of radius e; e falls by ``gamma`` where the goal is reached and grows by it where not. Then
    bisection along the shortest success. A row without success returns its best inner point.

    Parameters
    ----------
    gain : float            > 0, decrease of F asked for, relative to abs(F) at the centre (absolute where that is 0)
    steps : int             K >= 1
    gamma : float           in (0, 1)
    bisections : int        >= 0, passes along the shortest success
    active : float          >= 0, in units of h's scale
    """

    name: ClassVar[str] = "smallest"

    def __init__(
        self, gain: float = 0.01, steps: int = 20, gamma: float = 0.1, bisections: int = 10, active: float = 1e-3
    ) -> None:
        super().__init__(steps, active)
        self.gain = real("gain", gain)
        self.gamma = real("gamma", gamma, "lie in (0, 1)", lambda value: 0.0 < value < 1.0)
        self.bisections = whole("bisections", bisections, 0)

    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        size = np.abs(walk.F)
        return {
            "level": walk.F - self.gain * np.where((size > 0.0) & np.isfinite(size), size, 1.0),
            "seeking": np.any(walk.C > walk.target.tol, axis=1).astype(np.float64),
            "e": 0.5 * walk.radius,
            "least": np.zeros_like(walk.D),
            "length": np.full(walk.rows, np.inf),
        }

    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        weights, e = walk.target.weights, memory["e"]
        if k > 0:
            reached = self._judge(walk, memory)
            e[:] = np.minimum(np.where(reached, (1.0 - self.gamma) * e, (1.0 + self.gamma) * e), walk.radius)
            # Nothing longer than the shortest success is of interest.
            e[:] = np.where(np.isfinite(memory["length"]), np.minimum(e, (1.0 - self.gamma) * memory["length"]), e)
        eta = (1.0 + np.cos(np.pi * k / self.steps)) / 2.0
        for row in range(walk.rows):
            length = float(e[row]) if k == 0 else max(eta, 0.05) * float(e[row])
            d = walk.D[row] + walk.step(row, goals.g_f[row], goals, length, "l2")
            size = float(np.linalg.norm(d / weights))
            if size > 0.0:
                d = d * (float(e[row]) / size)
            walk.D[row] = walk.project(row, d, "l2")

    def _finish(self, walk: Walk, memory: dict[str, FloatArray]) -> FloatArray:
        self._judge(walk, memory)
        found = np.isfinite(memory["length"])
        rows = np.flatnonzero(found)
        long, low, high = memory["least"], np.zeros(walk.rows), np.ones(walk.rows)
        for _ in range(self.bisections):
            if rows.size == 0 or not walk.view.affords(0, int(rows.size)):
                break
            middle = 0.5 * (low + high)
            walk.D[rows] = middle[rows, None] * long[rows]
            walk.visit(rows)
            reached = self._reached(walk, memory)
            high = np.where(reached & found, middle, high)
            low = np.where(~reached & found, middle, low)
        return np.where(found[:, None], high[:, None] * long, walk.best)

    def _judge(self, walk: Walk, memory: dict[str, FloatArray]) -> BoolArray:
        """Which rows have reached their goal where they stand; the shortest success of each is kept."""
        reached = self._reached(walk, memory)
        length = np.linalg.norm(walk.D / walk.target.weights, axis=1)
        shorter = reached & (length < memory["length"]) & (length > 0.0)
        memory["least"][shorter], memory["length"][shorter] = walk.D[shorter], length[shorter]
        return reached

    @staticmethod
    def _reached(walk: Walk, memory: dict[str, FloatArray]) -> BoolArray:
        feasible = np.all(walk.C <= walk.target.tol, axis=1) & np.isfinite(walk.F)
        reached: BoolArray = feasible & ((memory["seeking"] > 0.0) | (walk.F <= memory["level"]))
        return reached
