"""Model search for a front: quadratic models of every objective and constraint, minimised towards the gap beside the centre.

One set of models round the centre serves all its subproblems: the middle of the gap (a Chebyshev function between the two members on
its sides), the best value of an objective where the centre is an end of the front, and a point that dominates the centre.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.cache import History
from dfoattack.mesh import Mesh
from dfoattack.multi.archive import Element, front_values, ranges, rows_of, values
from dfoattack.multi.models import QuadraticModels, quadratic_models
from dfoattack.multi.selection import gaps, is_extreme
from dfoattack.multi.state import MultiSetup, MultiState
from dfoattack.multi.steps import FrontStep
from dfoattack.steps.base import Outcome, Proposal

FULL_QUADRATIC_MAX = 24  # variables up to which a full quadratic is fitted
POINTS_A_VARIABLE = 5
VARIABLES_MAX = 49
REACH = 4.0  # points within so many frame sizes are used, farther ones only until there are enough
TRUST = 2.0  # minimisers are sought within so many frame sizes
COLUMNS_MAX = 30  # constraint columns modelled
SUM_SHARE = 1e-2  # of the sum of all terms, added to the largest one: keeps minimisers off the weakly efficient points
PROMISE = 0.1  # of a member's distance to its neighbours: predicted progress worth an evaluation
FRAME_BLIND = 0.05  # of the first frame: where models fail in smaller ones, no further look is taken
LOOKS = 4  # members looked at without an evaluation in one iteration
GAP_MIN = 1e-3  # of an objective's range: smallest width of a gap used as a weight


class Descent(FrontStep):
    """Look for a point that dominates a member not looked at before, the loneliest first, where the models promise enough.

    Gap filling alone would leave points behind that are efficient only because nothing better is known nearby. Draws nothing.
    """

    name = "descent"
    enlarges = True

    def propose(self, setup: MultiSetup, state: MultiState, element: Element, rng: np.random.Generator) -> Proposal:
        n, archive = setup.n, state.archive
        if not _usable(setup) or element.done or not archive.feas:
            return Proposal.nothing(n)
        G = front_values(state.history, archive, setup.q)
        span = ranges(G)
        lonely, _ = gaps(G / span)
        looked: list[int] = []
        for i in np.argsort(-lonely, kind="stable").tolist():
            member = archive.feas[i]
            if member.checked:
                continue
            looked.append(member.row)
            with single_thread():
                local = _local(setup, state, member)
                found = None if local is None else local.solved(G[i], 1.0 / span)
            if found is not None and found[1] > PROMISE * lonely[i]:
                memo = Looked(np.array(looked, dtype=np.int64))
                return Proposal.around(found[0][None, :], state.history.X[member.row], False, memo=memo)
            if len(looked) >= LOOKS:
                break
        return Proposal.nothing(n, Looked(np.array(looked, dtype=np.int64)))

    def update(self, setup: MultiSetup, state: MultiState, element: Element, outcome: Outcome) -> MultiState:
        archive, tried = state.archive, outcome.last > outcome.first
        rows = [] if outcome.memo is None else outcome.memo.rows.tolist()
        for row in rows:
            member = archive.find(row)
            if member is None:
                continue
            if tried and row == rows[-1] and outcome.success < 2 and member.frame > FRAME_BLIND:
                # The models promised what was not there: look again, closer, when its turn comes.
                archive = archive.replaced(member.refined(state.history.X[row].copy()))
            else:
                archive = archive.replaced(evolve(member, checked=True))
        return evolve(state, archive=archive)


@dataclass(frozen=True)
class Looked:
    """History rows of the members a descent was looked for at, (k,)."""

    rows: IntArray


class FrontModel(FrontStep):
    """Propose minimisers of the models in a box round the centre: the middle of the gap, the ends of the front. Draws nothing."""

    name = "model"
    enlarges = True
    refines = True
    greedy = True

    def propose(self, setup: MultiSetup, state: MultiState, element: Element, rng: np.random.Generator) -> Proposal:
        if not _usable(setup) or element.done:
            return Proposal.nothing(setup.n)
        with single_thread():
            local = _local(setup, state, element)
            if local is None:
                return Proposal.nothing(setup.n)
            X = [local.solved(z, w)[0] for z, w in _subproblems(setup, state, element.row)]
        return Proposal.around(np.array(X), state.history.X[element.row], False)


def _usable(setup: MultiSetup) -> bool:
    return "model" in setup.base.options.searches and 0 < setup.n <= VARIABLES_MAX


@dataclass(frozen=True)
class Local:
    """Models round one point x, in scaled displacements s = (X - x) / unit and scaled values (f - low) / spread."""

    setup: MultiSetup
    models: QuadraticModels
    x: FloatArray
    unit: FloatArray
    low: FloatArray
    spread: FloatArray
    lower: FloatArray
    upper: FloatArray

    def solved(self, z: FloatArray, w: FloatArray) -> tuple[FloatArray, float]:
        """The point (n,) that minimises max_j w_j (f_j - z_j) in the models, on the lattice and in the box; minus that value."""
        q, base = self.setup.q, self.setup.base
        zs, ws = (z - self.low[:q]) / self.spread[:q], w * self.spread[:q]
        s = chebyshev(self.models, zs, ws, (-self.low / self.spread)[q:], self.lower, self.upper)
        X = base.geometry.snapped((self.x + s * self.unit)[None, :])
        return X[0], -float(np.max(ws * (self.models.value(s)[:q] - zs)))


def _local(setup: MultiSetup, state: MultiState, element: Element) -> Local | None:
    """Models round an element from the points near it; None where no model can be made."""
    history, q, base = state.history, setup.q, setup.base
    x = history.X[element.row].copy()
    rows, distance = _nearest(history, x, element.mesh)
    if rows.shape[0] < setup.n + 2:
        return None
    radius = float(max(REACH, distance.max(initial=0.0)))
    unit = radius * element.mesh.frame_size
    columns, tol = _columns(state, rows, q)
    data = np.column_stack([values(history, rows, q), history.C[np.ix_(rows, columns + q - 1)] - tol])
    low = data.min(axis=0)
    with np.errstate(over="ignore"):
        spread = data.max(axis=0) - low
    if not np.isfinite(spread).all():
        return None
    spread[spread <= 0.0] = 1.0
    weights = (REACH / np.maximum(REACH, distance)) ** 2
    models = quadratic_models((history.X[rows] - x) / unit, (data - low) / spread, weights)
    if models is None:
        return None
    lower = np.maximum((base.lower - x) / unit, -TRUST / radius)
    upper = np.minimum((base.upper - x) / unit, TRUST / radius)
    return Local(setup, models, x, unit, low, spread, lower, upper)


def _subproblems(setup: MultiSetup, state: MultiState, row: int) -> list[tuple[FloatArray, FloatArray]]:
    """Ideal points and weights (q,) of the functions max_j w_j (f_j - z_j) to be minimised, in order of promise."""
    history, q, focus = state.history, setup.q, state.focus
    side = (
        focus.second if focus is not None and focus.second >= 0 and history.H[row] > 0.0 else row
    )  # the gap's feasible side
    g = values(history, np.array([side]), q)[0]
    G = front_values(history, state.archive, q)
    span = ranges(G)
    out: list[tuple[FloatArray, FloatArray]] = []
    if focus is not None and focus.aim is not None:
        out.append((G.min(axis=0), 1.0 / (np.maximum(focus.aim, GAP_MIN) * span)))
    elif focus is not None and focus.other >= 0:
        other = values(history, np.array([focus.other]), q)[0]
        out.append((np.minimum(g, other), 1.0 / np.maximum(np.abs(g - other), GAP_MIN * span)))
    position = np.flatnonzero(rows_of(state.archive.feas) == row)
    if position.size:
        for j in is_extreme(G, int(position[0])):
            weight = SUM_SHARE / span
            weight[j] = 1.0 / span[j]
            out.append((np.where(np.arange(q) == j, g - span, g), weight))
    return out or [(g, 1.0 / span)]


def _nearest(history: History, x: FloatArray, mesh: Mesh) -> tuple[IntArray, FloatArray]:
    """Rows of the usable points nearest to x, and their distances from it in frame sizes."""
    n = x.shape[0]
    distance = np.max(np.abs(history.X - x) / mesh.frame_size, axis=1, initial=0.0)
    distance[history.status != 0] = np.inf
    full = (n + 1) * (n + 2) // 2
    quadratic = n <= FULL_QUADRATIC_MAX and distance.shape[0] >= full
    most = min((3 * full) // 2 if quadratic else min(full - 1, POINTS_A_VARIABLE * n), distance.shape[0])
    enough = full if quadratic else 2 * n + 1
    rows = np.argpartition(distance, most - 1)[:most]
    rows = rows[np.lexsort((rows, distance[rows]))]
    near = distance[rows] <= REACH
    near[:enough] = np.isfinite(distance[rows[:enough]])
    return rows[near], distance[rows[near]]


def _columns(state: MultiState, rows: IntArray, q: int) -> tuple[IntArray, FloatArray]:
    """Constraint columns worth a model, those closest to being active, and their tolerances."""
    columns = state.barrier.columns
    if columns is None or not columns.tol.shape[0]:
        return np.empty(0, dtype=np.int64), np.empty(0)
    worst = np.max((state.history.C[rows, q - 1 :] - columns.tol) / columns.scale, axis=0)
    order: IntArray = np.argsort(-worst, kind="stable")[:COLUMNS_MAX]
    return order, columns.tol[order]


def chebyshev(
    models: QuadraticModels, z: FloatArray, w: FloatArray, limits: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """Approximate minimiser s (n,) in the box of max_j w_j (f_j - z_j) plus a small share of the mean of these terms.

    Models 0..q-1 are the objectives (z, w (q,)), the others constraints, model q + i <= limits[i]. The largest term is an additional
    variable t, bounded below by each of them.
    """
    q, n = z.shape[0], lower.shape[0]
    s0 = np.clip(np.zeros(n), lower, upper)

    def terms(s: FloatArray) -> FloatArray:
        found: FloatArray = w * (models.value(s)[:q] - z)
        return found

    unit = float(np.max(np.abs(w * models.g[:q].T), initial=0.0)) or 1.0  # terms of order one, whatever the weights
    w = w / unit
    start = np.append(s0, terms(s0).max())
    slope = np.append(np.zeros(n), 1.0)

    def value(v: FloatArray) -> float:
        return float(v[n] + SUM_SHARE * terms(v[:n]).mean())

    def gradient(v: FloatArray) -> FloatArray:
        out = slope.copy()
        out[:n] = SUM_SHARE / q * (w @ models.gradient(v[:n])[:q])
        return out

    def slack(v: FloatArray) -> FloatArray:
        f = models.value(v[:n])
        return np.concatenate([v[n] - w * (f[:q] - z), limits - f[q:]])

    def slack_jacobian(v: FloatArray) -> FloatArray:
        J = models.gradient(v[:n])
        return np.column_stack([-np.vstack([w[:, None] * J[:q], J[q:]]), np.arange(J.shape[0]) < q])

    constraint: Any = {"type": "ineq", "fun": slack, "jac": slack_jacobian}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a subproblem that is not solved exactly still gives a trial point
        solve: Any = minimize  # the overloads of its stubs do not know this combination
        found = solve(
            value,
            start,
            jac=gradient,
            bounds=Bounds(np.append(lower, -np.inf), np.append(upper, np.inf)),
            method="SLSQP",
            constraints=[constraint],
            options={"maxiter": 60},
        )
    s: FloatArray = np.clip(np.where(np.isfinite(found.x[:n]), found.x[:n], 0.0), lower, upper)
    return s
