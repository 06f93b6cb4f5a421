"""The model search where granular variables are too coarse for its steps: they are held, and the others are solved as if alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.schedule import Schedule
from dfoattack.solver import Solver
from dfoattack.steps._model_frame import Frame
from dfoattack.steps._model_rules import coarse
from dfoattack.steps.model import COARSE, ModelSearch, _left, _Turn
from dfoattack.steps.poll import Poll, PollCompletion
from tests.unit.searching import alone, check_points, check_replay, rosenbrock, run, sphere

BOX = da.Box([-10.0, -10.0, -5.0, -5.0], [10.0, 10.0, 5.0, 5.0], integer=[0, 1])


def solver_on(objective: Any, space: Any = BOX, **more: Any) -> Solver:
    """The search and the poll, from a corner of the box."""
    solver = alone(ModelSearch(), objective, space, np.full(space.n_free, 4.0), **more)
    solver.schedule = Schedule((ModelSearch(), Poll(), PollCompletion()))
    return solver


def valley(X: np.ndarray) -> np.ndarray:
    """Rosenbrock's function of all variables; its minimum has whole numbers."""
    return rosenbrock(X[:, ::-1])


def test_granular_variables_with_longer_steps_are_held() -> None:
    solver = run(solver_on(sphere, budget=30))
    setup, state = solver.setup, solver.state
    assert state.mesh is not None
    step = setup.granularity / state.mesh.scale
    assert coarse(setup, state, float(step[0])) is None
    assert np.array_equal(coarse(setup, state, 0.99 * float(step[0])), [True, True, False, False])


@pytest.mark.parametrize(
    "space", [[(-5.0, 5.0)] * 3, da.Box([-9] * 3, [9] * 3, integer=[0, 1, 2])], ids=["real", "integer"]
)
def test_nothing_is_held_where_all_variables_are_alike(space: Any) -> None:
    solver = run(alone(ModelSearch(), sphere, space, np.full(3, 2.0), budget=30))
    assert coarse(solver.setup, solver.state, 1e-6) is None


@pytest.mark.parametrize("period", [False, True])
def test_a_frame_with_held_variables(period: bool) -> None:
    """It sees, measures and proposes the others alone, and its points keep the values that are held."""
    space = da.Box([-10, 0.0, -5.0], [10, 6.0, 5.0], integer=[0], periodic=[1] if period else [])
    solver = run(alone(ModelSearch(), sphere, space, np.array([3.0, 2.0, 1.0]), budget=20))
    setup, state = solver.setup, solver.state
    frame = Frame(setup, state, state.centre, None, np.array([True, False, False]))
    x = state.history.X[state.centre]
    assert frame.k == 2 and np.array_equal(frame.x, x[1:])
    X = frame.snapped(np.array([[1.5, 0.5], [2.5, -0.5]]))
    assert np.array_equal(X[:, 0], np.full(2, x[0])) and np.array_equal(X[:, 1:], [[1.5, 0.5], [2.5, -0.5]])
    assert np.allclose(frame.seen(X), X[:, 1:])
    other = X + np.array([1.0, 0.0, 0.0])
    assert frame.beside(np.vstack([X, other])).tolist() == [True, True, False, False]
    rows = frame.rows_near(state, 1e9, 1e100)
    assert (state.history.X[rows][:, 0] == x[0]).all()


def test_the_set_of_held_variables_lies_beside_the_centre() -> None:
    """Whatever the poll does with the whole numbers: the models are never made of points with different ones."""
    solver, held = solver_on(valley, budget=300), 0
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        model = solver.state.searches.model
        if model is None or model.held is None or model.found is None:
            continue
        held += 1
        X = solver.state.history.X[model.found.rows][:, model.held]
        assert (X == X[0]).all() and model.found.S.shape[1] == 2
    assert held > 20
    check_points(solver)


def test_beside_other_values_it_begins_anew_and_near() -> None:
    """Where another step has moved a whole number, the search stays in the other variables, nearer by."""
    solver = solver_on(valley, budget=300)
    while (model := solver.state.searches.model) is None or model.held is None or model.found is None:
        solver.ask()
        solver.tell(solver.evaluate())
    setup, state = solver.setup, solver.state
    assert not _left(setup, state, model)
    X = state.history.X
    row = int(np.flatnonzero((X[:, 0] != X[state.centre, 0]) & (state.history.H == 0.0))[-1])
    state = evolve(state, barrier=evolve(state.barrier, feas=row))
    assert state.centre == row and _left(setup, state, model)
    after = _Turn(setup, state).current()
    assert state.mesh is not None
    near = float((1.0 / state.mesh.scale[model.held]).min()) / COARSE
    assert after.found is None and after.radius == after.resolution == near and after.barren == 0


def test_replay() -> None:
    check_replay(lambda: solver_on(valley, budget=120))


@pytest.mark.parametrize("seed", range(3))
def test_the_continuous_part_is_solved_to_the_end(seed: int) -> None:
    """A curved valley between whole numbers: with the points rounded one by one it stopped at 1e-2 and more."""
    rng = np.random.default_rng(seed)
    optimum = np.concatenate([rng.integers(-4, 5, 2), rng.uniform(-3.0, 3.0, 3)])
    space = da.Box([-10] * 2 + [-5] * 3, [10] * 2 + [5] * 3, integer=[0, 1])
    problem = da.Problem(
        objective=lambda X: sphere((X - optimum)[:, :2]) + rosenbrock(X[:, 2:] - optimum[2:] + 1.0),
        space=space,
        x0=np.concatenate([[4.0, -4.0], rng.uniform(-4.0, 4.0, 3)]),
        sense="minimize",
    )
    assert da.solve(problem, budget=600, seed=seed).fun < 1e-10


def test_solved_beside_held_values_all_variables_move_together_again() -> None:
    """Once a centre: whether whole numbers and the others can still gain together."""
    solver, joined = solver_on(valley, budget=500), []
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        model = solver.state.searches.model
        if model is not None and model.joined >= 0 and (not joined or joined[-1] != model.joined):
            joined.append(model.joined)
            assert model.held is None
    assert joined and len(set(joined)) == len(joined)
