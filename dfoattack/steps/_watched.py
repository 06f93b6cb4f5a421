"""A view that ends a descent which will not reach the incumbent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks.wrapped import WrappedView

if TYPE_CHECKING:
    from dfoattack.attacks.base import Target, View

YOUNG = 10.0  # products, and as many passes, that every descent may spend
PATIENCE = 1.5  # times what the second half of the cost has gained: what may still be expected


class Watched(WrappedView):
    """Everything a view offers; `affords` is False once the best value seen by this descent cannot be expected to fall below `level`.

    Whether it can is judged by its own pace: what it has gained over the second half of what it has spent. Descents that have not met a
    feasible point go on.

    Parameters
    ----------
    view : View
    target : Target         tolerances
    level : float           minimised value to reach; +inf: nothing is watched
    price : float           of a product, in passes
    """

    def __init__(self, view: View, target: Target, level: float, price: float) -> None:
        super().__init__(view)
        self._tol, self._level, self._price = target.tol, level, price
        self._spent = 0.0
        self._trace: list[tuple[float, float]] = []  # what was spent when the best feasible value fell to this

    @property
    def hopeless(self) -> bool:
        """Whether the pace of the descent does not lead below the level."""
        if not self._trace or self._spent < YOUNG * (1.0 + self._price):
            return False
        best = self._trace[-1][1]
        before = [value for spent, value in self._trace if spent <= 0.5 * self._spent]
        return bool(before) and best - PATIENCE * (before[-1] - best) > self._level

    def affords(self, vjps: int, passes: int) -> bool:
        return not self.hopeless and self._view.affords(vjps, passes)

    def outputs(self, Z: FloatArray) -> FloatArray:
        self._spent += len(Z)
        return self._view.outputs(Z)

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        F, C = self._view.values(Z, Y)
        feasible = np.isfinite(F) & np.all(C <= self._tol, axis=1)
        best = float(np.min(F[feasible], initial=np.inf))
        if best < (self._trace[-1][1] if self._trace else np.inf):
            self._trace.append((self._spent, best))
        return F, C

    def grad(self, Z: FloatArray) -> FloatArray:
        self._spent += self._price * len(Z)
        return self._view.grad(Z)

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        self._spent += self._price * len(Z)
        return self._view.vjp_c(Z, W)

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        self._spent += self._price * len(Z)
        return self._view.grad_mix(Z, wf, W)

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        self._spent += self._price
        return self._view.constraint_jacobian(z, rows)
