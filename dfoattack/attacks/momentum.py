"""Sign steps along accumulated gradients: momentum of Dong et al. 2018, look-ahead of Lin et al. 2020 after Nesterov 1983."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import real
from dfoattack.attacks._walk import Walk, Walker
from dfoattack.attacks.goals import Goals


class Momentum(Walker):
    """m <- mu m + g / |W g|_1, z <- P(z - eta W sign(m)), K steps; each row returns its best inner point.

    With ``nesterov`` rows stand at the look-ahead point P(z - eta mu W sign(m)): values and gradients are taken there, and that is what is
    ranked, so that the look-ahead costs nothing. Momentum remembers F only: beside a constraint the two-goal step decides alone.

    Parameters
    ----------
    steps : int         K >= 1
    reach : float       K eta / r, >= 1.5
    mu : float          in (0, 1)
    nesterov : bool     gradients at the look-ahead point
    active : float      >= 0, in units of h's scale
    """

    name: ClassVar[str] = "momentum"

    def __init__(
        self, steps: int = 10, reach: float = 2.0, mu: float = 0.9, nesterov: bool = False, active: float = 1e-3
    ) -> None:
        super().__init__(steps, active)
        self.reach = real("reach", reach, "be >= 1.5 radii", lambda value: value >= 1.5)
        self.mu = real("mu", mu, "lie in (0, 1)", lambda value: 0.0 < value < 1.0)
        self.nesterov = bool(nesterov)

    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        return {"velocity": np.zeros_like(walk.D), "base": walk.D.copy()}

    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        velocity, base = memory["velocity"], memory["base"]
        for row in range(walk.rows):
            eta = self.reach * float(walk.radius[row]) / self.steps
            g = goals.g_f[row]
            if not goals.guarded[row]:
                # The largest product first: sums of huge or tiny ones would overflow or vanish.
                largest = float(np.max(np.abs(g), initial=0.0))
                if largest > 0.0:
                    unit = g / largest
                    velocity[row] = self.mu * velocity[row] + unit / np.sum(np.abs(walk.target.weights * unit))
                g = velocity[row]
                walk.D[row] = base[row]
            base[row] = walk.project(row, walk.D[row] + walk.step(row, g, goals, eta, "linf"))
            walk.D[row] = base[row]
            if self.nesterov and not goals.guarded[row]:
                walk.D[row] = walk.project(row, base[row] + walk.step(row, velocity[row], goals, self.mu * eta, "linf"))
