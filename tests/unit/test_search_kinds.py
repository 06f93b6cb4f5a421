"""Searches on periodic and categorical variables and beside known linear constraints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from dfoattack.state import Setup
from dfoattack.steps._fold import Fold
from dfoattack.steps.base import Search
from dfoattack.steps.cma import CMA
from dfoattack.steps.nelder_mead import NelderMead, simplex
from dfoattack.steps.subspace import Subspace
from dfoattack.steps.vns import VNS
from tests.unit.searching import alone, best, check_points, check_replay, run

ANGLES = da.Box([0.0, -2.0], [1.0, 2.0], periodic=[0])
LABELLED = da.Box([None, -2.0, -2.0], [None, 2.0, 2.0], categorical={0: ("a", "b", "c")})


def seam(X: np.ndarray) -> np.ndarray:
    """The minimum, 0, lies at the seam of the first variable."""
    value: np.ndarray = np.sin(np.pi * X[:, 0]) ** 2 + (X[:, 1] - 0.3) ** 2
    return value


def labelled(X: np.ndarray) -> np.ndarray:
    value: np.ndarray = X[:, 0] + ((X[:, 1:] - 0.3) ** 2).sum(axis=1)
    return value


def fold_of(space: da.Box) -> Fold:
    setup: Setup = Solver(da.Problem(objective=lambda y: y[:, 0], space=space)).setup
    return Fold.of(setup, np.full(setup.n, 0.1))


def test_periodic_variables_wrap_and_others_fold() -> None:
    fold = fold_of(ANGLES)
    V = np.array([[1.25, 2.5], [-0.25, 0.0], [1.0, 0.0], [7.0, 0.0]])
    X = fold.points(V)
    assert X[:, 0].tolist() == pytest.approx([0.25, 0.75, 0.0, 0.0]) and 0.0 <= X[0, 1] < 2.0
    inside, sign = fold.mirrored(V)
    assert np.all(sign[:, 0] == 1.0) and sign[0, 1] == -1.0, "wrapping turns no axis round"
    assert np.all((inside[:, 0] >= 0.0) & (inside[:, 0] < 1.0))
    near = np.array([[0.01, 0.0]])
    assert fold.points(near)[0, 0] == 0.01, "no quadratic zone beside a seam"
    assert fold.preimage(near[0]).tolist() == near[0].tolist()
    assert fold.step(np.array([0.95, 0.0]), np.array([0.05, 1.0])) == pytest.approx([0.1, 1.0])


def test_all_lattice_values_of_a_period_own_the_same_room() -> None:
    fold = fold_of(da.Box([0.0], [4.0], integer=[0], periodic=[0]))
    V = (np.arange(8000) + 0.5)[:, None] / 1000.0 - 3.0
    assert np.bincount(fold.points(V)[:, 0].astype(int)).tolist() == [2000] * 4


@pytest.mark.parametrize(
    ("search", "budget", "reach"), [(CMA(), 400, 1e-8), (NelderMead(), 150, 1e-6), (VNS(), 300, 1e-3)]
)
def test_minimum_at_the_seam(search: Search, budget: int, reach: float) -> None:
    def make() -> Solver:
        x0 = [[0.9, 0.0], [0.05, 0.1], [0.95, 0.4]]
        return alone(search, seam, ANGLES, x0, budget=budget)

    solver = run(make())
    check_points(solver)
    assert best(solver) < reach
    check_replay(make, every=40)


def test_a_simplex_lies_across_the_seam() -> None:
    x0 = [[0.99, 0.3], [0.02, 0.3], [0.98, 0.35]]
    solver = run(alone(NelderMead(), seam, ANGLES, x0), turns=1)
    state = solver.state
    assert state.mesh is not None
    assert sorted(simplex(state.history, solver.setup.geometry, state.centre, state.mesh).tolist()) == [0, 1, 2]
    x = solver.ask().X[0]
    assert min(x[0], 1.0 - x[0]) < 0.1, "reflected at the middle of neighbours, not half a period away"


LINEAR = {"linear": da.Linear([1.0, 1.0], 1.0)}


@pytest.mark.parametrize("search", [CMA(), NelderMead()])
@pytest.mark.parametrize(
    ("objective", "space", "x0", "more"),
    [
        (labelled, LABELLED, [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]], {}),
        (seam, [(0, 1), (-2, 2)], [[0.5, 0], [0.25, 0], [0, 0.5]], LINEAR),
    ],
)
def test_not_ready_where_its_algebra_fails(search: Search, objective: Any, space: Any, x0: Any, more: Any) -> None:
    solver = run(alone(search, objective, space, x0, **more), turns=1)
    assert solver.state.mesh is not None and not search.ready(solver.setup, solver.state)


@pytest.mark.parametrize("search", [VNS(), Subspace(minimum=1)])
def test_levels_are_held(search: Search) -> None:
    solver = run(alone(search, labelled, LABELLED, [1, 1.5, -1.5], budget=120, options={"restarts": False}), turns=100)
    history = solver.state.history
    names = np.array(solver.schedule.names)[history.step]
    assert np.count_nonzero(names == search.name) > 20
    assert np.all(history.X[names == search.name][:, 0] == 1.0) and best(solver) < 1.05


@pytest.mark.parametrize(
    "more", [{"space": LABELLED, "objective": labelled}, {"space": [(0, 1), (-2, 2)], "objective": seam, **LINEAR}]
)
def test_restarts_go_on_without_the_population(more: dict[str, Any]) -> None:
    result = da.solve(da.Problem(sense="minimize", **more), budget=900, options={"covering_quota": 5})
    assert result.local_runs >= 2
    assert "cma" not in result.records.step
