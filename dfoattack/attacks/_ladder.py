"""One direction for a ladder of radii: what the one-step attacks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import active_depth
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.attacks.goals import plan


class Ladder(AttackOperator):
    """Steps along the gradient at the centre, for every radius; a subclass says what the steepest step of a radius is.

    The gradient does not depend on the radius, so a ladder costs one vjp a centre, and one more where constraints matter: at an infeasible
    centre, or at a feasible one closer than ``active`` to a constraint, the step decreases F and the violation together. Where that is
    impossible an infeasible centre attacks its violation alone, and a feasible one proposes nothing.

    Parameters
    ----------
    active : float, optional        >= 0, in units of h's scale: how close to a constraint a feasible centre starts to mind it
    """

    def __init__(self, active: float = 1e-3) -> None:
        self.active = active_depth(active)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        if not view.has_gradient:
            return Displacements.none(target.X.shape[1])
        goals = plan(target.X, target.F, target.C, target, self.active).fetch(view)
        rows: list[tuple[FloatArray, int, float]] = []
        for i, x in enumerate(target.X):
            a, b = target.lower - x, target.upper - x
            g_f, g_h = goals.g_f[i], goals.g_h[i]
            for radius in map(float, radii):
                if not goals.guarded[i]:
                    found = self._steepest(g_f, radius, target.weights, a, b)
                else:
                    steps = list(self._common(g_f, g_h, radius, target.weights, a, b))
                    if goals.infeasible[i] and not any(np.any(d) for d in steps):
                        steps = list(self._steepest(g_h, radius, target.weights, a, b))
                    found = iter(steps)
                rows += [(d, i, radius) for d in found]
        return Displacements.from_rows(target.X.shape[1], rows, goals.g_f)

    @abstractmethod
    def _steepest(
        self, g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        """Steps (n,) inside ball and box a <= d <= b that decrease g . d, the most promising first."""

    @abstractmethod
    def _common(
        self, g_f: FloatArray, g_h: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        """Steps that decrease both; zero where there is none."""
