"""Quadratic model search: minimise models of the objective and the constraints built from evaluated points.

After Conn & Le Digabel (2013), "Use of quadratic models with mesh adaptive direct search for constrained black box optimization".
The points are not rounded to the mesh: they become incumbents on any decrease, and count as a success only on sufficient decrease.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from dfoattack._threads import single_thread
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks.base import View
from dfoattack.barrier import Columns, poll_centres
from dfoattack.kernels import mesh as kernels
from dfoattack.mesh import Mesh
from dfoattack.models import QuadraticModels, quadratic_models
from dfoattack.polyhedron import Polyhedron
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Proposal, Step

FULL_QUADRATIC_MAX = (
    24  # variables up to which a full quadratic is fitted; above, minimum-norm models from a multiple of n points
)
POINTS_A_VARIABLE = 5
VARIABLES_MAX = 49  # beyond, one factorisation would cost more than it tells
REACH = 4.0  # points within so many frame sizes are used, farther ones only until there are enough
TRUST = 2.0  # the minimiser is sought within so many frame sizes
COLUMNS_MAX = 30  # constraint columns modelled; the most violated or nearest to being active ones
MARGIN = 1e-2  # of the second trial's constraints, times the squared step


class ModelSearch(Step):
    """Propose the minimiser of the models in a box round the primary centre; with constraints also one that keeps a margin.

    Draws nothing.
    """

    name = "model"
    enlarges = True

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        n, mesh = setup.n, state.mesh
        row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        if not setup.options.models or n > VARIABLES_MAX or mesh is None or row < 0 or state.floored:
            return Proposal.nothing(n)
        with single_thread():
            X = _trials(setup, state, mesh, row)
        return Proposal.nothing(n) if X is None else Proposal.around(X, state.history.X[row], False)


def _trials(setup: Setup, state: SolverState, mesh: Mesh, row: int) -> FloatArray | None:
    """Minimisers of the models round history row `row`, (k, n), or None where no model can be made."""
    n = setup.n
    x = state.history.X[row]
    rows, distance = _nearest(state, x, mesh)
    radius = float(max(REACH, distance.max(initial=0.0)))
    if rows.shape[0] < n + 2:
        return None
    unit = radius * mesh.frame_size
    columns = _columns(state, rows)
    tol, equality = _sides(state, columns)
    values = np.column_stack([state.history.f[rows], state.history.C[np.ix_(rows, columns)]])
    low = values.min(axis=0)
    with np.errstate(over="ignore"):
        spread = values.max(axis=0) - low
    if not np.isfinite(spread).all():
        return None
    spread[spread <= 0.0] = 1.0
    models = quadratic_models(
        (state.history.X[rows] - x) / unit, (values - low) / spread, (REACH / np.maximum(REACH, distance)) ** 2
    )
    if models is None:
        return None
    lower = np.maximum((setup.lower - x) / unit, -TRUST / radius)
    upper = np.minimum((setup.upper - x) / unit, TRUST / radius)
    limits = (np.concatenate(([0.0], np.where(equality, 0.0, tol))) - low)[1:] / spread[
        1:
    ]  # in the units of the models
    if state.barrier.phase == 1:
        models = _least_step(models)
    if setup.polyhedron is not None:
        models, limits, equality = _with_linear(setup.polyhedron, x, unit, models, limits, equality)
    steps = [minimiser(models, limits, equality, lower, upper)]
    if columns.shape[0]:
        size = float(np.abs(steps[0]).max())
        steps.append(minimiser(models, np.where(equality, limits, limits - MARGIN * size**2), equality, lower, upper))
    X = np.empty((len(steps), n))
    kernels.snap(x + np.array(steps) * unit, setup.lower, setup.upper, setup.granularity, setup.inverse, X)
    return X


def _nearest(state: SolverState, x: FloatArray, mesh: Mesh) -> tuple[IntArray, FloatArray]:
    """Rows of the usable points nearest to x, and their distances from it in frame sizes."""
    history, n = state.history, x.shape[0]
    distance = np.max(np.abs(history.X - x) / mesh.frame_size, axis=1, initial=0.0)
    distance[history.status != 0] = np.inf
    full = (n + 1) * (n + 2) // 2
    quadratic = n <= FULL_QUADRATIC_MAX and distance.shape[0] >= full
    most = (3 * full) // 2 if quadratic else min(full - 1, POINTS_A_VARIABLE * n)
    enough = full if quadratic else 2 * n + 1
    most = min(most, distance.shape[0])
    rows = np.argpartition(distance, most - 1)[:most]
    rows = rows[np.lexsort((rows, distance[rows]))]
    near = distance[rows] <= REACH
    near[:enough] = np.isfinite(distance[rows[:enough]])
    rows = rows[near]
    return rows, distance[rows]


def _columns(state: SolverState, rows: IntArray) -> IntArray:
    """Constraint columns worth a model: those closest to being active at any of the points, at most COLUMNS_MAX."""
    columns = state.barrier.columns
    if columns is None or not columns.tol.shape[0]:
        return np.empty(0, dtype=np.int64)
    known = np.arange(columns.tol.shape[0])
    if state.barrier.phase == 1:
        known = np.flatnonzero(columns.extreme)  # the others do not count yet
    worst = np.max(columns.excess(state.history.C[rows]) / columns.scale, axis=0)
    # In the order of their values, not of their positions: the order in which constraints are stated must not matter.
    order: IntArray = known[np.argsort(-worst[known], kind="stable")[:COLUMNS_MAX]]
    return order


def _least_step(models: QuadraticModels) -> QuadraticModels:
    """The models with the squared length of the step as the objective: phase one looks for the nearest way into the extreme set."""
    n = models.g.shape[1]
    g, H = models.g.copy(), models.H.copy()
    g[0], H[0] = 0.0, 2.0 * np.eye(n)
    return QuadraticModels(models.c, g, H)


def _sides(state: SolverState, columns: IntArray) -> tuple[FloatArray, BoolArray]:
    """Tolerances of these columns, and which of them are two-sided."""
    known = state.barrier.columns or Columns.none()
    return known.tol[columns], known.equality[columns]


def _with_linear(
    polyhedron: Polyhedron,
    x: FloatArray,
    unit: FloatArray,
    models: QuadraticModels,
    limits: FloatArray,
    equality: BoolArray,
) -> tuple[QuadraticModels, FloatArray, BoolArray]:
    """Models, limits and flags with the known linear constraints, each row in units of its own size."""
    A, room = np.vstack([polyhedron.A, polyhedron.E]) * unit, np.concatenate([polyhedron.b, polyhedron.d])
    room = room - np.vstack([polyhedron.A, polyhedron.E]) @ x
    sizes = np.linalg.norm(A, axis=1)
    q, n = A.shape
    return (
        QuadraticModels(
            np.append(models.c, np.zeros(q)),
            np.vstack([models.g, A / sizes[:, None]]),
            np.concatenate([models.H, np.zeros((q, n, n))]),
        ),
        np.append(limits, room / sizes),
        np.append(equality, np.arange(q) >= polyhedron.A.shape[0]),
    )


def minimiser(
    models: QuadraticModels, limits: FloatArray, equality: BoolArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """Approximate minimiser s (n,) of model 0 in the box subject to model j <= (or =) limits[j - 1], from s = 0."""
    start = np.clip(np.zeros(lower.shape[0]), lower, upper)
    constraints: Any = [
        {
            "type": kind,
            "fun": lambda s, rows=rows: (limits - models.value(s)[1:])[rows],
            "jac": lambda s, rows=rows: -models.gradient(s)[1:][rows],
        }
        for kind, rows in (("ineq", np.flatnonzero(~equality)), ("eq", np.flatnonzero(equality)))
        if rows.shape[0]
    ]
    constrained = limits.shape[0] > 0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a subproblem that is not solved exactly still gives a trial point
        solve: Any = minimize  # the overloads of its stubs do not know this combination
        found = solve(
            lambda s: float(models.value(s)[0]),
            start,
            jac=lambda s: models.gradient(s)[0],
            bounds=Bounds(lower, upper),
            method="SLSQP" if constrained else "L-BFGS-B",
            constraints=constraints,
            options={"maxiter": 60},
        )
    step: FloatArray = np.clip(np.where(np.isfinite(found.x), found.x, 0.0), lower, upper)
    return step
