"""The problem as one polish sees it: scaled variables, scaled constraints, displacements from the centre, every visit remembered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks._rows import Rows
from dfoattack.attacks.base import Target, View, realise

_WEIGHT_MIN = 1e-3  # frame sizes differ more than that only by accident of the run; the scaling should not


@dataclass(frozen=True, eq=False)
class Point:
    """A visited point.

    Attributes
    ----------
    d : (n,)        displacement from the centre, user units
    F : float       minimised value, +inf where the point failed
    c : (p,)        (c - tol) / scale, feasible means <= 0
    """

    d: FloatArray
    F: float
    c: FloatArray

    @property
    def worst(self) -> float:
        """Largest scaled constraint value, -inf without constraints."""
        return float(np.max(self.c, initial=-np.inf))


class Local:
    """Values and derivatives round one centre, in scaled steps: user displacement = scale * step.

    Parameters
    ----------
    target : Target
    i : int             row of the centre
    radius : float      trust box abs(d) <= radius weights round the centre, +inf legal
    view : View
    """

    def __init__(self, target: Target, i: int, radius: float, view: View) -> None:
        self.view = view
        self._target = target
        self._x = target.X[i]
        self._a = np.maximum(target.lower - self._x, -radius * target.weights)
        self._b = np.minimum(target.upper - self._x, radius * target.weights)
        width = target.upper - target.lower
        frame = np.maximum(target.weights, _WEIGHT_MIN) * max(1.0, float(np.max(np.abs(self._x))))
        self.scale: FloatArray = np.where(np.isfinite(width) & (width > 0.0), width, frame)
        self.centre = Point(np.zeros_like(self._x), float(target.F[i]), self._scaled(target.C[i]))
        self.visited: list[Point] = []
        self._widths: list[int] = []  # numbers of outputs seen; the price of a full Jacobian

    def visit(self, start: Point, step: FloatArray) -> Point:
        """Look at start + step: one forward pass, unless the point is known."""
        d = np.clip(start.d + step * self.scale, self._a, self._b)
        Z = self._at(d)
        Y = self.view.outputs(Z)
        F, C = self.view.values(Z, Y)
        if np.isfinite(F[0]):
            self._widths.append(Y.shape[1])
        point = Point(d, float(F[0]), self._scaled(C[0]))
        self.visited.append(point)
        return point

    def room(self, point: Point) -> tuple[FloatArray, FloatArray]:
        """Bounds (lo, hi) of a step from the point, lo <= 0 <= hi."""
        lo, hi = (self._a - point.d) / self.scale, (self._b - point.d) / self.scale
        return np.minimum(lo, 0.0), np.maximum(hi, 0.0)

    def step(self, start: Point, end: Point) -> FloatArray:
        """The scaled step between two points."""
        return (end.d - start.d) / self.scale

    def gradient(self, point: Point) -> FloatArray:
        """Gradient of F in user units, (n,); one vjp."""
        g: FloatArray = self.view.grad(self._at(point.d))[0]
        return g

    def pull(self, point: Point) -> FloatArray:
        """Gradient of the sum of all scaled violations by a scaled step, (n,); one vjp."""
        W = np.where(point.c > 0.0, 1.0 / self._target.scale, 0.0)
        g: FloatArray = self.view.vjp_c(self._at(point.d), W[None])[0] * self.scale
        return g

    def buy(self, point: Point, rows: Rows, wanted: IntArray) -> bool:
        """Make the wanted rows exact at the point; all of them if that costs no more. False if the budget does not cover it."""
        if wanted.size == 0:
            return True
        if wanted.size >= self.price(wanted.size + 1):
            wanted = np.flatnonzero(rows.wanting)
        if not self.view.affords(self.price(wanted.size), 0):
            return False
        J = self.jacobian(point, wanted)
        rows.learn(wanted, J * self.scale / self._target.scale[wanted][:, None])
        return True

    def price(self, rows: int) -> int:
        """Products that so many rows of the constraint Jacobian cost, as far as the number of outputs is known."""
        return min(rows, self._widths[-1]) if self._widths else rows

    def jacobian(self, point: Point, columns: IntArray) -> FloatArray:
        """Gradients of the columns (q,) in user units, (q, n)."""
        return self.view.constraint_jacobian(self._at(point.d)[0], columns)

    def _at(self, d: FloatArray) -> FloatArray:
        return realise(self._x, d, self._target.lower, self._target.upper)[None]

    def _scaled(self, C: FloatArray) -> FloatArray:
        scaled: FloatArray = (C - self._target.tol) / self._target.scale
        return scaled
