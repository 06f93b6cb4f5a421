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
from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.mesh import Mesh
from dfoattack.models import QuadraticModels, quadratic_models
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
        if (
            not setup.options.models
            or n > VARIABLES_MAX
            or mesh is None
            or row < 0
            or state.floored
            or state.barrier.phase == 1
        ):
            return Proposal.nothing(n)
        with single_thread():
            X = _trials(setup, state, mesh, row)
        return Proposal.nothing(n) if X is None else Proposal.around(X, state.history.X[row], False)


def _trials(setup: Setup, state: SolverState, mesh: Mesh, row: int) -> FloatArray | None:
    """Minimisers of the models round history row `row`, (k, n), or None where no model can be made."""
    n = setup.n
    geometry = setup.geometry
    x = state.history.X[row]
    rows, distance = _nearest(setup, state, x, mesh)
    radius = float(max(REACH, distance.max(initial=0.0)))
    if rows.shape[0] < n + 2 or not geometry.moving.shape[0]:
        return None
    unit = radius * mesh.frame_size
    columns = _columns(state, rows)
    values = np.column_stack([state.history.f[rows], state.history.C[np.ix_(rows, columns)] - _tol(state, columns)])
    low = values.min(axis=0)
    with np.errstate(over="ignore"):
        spread = values.max(axis=0) - low
    if not np.isfinite(spread).all():
        return None
    spread[spread <= 0.0] = 1.0
    S = geometry.displacement(x, state.history.X[rows]) / unit
    if geometry.has_levels:  # models of the other variables, from points of these levels alone
        S = np.ascontiguousarray(S[:, geometry.moving])
    models = quadratic_models(S, (values - low) / spread, (REACH / np.maximum(REACH, distance)) ** 2)
    if models is None:
        return None
    low_bound, high_bound = geometry.around(x)
    lower = np.maximum((low_bound - x) / unit, -TRUST / radius)
    upper = np.minimum((high_bound - x) / unit, TRUST / radius)
    if geometry.has_levels:
        lower, upper = lower[geometry.moving], upper[geometry.moving]
    limits = (-low / spread)[1:]  # c_j <= tol_j in the units of the models
    steps = [minimiser(models, limits, lower, upper)]
    if columns.shape[0]:
        size = float(np.abs(steps[0]).max())
        steps.append(minimiser(models, limits - MARGIN * size**2, lower, upper))
    D = np.zeros((len(steps), n))
    D[:, geometry.moving] = steps
    return geometry.snapped(x + D * unit)


def _nearest(setup: Setup, state: SolverState, x: FloatArray, mesh: Mesh) -> tuple[IntArray, FloatArray]:
    """Rows of the usable points nearest to x, and their distances from it in frame sizes."""
    history, n = state.history, x.shape[0]
    # Seen from x: the short way round, and infinitely far where a categorical variable has another level.
    distance = np.max(np.abs(setup.geometry.images(x, history.X) - x) / mesh.frame_size, axis=1, initial=0.0)
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
    worst = np.max((state.history.C[rows] - columns.tol) / columns.scale, axis=0)
    # In the order of their values, not of their positions: the order in which constraints are stated must not matter.
    order: IntArray = np.argsort(-worst, kind="stable")[:COLUMNS_MAX]
    return order


def _tol(state: SolverState, columns: IntArray) -> FloatArray:
    return state.barrier.columns.tol[columns] if state.barrier.columns is not None else np.empty(0)


def minimiser(models: QuadraticModels, limits: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Approximate minimiser s (n,) of model 0 in the box subject to model j <= limits[j - 1], from s = 0."""
    start = np.clip(np.zeros(lower.shape[0]), lower, upper)
    constraint: Any = {
        "type": "ineq",
        "fun": lambda s: limits - models.value(s)[1:],
        "jac": lambda s: -models.gradient(s)[1:],
    }
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
            constraints=[constraint] if constrained else [],
            options={"maxiter": 60},
        )
    step: FloatArray = np.clip(np.where(np.isfinite(found.x), found.x, 0.0), lower, upper)
    return step
