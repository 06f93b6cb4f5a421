"""Model search: a trust-region method on quadratic models of the objective and the constraints, inside the search step.

The models interpolate evaluated points, those of every other step included, and change as little as possible from one to the next
(Powell 2006, "The NEWUOA software for unconstrained optimization without derivatives"): a radius that follows the quality of the models,
a resolution below it that only falls when the models have nothing left to offer at it, and steps that repair the geometry of the
interpolation set. Constraints enter the subproblem through their own models, as in Conn & Le Digabel (2013). Each time the
resolution falls the search gives way to the poll. The points are not rounded to the mesh: they become incumbents on any decrease, and
count as a success only on sufficient decrease.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.credit import POLL_FLOOR, POLL_HOPE, poll_is_due
from dfoattack.interpolation import Interpolation, interpolate, leaving, rebased, with_point
from dfoattack.kernels import mesh as mesh_kernels
from dfoattack.kernels.trust_region import constrained_step, trust_step
from dfoattack.noise import resolution
from dfoattack.search_states import ModelState
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Search

RESOLUTION_MIN = 1e-9  # in units of the scale: below it the models have nothing left to say
COLUMNS_MAX = 40  # constraint columns modelled; the most violated or nearest to being active ones
POINTS_MAX = 240  # of an interpolation set, if 2n + 1 are not more
VALUE_MAX = 1e100  # larger values are kept out of the models
LOOPS = 40  # plans considered in one turn
ROUND = 4.0  # ratio of curvatures that needs no change of basis
MARGIN_MAX = 0.1  # of what a constraint changes in the trust region
MULTIPLIER_MAX = 1e3
DRIFT = 10.0  # radii the centre may be from the base before the set is seen anew
ABSORB_MAX = 64  # points of other steps looked at in one call
FAR_SET = 2.0  # radii beyond which a point of the set asks for a better one


@dataclass(frozen=True)
class Plan:
    """What a proposal was meant to do: its kind, the state of the search at that time, and the decrease expected of it."""

    kind: str  # "design", "trust", "geometry" or "rest"
    state: ModelState
    leaves: int = -1  # point of the set that a geometry step replaces
    predicted: float = 0.0
    length: float = 0.0


class ModelSearch(Search):
    """One point a turn: the minimiser of the models in the trust region, or one that improves their geometry.

    The first turn evaluates the n points that the first models need. Draws nothing.
    """

    name = "model"
    hope = 1.0

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if state.mesh is None or state.floored or state.barrier.phase == 1 or not setup.n:
            return False
        found = state.searches.model
        return found is None or (found.rested != state.iteration and found.resolution > _least(state, found))

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if not self.ready(setup, state):
            return Proposal.nothing(setup.n)
        with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            X, plan = _Turn(setup, state).plan()
        centre = state.history.X[_centre(setup, state)]
        return Proposal.around(X, centre, False, memo=plan, opportunistic=False)

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        """A phase at one resolution is left alone while it makes progress: what the design has cost must be earned back first."""
        model = state.searches.model
        if model is None or outcome.memo is None or not self.ready(setup, state):
            return False
        return outcome.memo.kind == "design" or model.ratio >= 0.1 or model.radius > model.resolution

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        plan: Plan | None = outcome.memo
        if plan is None:
            return state
        with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            model = _Turn(setup, state).learnt(plan, outcome)
        return evolve(state, searches=evolve(state.searches, model=model))


def _least(state: SolverState, model: ModelState) -> float:
    """Resolution at which the search ends: that of the arithmetic, or of the noise."""
    return max(RESOLUTION_MIN, resolution(state.noise, state.history, state.centre, model))


def _centre(setup: Setup, state: SolverState) -> int:
    """The feasible incumbent; as long as there is none, the least infeasible point of the run."""
    barrier = state.barrier
    if barrier.feas >= 0 or barrier.inf < 0:
        return state.centre
    H = state.history.buffer.H[barrier.start : state.history.size]
    return barrier.start + int(np.argmin(H))


class _Turn:
    """One turn of the search: what it can see, and what follows from it."""

    def __init__(self, setup: Setup, state: SolverState) -> None:
        assert state.mesh is not None
        self.setup, self.state, self.history = setup, state, state.history
        self.n, self.scale = setup.n, state.mesh.scale
        self.row = _centre(setup, state)
        self.x = state.history.X[self.row]

    # ------------------------------------------------------------------ planning

    def plan(self) -> tuple[FloatArray, Plan]:
        model = self.current()
        if model.found is None:
            model, X = self._design(model)
            if model.found is None:
                return X, Plan("design", model)
        for _ in range(LOOPS):
            found = model.found
            assert found is not None
            s_centre = found.place(self.x)
            radius = self._in_units(model, model.radius)
            if not model.check:
                step, predicted, penalty = self._trust(model, found, s_centre, radius)
                model = evolve(model, penalty=penalty)
                length = float(np.sqrt(step @ step)) * model.unit
                if length >= 0.5 * model.resolution:
                    asked = evolve(model, origin=self.row)
                    return self._points(found, s_centre + step), Plan("trust", asked, -1, predicted, length)
                model = evolve(model, radius=max(0.1 * model.radius, model.resolution))
                if model.radius <= 1.5 * model.resolution:
                    model = evolve(model, radius=model.resolution)
            far = max(FAR_SET * model.radius, 10.0 * model.resolution if model.check else 0.0)
            distance = np.sqrt(((found.S - s_centre) ** 2).sum(axis=1)) * model.unit
            t = int(np.argmax(distance))
            if distance[t] > far:
                s = self._geometry(model, found, t, s_centre, self._in_units(model, self._reach(model, float(distance[t]))))
                return self._points(found, s), Plan("geometry", evolve(model, check=False), t)
            if model.check and (model.radius > model.resolution or model.ratio > 0.0):
                model = evolve(model, check=False)
                continue
            model = self._lowered(model)
            if model.rested == self.state.iteration or model.resolution <= _least(self.state, model):
                break
            model = self._settled(model)
            if model.found is None:
                break
        return np.empty((0, self.n)), Plan("rest", evolve(model, rested=self.state.iteration))

    def current(self) -> ModelState:
        """The state of the search, brought up to date with what other steps have evaluated."""
        state, model = self.state, self.state.searches.model
        if model is None:
            radius = self._first_radius()
            columns = _columns(state)
            nothing = np.zeros(columns.shape[0])
            return ModelState(None, columns, radius, radius, self.history.size, margin=nothing, penalty=nothing)
        if model.found is None or model.seen == self.history.size and self.row in model.found.rows:
            return model
        return self._absorbed(model)

    def _first_radius(self) -> float:
        """One frame; where a population has contracted in this local run, its extent."""
        run = self.state.searches.cma
        if run is None or run.begun < self.state.barrier.start or self.state.kind != "population":
            return 1.0
        return min(1.0, max(2.0 * run.sigma * float(run.D.max()), 1e-4))

    def _in_units(self, model: ModelState, length: float) -> float:
        return length / model.unit

    def _reach(self, model: ModelState, distance: float) -> float:
        return max(min(0.1 * distance, 0.5 * model.radius), model.resolution)

    def _lowered(self, model: ModelState) -> ModelState:
        """Nothing is left at this resolution: the next one, and a rest until the poll has had its turn."""
        resolution, arms = model.resolution * 0.1, len(self.state.credit.arms)
        due = arms == 0 or poll_is_due(self.state.credit, arms, (POLL_FLOOR,) + (0.0,) * (arms - 1), (POLL_HOPE,) + (1.0,) * (arms - 1), self.n)
        rested = self.state.iteration if due else -1
        radius = max(0.5 * model.resolution, resolution)
        return evolve(model, resolution=resolution, radius=radius, check=False, rested=rested)

    def _bounds(self, found: Interpolation, s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of a step from s in model units where the basis is diagonal; never inconsistent with s."""
        size = np.diag(found.basis)
        lower = np.minimum((self.setup.lower - found.base) / size - s, 0.0)
        upper = np.maximum((self.setup.upper - found.base) / size - s, 0.0)
        return lower, upper

    def _walls(self, found: Interpolation, s: FloatArray, radius: float) -> tuple[FloatArray, FloatArray]:
        """Bounds within reach of a step d from s, as rows A d <= b in model units, scaled to changes of order one in the ball."""
        x = found.point(s)
        size = np.sqrt((found.basis**2).sum(axis=1)) * radius
        above, below = np.maximum(self.setup.upper - x, 0.0), np.maximum(x - self.setup.lower, 0.0)
        up, down = above < size, below < size
        A = np.vstack([found.basis[up] / size[up, None], -found.basis[down] / size[down, None]])
        return A, np.concatenate([above[up] / size[up], below[down] / size[down]])

    def _points(self, found: Interpolation, s: FloatArray) -> FloatArray:
        return self._snapped(found.point(s)[None, :])

    def _snapped(self, X: FloatArray) -> FloatArray:
        setup, out = self.setup, np.empty(X.shape)
        mesh_kernels.snap(X, setup.lower, setup.upper, setup.granularity, setup.inverse, out)
        return out

    def _trust(
        self, model: ModelState, found: Interpolation, s: FloatArray, radius: float
    ) -> tuple[FloatArray, float, FloatArray]:
        """Step from s (n,), the decrease of the merit it promises, and the weights of the violations in the merit."""
        slopes = found.g + found.H @ s
        if not model.columns.shape[0]:
            step, decrease = self._minimised(model, found, s, slopes[0], found.H[0], radius)
            return step, decrease, model.penalty
        c = found.values(s) + found.offset
        change = np.sqrt((slopes**2).sum(axis=1)) * radius + 0.5 * np.sqrt((found.H**2).sum(axis=(1, 2))) * radius**2
        change[change <= 0.0] = 1.0
        scaled = c / change
        scaled[1:] += np.minimum(model.margin / change[1:], MARGIN_MAX)
        scaled[0] = 0.0
        slopes, H = slopes * (radius / change)[:, None], found.H * (radius**2 / change)[:, None, None]
        step, multipliers = self._constrained(model, found, s, scaled, slopes, H, radius)
        penalty = 2.0 * np.minimum(multipliers[1 : c.shape[0]], MULTIPLIER_MAX) * change[0] / change[1:]
        there = found.values(s + step) + found.offset
        return step, float(_merit(c, penalty) - _merit(there, penalty)), penalty

    def _minimised(
        self, model: ModelState, found: Interpolation, s: FloatArray, g: FloatArray, H: FloatArray, radius: float
    ) -> tuple[FloatArray, float]:
        """Minimiser of one quadratic with gradient g at s in the ball and the bounds, and its decrease."""
        step = np.empty(self.n)
        nothing = np.zeros(self.n)
        if model.plain:
            lower, upper = self._bounds(found, s)
            return step, float(trust_step(g, H, nothing, lower, upper, radius, step))
        free = np.full(self.n, np.inf)
        decrease = float(trust_step(g, H, nothing, -free, free, radius, step))
        x = found.point(s + step)
        if np.all(x >= self.setup.lower) and np.all(x <= self.setup.upper):
            return step, decrease
        size = float(np.sqrt(g @ g)) * radius + 0.5 * float(np.sqrt((H * H).sum())) * radius**2 or 1.0
        step, _ = self._constrained(model, found, s, np.zeros(1), g[None, :] * (radius / size), H[None, :, :] * (radius**2 / size), radius)
        return step, float(-(g @ step + 0.5 * step @ H @ step))

    def _constrained(
        self,
        model: ModelState,
        found: Interpolation,
        s: FloatArray,
        c: FloatArray,
        g: FloatArray,
        H: FloatArray,
        radius: float,
    ) -> tuple[FloatArray, FloatArray]:
        """Minimiser, and multipliers, of model 0 subject to the other models <= 0, all in units of the radius, and the bounds."""
        n = self.n
        lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
        if model.plain:
            lower, upper = (bound / radius for bound in self._bounds(found, s))
        else:
            A, b = self._walls(found, s, radius)
            c = np.concatenate([c, -b])
            g = np.vstack([g, A * radius])
            H = np.concatenate([H, np.zeros((b.shape[0], n, n))])
        m = c.shape[0]
        step = np.empty(n)
        multipliers = np.zeros(m)
        constrained_step(c, g, H, np.zeros(m, dtype=bool), lower, upper, 1.0, multipliers, step)
        x = np.clip(found.point(s + radius * step), self.setup.lower, self.setup.upper)
        return found.place(x) - s, multipliers

    def _geometry(self, model: ModelState, found: Interpolation, t: int, s: FloatArray, radius: float) -> FloatArray:
        """A point near s at which the Lagrange function of point t is large in size."""
        g, H = found.lagrange(t, s)
        high, up = self._minimised(model, found, s, -g, -H, radius)
        low, down = self._minimised(model, found, s, g, H, radius)
        best: FloatArray = s + (high if up >= down else low)
        return best

    # ------------------------------------------------------------------ interpolation sets

    def _design(self, model: ModelState) -> tuple[ModelState, FloatArray]:
        """A set round the centre from evaluated points; the points (k, n) it still lacks, if it lacks any."""
        radius = model.radius
        unit = self.scale * radius
        rows = self._near(3.0 * radius)
        S = (self.history.X[rows] - self.x) / unit
        chosen, basis = _independent(S, self.n)
        missing = self.n - len(chosen)
        if missing:
            return model, self._missing(basis, unit)
        first = [self.row, *(int(rows[i]) for i in chosen)]
        found = interpolate(
            np.array(first), np.vstack([np.zeros(self.n), S[chosen]]), self._values(model, np.array(first)), self.x.copy(), np.diag(unit), np.diag(1.0 / unit)
        )
        if found is None:
            return evolve(model, failures=model.failures + 1, rested=self.state.iteration), np.empty((0, self.n))
        model = evolve(model, found=found, unit=radius, seen=self.history.size, plain=True, shaped=self.history.size)
        for i in range(rows.shape[0]):
            if i not in chosen and model.found is not None and model.found.size < self._most():
                model = self._with(model, int(rows[i]))
        return model, np.empty((0, self.n))

    def _most(self) -> int:
        n = self.n
        return min((n + 1) * (n + 2) // 2, max(2 * n + 1, POINTS_MAX))

    def _missing(self, basis: FloatArray, unit: FloatArray) -> FloatArray:
        """Points at distance one along the directions that the rows of `basis` (k, n) leave open."""
        if basis.shape[0]:
            _, _, full = np.linalg.svd(basis)
            open_ = full[basis.shape[0] :]
        else:
            open_ = np.eye(self.n)
        lower, upper = (self.setup.lower - self.x) / unit, (self.setup.upper - self.x) / unit
        D = np.empty(open_.shape)
        for i, d in enumerate(open_):
            with np.errstate(divide="ignore", invalid="ignore"):
                ahead = np.min(np.where(d > 0, upper / d, np.where(d < 0, lower / d, np.inf)))
                behind = np.min(np.where(d < 0, -upper / d, np.where(d > 0, -lower / d, np.inf)))
            D[i] = d * min(ahead, 1.0) if ahead >= min(1.0, behind) else -d * min(behind, 1.0)
        return self._snapped(self.x + unit * D)

    def _near(self, reach: float) -> IntArray:
        """Rows of usable points within `reach` of the centre, nearest first, without the centre."""
        distance = self._distances(slice(None))
        usable = (self.history.status == 0) & (np.abs(self.history.f) <= VALUE_MAX)
        rows = np.flatnonzero(usable & (distance <= reach) & (distance > 0.0))
        return rows[np.lexsort((rows, distance[rows]))]

    def _distances(self, rows: slice | IntArray) -> FloatArray:
        D = (self.history.X[rows] - self.x) / self.scale
        distance: FloatArray = np.sqrt((D * D).sum(axis=1))
        return distance

    def _values(self, model: ModelState, rows: IntArray) -> FloatArray:
        """Objective and modelled constraints (p, m) of history rows."""
        history = self.history
        if not model.columns.shape[0]:
            return history.f[rows][:, None].copy()
        columns = self.state.barrier.columns
        assert columns is not None
        return np.column_stack([history.f[rows], history.C[np.ix_(rows, model.columns)] - columns.tol[model.columns]])

    def _with(self, model: ModelState, row: int, force: bool = False) -> ModelState:
        """The set with history row `row` if that makes it better, or if `force`."""
        found, history = model.found, self.history
        assert found is not None
        if history.status[row] != 0 or not abs(history.f[row]) <= VALUE_MAX or row in found.rows:
            return model
        values = self._values(model, np.array([row]))[0]
        s = found.place(history.X[row])
        s_centre = found.place(self.x)
        _, sigma, beta = found.weights(s)
        size = float(((s - s_centre) ** 2).sum())
        distance = np.sqrt(((found.S - s_centre) ** 2).sum(axis=1))
        far = math.sqrt(size)
        model_radius, resolution = self._in_units(model, model.radius), self._in_units(model, model.resolution)
        if found.size < self._most() and beta > 1e-6 * max(size, 1e-4) ** 2 and np.isfinite(beta):
            return evolve(model, found=with_point(found, row, s, values, found.size))
        keep = np.flatnonzero(found.rows == self.row)
        near = max(0.1 * model_radius, resolution)
        t, score = leaving(sigma, distance, near, int(keep[0]) if keep.shape[0] else -1)
        if not (np.isfinite(score) and score > 0.0):
            return evolve(model, found=None) if force else model
        if force or (score > 1.0 and far < distance[t]):
            return evolve(model, found=with_point(found, row, s, values, t))
        return model

    def _absorbed(self, model: ModelState) -> ModelState:
        """The set with what other steps have found since; made anew where the centre has left it."""
        found = model.found
        assert found is not None
        moved = self.row not in found.rows
        seen, model = model.seen, evolve(model, seen=self.history.size)
        if moved:
            distance = np.sqrt(((found.S - found.place(self.x)) ** 2).sum(axis=1)) * model.unit
            jump = float(distance.min())
            radius = max(model.radius, min(jump, float(np.median(distance))))
            model = evolve(model, radius=radius)
            if jump > DRIFT * model.radius or jump > DRIFT * model.unit:
                return evolve(model, found=None)
            model = self._with(model, self.row, force=True)
        rows = np.arange(max(seen, self.history.size - ABSORB_MAX), self.history.size)
        if rows.shape[0]:
            distance = np.sqrt(((found.place(self.history.X[rows]) - found.place(self.x)) ** 2).sum(axis=1)) * model.unit
            for row in rows[distance <= 2.0 * model.radius]:
                if model.found is not None:
                    model = self._with(model, int(row))
        return self._settled(model)

    def _settled(self, model: ModelState) -> ModelState:
        """The set seen from the present centre, in units of the present radius, where those of the set have become unfit."""
        found = model.found
        if found is None:
            return model
        s = found.place(self.x)
        radius = self._in_units(model, model.radius)
        drift = float(np.sqrt(s @ s))
        shape = self.history.size - model.shaped >= 2 * self.n and found.size > 2 * self.n and self.n > 1
        if not shape and drift <= DRIFT * radius and 0.02 <= radius <= 50.0:
            return model
        stretch, shrink = np.eye(self.n), np.eye(self.n)
        if shape:
            stretch, shrink = _shape(found.H[0])
            model = evolve(model, shaped=self.history.size, plain=model.plain and bool(np.all(stretch == np.eye(self.n))))
        fresh = rebased(found, s, stretch * radius, shrink / radius, self._values(model, found.rows))
        return evolve(model, found=fresh, unit=model.radius)

    # ------------------------------------------------------------------ learning

    def learnt(self, plan: Plan, outcome: Outcome) -> ModelState:
        """The state of the search after a proposal was evaluated."""
        model = evolve(plan.state, seen=self.history.size)
        rows = np.arange(outcome.first, outcome.last)
        if plan.kind == "rest":
            return evolve(model, seen=plan.state.seen)
        if plan.kind == "design":
            usable = self.history.status[rows] == 0
            failures = model.failures + (0 if usable.any() else 1)
            model = evolve(model, failures=failures)
            if failures and not usable.any():
                # Nothing to build from here at this radius: the poll first, then closer by.
                return evolve(model, radius=0.5 * model.radius, resolution=0.5 * model.resolution, rested=self.state.iteration)
            return model
        if not rows.shape[0]:  # nothing new to ask: the point is known
            return self._lowered(model) if plan.kind == "trust" else evolve(model, check=False, rested=self.state.iteration)
        row = int(rows[0])
        improved = outcome.improved
        before = plan.state.found
        assert before is not None
        if plan.kind == "geometry":
            t = plan.leaves
            usable = self.history.status[row] == 0 and abs(self.history.f[row]) <= VALUE_MAX
            if usable:
                s = before.place(self.history.X[row])
                _, sigma, _ = before.weights(s)
                if np.isfinite(sigma[t]) and abs(sigma[t]) > 1e-12 and row not in before.rows:
                    values = self._values(model, np.array([row]))[0]
                    model = evolve(model, found=with_point(before, row, s, values, t))
                else:
                    model = evolve(model, found=None)
            else:
                model = evolve(model, rested=self.state.iteration)
            return self._settled(model)
        ratio = self._ratio(plan, row)
        length, radius = plan.length, model.radius
        if ratio <= 0.1:
            radius = 0.5 * length
        elif ratio <= 0.7:
            radius = max(0.5 * radius, length)
        else:
            radius = max(0.5 * radius, 2.0 * length)
        if radius <= 1.5 * model.resolution:
            radius = model.resolution
        model = evolve(model, radius=radius, ratio=ratio, check=ratio < 0.1)
        if model.columns.shape[0] and self.history.status[row] == 0:
            over = np.maximum(self._values(model, np.array([row]))[0][1:], 0.0)
            model = evolve(model, margin=np.where(over > 0.0, 0.1 * over * min(1.0, model.radius / length) ** 2, 0.3 * model.margin))
        model = self._with(model, row, force=improved or row == self.row)
        return self._settled(model)

    def _ratio(self, plan: Plan, row: int) -> float:
        """Decrease found over decrease promised; -1 for a failed point."""
        before = plan.state.found
        assert before is not None
        if self.history.status[row] != 0:
            return -1.0
        values = self._values(plan.state, np.array([row]))[0] - before.offset
        s = before.place(self.history.X[row])
        promised = before.values(s)
        origin = before.values(before.place(self._origin(plan)))
        if not plan.state.columns.shape[0]:
            gain, hope = origin[0] - values[0], origin[0] - promised[0]
            return float(gain / hope) if hope > 0.0 and np.isfinite(gain) else -1.0
        # With constraints the question is how well the models told what would happen, to the objective and to every violation.
        weights = np.concatenate([[1.0], plan.state.penalty])
        offset = before.offset
        over = [np.maximum(v + offset, 0.0) for v in (origin, values, promised)]
        for part, v in zip(over, (origin, values, promised), strict=True):
            part[0] = v[0]
        error, change = float(weights @ np.abs(over[1] - over[2])), float(weights @ np.abs(over[2] - over[0]))
        return 1.0 - error / change if change > 0.0 and np.isfinite(error) else -1.0

    def _origin(self, plan: Plan) -> FloatArray:
        return self.history.X[plan.state.origin] if plan.state.origin >= 0 else self.x


def _independent(S: FloatArray, n: int, threshold: float = 0.1) -> tuple[list[int], FloatArray]:
    """Indices of rows of S (p, n), in order, that are well independent, and an orthonormal basis (k, n) of their span."""
    chosen: list[int] = []
    basis = np.empty((0, n))
    for i, s in enumerate(S):
        if len(chosen) == n:
            break
        rest = s - basis.T @ (basis @ s)
        rest = rest - basis.T @ (basis @ rest)
        size = float(np.sqrt(rest @ rest))
        if size > threshold * max(1.0, float(np.sqrt(s @ s))) * 1.0:
            chosen.append(i)
            basis = np.vstack([basis, rest / size])
    return chosen, basis


def _merit(values: FloatArray, penalty: FloatArray) -> float:
    """Objective and weighted violations; values (m,) without offset removed, penalty (m - 1,)."""
    return float(values[0] + penalty @ np.maximum(values[1:], 0.0))


def _columns(state: SolverState) -> IntArray:
    """Constraint columns worth a model: those closest to being active at any of the points, at most COLUMNS_MAX."""
    columns = state.barrier.columns
    if columns is None or not columns.tol.shape[0]:
        return np.empty(0, dtype=np.int64)
    usable = state.history.status == 0
    worst = np.max((state.history.C[usable] - columns.tol) / columns.scale, axis=0)
    # In the order of their values, not of their positions: the order in which constraints are stated must not matter.
    order: IntArray = np.argsort(-worst, kind="stable")[:COLUMNS_MAX]
    return order


def _shape(H: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A change of basis of determinant one that goes half the way to equal curvatures, and its inverse; the identity if they are."""
    n = H.shape[0]
    if not np.isfinite(H).all():
        return np.eye(n), np.eye(n)
    curvature, axes = np.linalg.eigh(H)
    size = np.abs(curvature)
    size = np.maximum(size, size.max() * 1e-4)
    if size.max() <= ROUND * size.min() or not size.max() > 0.0:
        return np.eye(n), np.eye(n)
    factor = np.clip(size**-0.25, None, None)
    factor /= np.exp(np.mean(np.log(factor)))
    return (axes * factor) @ axes.T, (axes / factor) @ axes.T
