"""A view that ends a descent which will not reach the incumbent, or has become slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfoattack._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from dfoattack.attacks.base import Target, View

YOUNG = 10.0  # products, and as many passes, that every descent may spend
PATIENCE = 1.5  # times what the second half of the cost has gained: what may still be expected
SLOW = 0.01  # share of the whole descent, gained by the second half of the cost, below which it has become slow
FRESH = 0.75  # share of the cost after which the last gain must have come for a descent to count as slow
NEAR = 0.05  # scaled violation up to which the value of a point says what the descent may hope for


class Pace:
    """How fast values fall."""

    def __init__(self) -> None:
        self._trace: list[tuple[float, float]] = []  # what was spent when the best value fell to this

    def see(self, spent: float, value: float) -> None:
        if value < (self._trace[-1][1] if self._trace else np.inf):
            self._trace.append((spent, value))

    def gain(self, spent: float) -> float | None:
        """What the second half of the cost has gained, None while that is not known."""
        before = [value for at, value in self._trace if at <= 0.5 * spent]
        return before[-1] - self._trace[-1][1] if before else None

    def outlook(self, spent: float) -> float:
        """The least value that the pace promises, -inf while that is not known."""
        gain = self.gain(spent)
        return -np.inf if gain is None else self._trace[-1][1] - PATIENCE * gain

    def slow(self, spent: float) -> bool:
        """Whether next to nothing was gained lately; where no better value came lately it is not known."""
        gain = self.gain(spent)
        if gain is None or self._trace[-1][0] <= FRESH * spent:
            return False
        return gain <= SLOW * (self._trace[0][1] - self._trace[-1][1])


class Watched:
    """Everything a view offers; `affords` is False once the best value seen by this descent cannot be expected to fall below `level`.

    Whether it can is judged by its own pace: what it has gained over the second half of what it has spent. Points that are nearly feasible
    count: what even they do not promise will not come. With `pauses` a descent that has become slow is ended too, and `outlook` says what
    to expect of it.

    Parameters
    ----------
    view : View
    target : Target         tolerances and scales, and the one centre
    level : float           minimised value to reach; +inf: nothing is watched
    price : float           of a product, in passes
    pauses : bool

    Attributes
    ----------
    outlook : float or None     least value that the pace promises, where the descent was ended for being slow
    """

    def __init__(self, view: View, target: Target, level: float, price: float, *, pauses: bool = False) -> None:
        self._view, self._tol, self._scale = view, target.tol, target.scale
        self._level, self._price, self._pauses = level, price, pauses
        self._spent = 0.0
        self._feasible, self._near = Pace(), Pace()
        self.outlook: float | None = None
        self._see(target.F, target.C)

    @property
    def n(self) -> int:
        return self._view.n

    @property
    def p(self) -> int:
        return self._view.p

    @property
    def has_gradient(self) -> bool:
        return self._view.has_gradient

    @property
    def hopeless(self) -> bool:
        """Whether the pace of the descent does not lead below the level."""
        if self._spent < YOUNG * (1.0 + self._price):
            return False
        return max(pace.outlook(self._spent) for pace in (self._feasible, self._near)) > self._level

    def affords(self, vjps: int, passes: int) -> bool:
        if self._pauses and self._spent >= YOUNG * (1.0 + self._price) and self._feasible.slow(self._spent):
            self.outlook = self._feasible.outlook(self._spent)
            return False
        return not self.hopeless and self._view.affords(vjps, passes)

    def outputs(self, Z: FloatArray) -> FloatArray:
        self._spent += len(Z)
        return self._view.outputs(Z)

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        F, C = self._view.values(Z, Y)
        self._see(F, C)
        return F, C

    def _see(self, F: FloatArray, C: FloatArray) -> None:
        worst = np.max((C - self._tol) / self._scale, axis=1, initial=-np.inf)
        for pace, most in ((self._feasible, 0.0), (self._near, NEAR)):
            pace.see(self._spent, float(np.min(F[np.isfinite(F) & (worst <= most)], initial=np.inf)))

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
