"""Projected gradient attack (Madry et al. 2018) on the true F and the true constraints."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import real, whole
from dfoattack.attacks._walk import Walk, Walker
from dfoattack.attacks.goals import Goals
from dfoattack.errors import OptionError
from dfoattack.native import WalkRequest


class PGD(Walker):
    """K gradient steps of size eta inside ball-and-box, from every centre for every radius; each row returns its best inner point.

    The gradient is taken afresh at every inner point. In the l_inf norm a torch network with torch-written functions makes all steps on its own
    device, with the same points and the same counters. When the budget does not cover another step the operator returns what it has.

    Parameters
    ----------
    steps : int                 K >= 1
    reach : float               K eta / r, >= 1.5, or the attack could not cross its own ball
    norm : "linf" or "l2"       shape of ball and step
    restarts : int              >= 1; the first starts at the centre, the others uniformly in the cube
    active : float              >= 0, in units of h's scale
    """

    name: ClassVar[str] = "pgd"

    def __init__(
        self,
        steps: int = 10,
        reach: float = 2.0,
        norm: Literal["linf", "l2"] = "linf",
        restarts: int = 1,
        active: float = 1e-3,
    ) -> None:
        super().__init__(steps, active)
        if norm not in ("linf", "l2"):
            raise OptionError(f'`norm` must be "linf" or "l2", got {norm!r}.')
        self.reach = real("reach", reach, "be >= 1.5 radii", lambda value: value >= 1.5)
        self.norm: Literal["linf", "l2"] = norm
        self.restarts = whole("restarts", restarts, 1)

    def _request(self, walk: Walk) -> WalkRequest | None:
        if self.norm != "linf":
            return None
        target, eta = walk.target, self.reach * walk.radius / self.steps
        box = (target.lower, target.upper, target.weights, target.tol, target.scale)
        return WalkRequest(walk.X, walk.D, walk.radius, eta, *box, self.steps, self.active)

    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        return {}

    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        for row in range(walk.rows):
            eta = self.reach * float(walk.radius[row]) / self.steps
            d = walk.D[row] + walk.step(row, goals.g_f[row], goals, eta, self.norm)
            walk.D[row] = walk.project(row, d, self.norm)
