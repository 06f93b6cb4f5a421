"""The sign attack (fast gradient sign method of Goodfellow, Shlens & Szegedy 2015) on a ladder of radii, with the exact gradient of F."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.attacks.goals import plan
from dfoattack.attacks.projection import cube, steepest_linf, two_goal_linf
from dfoattack.errors import OptionError


class SignLadder(AttackOperator):
    """d_i = -r weights_i sign(g_i), clipped: the exact minimiser of g . d over ball-and-box, for every radius of the ladder.

    The gradient does not depend on the radius, so a ladder costs one vjp a centre, and one more where constraints matter: at an infeasible centre,
    or at a feasible one closer than ``active`` to a constraint, the step decreases F and the violation together (`two_goal_linf`). Where that is
    impossible an infeasible centre attacks its violation alone, and a feasible one proposes nothing.

    Parameters
    ----------
    active : float, optional        >= 0, in units of h's scale: how close to a constraint a feasible centre starts to mind it
    """

    name: ClassVar[str] = "sign"

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
            for radius in radii:
                lo, hi = cube(float(radius), target.weights, a, b)
                rows.append(
                    (
                        _step(goals.g_f[i], goals.g_h[i], bool(goals.guarded[i]), bool(goals.infeasible[i]), lo, hi),
                        i,
                        float(radius),
                    )
                )
        return Displacements.from_rows(target.X.shape[1], rows, goals.g_f)


def _step(
    g_f: FloatArray, g_h: FloatArray, guarded: bool, infeasible: bool, lo: FloatArray, hi: FloatArray
) -> FloatArray:
    if not guarded:
        return steepest_linf(g_f, lo, hi)
    d = two_goal_linf(g_f, g_h, lo, hi)
    if infeasible and not np.any(d):
        return steepest_linf(g_h, lo, hi)
    return d
