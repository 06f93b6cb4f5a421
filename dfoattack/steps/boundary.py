"""Boundary search: descent along the border of what a yes-or-no constraint, or failing evaluations, allow.

Such a constraint tells on which side of its border a point lies and nothing else, so that no model of its values exists: interpolation sees a
step, gradients see zero, and polls pay for every direction anew. But many points with known sides determine the border: near the incumbent a
plane separates the accepted points from the refused ones. The search minimises a quadratic model of the objective behind that plane, inside a
trust region, subject to models of the other constraints. Where its points are refused, every second one is drawn at random along the border
instead, since only points to all sides tell how the border is inclined: the estimate of a normal from answers yes and no of Chen, Jordan &
Wainwright (2020), "HopSkipJumpAttack", with all answers of the neighbourhood used at once and the objective's model in the place of a distance.
After Basudhar & Missoum (2008), "Adaptive explicit decision functions for probabilistic design and optimization using support vector machines".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.attacks.qp import solve_qp
from dfoattack.regression import Quadratics, coefficients, quadratic_fit
from dfoattack.search_states import BoundaryState
from dfoattack.state import Setup, SolverState
from dfoattack.steps._model_rules import steplike
from dfoattack.steps._separation import Plane, separating_plane
from dfoattack.steps.base import Outcome, Proposal, Search

VARIABLES_MAX = 200  # beyond, dense matrices cost more than a network
RADIUS_MIN, RADIUS_MAX = 1e-8, 3.0  # in units of the scale
REACH = 3.0  # radii: how far off a refused point is of interest
GROW, SHRINK = 1.3, 0.5  # the radius after a success; after n points without one
TELLING, MORE, MOST = 8, 20, 200  # points that tell of the border: so many a variable, and so many more; at most
POINTS_MAX = 150  # of the objective's model
COLUMNS_MAX = 40  # constraints with models; the most violated or nearest to being active ones
LOOKS = 2  # one point in so many is drawn along the border, as long as nothing is gained
INWARD = 0.5  # share of the way from the incumbent to the plane at which they are drawn
IDLE = 0.5  # the radius where the border is not what limits the descent
LIMITED = 0.9  # of the radius: a longer step is limited by it
FLAT = 1e-6  # least curvature of the model, of its slope over the radius
PROMISE = 1e-2  # of the slope times the radius: a smaller gain is not worth a point


@dataclass(frozen=True)
class BoundaryMemo:
    """Whether the point was drawn along the border, and the radius at which it was proposed."""

    along: bool
    radius: float


class Boundary(Search):
    """One point a turn: the least value that is expected behind the border, or a point that tells how the border is inclined.

    Beside a feasible incumbent that has refused points within reach; continuous, plain variables, no equalities, no noise. Draws n normals
    for a point along the border, else nothing.
    """

    name = "boundary"
    hope = 1.0

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if state.mesh is None or state.floored or state.barrier.feas < 0 or state.noise is not None:
            return False
        columns = state.barrier.columns
        if setup.n > VARIABLES_MAX or np.any(setup.granularity > 0.0) or not setup.geometry.plain:
            return False
        if (columns is not None and columns.equality.any()) or (
            setup.polyhedron is not None and setup.polyhedron.E.shape[0]
        ):
            return False
        refused = _refused(state)
        if not refused.any():
            return False
        own = _current(state)
        distance = _distances(state, np.flatnonzero(refused))
        return own.radius > RADIUS_MIN and bool(distance.min() <= REACH * own.radius)

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return outcome.memo is not None and self.ready(setup, state)

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if state.mesh is None or not self.ready(setup, state):
            return Proposal.nothing(setup.n)
        own, x, scale = _current(state), state.history.X[state.centre], state.mesh.scale
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            plane = self._plane(state, own)
            if plane is None:
                return Proposal.nothing(setup.n)
            looks = own.misses % LOOKS == LOOKS - 1
            descent, met = (None, True) if looks else self._descent(setup, state, own, plane)
            if not met:
                return Proposal.nothing(setup.n, BoundaryMemo(False, IDLE * own.radius))
            step = _along(plane, own.radius, rng) if descent is None else descent
        X = setup.geometry.snapped((x + step * scale)[None, :])
        return Proposal.around(X, x, False, memo=BoundaryMemo(descent is None, own.radius), opportunistic=False)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: BoundaryMemo | None = outcome.memo
        if memo is None:
            return state
        own, radius = _current(state), memo.radius
        misses, made = own.misses + 1, own.made
        if outcome.improved:
            radius, misses, made = min(GROW * radius, RADIUS_MAX), 0, outcome.row
        elif not memo.along or outcome.last == outcome.first or _refused(state)[outcome.first : outcome.last].any():
            radius *= SHRINK ** (1.0 / setup.n)
        return evolve(
            state, searches=evolve(state.searches, boundary=BoundaryState(radius, state.centre, misses, made))
        )

    # ------------------------------------------------------------------ what is known of the border

    @staticmethod
    def _plane(state: SolverState, own: BoundaryState) -> Plane | None:
        """The border near the incumbent, in units of the scale from there; None where it cannot be told."""
        assert state.mesh is not None
        X, n = state.history.X, state.history.n
        refused = _refused(state)
        distance = _distances(state, np.arange(X.shape[0]))
        order = np.argsort(distance, kind="stable")
        nearest = float(distance[refused].min())
        reach = max(REACH * own.radius, nearest)
        near = order[: min(TELLING * n + MORE, MOST)]
        if not refused[near].any():
            near = np.append(near, order[refused[order]][0])
        U = (X[near] - X[state.centre]) / (state.mesh.scale * reach)
        found = separating_plane(U, refused[near])
        return None if found is None else Plane(found.normal, found.offset * reach)

    # ------------------------------------------------------------------ steps

    @staticmethod
    def _descent(setup: Setup, state: SolverState, own: BoundaryState, plane: Plane) -> tuple[FloatArray | None, bool]:
        """The best step (n,) in units of the scale that the models see behind the plane, None where they promise nothing; and whether
        the plane or the trust region limits it: else the minimum lies before the border, and is for other searches to find.
        """
        assert state.mesh is not None
        models = _models(state, own.radius)
        if models is None:
            return None, True
        x, scale, radius = state.history.X[state.centre], state.mesh.scale, own.radius
        g, slope = models.g[0], float(np.sqrt(models.g[0] @ models.g[0]))
        if not slope > 0.0:
            return None, True
        curvature, axes = np.linalg.eigh(models.H[0])
        B = (axes * np.maximum(curvature, FLAT * slope / radius)) @ axes.T
        A, b = (
            [plane.normal[None, :], models.g[1:]],
            [np.array([max(plane.offset, 0.0)]), np.maximum(-models.c[1:], 0.0)],
        )
        if setup.polyhedron is not None:
            A.append(setup.polyhedron.A * scale)
            b.append(np.maximum(setup.polyhedron.b - setup.polyhedron.A @ x, 0.0))
        lower, upper = np.maximum((setup.lower - x) / scale, -radius), np.minimum((setup.upper - x) / scale, radius)
        found = solve_qp(B, g, np.vstack(A), np.concatenate(b), np.minimum(lower, 0.0), np.maximum(upper, 0.0))
        if found is None:
            return None, True
        gain = -float(g @ found.d + 0.5 * found.d @ B @ found.d)
        met = found.multipliers[0] > 0.0 or float(np.max(np.abs(found.d))) >= LIMITED * radius
        return found.d if gain > PROMISE * slope * radius else None, met


def _along(plane: Plane, radius: float, rng: np.random.Generator) -> FloatArray:
    """A step (n,) of the radius' length in a random direction along the border."""
    t = rng.standard_normal(plane.normal.shape[0])
    along: FloatArray = t - (plane.normal @ t) * plane.normal
    size = float(np.sqrt(along @ along))
    inward: FloatArray = INWARD * max(plane.offset, 0.0) * plane.normal
    return inward + along * (radius / size) if size > 0.0 else inward


