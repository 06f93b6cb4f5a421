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
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import Columns
from dfoattack.credit import POLL_FLOOR, POLL_HOPE, poll_is_due
from dfoattack.interpolation import Interpolation, interpolate, leaving, rebased, with_point
from dfoattack.noise import resolution
from dfoattack.search_states import ModelState
from dfoattack.state import Setup, SolverState
from dfoattack.steps._model_frame import Frame
from dfoattack.steps._model_rules import CALM, alike, calm, coarse, shape, steplike
from dfoattack.steps._model_step import Judge, geometry_step, trust_region_step
from dfoattack.steps.base import Outcome, Proposal, Search

BARREN_MAX = 2  # resolutions in a row without a gain after which the models have had their say about this incumbent
GAIN_MIN = 1e-15  # of the objective's range
RESOLUTION_MIN = 1e-9  # in units of the scale: below it the models have nothing left to say
COLUMNS_MAX = 40  # constraint columns modelled; the most violated or nearest to being active ones
POINTS_MAX = 240  # of an interpolation set; where a quadratic needs more it has 2n + 1
VALUE_MAX = 1e100  # larger values are kept out of the models
LOOPS = 40  # plans considered in one turn
DRIFT = 10.0  # radii the centre may be from the base before the set is seen anew
REFUSED = -2.0  # ratio of a step to a point that a constraint without a model says no to: the models have had their say
ABSORB_MAX = 64  # points of other steps looked at in one call
FULL_SPACE_MAX = 100  # variables up to which the models are made in the whole space
SUBSPACE = 20  # dimension of the subspaces beyond that
LONGEST = 1e3  # radius, in units of the scale
FAR_SET = 2.0  # radii beyond which a point of the set asks for a better one
FAR_BESIDE = 10.0  # resolutions, if that is more, after a step beside constraints that disappointed
SAME = 1e-3  # of the length of a step: what its end may be from that of another one that led to the same point
COARSE = 20.0  # resolutions: granular variables with longer steps no longer move,
HALF = 2.0  # radii: nor do those with longer steps in a set made anew, none of whose points would be a step away
INDEPENDENT = 0.1  # share of a new point's distance that must be new for it to be among the first ones


@dataclass(frozen=True)
class Plan:
    """What a proposal was meant to do: its kind, the state of the search at that time, and how a step is judged."""

    kind: str  # "design", "trust", "geometry" or "rest"
    state: ModelState
    leaves: int = -1  # point of the set that a geometry step replaces
    length: float = 0.0  # of a trust-region step, in units of the scale
    judge: Judge | None = None


class ModelSearch(Search):
    """One point a turn: the minimiser of the models in the trust region, or one that improves their geometry.

    The first turn evaluates the n points that the first models need. Draws n normals a random direction where a subspace is chosen
    (beyond `FULL_SPACE_MAX` variables), else nothing.
    """

    name = "model"
    hope = 1.0

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if state.mesh is None or state.floored or not setup.geometry.moving.shape[0]:
            return False
        model = state.searches.model
        if model is None or _to_join(setup, state, model):
            return True
        if model.barren >= BARREN_MAX and _centre(setup, state) == model.level:
            return False
        least = _least(state, model)
        if model.rested != state.iteration and model.resolution > least:
            return True
        return model.resolution <= least and _left(setup, state, model)

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if not self.ready(setup, state):
            return Proposal.nothing(setup.n)
        with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            X, plan = _Turn(setup, state).plan(rng)
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
        # The frame is that of the plan: its subspace may be newer than what the state knows.
        state = evolve(state, searches=evolve(state.searches, model=plan.state))
        with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            model = _Turn(setup, state).learnt(plan, outcome)
        return evolve(state, searches=evolve(state.searches, model=model))


def _least(state: SolverState, model: ModelState) -> float:
    """Resolution at which the search ends: that of the arithmetic, or of the noise."""
    return max(RESOLUTION_MIN, resolution(state.noise, state.history, state.centre, model))


