"""Polish by sequential quadratic programming with exact gradients, counted in vector-Jacobian products.

After Powell (1978) and Kraft (1988): l1 merit, damped BFGS, least-squares subproblem; second-order correction after Fletcher (1982).
What is different: a Jacobian row costs a product, so only rows that the subproblem leans on are computed; the others are followed
by secant corrections and guarded by true values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks._rows import Rows
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View, realise
from dfoattack.attacks.qp import QpSolution, solve_qp

MARGIN = (
    1e-11  # scaled: what every constraint is kept away from its limit, so that the answer is feasible without tolerance
)
MARGIN_MAX = 1e-5
TRUST_INIT, TRUST_GROW, TRUST_SHRINK = 0.3, 3.0, 2.0  # of the box; growth and shrinkage in units of the last step
NEW_ROWS_MAX = 3  # violated rows computed together
ROUNDS = 3  # subproblems solved at one iterate while rows are added
WALL = 0.5  # share of a step before an unmodelled row becomes positive, below which the step is cut there
RETRY_SHARE = (
    0.1  # of a step: a wall closer than that means that the subproblem must know the row; at most twice at one iterate
)
ARMIJO = 1e-4
BACKTRACKS = 12
EXPAND_RATIO, EXPANSIONS = 0.75, 2  # of true to predicted decrease above which a full step is lengthened; how often
PREFER_CORRECTED = 0.1  # of the decrease that a corrected point may lack and still be preferred
SETTLED = 0.2  # rate of the last gains below which the next ones can be foretold
DAMPING = 0.2
CURVATURE_MIN = 1e-2  # first curvature, in units of the gradient


class SQP(AttackOperator):
    """Sequential quadratic programming from each centre, in the whole box; returns its best feasible point, and its last one if
    that is not feasible.

    Parameters
    ----------
    iterations : int >= 1       steps at most
    accuracy : float > 0        relative gain of the next step below which it stops
    """

    name: ClassVar[str] = "sqp"
    whole_box: ClassVar[bool] = True
    inner_points: ClassVar[bool] = True

    def __init__(self, iterations: int = 60, accuracy: float = 1e-9) -> None:
        if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
            raise ValueError(f"`iterations` must be an integer >= 1, got {iterations!r}.")
        if not 0.0 < accuracy < 1.0:
            raise ValueError(f"`accuracy` must be in (0, 1), got {accuracy!r}.")
        self.iterations = iterations
        self.accuracy = float(accuracy)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        gradient = np.zeros((b, n))
        rows: list[tuple[FloatArray, int, float]] = []
        radius = float(np.max(radii))
        for i in range(b):
            if view.has_gradient and np.all(np.isfinite(target.C[i])) and view.affords(1, 1):
                polish = _Polish(self, target, i, radius, view)
                rows += [(d, i, radius) for d in polish.run(gradient[i])]
        return Displacements.from_rows(n, rows, gradient)


@dataclass(frozen=True, eq=False)
class _Point:
    d: FloatArray  # displacement from the centre, user units
    F: float
    c: FloatArray  # (c - tol) / scale

    @property
    def worst(self) -> float:
        return float(np.max(self.c, initial=-np.inf))


class _Polish:
    """One run from one centre. Steps are in scaled variables: s is the width of the box where it is finite."""

    def __init__(self, operator: SQP, target: Target, i: int, radius: float, view: View) -> None:
        self.iterations, self.accuracy = operator.iterations, operator.accuracy
        self.target, self.view = target, view
        self.x = target.X[i]
        self.low = np.maximum(target.lower - self.x, -radius * target.weights)
        self.high = np.minimum(target.upper - self.x, radius * target.weights)
        width = target.upper - target.lower
        typical = np.maximum(target.weights, 1e-3) * max(1.0, float(np.max(np.abs(self.x))))
        self.s = np.where(np.isfinite(width) & (width > 0.0), width, typical)
        self.start = _Point(np.zeros_like(self.x), float(target.F[i]), (target.C[i] - target.tol) / target.scale)
        self.visited: list[_Point] = []
        self.outputs_count = math.inf
        self.rows = Rows(target.tol.size, self.x.size)
        self.mu = np.zeros(target.tol.size)
        self.margin = MARGIN
        self.fs = 1.0
        self.retries = 0

    # ---------------------------------------------------------------- the loop

    def run(self, out_gradient: FloatArray) -> list[FloatArray]:
        """Displacements of the best points; the gradient of F at the centre is written to `out_gradient` (n,)."""
        cur = self.start
        out_gradient[:] = self._gradient(cur)
        norm = float(np.linalg.norm(out_gradient * self.s))
        self.fs = 1.0 / norm if norm > 0.0 else 1.0
        g = out_gradient * self.s * self.fs
        B, fresh = np.eye(g.size), True
        delta, failures = TRUST_INIT, 0
        gains: list[float] = []
        for _ in range(self.iterations):
            c = cur.c + self.margin
            lo, hi = self._trust_box(cur, delta)
            sol = self._solved(cur, B, g, c, lo, hi)
            if sol is None:
                break
            if self._quiet(cur, g, sol):
                if cur.worst <= 0.0:
                    break
                if float(np.max(np.abs(sol.d), initial=0.0)) < 1e-12:
                    self.margin = max(10.0 * self.margin, 2.0 * cur.worst)
                    if self.margin > MARGIN_MAX:
                        break
                    continue
            self.mu = np.maximum(sol.multipliers, 0.5 * (self.mu + sol.multipliers))
            new, again = self._search(cur, B, g, c, sol)
            if again:
                continue
            if new is None:
                failures += 1
                if failures > 1 or not self.view.affords(1, 2):
                    break
                B, fresh = np.eye(g.size) * max(10.0 * float(np.linalg.norm(g)), 1e-8), True
                continue
            J_old, exact_old = self.rows.J.copy(), self.rows.exact.copy()
            step = (new.d - cur.d) / self.s
            self.rows.move(step, new.c - cur.c)
            gains.append(self._merit(cur) - self._merit(new))
            if new.worst <= 0.0 and _settled(gains, self.accuracy * self._value_scale(cur)):
                cur = new
                break
            if not self.view.affords(1, 1):
                cur = new
                break
            g_new = self._gradient(new) * self.s * self.fs
            near = np.abs(new.c) <= np.linalg.norm(self.rows.J, axis=1) * np.linalg.norm(step)
            leaned = np.flatnonzero((sol.multipliers > 0.0) & ~self.rows.exact & near)
            if not self._fetch(new, leaned):
                cur = new
                break
            both = exact_old & self.rows.exact
            change = g_new - g + (sol.multipliers * both) @ (self.rows.J - J_old)
            B, fresh = _bfgs(B, step, change, fresh)
            moved = float(np.max(np.abs(step), initial=0.0))
            shorter = moved < 0.5 * float(np.max(np.abs(sol.d), initial=0.0))
            delta = TRUST_SHRINK * moved if shorter else max(delta, TRUST_GROW * moved)
            cur, g, failures, self.retries = new, g_new, 0, 0
        return self._candidates(cur)

    def _solved(
        self, cur: _Point, B: FloatArray, g: FloatArray, c: FloatArray, lo: FloatArray, hi: FloatArray
    ) -> QpSolution | None:
        """Solution of the subproblem, with rows computed where it is violated or where a vanishing step rests on guesses."""
        new = np.flatnonzero((c > 0.0) & ~self.rows.paid)
        if new.size:
            order = new[np.argsort(-c[new], kind="stable")]
            self._fetch(cur, np.sort(self.rows.distinct(order, NEW_ROWS_MAX)))
        sol = self._subproblem(cur, B, g, c, lo, hi)
        if sol is None or not self._quiet(cur, g, sol):
            return sol
        stale = np.flatnonzero((sol.multipliers > 0.0) & ~self.rows.exact)
        if stale.size and self._fetch(cur, stale):
            return self._subproblem(cur, B, g, c, lo, hi)
        return sol

    def _subproblem(
        self, cur: _Point, B: FloatArray, g: FloatArray, c: FloatArray, lo: FloatArray, hi: FloatArray
    ) -> QpSolution | None:
        for round_ in range(ROUNDS + 1):
            work = np.flatnonzero(self.rows.paid | (self.rows.known & (c <= 0.0)))
            sol = solve_qp(B, g, self.rows.J[work], -c[work], lo, hi)
            if sol is None:
                return None
            multipliers = np.zeros(c.size)
            multipliers[work] = sol.multipliers
            close = (c > 0.0) | (np.abs(c) <= np.linalg.norm(self.rows.J, axis=1) * np.linalg.norm(sol.d))
            need = np.flatnonzero((multipliers > 0.0) & ~self.rows.exact & close)
            if need.size == 0 or round_ == ROUNDS or not self._fetch(cur, need):
                return QpSolution(sol.d, multipliers, sol.relaxed)
        return None

    # ---------------------------------------------------------------- line search

    def _search(
        self, cur: _Point, B: FloatArray, g: FloatArray, c: FloatArray, sol: QpSolution
    ) -> tuple[_Point | None, bool]:
        """(next iterate or None, whether the subproblem must be solved again because rows were learnt)."""
        d, m0 = sol.d, self._merit(cur)
        slope = min(float(g @ d) - (1.0 - sol.relaxed) * float(self.mu @ np.maximum(c, 0.0)), 0.0)
        noise = 1e-14 * (abs(m0) + 1e-30)
        alpha, corrected = 1.0, False
        for _ in range(BACKTRACKS):
            if not self.view.affords(0, 1):
                return None, False
            trial = self._visit(cur, alpha * d)
            if not math.isfinite(trial.F):
                alpha *= 0.25
                continue
            hit = np.flatnonzero((trial.c > 0.0) & (c <= 0.0) & ~(sol.multipliers > 0.0))
            share = self._wall(c, d, trial, hit, alpha)
            if share < WALL:
                if alpha == 1.0 and not corrected and bool(np.all(self.rows.paid[hit])):
                    corrected = True
                    fixed = self._correct(cur, trial, B)
                    limit = max(cur.worst, 0.2 * trial.worst)
                    if fixed is not None and fixed.worst <= limit and self._merit(fixed) <= m0 + ARMIJO * slope + noise:
                        return fixed, False
                self.rows.look(alpha * d, trial.c - cur.c)
                if share < RETRY_SHARE and not bool(np.all(self.rows.exact[hit])) and self.retries < 2:
                    self.retries += 1
                    return None, True
                alpha *= share
                continue
            mt, limit = self._merit(trial), m0 + ARMIJO * alpha * slope + noise
            if trial.worst > 0.0 and not corrected:
                corrected = alpha == 1.0
                fixed = self._correct(cur, trial, B)
                if fixed is not None:
                    mf = self._merit(fixed)
                    if mf <= limit and mf <= mt + PREFER_CORRECTED * max(m0 - mt, 0.0):
                        return fixed, False
            if mt <= limit:
                return self._expanded(cur, trial, d, alpha, slope, m0, mt), False
            if -alpha * slope <= 1e-13 * abs(m0):
                return None, False
            stale = np.flatnonzero((sol.multipliers > 0.0) & ~self.rows.exact)
            if stale.size:
                return None, self._fetch(cur, stale)
            parabola = -0.5 * alpha * alpha * slope / (mt - m0 - alpha * slope)
            alpha = float(np.clip(parabola, 0.1 * alpha, 0.5 * alpha))
        return None, False

    def _wall(self, c: FloatArray, d: FloatArray, trial: _Point, hit: IntArray, alpha: float) -> float:
        """Share of the step at which the first row outside the subproblem becomes positive, 1 if none does."""
        if not hit.size:
            return 1.0
        slopes = np.where(self.rows.exact[hit], alpha * (self.rows.J[hit] @ d), np.nan)
        return float(np.min(_crossing(c[hit], slopes, trial.c[hit] + self.margin)))

    def _correct(self, cur: _Point, trial: _Point, B: FloatArray) -> _Point | None:
        """Second-order correction: the shortest step (in B) from the trial back to the linearised constraints."""
        if not self.view.affords(0, 1):
            return None
        step = (trial.d - cur.d) / self.s
        J = self.rows.corrected(step, trial.c - cur.c)
        lo, hi = np.minimum((self.low - trial.d) / self.s, 0.0), np.maximum((self.high - trial.d) / self.s, 0.0)
        sol = solve_qp(B, np.zeros(step.size), J, -(trial.c + self.margin), lo, hi)
        if sol is None or sol.relaxed > 0.0 or np.linalg.norm(sol.d) > np.linalg.norm(step):
            return None
        return self._visit(trial, sol.d)

    def _expanded(
        self, cur: _Point, trial: _Point, d: FloatArray, alpha: float, slope: float, m0: float, mt: float
    ) -> _Point:
        """A longer step where a full one decreased nearly as much as its slope promised."""
        for _ in range(EXPANSIONS if alpha == 1.0 or alpha > 1.0 else 0):
            ratio = (mt - m0) / (alpha * slope) if slope < 0.0 else 0.0
            if ratio < EXPAND_RATIO or trial.worst > 0.0 or not self.view.affords(0, 1):
                break
            with np.errstate(divide="ignore", invalid="ignore"):
                limit = np.where(d > 0.0, self.high - cur.d, self.low - cur.d) / self.s
                top = float(np.min(np.where((d != 0.0) & (np.abs(limit) > 1e-12), limit / d, np.inf)))
                rate = (trial.c - cur.c) / alpha
                room = float(np.min(np.where(rate > 0.0, -(cur.c + self.margin) / rate, np.inf), initial=np.inf))
            longer = min(10.0 * alpha if ratio >= 0.95 else alpha / (2.0 * (1.0 - ratio)), top, room)
            if longer < 1.5 * alpha:
                break
            further = self._visit(cur, longer * d)
            mf = self._merit(further)
            if not mf < mt or further.worst > 0.0:
                break
            trial, mt, alpha = further, mf, longer
        return trial

    # ---------------------------------------------------------------- parts

    def _candidates(self, cur: _Point) -> list[FloatArray]:
        feasible = [p for p in self.visited if p.worst <= 0.0 and math.isfinite(p.F)]
        out = [min(feasible, key=lambda p: p.F).d] if feasible else []
        return [*out, cur.d] if cur.worst > 0.0 else out

    def _trust_box(self, cur: _Point, delta: float) -> tuple[FloatArray, FloatArray]:
        lo = np.maximum((self.low - cur.d) / self.s, -delta)
        hi = np.minimum((self.high - cur.d) / self.s, delta)
        return np.minimum(lo, 0.0), np.maximum(hi, 0.0)

    def _quiet(self, cur: _Point, g: FloatArray, sol: QpSolution) -> bool:
        small = abs(float(g @ sol.d)) <= self.accuracy * self._value_scale(cur)
        return small or float(np.max(np.abs(sol.d), initial=0.0)) < 1e-12

    def _value_scale(self, cur: _Point) -> float:
        return self.fs * max(abs(cur.F), 1e-3 * abs(self.start.F - cur.F), 1e-300)

    def _gradient(self, point: _Point) -> FloatArray:
        gradient: FloatArray = self.view.grad(self._z(point.d)[None])[0]
        return gradient

    def _z(self, d: FloatArray) -> FloatArray:
        return realise(self.x, d, self.target.lower, self.target.upper)

    def _visit(self, origin: _Point, step: FloatArray) -> _Point:
        d = np.clip(origin.d + step * self.s, self.low, self.high)
        Z = self._z(d)[None]
        Y = self.view.outputs(Z)
        F, C = self.view.values(Z, Y)
        point = _Point(d, float(F[0]), (C[0] - self.target.tol) / self.target.scale)
        self.outputs_count = Y.shape[1]
        self.visited.append(point)
        return point

    def _fetch(self, point: _Point, want: IntArray) -> bool:
        """Compute rows at the present iterate; all of them once they cost no more than the network has outputs."""
        if want.size >= self.outputs_count:
            want = np.flatnonzero(~self.rows.exact)
        if want.size == 0:
            return True
        if not self.view.affords(int(min(want.size, self.outputs_count)), 0):
            return False
        J = self.view.constraint_jacobian(self._z(point.d), want)
        self.rows.learn(want, J * self.s / self.target.scale[want][:, None])
        return True

    def _merit(self, point: _Point) -> float:
        if not math.isfinite(point.F):
            return math.inf
        return self.fs * point.F + float(self.mu @ np.maximum(point.c + self.margin, 0.0))


def _settled(gains: list[float], least: float) -> bool:
    """Whether gains shrink so fast that the next one is below `least`: the step that would tell is not worth its price."""
    if len(gains) < 3 or min(gains[-3:]) <= 0.0:
        return False
    rate = max(gains[-1] / gains[-2], gains[-2] / gains[-3])
    return rate < SETTLED and gains[-1] * rate < least


def _crossing(c0: FloatArray, slope: FloatArray, c1: FloatArray) -> FloatArray:
    """Share of a step at which rows c0 <= 0 < c1 vanish: on the parabola where the slope at 0 is known, else on the chord."""
    chord = -c0 / (c1 - c0)
    curve = c1 - c0 - slope
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(slope * slope - 4.0 * curve * c0, 0.0))
        t = np.where(slope <= 0.0, (root - slope) / (2.0 * curve), -2.0 * c0 / (slope + root))
    share: FloatArray = np.where(np.isfinite(t), np.clip(t, chord * 0.1, 1.0), chord)
    return share


def _bfgs(B: FloatArray, s: FloatArray, y: FloatArray, fresh: bool) -> tuple[FloatArray, bool]:
    """Damped BFGS update; the first curvature seen sets the size of a fresh matrix."""
    sy, ss, yy = float(s @ y), float(s @ s), float(y @ y)
    if ss == 0.0:
        return B, fresh
    if fresh:
        size = float(np.trace(B)) / s.size
        if not (yy > 0.0 and sy > 1e-8 * math.sqrt(ss * yy)):
            flat = math.sqrt(yy) < 0.1 * size * math.sqrt(ss)
            return np.eye(s.size) * (CURVATURE_MIN * size if flat else size), True
        B = np.eye(s.size) * float(np.clip(sy / ss, CURVATURE_MIN * size, size))
    Bs = B @ s
    sBs = float(s @ Bs)
    if sBs <= 0.0:
        return B, fresh
    if sy < DAMPING * sBs:
        theta = (1.0 - DAMPING) * sBs / (sBs - sy)
        y = theta * y + (1.0 - theta) * Bs
        sy = float(s @ y)
    return B - np.outer(Bs, Bs) / sBs + np.outer(y, y) / sy, False