def _current(state: SolverState) -> BoundaryState:
    """The state of the search for the present incumbent: a radius that reaches back to where others have moved it from."""
    own, row = state.searches.boundary, state.centre
    if own is None:
        return BoundaryState(1.0, row)
    if own.row == row or own.row < 0:
        return own
    jump = float(_distances(state, np.array([own.row]))[0])
    return BoundaryState(min(max(own.radius, jump), RADIUS_MAX), row, 0, own.made)


def _distances(state: SolverState, rows: IntArray) -> FloatArray:
    """Distances of history rows (k,) from the incumbent in units of the scale."""
    assert state.mesh is not None
    D = (state.history.X[rows] - state.history.X[state.centre]) / state.mesh.scale
    distance: FloatArray = np.sqrt((D * D).sum(axis=1))
    return distance


def _refused(state: SolverState) -> BoolArray:
    """Which points of the run failed, or were refused by a constraint that says yes or no, (N,)."""
    history, columns = state.history, state.barrier.columns
    refused: BoolArray = history.status != 0
    if columns is None or not columns.tol.shape[0]:
        return refused
    yes_or_no = steplike(state, columns)
    if yes_or_no.any():
        refused = refused | (columns.excess(history.C)[:, yes_or_no] > 0.0).any(axis=1)
    return refused


def _models(state: SolverState, radius: float) -> Quadratics | None:
    """Quadratics of the objective and the constraints that have values, in units of the scale from the incumbent; values of order one."""
    assert state.mesh is not None
    history, n = state.history, state.history.n
    usable = np.flatnonzero((history.status == 0) & np.isfinite(history.f))
    distance = _distances(state, usable)
    near = np.argsort(distance, kind="stable")[: min(2 * coefficients(n), POINTS_MAX)]
    rows, distance = usable[near], distance[near]
    if rows.shape[0] < 2 or rows[0] != state.centre:
        return None
    values = [history.f[rows]]
    columns = state.barrier.columns
    if columns is not None and columns.tol.shape[0]:
        others = np.flatnonzero(~steplike(state, columns))
        C = columns.excess(history.C[rows])[:, others]
        kept = np.sort(np.argsort(-C[0], kind="stable")[:COLUMNS_MAX])
        values += list(C[:, kept].T)
    table = np.column_stack(values)
    size = np.abs(table - table[0]).max(axis=0)
    size[~(size > 0.0)] = 1.0
    unit = float(distance.max()) or 1.0
    S = (history.X[rows] - history.X[state.centre]) / (state.mesh.scale * unit)
    with single_thread():
        fit = quadratic_fit(S, table / size, 1.0 / np.maximum(distance / unit, min(radius / unit, 1.0)))
    if not (np.isfinite(fit.g).all() and np.isfinite(fit.H).all()):
        return None
    return Quadratics(fit.c, fit.g / unit, fit.H / unit**2)