def _centre(setup: Setup, state: SolverState) -> int:
    """The feasible incumbent; as long as there is none, the least infeasible point of the run.

    Beside equalities the best point of the set by objective and weighted violations: a path inside a thin band is no path.
    """
    barrier, model, columns = state.barrier, state.searches.model, state.barrier.columns
    two_sided = columns is not None and barrier.phase == 2 and bool(columns.equality.any())
    if columns is not None and two_sided and model is not None and model.found is not None and state.centre >= 0:
        if model.weights.shape[0] == model.columns.shape[0] + 1:  # else no step has been judged yet
            rows, history = np.append(model.found.rows, state.centre), state.history
            over = np.maximum(columns.excess(history.C[rows])[:, model.columns], 0.0)
            return int(rows[np.argmin(history.f[rows] + over @ model.weights[1:])])
    if barrier.feas >= 0 or barrier.inf < 0:
        return state.centre
    H = state.history.buffer.H[barrier.start : state.history.size]
    return barrier.start + int(np.argmin(H))


def _left(setup: Setup, state: SolverState, model: ModelState) -> bool:
    """Whether the centre has other levels, or other values of variables that are held, than the points of the set."""
    if model.found is None or not (setup.geometry.has_levels or model.held is not None):
        return False
    resting = setup.geometry.categorical if model.held is None else setup.geometry.categorical | model.held
    X = state.history.X
    return not np.array_equal(X[_centre(setup, state), resting], X[model.found.rows[0], resting])


def _to_join(setup: Setup, state: SolverState, model: ModelState) -> bool:
    """Whether all variables shall move together again: the others are solved beside values that were held, and have not been there before."""
    if model.held is None or model.phase != state.barrier.phase:
        return False
    row = _centre(setup, state)
    solved = model.resolution <= _least(state, model) or (model.barren >= BARREN_MAX and row == model.level)
    return solved and row != model.joined


