"""Adam (Kingma & Ba 2015) inside a ball, with cosine decay of the step."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import real
from dfoattack.attacks._walk import Walk, Walker
from dfoattack.attacks.goals import Goals

_SMALL = 1e-12  # of the running size of the gradient, in the denominator


class Adam(Walker):
    """K steps of Adam in y = W^-1 z, projected on ball-and-box; each row returns its best inner point.

    The step is ``rate`` radii, falling as (1 + cos(pi k / K)) / 2. Moments remember F only: beside a constraint the two-goal step of the
    same length decides alone.

    Parameters
    ----------
    steps : int             K >= 1
    rate : float            first step, in radii, > 0
    beta1, beta2 : float    in [0, 1), fading of the first and second moment
    active : float          >= 0, in units of h's scale
    """

    name: ClassVar[str] = "adam"

    def __init__(
        self, steps: int = 20, rate: float = 0.2, beta1: float = 0.9, beta2: float = 0.99, active: float = 1e-3
    ) -> None:
        super().__init__(steps, active)
        self.rate = real("rate", rate)
        self.beta1 = real("beta1", beta1, "lie in [0, 1)", lambda value: 0.0 <= value < 1.0)
        self.beta2 = real("beta2", beta2, "lie in [0, 1)", lambda value: 0.0 <= value < 1.0)

    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        k = walk.rows
        return {
            "first": np.zeros_like(walk.D),
            "second": np.zeros_like(walk.D),
            "seen": np.zeros(k),
            "size": np.zeros(k),
        }

    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        weights = walk.target.weights
        decay = 0.5 * (1.0 + np.cos(np.pi * k / self.steps))
        for row in range(walk.rows):
            eta = self.rate * decay * float(walk.radius[row])
            if goals.guarded[row]:
                d = walk.step(row, goals.g_f[row], goals, eta, "linf")
            else:
                d = -eta * weights * self._direction(row, weights * goals.g_f[row], memory)
            walk.D[row] = walk.project(row, walk.D[row] + d)

    def _direction(self, row: int, g: FloatArray, memory: dict[str, FloatArray]) -> FloatArray:
        """First moment over the root of the second, in units of the first gradient: squares of its entries could overflow."""
        first, second, seen, size = memory["first"], memory["second"], memory["seen"], memory["size"]
        if size[row] == 0.0:
            size[row] = float(np.max(np.abs(g), initial=0.0))
        if size[row] == 0.0:
            return np.zeros_like(g)
        with np.errstate(over="ignore", invalid="ignore"):
            g = np.clip(g / size[row], -1e100, 1e100)
        seen[row] += 1.0
        first[row] = self.beta1 * first[row] + (1.0 - self.beta1) * g
        second[row] = self.beta2 * second[row] + (1.0 - self.beta2) * g * g
        mean = first[row] / (1.0 - self.beta1 ** seen[row])
        spread = second[row] / (1.0 - self.beta2 ** seen[row])
        direction: FloatArray = mean / (np.sqrt(spread) + _SMALL)
        return direction
