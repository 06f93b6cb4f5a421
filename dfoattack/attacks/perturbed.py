"""Projected gradient steps with gradients from perturbed points, for the kinks of ReLU networks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import real
from dfoattack.attacks._walk import Walk, Walker
from dfoattack.attacks.goals import Goals


class Perturbed(Walker):
    """z <- P(z - eta step(grad F(x + z + xi))), xi uniform of size sigma, both shrinking; each row returns its best inner point.

    A gradient at a kink is that of one side; gradients from a neighbourhood see the others (randomised smoothing, Duchi, Bartlett &
    Wainwright 2012). sigma and eta fall as 1 - k / K. Rows stand at the perturbed points, whose values compete, and end at the
    unperturbed one, so that the perturbation costs no pass.

    Parameters
    ----------
    steps : int         K >= 1
    reach : float       sum of the steps over r, >= 1.5
    sigma : float       first perturbation, in radii, > 0
    active : float      >= 0, in units of h's scale
    """

    name: ClassVar[str] = "perturbed"

    def __init__(self, steps: int = 10, reach: float = 2.0, sigma: float = 0.1, active: float = 1e-3) -> None:
        super().__init__(steps, active)
        self.reach = real("reach", reach, "be >= 1.5 radii", lambda value: value >= 1.5)
        self.sigma = real("sigma", sigma)

    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        return {"noise": rng.uniform(-1.0, 1.0, size=(self.steps, *walk.D.shape)), "base": walk.D.copy()}

    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        left, base = 1.0 - k / self.steps, memory["base"]
        for row in range(walk.rows):
            eta = 2.0 * self.reach * float(walk.radius[row]) * left / (self.steps + 1)
            base[row] = walk.project(row, base[row] + walk.step(row, goals.g_f[row], goals, eta, "linf"))
            # The last point is looked at as it is.
            sigma = self.sigma * left * float(walk.radius[row]) if k < self.steps - 1 else 0.0
            walk.D[row] = walk.project(row, base[row] + sigma * walk.target.weights * memory["noise"][k, row])
