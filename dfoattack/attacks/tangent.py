"""Steps along active constraints, where straight descent would cross them at once."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.optimize import nnls

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks._settings import active_depth, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View, realise, violation
from dfoattack.attacks.projection import cube

_MARGIN = 1e-9  # how far inside the linearised constraints a correction aims, in units of h's scale
_INSIDE = 0.02  # depth at which a correction aims, relative to the first violation
_NOTHING = 1e-9  # projected gradient over gradient below which a centre is stationary


class Tangent(AttackOperator):
    """The gradient projected on the cone of directions that no active constraint forbids, for a ladder of radii, pulled back to the constraints.

    Active are columns above ``-active`` and bounds that hold the centre. With rows A (weighted) and c_A: d = -(g + A^T lambda), lambda >= 0
    by non-negative least squares, scaled to the radius, plus the least step that undoes violations; then second-order corrections (Fletcher
    1982): the least step that undoes the violation seen at x + d, with the same rows. A row per radius, its best inner point. Costs a
    vjp for F and one an active column, and 1 + ``corrections`` passes a radius at most. Columns that are free (known linear constraints) are
    projected on exactly.

    Parameters
    ----------
    active : float          >= 0, in units of h's scale: columns closer than that count as active
    most : int              >= 1, active columns bought, the most violated first
    corrections : int       >= 0, second-order corrections a radius
    """

    name: ClassVar[str] = "tangent"
    inner_points: ClassVar[bool] = True

    def __init__(self, active: float = 1e-3, most: int = 8, corrections: int = 2) -> None:
        self.active = active_depth(active)
        self.most = whole("most", most, 1)
        self.corrections = whole("corrections", corrections, 0)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        gradient = np.zeros((b, n))
        rows: list[tuple[FloatArray, int, float]] = []
        for i in range(b):
            known = np.isfinite(target.F[i]) and np.all(np.isfinite(target.C[i]))
            near = self._near(target, i) if known else np.empty(0, dtype=np.int64)
            # Without an active constraint this is the l2 attack, which costs less.
            if not view.has_gradient or near.size == 0 or not view.affords(1 + int(near.size), 1):
                continue
            gradient[i] = view.grad(target.X[i : i + 1])[0]
            J = view.constraint_jacobian(target.X[i], near) / target.scale[near][:, None]
            slope = _Slope(target, i, gradient[i], J, near)
            for radius in map(float, radii):
                found = self._at(slope, radius, view)
                if found is not None:
                    rows.append((found, i, radius))
        return Displacements.from_rows(n, rows, gradient)

    def _near(self, target: Target, i: int) -> IntArray:
        c = (target.C[i] - target.tol) / target.scale
        near = np.flatnonzero(c >= -self.active)
        return np.sort(near[np.argsort(-c[near], kind="stable")][: self.most])

    def _at(self, slope: _Slope, radius: float, view: View) -> FloatArray | None:
        """The best point of one radius: the step and its corrections, violation first, then F."""
        target, x = slope.target, slope.target.X[slope.i]
        lo, hi = cube(radius, target.weights, target.lower - x, target.upper - x)
        d = np.clip(slope.step(radius), lo, hi)
        best, best_key = None, (np.inf, np.inf)
        before, first = np.full(slope.near.size, np.inf), 0.0
        for k in range(1 + self.corrections):
            if not np.any(d) or not view.affords(0, 1):
                break
            Z = realise(x, d[None], target.lower, target.upper)
            F, C = view.values(Z, view.outputs(Z))
            key = (float(violation(C, target.tol, target.scale)[0]), float(F[0]))
            if np.isfinite(F[0]) and key < best_key:
                best, best_key = d, key
            if not np.isfinite(F[0]) or key[0] == 0.0 or k == self.corrections:
                break
            missed = (C[0, slope.near] - target.tol[slope.near]) / target.scale[slope.near]
            if not np.any(missed > 0.0):
                break  # a constraint that was not active: a shorter radius is the answer
            # What a correction leaves, the next one will leave again: aim past the constraint by that share, and a little inside.
            over = missed > 0.0
            first = max(first, float(np.max(missed)))
            left = np.clip(np.where(over & (before > 0.0), missed / np.where(before > 0.0, before, 1.0), 0.0), 0.0, 0.5)
            d = np.clip(d + slope.back(np.where(over, missed / (1.0 - left) + _INSIDE * first, missed)), lo, hi)
            before = missed
        return best


class _Slope:
    """Gradient and active rows at one centre, in y = W^-1 d."""

    def __init__(self, target: Target, i: int, gradient: FloatArray, J: FloatArray, near: IntArray) -> None:
        self.target, self.i, self.near = target, i, near
        W, x = target.weights, target.X[i]
        size = float(np.max(np.abs(W * gradient), initial=0.0))
        self.g = W * gradient / size if size > 0.0 else np.zeros_like(gradient)
        self.rows = J * W
        unit = np.eye(x.size)
        self.walls = np.vstack([-unit[x <= target.lower], unit[x >= target.upper]])

    def step(self, radius: float) -> FloatArray:
        """Projected descent of length radius (largest coordinate), plus the way back from violations; user units."""
        y = self._projected()
        size = float(np.max(np.abs(y), initial=0.0))
        y = y * (radius / size) if size > _NOTHING else np.zeros_like(y)
        c = (self.target.C[self.i, self.near] - self.target.tol[self.near]) / self.target.scale[self.near]
        # Rows with room left may be approached, not crossed: only those that the step would cross hold it back.
        missed = c + self.rows @ y
        d: FloatArray = self.target.weights * y + (self.back(missed) if np.any(missed > 0.0) else 0.0)
        return d

    def back(self, missed: FloatArray) -> FloatArray:
        """The least step, user units, over which the rows fall by what they miss (q,) and keep what they have."""
        over = missed > 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            d: FloatArray = self.target.weights * _least_step(self.rows, np.where(over, missed + _MARGIN, missed))
        return d if np.all(np.isfinite(d)) else np.zeros_like(d)

    def _projected(self) -> FloatArray:
        """-g projected on {y : rows y <= 0, walls y <= 0}."""
        A = np.vstack([self.rows, self.walls])
        lengths = np.max(np.abs(A), axis=1, initial=0.0)
        A = A[lengths > 0.0] / lengths[lengths > 0.0][:, None]
        if A.shape[0] == 0:
            return -self.g
        with single_thread():
            multipliers, _ = nnls(A.T, -self.g, maxiter=10 * len(A) + 100)
        projected: FloatArray = -(self.g + multipliers @ A)
        return projected


def _least_step(A: FloatArray, b: FloatArray) -> FloatArray:
    """Least y (n,) with A y <= -b where b > 0 and A y <= -b (b <= 0: room) elsewhere; least squares where that has no solution."""
    scale = float(np.max(np.abs(b), initial=0.0))
    lengths = np.linalg.norm(A, axis=1)
    use = lengths > 0.0
    if scale == 0.0 or not np.any(use & (b > 0.0)):
        return np.zeros(A.shape[1])
    G, h = -A[use] / lengths[use][:, None], b[use] / lengths[use]
    size = float(np.max(h))
    E = np.vstack([G.T, h / size])
    goal = np.zeros(E.shape[0])
    goal[-1] = 1.0
    with single_thread():
        u, _ = nnls(E, goal, maxiter=10 * E.shape[1] + 100)
    rest = 1.0 - float(E[-1] @ u)
    if rest > 1e-10:
        step: FloatArray = size * (u @ G) / rest
        return step
    over = b > 0.0
    return np.asarray(-np.linalg.lstsq(A[over], b[over], rcond=None)[0], dtype=np.float64)
