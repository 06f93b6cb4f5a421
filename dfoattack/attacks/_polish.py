"""The iteration of the SQP polish: subproblem, search along its step, correction, expansion, update.

Steps are scaled (`Local`), F is scaled by its first gradient, constraints are shifted by a tiny margin so that the limit is
strictly feasible. The merit function is F + sum_j mu_j max(c_j, 0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks._axes import along_axes
from dfoattack.attacks._local import Local, Point
from dfoattack.attacks._restoration import restore
from dfoattack.attacks._rows import Rows
from dfoattack.attacks.qp import QpSolution, solve_qp

_MARGIN, _MARGIN_MAX = 1e-11, 1e-5  # shift of the scaled constraints
_REACH = 1.0  # bound on the first step, in units of the scaling
_GROW, _SHRINK = 3.0, 5.0  # the bound after a step: at least GROW times its length; SHRINK times it if it had to be cut
_NEW_ROWS = 3  # constraints met for the first time that are bought together
_ROUNDS = 3  # purchases for one subproblem
_ARMIJO = 1e-4
_CUTS = 12
_WALL, _HEAD_ON = (
    0.5,
    0.1,
)  # shares of the step below which an unforeseen constraint cuts it, or the subproblem is solved again
_KEEP = 0.1  # share of the merit's decrease that a point may lose by becoming feasible
_EXPAND = 0.75  # decrease over slope above which the model is too curved and a longer step is tried
_LOST = 1e-5  # scaled violation of a last iterate from which the way back is worth looking for
_LATELY, _CUTS_LATELY = 6, 4  # a polish crawls along kinks when so many of so many last steps were cut,
_CRAWL = 0.05  # when these steps made less than this share of all gains,
_SHARPER = 3.0  # and when gradients turn so many times as sharply in them as in the first steps
_FIRST = 3
_KEPT, _KEPT_CUT = 0.02, 0.1  # shares of the promise of gradients below which a first step, whole or cut, was misled,
_LONG = 0.03  # if it was so long in units of the scaling
_FARTHER = 2.0  # times its gain that a new beginning must have
_SMALLEST = 1e-12  # scaled step that counts as none
_JUMP_CUT, _JUMP = 0.2, 0.7  # a constraint jumps when a step cut to that share still leads to so much of its violation


@dataclass(frozen=True, eq=False)
class _State:
    """Where the polish stands.

    Attributes
    ----------
    point : Point
    g, B : (n,), (n, n)     gradient of the scaled F, Hessian of the Lagrangian
    mu : (p,)               merit weights
    margin : float          shift of the constraints
    reach : float           bound on the next step
    gains : tuple           decreases of the merit, one a step taken
    cuts : tuple            whether the step was shorter than half of what the subproblem wanted
    turns : tuple           change of the Lagrangian's gradient over the length of the step
    again : int             subproblems solved at this point without a step taken
    """

    point: Point
    g: FloatArray
    B: FloatArray
    mu: FloatArray
    margin: float
    reach: float
    gains: tuple[float, ...] = ()
    cuts: tuple[bool, ...] = ()
    turns: tuple[float, ...] = ()
    again: int = 0

    @classmethod
    def fresh(cls, point: Point, g: FloatArray) -> _State:
        """At the beginning: nothing is known but the gradient of the scaled F."""
        return cls(point, g, np.eye(g.size), np.zeros(point.c.size), _MARGIN, _REACH)


def polish(local: Local, gradient: FloatArray, iterations: int, accuracy: float) -> list[FloatArray]:
    """Run from the centre; displacements worth evaluating, best first (see `SQP`).

    Parameters
    ----------
    local : Local
    gradient : (n,)         of F at the centre, user units; zeros where it is not known: then only feasibility is sought
    iterations : int        subproblems at most
    accuracy : float        relative gain of F that ends the polish
    """
    with np.errstate(over="ignore"):
        g = gradient * local.scale
    largest = float(np.max(np.abs(g)))
    if not np.isfinite(largest):
        return []
    # The norm in two factors: squares of the entries could overflow or vanish.
    size = largest * float(np.linalg.norm(g / largest)) if largest > 0.0 else 0.0
    unit = 1.0 / size if size > 0.0 else 1.0
    if size == 0.0 and local.centre.worst <= 0.0:
        return []
    run = _Polish(local, unit, accuracy)
    state = run.descend(_State.fresh(local.centre, g * unit), iterations)
    if state.point.worst > _LOST and all(point.worst > 0.0 for point in (local.centre, *local.visited)):
        found = restore(local, state.point)
        if found is not None and local.view.affords(1, 1):
            run = _Polish(local, unit, accuracy)
            state = run.descend(run.anew(found), iterations)
    return run.worth_evaluating(state)


class _Polish:
    """One polish: what does not change from iteration to iteration, and the rows, which change in place."""

    def __init__(self, local: Local, unit: float, accuracy: float) -> None:
        self.local = local
        self.rows = Rows(local.centre.c.size, local.scale.size)
        self.unit = unit  # scaled F = unit * F
        self.accuracy = accuracy
        self.jumped: Point | None = None  # the nearest point behind a jump of a constraint

    def descend(self, state: _State, iterations: int) -> _State:
        """Where so many subproblems lead."""
        for _ in range(iterations):
            following = self.iterate(state)
            if following is None:
                break
            before, state = state, following
            if self.settled(state) or _crawls(state) or self.jumped is not None or not self.local.view.affords(1, 1):
                break
            if len(state.gains) == 1 and not before.gains:
                state = self._look_around(before, state)
        return state

    def anew(self, point: Point) -> _State:
        """The state of a polish that begins at the point; one vjp."""
        self.rows = Rows(point.c.size, self.local.scale.size)
        return _State.fresh(point, self.local.gradient(point) * self.local.scale * self.unit)

    def _look_around(self, before: _State, state: _State) -> _State:
        """After a first step that was misled a new beginning at the best point along the axes, if it gains far more; else `state`.

        On a parabola a step that is cut to the least value keeps half of what its gradient promised, and a whole one seldom next to nothing.
        A long step that does began in a dent of F, where gradients say nothing about long steps. A point that keeps half of the promise ends
        the look.
        """
        step = self.local.step(before.point, state.point)
        gain, promise = before.point.F - state.point.F, -float(before.g @ step) / self.unit
        misled = gain < (_KEPT_CUT if state.cuts[0] else _KEPT) * promise and float(np.max(np.abs(step))) > _LONG
        if not misled or max(before.point.worst, state.point.worst) > 0.0:
            return state
        found = along_axes(self.local, before.point, before.g, before.point.F - 0.5 * promise)
        if found is None or before.point.F - found.F < _FARTHER * gain or not self.local.view.affords(1, 1):
            return state
        return self.anew(found)

    # ------------------------------------------------------------------ one iteration

    def iterate(self, state: _State) -> _State | None:
        """The state after one subproblem; None when the polish has nothing more to do."""
        self._buy_violated(state)
        if np.any(self.rows.silent & (state.point.c > 0.0)):
            return None  # no gradient tells the way back
        solution = self._subproblem(state)
        if solution is not None and self._quiet(state, solution):
            leaning = np.flatnonzero((solution.multipliers > 0.0) & self.rows.wanting)
            if leaning.size and self.local.buy(state.point, self.rows, leaning):
                solution = self._subproblem(state)
        if solution is None:
            return None
        if self._quiet(state, solution):
            if state.point.worst <= 0.0:
                return None
            if float(np.max(np.abs(solution.d))) < _SMALLEST:
                margin = max(10.0 * state.margin, 2.0 * state.point.worst)
                return replace(state, margin=margin) if margin <= _MARGIN_MAX else None
        if solution.relaxed > 0.0:
            solution = replace(solution, multipliers=np.minimum(solution.multipliers, self._fair(state, solution)))
        state = replace(state, mu=np.maximum(solution.multipliers, 0.5 * (state.mu + solution.multipliers)))
        reached, retry = self._search(state, solution)
        if reached is not None:
            return self._moved(state, solution, reached)
        if retry:
            return replace(state, again=state.again + 1)
        # No decrease along a descent direction: the curvature is wrong. One more try with a short gradient step.
        if state.again > 0 or not self.local.view.affords(1, 2):
            return None
        curvature = max(10.0 * float(np.linalg.norm(state.g)), 1e-8)
        return replace(state, B=curvature * np.eye(state.g.size), again=_CUTS)

    @np.errstate(over="ignore", invalid="ignore")
    def settled(self, state: _State) -> bool:
        """Whether the gains fall so fast that the next one is not worth its gradients."""
        gains = state.gains[-3:]
        if len(gains) < 3 or min(gains) <= 0.0 or state.point.worst > 0.0 or state.again:
            return False
        rate = max(gains[2] / gains[1], gains[1] / gains[0])
        return rate < 0.2 and gains[2] * rate < self._least(state.point)

    @np.errstate(over="ignore", invalid="ignore")
    def _moved(self, state: _State, solution: QpSolution, reached: Point) -> _State:
        """Take the step: rows, gradient, Hessian, bound on the next one."""
        old, multipliers = state.point, solution.multipliers
        step = self.local.step(old, reached)
        gains = (*state.gains, self._merit(state, old) - self._merit(state, reached))
        J_old, exact_old = self.rows.J.copy(), self.rows.exact.copy()
        self.rows.move(step, reached.c - old.c)
        length = float(np.max(np.abs(step)))
        cut = length < 0.5 * float(np.max(np.abs(solution.d)))
        reach = _SHRINK * length if cut else max(state.reach, _GROW * length)
        state = replace(state, point=reached, gains=gains, cuts=(*state.cuts, cut), reach=reach, again=0)
        if self.settled(state) or self.jumped is not None or not self.local.view.affords(1, 1):
            return state
        g = self.local.gradient(reached) * self.local.scale * self.unit
        sliding = self.rows.sliding(reached.c, float(np.linalg.norm(step)))
        self.local.buy(reached, self.rows, np.flatnonzero((multipliers > 0.0) & self.rows.wanting & sliding))
        # Rows known at both ends only: the others enter the Lagrangian as if they were linear.
        both = exact_old & self.rows.exact
        y = g - state.g + (multipliers * both) @ (self.rows.J - J_old)
        turn = float(np.linalg.norm(y)) / max(float(np.linalg.norm(step)), 1e-300)
        return replace(state, g=g, B=_bfgs(state.B, step, y), turns=(*state.turns, turn))

    # ------------------------------------------------------------------ subproblem

    def _buy_violated(self, state: _State) -> None:
        """Exact rows for the worst constraints that are violated and were never bought."""
        c = state.point.c
        new = np.flatnonzero((c > 0.0) & ~self.rows.bought)
        if new.size:
            worst_first = new[np.argsort(-c[new], kind="stable")]
            self.local.buy(state.point, self.rows, np.sort(self.rows.distinct(worst_first, _NEW_ROWS)))

    def _subproblem(self, state: _State) -> QpSolution | None:
        """The step of the present model, with multipliers (p,); rows on which it leans are bought, then it is solved again."""
        c = state.point.c + state.margin
        lo, hi = self.local.room(state.point)
        lo, hi = np.maximum(lo, -state.reach), np.minimum(hi, state.reach)
        purchases = 0
        while True:
            used = np.flatnonzero(self._used(c))
            solution = solve_qp(state.B, state.g, self.rows.J[used], -c[used], lo, hi)
            if solution is None:
                return None
            multipliers = np.zeros(c.size)
            multipliers[used] = solution.multipliers
            solution = replace(solution, multipliers=multipliers)
            # Head-on a secant will do to stop before a wall. Along it, or outside, the true normal is needed.
            delicate = (c > 0.0) | self.rows.sliding(c, float(np.linalg.norm(solution.d)))
            leaning = np.flatnonzero((multipliers > 0.0) & self.rows.wanting & delicate)
            if leaning.size == 0 or purchases == _ROUNDS or not self.local.buy(state.point, self.rows, leaning):
                return solution
            purchases += 1

    @np.errstate(over="ignore", invalid="ignore")
    def _fair(self, state: _State, solution: QpSolution) -> float:
        """Most that a multiplier of a relaxed subproblem may count for: theirs are prices of the relaxation, of any size.

        Twice what makes the step one of descent for the merit function, and no less than the weights of before.
        """
        d = solution.d
        price = max(float(state.g @ d), 0.0)
        missed = float(np.maximum(state.point.c + state.margin, 0.0).sum()) * (1.0 - solution.relaxed)
        steepness = float(np.max(np.linalg.norm(self.rows.J[solution.multipliers > 0.0], axis=1), initial=0.0))
        least = float(np.linalg.norm(state.g)) / steepness if steepness > 0.0 else 0.0
        return max(2.0 * price / missed if missed > 0.0 else 0.0, least, float(np.max(state.mu)))

    def _used(self, c: FloatArray) -> BoolArray:
        """Rows of the subproblem: those bought, and secants of satisfied constraints (a violated one needs a true normal)."""
        return self.rows.bought | ((c <= 0.0) & self.rows.informed)

    def _least(self, point: Point) -> float:
        """Decrease of the scaled F that is not worth an iteration."""
        start = self.local.centre.F
        return self.accuracy * self.unit * max(abs(point.F), 1e-3 * abs(start - point.F), 1e-300)

    @np.errstate(over="ignore", invalid="ignore")
    def _quiet(self, state: _State, solution: QpSolution) -> bool:
        gain = abs(float(state.g @ solution.d))
        return gain <= self._least(state.point) or float(np.max(np.abs(solution.d))) < _SMALLEST

    # ------------------------------------------------------------------ search along the step

    @np.errstate(over="ignore", invalid="ignore")
    def _merit(self, state: _State, point: Point) -> float:
        if not np.isfinite(point.F):
            return np.inf
        return self.unit * point.F + float(state.mu @ np.maximum(point.c + state.margin, 0.0))

    @np.errstate(over="ignore", invalid="ignore")
    def _search(self, state: _State, solution: QpSolution) -> tuple[Point | None, bool]:
        """A point with less merit; without one, whether the subproblem now knows more and should be solved again."""
        cur, d, rows = state.point, solution.d, self.rows
        c = cur.c + state.margin
        start = self._merit(state, cur)
        violation = float(state.mu @ np.maximum(c, 0.0))
        slope = min(float(state.g @ d) - (1.0 - solution.relaxed) * violation, 0.0)
        noise = 1e-14 * abs(start)
        alpha, corrected = 1.0, False
        over: tuple[float, FloatArray] | None = None
        for _ in range(_CUTS):
            if not self.local.view.affords(0, 1):
                return None, False
            trial = self.local.visit(cur, alpha * d)
            if not np.isfinite(trial.F):
                alpha *= 0.25
                continue
            limit = start + _ARMIJO * alpha * slope + noise
            hit = np.flatnonzero((trial.c > 0.0) & (c <= 0.0) & (solution.multipliers <= 0.0))
            share = self._free_share(c, alpha * d, trial.c + state.margin, hit)
            if share < _WALL:
                if alpha == 1.0 and not corrected and np.all(rows.bought[hit]):
                    corrected = True
                    fixed = self._correct(state, trial)
                    if fixed is not None and self._merit(state, fixed) <= limit and self._tame(cur, trial, fixed):
                        return fixed, False
                over = (alpha, trial.c) if over is None else over
                if alpha <= _JUMP_CUT * over[0] and self._jumps(hit, over[1], trial.c):
                    self.jumped = trial
                rows.look(alpha * d, trial.c - cur.c)
                if share < _HEAD_ON and not np.all(rows.exact[hit]) and state.again < 2:
                    return None, True
                alpha *= share
                continue
            merit = self._merit(state, trial)
            if trial.worst > 0.0 and not corrected:
                corrected = alpha == 1.0
                fixed = self._correct(state, trial)
                if fixed is not None:
                    mended = self._merit(state, fixed)
                    if mended <= min(limit, merit + _KEEP * max(start - merit, 0.0)):
                        return fixed, False
                    if merit <= limit:
                        return trial, False
            if merit <= limit:
                return (self._expand(state, trial, d, slope) if alpha == 1.0 else trial), False
            if -alpha * slope <= 1e-13 * abs(start):
                return None, False
            stale = np.flatnonzero((solution.multipliers > 0.0) & rows.wanting)
            if stale.size:
                return None, self.local.buy(cur, rows, stale)
            minimiser = -0.5 * alpha * alpha * slope / (merit - start - alpha * slope)
            alpha = float(np.clip(minimiser, 0.1 * alpha, 0.5 * alpha))
        return None, False

    def _jumps(self, hit: IntArray, before: FloatArray, now: FloatArray) -> bool:
        """Whether one of the rows ``hit`` without a gradient is hardly less violated after the step was cut far."""
        blind = ~(self.rows.exact[hit] & np.any(self.rows.J[hit], axis=1))
        return bool(np.any(blind & (before[hit] > 0.0) & (now[hit] >= _JUMP * before[hit])))

    def _free_share(self, c: FloatArray, step: FloatArray, c_end: FloatArray, hit: IntArray) -> float:
        """Share of the step before the first of the constraints ``hit`` is met; 1 if there is none."""
        if hit.size == 0:
            return 1.0
        slope = np.where(self.rows.exact[hit], self.rows.J[hit] @ step, np.nan)
        return float(np.min(_crossing(c[hit], slope, c_end[hit])))

    @staticmethod
    def _tame(cur: Point, trial: Point, fixed: Point) -> bool:
        """Whether the correction undid the violation that has no merit weight yet."""
        return fixed.worst <= max(cur.worst, 0.2 * trial.worst)

    def _correct(self, state: _State, trial: Point) -> Point | None:
        """The trial moved back to the linearised constraints by the least step in the metric of B; one pass, no vjp."""
        step = self.local.step(state.point, trial)
        if not self.local.view.affords(0, 1) or float(step @ step) == 0.0:
            return None
        back = self._way_back(state, trial, self.rows.secant(step, trial.c - state.point.c), state.margin)
        if back is None or float(np.linalg.norm(back)) > float(np.linalg.norm(step)):
            return None
        fixed = self.local.visit(trial, back)
        return fixed if np.isfinite(fixed.F) else None

    def _way_back(self, state: _State, point: Point, J: FloatArray, margin: float) -> FloatArray | None:
        """Least step (n,) to where the linearised constraints hold by the margin; None if there is none."""
        lo, hi = self.local.room(point)
        solution = solve_qp(state.B, np.zeros(lo.size), J, -(point.c + margin), lo, hi)
        return None if solution is None or solution.relaxed > 0.0 else solution.d

    @np.errstate(over="ignore", invalid="ignore")
    def _expand(self, state: _State, trial: Point, d: FloatArray, slope: float) -> Point:
        """Go on along d while the decrease stays nearly linear: a pass costs less than the gradients of another iteration."""
        cur, start = state.point, self._merit(state, state.point)
        lo, hi = self.local.room(cur)
        bound = np.where(d > 0.0, hi, lo)
        moving = d != 0.0
        top = float(np.min(bound[moving] / d[moving], initial=np.inf))
        alpha = 1.0
        for _ in range(2):
            merit = self._merit(state, trial)
            ratio = (merit - start) / (alpha * slope) if slope < 0.0 else 0.0
            if ratio < _EXPAND or trial.worst > 0.0:
                break
            wanted = 10.0 * alpha if ratio >= 0.95 else 0.5 * alpha / (1.0 - ratio)
            rate = (trial.c - cur.c) / alpha
            rising = rate > 0.0
            wall = float(np.min(-(cur.c[rising] + state.margin) / rate[rising], initial=np.inf))
            wanted = min(wanted, top, wall)
            if wanted < 1.5 * alpha or not self.local.view.affords(0, 1):
                break
            further = self.local.visit(cur, wanted * d)
            if not self._merit(state, further) < merit or further.worst > 0.0:
                break
            trial, alpha = further, wanted
        return trial

    # ------------------------------------------------------------------ result

    def worth_evaluating(self, state: _State) -> list[FloatArray]:
        """Displacements of the best feasible visit, of a point behind a jump, of an infeasible last iterate, and of that pulled inside."""
        found: list[FloatArray] = []
        feasible = [point for point in self.local.visited if point.worst <= 0.0 and np.isfinite(point.F)]
        if feasible:
            found.append(min(feasible, key=lambda point: point.F).d)
        if self.jumped is not None:
            found.append(self.jumped.d)
        last = state.point
        if last.worst > 0.0 and np.any(last.d):
            found.append(last.d)
            if last.worst < 1e-6:
                back = self._way_back(state, last, self.rows.J, state.margin + last.worst)
                if back is not None:
                    found.append(last.d + back * self.local.scale)
        return found


@np.errstate(over="ignore", invalid="ignore")
def _crawls(state: _State) -> bool:
    """Whether the polish follows kinks: other methods do better there than more gradients.

    At a kink gradients jump however short a step is, so that steps are cut again and again and gain next to nothing. Where everything is
    smooth gradients change in proportion to the step, however slow a valley is.
    """
    if state.point.worst > _LOST or len(state.turns) < _FIRST + _LATELY or sum(state.cuts[-_LATELY:]) < _CUTS_LATELY:
        return False
    if float(np.median(state.turns[-_LATELY:])) < _SHARPER * max(state.turns[:_FIRST]):
        return False
    return sum(state.gains[-_LATELY:]) <= _CRAWL * sum(state.gains)


@np.errstate(over="ignore", invalid="ignore")
def _crossing(c: FloatArray, slope: FloatArray, c_end: FloatArray) -> FloatArray:
    """Share of a step at which rows with c <= 0 < c_end vanish: on the parabola where the slope is known, else on the chord."""
    chord = -c / (c_end - c)
    curve = c_end - c - slope
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(slope * slope - 4.0 * curve * c, 0.0))
        share = np.where(slope <= 0.0, (root - slope) / (2.0 * curve), -2.0 * c / (slope + root))
    return np.where(np.isfinite(share), np.clip(share, 0.1 * chord, 1.0), chord)


@np.errstate(over="ignore", invalid="ignore")
def _bfgs(B: FloatArray, step: FloatArray, y: FloatArray) -> FloatArray:
    """Damped BFGS update (Powell 1978), scaled down first where the curvature along the step is less than B holds.

    Negative curvature along one step says nothing of the size of B elsewhere: there damping alone answers.
    """
    Bs = B @ step
    sBs, sy = float(step @ Bs), float(step @ y)
    if not (sBs > 0.0 and np.isfinite(sy)):
        return B
    shrink = float(np.clip(sy / sBs, 0.1, 1.0)) if sy > 0.0 else 1.0
    B, Bs, sBs = shrink * B, shrink * Bs, shrink * sBs
    if sy < 0.1 * sBs:
        theta = 0.9 * sBs / (sBs - sy)
        y = theta * y + (1.0 - theta) * Bs
        sy = float(step @ y)
    return B - np.outer(Bs, Bs) / sBs + np.outer(y, y) / sy
