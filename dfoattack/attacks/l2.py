"""The l_2 attack on a ladder of radii: steepest descent of F over an Euclidean ball cut by the box."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.attacks.goals import plan
from dfoattack.attacks.projection import steepest_l2, two_goal_l2
from dfoattack.errors import OptionError


class L2Ladder(AttackOperator):
    """d_i = clip(-t weights_i^2 g_i) with t such that |W^-1 d|_2 = r: the exact minimiser of g . d over ball-and-box, for every radius.

    Cost and constraint handling as in `SignLadder`: one vjp a centre, one more where constraints matter.

    Parameters
    ----------
    active : float, optional        >= 0, in units of h's scale: how close to a constraint a feasible centre starts to mind it
    """

    name: ClassVar[str] = "l2"

    def __init__(self, active: float = 1e-3) -> None:
        if not active >= 0.0:
            raise OptionError(f"`active` must be >= 0, got {active}.")
        self.active = float(active)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        if not view.has_gradient:
            return Displacements.none(target.X.shape[1])
        goals = plan(target.X, target.F, target.C, target, self.active).fetch(view)
        rows: list[tuple[FloatArray, int, float]] = []
        for i, x in enumerate(target.X):
            a, b = target.lower - x, target.upper - x
            for radius in map(float, radii):
                g_f, g_h = goals.g_f[i], goals.g_h[i]
                if not goals.guarded[i]:
                    d = steepest_l2(g_f, radius, target.weights, a, b)
                else:
                    d = two_goal_l2(g_f, g_h, radius, target.weights, a, b)
                    if goals.infeasible[i] and not np.any(d):
                        d = steepest_l2(g_h, radius, target.weights, a, b)
                rows.append((d, i, radius))
        return Displacements.from_rows(target.X.shape[1], rows, goals.g_f)
