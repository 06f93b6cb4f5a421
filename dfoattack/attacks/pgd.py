"""Projected gradient attack (Madry et al. 2018), with the momentum of Dong et al. 2018 as an option, on the true F and the true constraints."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View, realise, violation
from dfoattack.attacks.goals import Plan, plan
from dfoattack.attacks.projection import (
    cube,
    project_l2,
    project_linf,
    steepest_l2,
    steepest_linf,
    two_goal_l2,
    two_goal_linf,
)
from dfoattack.errors import OptionError


class PGD(AttackOperator):
    """K gradient steps of size eta inside ball-and-box, from every centre for every radius; each row returns its best inner point.

    The gradient is taken afresh at every inner point. Where an inner point is infeasible, or closer than ``active`` to a constraint, its step
    decreases F and the violation together; no penalty weight exists. Inner points are ranked by violation first, then by F. Rows of all centres,
    radii and restarts advance in one block, so a step costs one batched forward pass and one batched vjp (a second one for the rows that mind
    constraints). When the budget does not cover another step the operator returns what it has.

    Parameters
    ----------
    steps : int                 K >= 1
    reach : float               K eta / r, >= 1.5, or the attack could not cross its own ball
    momentum : float            mu in [0, 1): accumulate gradients divided by their l_1 norm
    norm : "linf" or "l2"       shape of ball and step
    restarts : int              >= 1; the first starts at the centre, the others uniformly in the cube
    active : float              >= 0, in units of h's scale
    """

    name: ClassVar[str] = "pgd"
    inner_points: ClassVar[bool] = True

    def __init__(
        self,
        steps: int = 10,
        reach: float = 2.0,
        momentum: float = 0.0,
        norm: Literal["linf", "l2"] = "linf",
        restarts: int = 1,
        active: float = 1e-3,
    ) -> None:
        if not steps >= 1:
            raise OptionError(f"`steps` must be >= 1, got {steps}.")
        if not reach >= 1.5:
            raise OptionError(f"`reach` must be >= 1.5 radii, got {reach}.")
        if not 0.0 <= momentum < 1.0:
            raise OptionError(f"`momentum` must lie in [0, 1), got {momentum}.")
        if norm not in ("linf", "l2"):
            raise OptionError(f'`norm` must be "linf" or "l2", got {norm!r}.')
        if not restarts >= 1:
            raise OptionError(f"`restarts` must be >= 1, got {restarts}.")
        if not active >= 0.0:
            raise OptionError(f"`active` must be >= 0, got {active}.")
        self.steps = int(steps)
        self.reach = float(reach)
        self.momentum = float(momentum)
        self.norm: Literal["linf", "l2"] = norm
        self.restarts = int(restarts)
        self.active = float(active)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        usable = np.flatnonzero(np.all(np.isfinite(target.C), axis=1))
        restarts = self.restarts
        if restarts > 1 and not view.affords(2 * b, radii.size * b * restarts):
            restarts = 1
        if not view.has_gradient or usable.size == 0 or not view.affords(usable.size, 0):
            return Displacements.none(n)
        centre = np.repeat(usable, radii.size * restarts)
        radius = np.tile(np.repeat(radii, restarts), usable.size)
        walk = _Walk(self, target, view, centre, radius)
        elsewhere = np.flatnonzero(np.arange(centre.size) % restarts != 0)
        if elsewhere.size:
            walk.scatter(elsewhere, rng)
        gradient = np.zeros((b, n))
        for step in range(self.steps):
            wanted = walk.plan()
            if view.affords(wanted.vjps, centre.size):
                walk.advance(wanted)
                walk.visit(np.arange(centre.size))
            elif step == 0 and view.affords(wanted.vjps, 0):
                walk.advance(wanted)
                walk.best[:] = walk.D  # one unranked step is all that the budget leaves; the evaluator judges it
            else:
                break
            if step == 0:
                gradient[centre[::restarts]] = walk.g_f[::restarts]
        return Displacements(walk.best, centre, radius, gradient)


class _Walk:
    """The rows of one call while they advance: displacements, values there, best so far."""

    def __init__(self, operator: PGD, target: Target, view: View, centre: IntArray, radius: FloatArray) -> None:
        self.operator = operator
        self.target = target
        self.view = view
        self.centre = centre
        self.radius = radius
        k, n = centre.size, target.X.shape[1]
        self.D = np.zeros((k, n))
        self.g_f = np.zeros((k, n))
        self.velocity = np.zeros((k, n))
        self.F = target.F[centre]
        self.C = target.C[centre]
        # The centre itself does not compete: a row without progress still returns its best inner point, and the barrier judges.
        self.best = np.zeros((k, n))
        self.best_h = np.full(k, np.inf)
        self.best_f = np.full(k, np.inf)

    def points(self) -> FloatArray:
        return realise(self.target.X[self.centre], self.D, self.target.lower, self.target.upper)

    def plan(self) -> Plan:
        return plan(self.points(), self.F, self.C, self.target, self.operator.active)

    def scatter(self, rows: IntArray, rng: np.random.Generator) -> None:
        """Move rows to uniform points of their cubes."""
        U = rng.uniform(-1.0, 1.0, size=(rows.size, self.D.shape[1]))
        for u, row in zip(U, rows, strict=True):
            self.D[row] = self._project(int(row), u * self.radius[row] * self.target.weights)
        self.visit(rows)

    def visit(self, rows: IntArray) -> None:
        """Look at inner points and remember the best of each row: violation first, then F."""
        Z = self.points()[rows]
        F, C = self.view.values(Z, self.view.outputs(Z))
        self.F[rows], self.C[rows] = F, C
        h = violation(C, self.target.tol, self.target.scale)
        less = (h < self.best_h[rows]) | ((h == self.best_h[rows]) & (F < self.best_f[rows]))
        better = rows[less & np.isfinite(F)]
        self.best[better] = self.D[better]
        self.best_h[better] = h[less & np.isfinite(F)]
        self.best_f[better] = self.F[better]

    def advance(self, wanted: Plan) -> None:
        goals = wanted.fetch(self.view)
        self.g_f[:] = goals.g_f
        Z = self.points()
        for row in range(self.centre.size):
            d = self._move(row, Z[row], goals.g_h[row], bool(goals.guarded[row]), bool(goals.infeasible[row]))
            self.D[row] = self._project(row, self.D[row] + d)

    def _project(self, row: int, d: FloatArray) -> FloatArray:
        x = self.target.X[self.centre[row]]
        a, b = self.target.lower - x, self.target.upper - x
        project = project_linf if self.operator.norm == "linf" else project_l2
        return project(d, float(self.radius[row]), self.target.weights, a, b)

    def _move(self, row: int, z: FloatArray, g_h: FloatArray, guarded: bool, infeasible: bool) -> FloatArray:
        """One step of length eta inside the box, from the present point."""
        w = self.target.weights
        eta = self.operator.reach * float(self.radius[row]) / self.operator.steps
        a, b = self.target.lower - z, self.target.upper - z
        lo, hi = cube(eta, w, a, b)
        linf = self.operator.norm == "linf"
        g = self.g_f[row]
        if guarded:
            d = two_goal_linf(g, g_h, lo, hi) if linf else two_goal_l2(g, g_h, eta, w, a, b)
            if np.any(d) or not infeasible:
                return d
            g = g_h
        elif self.operator.momentum > 0.0:
            # Momentum remembers F only: beside a constraint the two-goal step decides alone.
            size = float(np.sum(np.abs(w * g)))
            if size > 0.0:
                self.velocity[row] = self.operator.momentum * self.velocity[row] + g / size
            g = self.velocity[row]
        return steepest_linf(g, lo, hi) if linf else steepest_l2(g, eta, w, a, b)
