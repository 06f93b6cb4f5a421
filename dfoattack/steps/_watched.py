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
NEAR = 0.05  # scaled violation up to which the value of a point tells what the descent may hope for


class Pace:
    """How fast values fall."""

    def __init__(self) -> None:
        self._trace: list[tuple[float, float]] = []  # what was spent when the best value fell to this

    def see(self, spent: float, values: FloatArray) -> None:
        best = float(np.min(values, initial=np.inf))
        if best < (self._trace[-1][1] if self._trace else np.inf):
            self._trace.append((spent, best))

    def outlook(self, spent: float) -> float:
        """The least value that the second half of the cost leads one to expect, -inf while that is not known."""
        before = [value for at, value in self._trace if at <= 0.5 * spent]
        if not before:
            return -np.inf
        best = self._trace[-1][1]
        return best - PATIENCE * (before[-1] - best)


class Watched(WrappedView):
    """Everything a view offers; `affords` is False once the best value seen by this descent cannot be expected to fall below `level`.

    Whether it can is judged by its own pace. Points that are nearly feasible count as well: what even they do not promise will not come.
    Descents that have not met any go on.

    Parameters
    ----------
    view : View
    target : Target         tolerances and scales
    level : float           minimised value to reach; +inf: nothing is watched
    price : float           of a product, in passes
    """

    def __init__(self, view: View, target: Target, level: float, price: float) -> None:
        super().__init__(view)
        self._tol, self._scale, self._level, self._price = target.tol, target.scale, level, price
        self._spent = 0.0
        self._feasible, self._near = Pace(), Pace()

    @property
    def hopeless(self) -> bool:
        """Whether the pace of the descent does not lead below the level."""
        if self._spent < YOUNG * (1.0 + self._price):
            return False
        return max(pace.outlook(self._spent) for pace in (self._feasible, self._near)) > self._level

    def affords(self, vjps: int, passes: int) -> bool:
        return not self.hopeless and self._view.affords(vjps, passes)

    def outputs(self, Z: FloatArray) -> FloatArray:
        self._spent += len(Z)
        return self._view.outputs(Z)

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        F, C = self._view.values(Z, Y)
        worst = np.max((C - self._tol) / self._scale, axis=1, initial=-np.inf)
        for pace, most in ((self._feasible, 0.0), (self._near, NEAR)):
            pace.see(self._spent, F[np.isfinite(F) & (worst <= most)])
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
