"""Gradient sampling for kinks (Burke, Lewis & Overton 2005): the direction that descends on all sides."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.optimize import nnls

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import active_depth, real, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View, realise, violation
from dfoattack.attacks.goals import Goals, plan
from dfoattack.attacks.projection import cube

_ARMIJO = 1e-4
_CUTS = 12
_FIRST_NORM = 1e-2  # norm of the combination, relative to the longest gradient, below which the neighbourhood shrinks; halves with it


class GradientSampling(AttackOperator):
    """d = minus the shortest convex combination of gradients at z and at q - 1 points around it, then an Armijo search; K times.

    A kink between the pieces of a ReLU network shows as gradients that point to each other; their combination runs along it. Gradients
    of the violation at points that are infeasible or near a constraint join the combination, so that F and h decrease together. Where the
    combination is next to nothing the neighbourhood is halved. One row a centre for the largest radius, its best inner point: violation
    first, then F.

    Parameters
    ----------
    steps : int                 K >= 1
    samples : int, optional     q >= 2; None: min(2 n, 10)
    spread : float              first size of the neighbourhood, in radii, > 0
    active : float              >= 0, in units of h's scale
    """

    name: ClassVar[str] = "sampling"
    inner_points: ClassVar[bool] = True

    def __init__(self, steps: int = 5, samples: int | None = None, spread: float = 0.1, active: float = 1e-3) -> None:
        self.steps = whole("steps", steps, 1)
        self.samples = None if samples is None else whole("samples", samples, 2)
        self.spread = real("spread", spread)
        self.active = active_depth(active)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        gradient = np.zeros((b, n))
        rows: list[tuple[FloatArray, int, float]] = []
        radius = float(np.max(radii))
        q = self.samples or max(2, min(2 * n, 10))
        for i in range(b):
            if not view.has_gradient or not np.all(np.isfinite(target.C[i])):
                continue
            path = _Path(target, i, radius, view, self.active)
            spread, least = self.spread * radius, _FIRST_NORM
            for k in range(self.steps):
                if not view.affords(2 * q, q):
                    break
                goals = path.look_around(q, spread, rng)
                if k == 0:
                    gradient[i] = goals.g_f[0]
                moved = path.follow(path.direction(goals, least), goals.g_f)
                if not moved:
                    spread, least = 0.5 * spread, 0.5 * least
            rows.append((path.best, i, radius))
        return Displacements.from_rows(n, rows, gradient)


class _Path:
    """One centre: where it stands, and the best point seen."""

    def __init__(self, target: Target, i: int, radius: float, view: View, active: float) -> None:
        self.target, self.view, self.radius, self.active = target, view, radius, active
        self.x = target.X[i]
        self.lo, self.hi = cube(radius, target.weights, target.lower - self.x, target.upper - self.x)
        self.z = np.zeros_like(self.x)
        self.f, self.c = float(target.F[i]), target.C[i]
        self.best = np.zeros_like(self.x)
        self._best = (np.inf, np.inf)

    def look_around(self, q: int, spread: float, rng: np.random.Generator) -> Goals:
        """Gradients at z and at q - 1 points of its neighbourhood."""
        U = rng.uniform(-1.0, 1.0, size=(q - 1, self.x.size))
        around = np.clip(self.z + spread * self.target.weights * U, self.lo, self.hi)
        F, C = self._visit(around)
        D = np.vstack([self.z, around])
        Z = realise(self.x, D, self.target.lower, self.target.upper)
        return plan(Z, np.append(self.f, F), np.vstack([self.c, C]), self.target, self.active).fetch(self.view)

    def direction(self, goals: Goals, least: float) -> FloatArray:
        """Minus the shortest combination, in W^-1 d; zeros where it is shorter than ``least`` of the longest gradient."""
        W = self.target.weights
        rows = [_unit(W * g) for g in goals.g_f if np.any(g)]
        rows += [_unit(W * g) for g, counts in zip(goals.g_h, goals.guarded, strict=True) if counts and np.any(g)]
        d = -shortest(np.array(rows), self._blocked(rows)) if rows else np.zeros_like(W)
        if float(np.linalg.norm(d)) <= least and bool(goals.infeasible[0]):
            rows = [_unit(W * g) for g, counts in zip(goals.g_h, goals.guarded, strict=True) if counts and np.any(g)]
            d = -shortest(np.array(rows), self._blocked(rows)) if rows else d
        return d if float(np.linalg.norm(d)) > least else np.zeros_like(d)

    def _blocked(self, rows: list[FloatArray]) -> FloatArray:
        """Mask (n,): 0 where every gradient pushes against a bound that z is on."""
        G = np.array(rows)
        low, high = (self.z <= self.lo) & np.all(G >= 0.0, axis=0), (self.z >= self.hi) & np.all(G <= 0.0, axis=0)
        return np.where(low | high, 0.0, 1.0)

    def follow(self, d: FloatArray, g_f: FloatArray) -> bool:
        """Armijo search from the largest step that the ball allows, g_f (q, n) gradients of F; True if z has moved."""
        size = float(np.max(np.abs(d), initial=0.0))
        if size == 0.0:
            return False
        step = self.target.weights * d / size
        h = float(violation(self.c[None], self.target.tol, self.target.scale)[0])
        with np.errstate(over="ignore"):
            # All gradients together promise at least this decrease a unit of t.
            slope = float(d @ d) / size * float(np.min(np.linalg.norm(self.target.weights * g_f, axis=1)))
        t = self.radius
        for _ in range(_CUTS):
            if not self.view.affords(0, 1):
                return False
            trial = np.clip(self.z + t * step, self.lo, self.hi)
            F, C = self._visit(trial[None])
            h_new = float(violation(C, self.target.tol, self.target.scale)[0])
            enough = F[0] < self.f and F[0] <= self.f - _ARMIJO * t * slope if h == h_new else h_new < h
            if np.isfinite(F[0]) and enough and np.any(trial != self.z):
                self.z, self.f, self.c = trial, float(F[0]), C[0]
                return True
            t *= 0.4
        return False

    def _visit(self, D: FloatArray) -> tuple[FloatArray, FloatArray]:
        Z = realise(self.x, D, self.target.lower, self.target.upper)
        F, C = self.view.values(Z, self.view.outputs(Z))
        h = violation(C, self.target.tol, self.target.scale)
        for d, key in zip(D, zip(h, F, strict=True), strict=True):
            if np.isfinite(key[1]) and key < self._best and np.any(d):
                self.best, self._best = d.copy(), (float(key[0]), float(key[1]))
        return F, C


def shortest(G: FloatArray, mask: FloatArray) -> FloatArray:
    """The shortest vector (n,) in the convex hull of the rows of G (q, n), coordinates outside the mask (n,) left out.

    With y >= 0 that minimises |G^T y|^2 + (1 - sum y)^2, y / sum y are its weights (Lawson & Hanson 1974, chapter 23).
    """
    masked = G * mask
    E = np.vstack([masked.T, np.ones(len(G))])
    target = np.zeros(E.shape[0])
    target[-1] = 1.0
    with single_thread():
        y, _ = nnls(E, target, maxiter=10 * len(G) + 100)
    total = float(np.sum(y))
    combination: FloatArray = (y / total) @ masked if total > 0.0 else np.zeros(G.shape[1])
    return combination


def _unit(g: FloatArray) -> FloatArray:
    """g over its length; the largest entry first, squares could overflow or vanish."""
    g = g / np.max(np.abs(g))
    unit: FloatArray = g / np.linalg.norm(g)
    return unit
