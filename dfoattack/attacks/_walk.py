"""Rows that take many steps inside a ball: what the multi-step attacks share.

Rows of all centres, radii and restarts advance in one block, so a step costs one batched pass and one batched product (a second one for
the rows that mind constraints). Where an inner point is infeasible, or closer than ``active`` to a constraint, its step decreases F and
the violation together; no penalty weight exists. Inner points are ranked by violation first, then by F.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks._settings import active_depth, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View, realise, violation
from dfoattack.attacks.goals import Goals, Plan, plan
from dfoattack.attacks.projection import (
    cube,
    project_l2,
    project_linf,
    steepest_l2,
    steepest_linf,
    two_goal_l2,
    two_goal_linf,
)
from dfoattack.native import WalkFound, WalkRequest


class Walk:
    """The rows of one call while they advance.

    Attributes
    ----------
    centre, radius : (k,)           of each row
    X, a, b : (k, n)                its centre, and the box in displacements from it
    D, F, C : (k, n), (k,), (k, p)  where it stands, and the values there
    best, best_h, best_f            its best inner point; the centre does not compete: the barrier judges
    """

    def __init__(self, target: Target, view: View, centre: IntArray, radius: FloatArray, active: float) -> None:
        self.target, self.view, self.active = target, view, active
        self.centre, self.radius = centre, radius
        self.X = target.X[centre]
        self.a, self.b = target.lower - self.X, target.upper - self.X
        self.D = np.zeros_like(self.X)
        self.F, self.C = target.F[centre], target.C[centre]
        self.best = np.zeros_like(self.X)
        self.best_h = np.full(centre.size, np.inf)
        self.best_f = np.full(centre.size, np.inf)

    @property
    def rows(self) -> int:
        return int(self.centre.size)

    def points(self) -> FloatArray:
        return realise(self.X, self.D, self.target.lower, self.target.upper)

    def plan(self) -> Plan:
        """Which gradients the present points need."""
        return plan(self.points(), self.F, self.C, self.target, self.active)

    def scatter(self, rows: IntArray, rng: np.random.Generator) -> None:
        """Move rows to uniform points of their cubes."""
        U = rng.uniform(-1.0, 1.0, size=(rows.size, self.D.shape[1]))
        for u, row in zip(U, rows, strict=True):
            lo, hi = cube(float(self.radius[row]), self.target.weights, self.a[row], self.b[row])
            self.D[row] = np.clip(u * self.radius[row] * self.target.weights, lo, hi)
        self.visit(rows)

    def visit(self, rows: IntArray) -> None:
        """Look at the present points of the rows and remember the best of each: violation first, then F."""
        Z = self.points()[rows]
        F, C = self.view.values(Z, self.view.outputs(Z))
        self.F[rows], self.C[rows] = F, C
        h = violation(C, self.target.tol, self.target.scale)
        less = (h < self.best_h[rows]) | ((h == self.best_h[rows]) & (F < self.best_f[rows]))
        less &= np.isfinite(F)
        better = rows[less]
        self.best[better], self.best_h[better], self.best_f[better] = self.D[better], h[less], F[less]

    def take(self, found: WalkFound) -> None:
        """Remember what a walk elsewhere has found, where it is better or cannot be compared."""
        less = (found.best_h < self.best_h) | ((found.best_h == self.best_h) & (found.best_f < self.best_f))
        less = np.isfinite(found.best_f) & (less | found.screened)
        self.best[less], self.best_h[less], self.best_f[less] = found.best[less], found.best_h[less], found.best_f[less]

    def step(self, row: int, g: FloatArray, goals: Goals, eta: float, norm: Literal["linf", "l2"]) -> FloatArray:
        """The best step of length eta for the goal g (n,) inside the box, for both goals where the row minds constraints."""
        weights, z = self.target.weights, self.D[row]
        a, b = self.a[row] - z, self.b[row] - z
        a, b = np.minimum(a, 0.0), np.maximum(b, 0.0)
        lo, hi = cube(eta, weights, a, b)
        linf = norm == "linf"
        if goals.guarded[row]:
            g_f, g_h = goals.g_f[row], goals.g_h[row]
            d = two_goal_linf(g_f, g_h, lo, hi) if linf else two_goal_l2(g_f, g_h, eta, weights, a, b)
            if np.any(d) or not goals.infeasible[row]:
                return d
            g = g_h
        return steepest_linf(g, lo, hi) if linf else steepest_l2(g, eta, weights, a, b)

    def project(self, row: int, d: FloatArray, norm: Literal["linf", "l2"] = "linf") -> FloatArray:
        """The displacement moved into ball and box."""
        project = project_linf if norm == "linf" else project_l2
        return project(d, float(self.radius[row]), self.target.weights, self.a[row], self.b[row])


def whole_walk(view: View, request: WalkRequest) -> WalkFound | None:
    """All steps of a request at once where the view offers that (see `native`), else None."""
    offered: Callable[[WalkRequest], WalkFound | None] | None = getattr(view, "walk", None)
    return None if offered is None else offered(request)


class Walker(AttackOperator):
    """Base of the attacks that take K gradient steps. A subclass writes `_begin` and `_move`; its memory of a call is what `_begin` returns.

    Parameters
    ----------
    steps : int         K >= 1
    active : float      >= 0, in units of h's scale
    restarts : int      >= 1; the first starts at the centre, the others uniformly in the cube
    """

    inner_points = True
    restarts: int = 1

    def __init__(self, steps: int, active: float) -> None:
        self.steps = whole("steps", steps, 1)
        self.active = active_depth(active)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        usable = np.flatnonzero(np.all(np.isfinite(target.C), axis=1))
        restarts = self.restarts
        if restarts > 1 and not view.affords(2 * b, radii.size * b * restarts):
            restarts = 1
        if not view.has_gradient or usable.size == 0 or not view.affords(int(usable.size), 0):
            return Displacements.none(n)
        centre = np.repeat(usable, radii.size * restarts)
        radius = np.tile(np.repeat(radii, restarts), usable.size)
        walk = Walk(target, view, centre, radius, self.active)
        elsewhere = np.flatnonzero(np.arange(centre.size) % restarts != 0)
        if elsewhere.size:
            walk.scatter(elsewhere, rng)
        gradient = np.zeros((b, n))
        request = self._request(walk)
        found = None if request is None else whole_walk(view, request)
        if found is not None:
            walk.take(found)
            gradient[centre[::restarts]] = found.gradient[::restarts]
            return Displacements(walk.best, centre, radius, gradient)
        memory = self._begin(walk, rng)
        for k in range(self.steps):
            wanted = walk.plan()
            if view.affords(wanted.vjps, walk.rows):
                goals = wanted.fetch(view)
                self._move(walk, goals, k, memory)
                walk.visit(np.arange(walk.rows))
            elif k == 0 and view.affords(wanted.vjps, 0):
                goals = wanted.fetch(view)
                self._move(walk, goals, k, memory)
                walk.best[:] = walk.D  # one unranked step is all that the budget leaves; the evaluator judges it
            else:
                break
            if k == 0:
                gradient[centre[::restarts]] = goals.g_f[::restarts]
        return Displacements(self._finish(walk, memory), centre, radius, gradient)

    def _request(self, walk: Walk) -> WalkRequest | None:
        """All steps as a request to a surrogate that can walk by itself; None where only the loop here knows them."""
        return None

    def _finish(self, walk: Walk, memory: dict[str, FloatArray]) -> FloatArray:
        """The displacements to return, (k, n)."""
        return walk.best

    @abstractmethod
    def _begin(self, walk: Walk, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Arrays that the steps of one call remember; changed in place by `_move`."""

    @abstractmethod
    def _move(self, walk: Walk, goals: Goals, k: int, memory: dict[str, FloatArray]) -> None:
        """Step k: set ``walk.D`` inside ball and box from the gradients at the present points."""