class _Turn:
    """One turn of the search: what it can see, and what follows from it."""

    def __init__(self, setup: Setup, state: SolverState) -> None:
        self.setup, self.state, self.history = setup, state, state.history
        self.row = _centre(setup, state)
        model = state.searches.model
        self.frame = (
            Frame(setup, state, self.row) if model is None else Frame(setup, state, self.row, model.span, model.held)
        )
        self.columns = state.barrier.columns or Columns.none()
        self.steplike = steplike(state, self.columns)

    @property
    def k(self) -> int:
        return self.frame.k

    @property
    def x(self) -> FloatArray:
        x: FloatArray = self.frame.x
        return x

    # ------------------------------------------------------------------ planning

    def plan(self, rng: np.random.Generator) -> tuple[FloatArray, Plan]:
        model = self.current()
        for _ in range(LOOPS):
            if model.found is None:
                model = self._in_subspace(self._with_held(model), rng)
                model, X = self._design(model)
                if model.found is None:
                    return X, Plan("design", model)
            found = model.found
            s_centre = found.place(self.x)
            radius, trusted = self._in_units(model, model.radius), False
            if not model.check:
                best = trust_region_step(
                    self.frame, found, model.plain, s_centre, radius, model.margin, self._equality(model), self._first
                )
                length = best.length * model.unit
                if length >= 0.5 * model.resolution and not self._again(found, s_centre + best.step, best.length):
                    asked = evolve(model, origin=self.row)
                    return self._point(found, s_centre + best.step), Plan("trust", asked, -1, length, best.judge)
                model = evolve(model, radius=max(0.1 * model.radius, model.resolution))
                if model.radius <= 1.5 * model.resolution:
                    model = evolve(model, radius=model.resolution)
                trusted = not self._first and calm(model, found, best.judge, self._in_units(model, model.resolution))
            distance = np.sqrt(((found.S - s_centre) ** 2).sum(axis=1)) * model.unit
            t = int(np.argmax(distance))
            if not trusted and distance[t] > self._far(model) and model.span is None:
                reach = self._in_units(model, self._reach(model, float(distance[t])))
                s = geometry_step(self.frame, found, model.plain, t, s_centre, reach)
                return self._point(found, s), Plan("geometry", evolve(model, check=False), t)
            if model.check and (model.radius > model.resolution or model.ratio > 0.0):
                model = evolve(model, check=False)
                continue
            model = self._lowered(model)
            if (
                model.rested == self.state.iteration
                or model.barren >= BARREN_MAX
                or model.resolution <= _least(self.state, model)
            ):
                break
            model = self._settled(model)
        return np.empty((0, self.setup.n)), Plan("rest", evolve(model, rested=self.state.iteration))

    @staticmethod
    def _far(model: ModelState) -> float:
        """Distance beyond which a point of the set asks for a better one.

        Beside constraints it is often their models that disappoint, on steps along the few ways they leave open; there a set that is
        renewed as a whole costs more than it brings.
        """
        far = FAR_SET * model.radius
        return max(far, FAR_BESIDE * model.resolution) if model.check and model.columns.shape[0] else far

    def current(self) -> ModelState:
        """The state of the search, brought up to date with what other steps have evaluated."""
        model, phase = self.state.searches.model, self.state.barrier.phase
        if model is None:
            radius = self._first_radius()
            return self._fresh(ModelState(None, np.empty(0, dtype=np.int64), radius, radius, self.history.size))
        if _to_join(self.setup, self.state, model):
            radius = self._first_radius()
            again = evolve(model, found=None, radius=radius, resolution=radius, check=False, ratio=1.0, barren=0)
            return evolve(again, joined=self.row)
        if model.phase != phase:
            return self._fresh(
                evolve(model, found=None, radius=max(model.radius, 1e-3), resolution=max(model.resolution, 1e-3))
            )
        if model.found is not None and self.steplike[model.columns].any():
            model = self._fresh(evolve(model, found=None))
        if model.found is None or (model.seen == self.history.size and self.row in model.found.rows):
            return model
        model = self._with_columns(model)
        return model if model.found is None else self._absorbed(model)

    def _fresh(self, model: ModelState) -> ModelState:
        """Without a set, and with the constraint columns that matter now."""
        columns = self._relevant(np.flatnonzero(self.history.status == 0))
        nothing = np.zeros(columns.shape[0])
        return evolve(model, columns=columns, margin=nothing, weights=np.empty(0), phase=self.state.barrier.phase)

    def _with_columns(self, model: ModelState) -> ModelState:
        """Models of other constraints where there are too many for all of them and others have come into sight."""
        found = model.found
        if found is None or self.columns.tol.shape[0] <= COLUMNS_MAX:
            return model
        wanted = self._relevant(found.rows)
        if not np.setdiff1d(wanted[: COLUMNS_MAX // 2], model.columns).shape[0]:
            return model
        place = {int(j): i for i, j in enumerate(model.columns)}
        old = np.array([place.get(int(j), -1) for j in wanted])
        H = np.concatenate([found.H[:1], np.where(old[:, None, None] >= 0, found.H[1:][old], 0.0)])
        model = evolve(model, columns=wanted, weights=np.empty(0), margin=np.where(old >= 0, model.margin[old], 0.0))
        fresh = interpolate(
            found.rows, found.S, self._values(model, found.rows), found.base, found.basis, found.back, H
        )
        return evolve(model, found=fresh)

    def _relevant(self, rows: IntArray) -> IntArray:
        """Constraint columns worth a model: those closest to being active at any of these history rows, at most COLUMNS_MAX."""
        columns, p = self.columns, self.columns.tol.shape[0]
        if not p:
            return np.empty(0, dtype=np.int64)
        known = np.flatnonzero(~self.steplike & (columns.extreme if self._first else True))
        worst = np.max(columns.excess(self.history.C[rows]) / columns.scale, axis=0)
        # In the order of their values, not of their positions: the order in which constraints are stated must not matter.
        order: IntArray = known[np.argsort(-worst[known], kind="stable")[:COLUMNS_MAX]]
        return order

    @property
    def _first(self) -> bool:
        return self.state.barrier.phase == 1

    def _equality(self, model: ModelState) -> BoolArray:
        return self.columns.equality[model.columns]

    def _with_held(self, model: ModelState) -> ModelState:
        """The variables to hold in a set made anew."""
        held = coarse(self.setup, self.state, min(COARSE * model.resolution, HALF * model.radius))
        if alike(held, model.held):
            return model
        self.frame = Frame(self.setup, self.state, self.row, None, held)
        return evolve(model, held=held, span=None)

    def _in_subspace(self, model: ModelState, rng: np.random.Generator) -> ModelState:
        """In many variables: a subspace of the last moves and random directions, unless there is one already."""
        if self.frame.n <= FULL_SPACE_MAX or model.span is not None:
            return model
        moves = [] if self.state.move is None else [self.state.move[self.frame.moving]]
        if model.begun >= 0 and model.begun != self.row:
            moves.append(self.x - self.frame.seen(self.history.X[model.begun]))
        moves = [d for d in moves if np.isfinite(d).all() and d.any()]
        model = evolve(
            model,
            span=self.frame.subspace(moves, rng, SUBSPACE),
            begun=self.row,
            resolution=0.5 * model.radius,
            started=model.radius,
        )
        self.frame = Frame(self.setup, self.state, self.row, model.span, model.held)
        return model

    def _next_subspace(self, model: ModelState) -> ModelState:
        """Nothing is left in this subspace at this resolution: another one, longer steps if this one has paid."""
        radius = min(2.0 * model.longest, LONGEST) if model.longest > 0.0 else 0.5 * model.started
        return evolve(model, found=None, span=None, radius=radius, longest=0.0, check=False)

    def _first_radius(self) -> float:
        """One frame; where a population has contracted in this local run, its extent."""
        run = self.state.searches.cma
        if run is None or run.begun < self.state.barrier.start or self.state.kind != "population":
            return 1.0
        return min(1.0, max(2.0 * run.sigma * float(run.D.max()), 1e-4))

    def _gained(self, model: ModelState) -> bool:
        """Whether the incumbent has improved, beyond round-off, since the resolution fell last."""
        F, old = self.history.buffer.F, model.level
        if old < 0 or self.row == old:
            return old < 0
        if self.history.buffer.H[old] > 0.0 or self._first:
            return True
        return bool(F[old] - F[self.row] > GAIN_MIN * self.state.barrier.f_scale)

    def _poll_is_due(self) -> bool:
        arms = len(self.state.credit.arms)
        floors, hopes = (POLL_FLOOR,) + (0.0,) * (arms - 1), (POLL_HOPE,) + (1.0,) * (arms - 1)
        return arms == 0 or poll_is_due(self.state.credit, arms, floors, hopes, self.k)

    def _in_units(self, model: ModelState, length: float) -> float:
        return length / model.unit

    def _reach(self, model: ModelState, distance: float) -> float:
        return max(min(0.1 * distance, 0.5 * model.radius), model.resolution)

    def _lowered(self, model: ModelState) -> ModelState:
        """Nothing is left at this resolution: the next one, and a rest until the poll has had its turn."""
        if model.span is not None:
            return evolve(self._next_subspace(model), rested=self.state.iteration if self._poll_is_due() else -1)
        resolution = model.resolution * 0.1
        barren = 0 if self._gained(model) else model.barren + 1
        model = evolve(model, barren=barren, level=self.row, found=self._kept(model, resolution))
        rested = self.state.iteration if self._poll_is_due() else -1
        radius = max(0.5 * model.resolution, resolution)
        return evolve(model, resolution=resolution, radius=radius, check=False, rested=rested, errors=())

    def _kept(self, model: ModelState, resolution: float) -> Interpolation | None:
        """The set, unless variables move in it that are to be held at this resolution."""
        hold = coarse(self.setup, self.state, COARSE * resolution)
        return model.found if hold is None or (model.held is not None and not (hold & ~model.held).any()) else None

    def _again(self, found: Interpolation, s: FloatArray, length: float) -> bool:
        """Whether a step of this length to s ends where another one has ended lately: what was learnt there is not in the set.

        A point that the set has no use for changes no model, and the next minimiser is the same.
        """
        lately = self.history.X[-ABSORB_MAX:]
        distance = ((found.place(self.frame.seen(lately)) - s) ** 2).sum(axis=1)
        return bool(distance.min() <= (SAME * length) ** 2)

    def _point(self, found: Interpolation, s: FloatArray) -> FloatArray:
        return self.frame.snapped(found.point(s)[None, :])

    # ------------------------------------------------------------------ interpolation sets

    def _design(self, model: ModelState) -> tuple[ModelState, FloatArray]:
        """A set round the centre from evaluated points; the points (j, n_free) it still lacks, if it lacks any."""
        radius, frame, nothing = model.radius, self.frame, np.empty((0, self.setup.n))
        rows = frame.rows_near(self.state, 3.0 * radius, VALUE_MAX)
        basis, back = frame.basis(radius)
        S = (frame.seen(self.history.X[rows]) - self.x) @ back.T
        chosen, known = frame.independent(S, INDEPENDENT)
        if len(chosen) < self.k:
            return model, frame.missing(known, radius)
        first = np.array([self.row, *(int(rows[i]) for i in chosen)])
        places = np.vstack([np.zeros(self.k), S[chosen]])
        found = interpolate(first, places, self._values(model, first), self.x.copy(), basis, back)
        if found is None:
            return evolve(model, failures=model.failures + 1, rested=self.state.iteration), nothing
        size = self.history.size
        model = evolve(model, found=found, unit=radius, seen=size, plain=frame.span is None, shaped=size)
        for i in range(rows.shape[0]):
            if i not in chosen and model.found is not None and model.found.size < self._most():
                model = self._with(model, int(rows[i]))
        return model, nothing

    @property
    def _determined(self) -> bool:
        """Whether a set can determine quadratics; else their curvature is mostly a guess."""
        return (self.k + 1) * (self.k + 2) // 2 <= POINTS_MAX

    def _most(self) -> int:
        return (self.k + 1) * (self.k + 2) // 2 if self._determined else 2 * self.k + 1

    def _values(self, model: ModelState, rows: IntArray) -> FloatArray:
        """Objective and modelled constraints (p, m) of history rows; two-sided ones as they are, the others less their tolerance."""
        history, at = self.history, model.columns
        if not at.shape[0]:
            return history.f[rows][:, None].copy()
        tol = np.where(self.columns.equality[at], 0.0, self.columns.tol[at])
        return np.column_stack([history.f[rows], history.C[np.ix_(rows, at)] - tol])

    def _with(self, model: ModelState, row: int, force: bool = False) -> ModelState:
        """The set with history row `row` if that makes it better, or if `force`."""
        found, history = model.found, self.history
        assert found is not None
        if not self.frame.beside(history.X[row : row + 1])[0]:
            return model
        if history.status[row] != 0 or not abs(history.f[row]) <= VALUE_MAX or row in found.rows:
            return model
        if model.span is not None and not self.frame.holds(history.X[row]):
            return model
        values = self._values(model, np.array([row]))[0]
        s = found.place(self.frame.seen(history.X[row]))
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
        if moved and model.span is not None:
            return self._next_subspace(model)  # the centre has left it
        if _left(self.setup, self.state, model):
            # Another function of the moving variables: what was learnt about lengths belongs to the old one.
            radius = self._first_radius()
            if model.held is not None and self.state.mesh is not None:
                # The same variables stay held: which of their steps pay is for the poll to say.
                steps = self.setup.granularity[model.held] / self.state.mesh.scale[model.held]
                radius = min(radius, float(steps.min()) / COARSE)
            return evolve(model, found=None, radius=radius, resolution=radius, check=False, ratio=1.0, barren=0)
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
            distance = (
                np.sqrt(((found.place(self.frame.seen(self.history.X[rows])) - found.place(self.x)) ** 2).sum(axis=1))
                * model.unit
            )
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
        due = (
            self._determined
            and self.history.size - model.shaped >= 2 * self.k
            and found.size > 2 * self.k
            and self.k > 1
        )
        if not due and drift <= DRIFT * radius and 0.02 <= radius <= 50.0:
            return model
        stretch, shrink = np.eye(self.k), np.eye(self.k)
        if due:
            stretch, shrink = shape(found.H[0])
            model = evolve(
                model, shaped=self.history.size, plain=model.plain and bool(np.all(stretch == np.eye(self.k)))
            )
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
                return evolve(
                    model, radius=0.5 * model.radius, resolution=0.5 * model.resolution, rested=self.state.iteration
                )
            return model
        if not rows.shape[0]:  # nothing new to ask: the point is known
            return (
                self._lowered(model)
                if plan.kind == "trust"
                else evolve(model, check=False, rested=self.state.iteration)
            )
        row = int(rows[0])
        improved = outcome.improved
        before = plan.state.found
        assert before is not None
        if plan.kind == "geometry":
            t = plan.leaves
            usable = self.history.status[row] == 0 and abs(self.history.f[row]) <= VALUE_MAX
            if usable:
                model = self._with_error(model, before, row)
                s = before.place(self.frame.seen(self.history.X[row]))
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
        longest = max(model.longest, length) if improved else model.longest
        if length > model.resolution or self.history.status[row] != 0:
            model = evolve(model, errors=())
        else:
            model = self._with_error(model, before, row)
        model = evolve(model, radius=radius, ratio=ratio, check=ratio < 0.1, longest=longest)
        if ratio == REFUSED:
            model = evolve(model, check=False, barren=BARREN_MAX, level=self.row)
        if plan.judge is not None and not self._first:
            # Weights rise at once and fall slowly, so that the same point stays the centre.
            old = model.weights if model.weights.shape == plan.judge.weights.shape else plan.judge.weights
            model = evolve(model, weights=np.maximum(0.9 * old, plan.judge.weights))
        if model.columns.shape[0] and self.history.status[row] == 0:
            over = np.maximum(self._values(model, np.array([row]))[0][1:], 0.0) * ~self._equality(model)
            model = evolve(
                model,
                margin=np.where(over > 0.0, 0.1 * over * min(1.0, model.radius / length) ** 2, 0.3 * model.margin),
            )
        model = self._with(model, row, force=improved or row == self.row)
        return self._settled(model)

    def _with_error(self, model: ModelState, before: Interpolation, row: int) -> ModelState:
        """The errors with that of the models `before` at history row `row`."""
        told = before.values(before.place(self.frame.seen(self.history.X[row]))) + before.offset
        error = np.abs(self._values(model, np.array([row]))[0] - told)
        weights = model.weights if model.weights.shape == error.shape else np.ones(error.shape[0])
        return evolve(model, errors=(*model.errors, float(weights @ error))[-CALM:])

    def _ratio(self, plan: Plan, row: int) -> float:
        """Quality of the models at a trust-region step; -1 for a failed point; `REFUSED`."""
        before, judge = plan.state.found, plan.judge
        assert before is not None and judge is not None
        if self.history.status[row] != 0:
            return -1.0
        if (self.columns.excess(self.history.C[row])[self.steplike] > 0.0).any():
            return REFUSED
        found = self._values(plan.state, np.array([row]))[0]
        promised = before.values(before.place(self.frame.seen(self.history.X[row]))) + before.offset
        origin = before.values(before.place(self._origin(plan))) + before.offset
        return judge.accuracy(origin, promised, found)

    def _origin(self, plan: Plan) -> FloatArray:
        return self.frame.seen(self.history.X[plan.state.origin]) if plan.state.origin >= 0 else self.x
