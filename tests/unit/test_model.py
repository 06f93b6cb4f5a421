"""The model search by itself: where its points lie, what it survives, what it reaches, and that it can be saved at any time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.interpolation import interpolate
from dfoattack.schedule import Schedule
from dfoattack.search_states import ModelState
from dfoattack.solver import Solver
from dfoattack.steps._model_frame import Frame
from dfoattack.steps._model_rules import CALM, calm, shape
from dfoattack.steps._model_step import Judge
from dfoattack.steps.base import Outcome
from dfoattack.steps.model import FAR_BESIDE, FAR_SET, POINTS_MAX, RESOLUTION_MIN, ModelSearch, _Turn
from dfoattack.steps.poll import Poll, PollCompletion
from tests.unit.searching import alone, best, check_points, check_replay, ellipsoid, rosenbrock, run, sphere


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def polled(objective: Any, space: Any, x0: Any, **more: Any) -> Solver:
    """The search and the poll."""
    solver = alone(ModelSearch(), objective, space, x0, **more)
    solver.schedule = Schedule((ModelSearch(), Poll(), PollCompletion()))
    return solver


def failing(X: np.ndarray) -> np.ndarray:
    return np.where(X.sum(axis=1) > 1.5, np.nan, sphere(X))


def huge(X: np.ndarray) -> np.ndarray:
    return np.where(X[:, 0] > 0.5, 1e300, sphere(X))


HOSTILE = {
    "failing": failing,
    "always failing but the start": lambda X: np.where((X == 1.0).all(axis=1), 1.0, np.nan),
    "huge": huge,
    "all huge": lambda X: 1e300 * X.sum(axis=1) / 10.0,
    "infinite": lambda X: np.where(X[:, 0] > 0.5, np.inf, sphere(X)),
    "plateau": lambda X: np.floor(X[:, 0]),
    "constant": lambda X: np.zeros(len(X)),
    "linear": lambda X: X.sum(axis=1),
    "tiny": lambda X: 1e-300 * sphere(X),
    "step": lambda X: sphere(X) + 5.0 * (X[:, 0] > 0.1),
    "noise": lambda X: sphere(X) + 1e-3 * np.sin(1e6 * X.sum(axis=1)),
}


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_functions_are_survived(name: str, n: int) -> None:
    solver = run(polled(HOSTILE[name], [(-2.0, 3.0)] * n, np.ones(n), budget=40 + 20 * n))
    check_points(solver)
    assert solver.state.stop is not None and solver.state.history.size > 2
    model = solver.state.searches.model
    if model is not None and model.found is not None:
        assert np.isfinite(model.found.inverse).all() and np.isfinite(model.found.H).all()


def test_a_linear_function_is_followed_to_the_corner() -> None:
    slope = np.array([1.0, -2.0, 0.5])
    solver = run(polled(lambda X: X @ slope, [(-2.0, 3.0)] * 3, np.zeros(3), budget=60))
    assert solver.state.history.X[solver.state.best_feas].tolist() == [-2.0, 3.0, -2.0]


SPACES: dict[str, Any] = {
    "box": [(-2.0, 3.0)] * 3,
    "free": [(-np.inf, np.inf)] * 3,
    "half": [(0.25, np.inf)] * 3,
    "lattice": da.Box([-2, -9, -4], [3, 9, 4], integer=[0, 1, 2]),
    "mixed": da.Box([-2, -9, -1], [3, 9, 1], integer=[1], granularity={2: 0.1}),
    "thin": da.Box([-2, 1.0 - 1e-12, -1], [3, 1.0 + 1e-12, 1]),
    "odd": da.Box([-1.0 / 3.0] * 3, [0.1 + 0.2 + 0.9] * 3),
}


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_points_and_replay(name: str, constrained: bool) -> None:
    """In the box by 0 ulp, on the lattice, no point twice; the same run through bytes between any two calls."""
    more: dict[str, Any] = {}
    if constrained:
        more["constraints"] = [lambda X: 0.7 - X[:, 0] * X[:, 1], lambda X: X.sum(axis=1) - 3.0]

    def make() -> Solver:
        return polled(lambda X: rosenbrock(X - 0.2), SPACES[name], np.ones(3), budget=70, **more)

    check_points(run(make()))
    check_replay(make)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_a_quadratic_is_solved_like_one(n: int) -> None:
    centre = rng(4).uniform(-1.0, 1.0, n)
    budget = 15 * (n + 1)
    solver = run(polled(lambda X: ellipsoid(X - centre, 1e2), [(-5.0, 5.0)] * n, np.full(n, 2.0), budget=budget))
    assert best(solver) < 1e-8


def test_models_that_told_the_last_points_need_no_repairs() -> None:
    """Solved, a quadratic is left behind resolution by resolution; renewing the set each time would cost up to 45 points a time."""
    n, size = 8, {}
    centre = rng(4).uniform(-1.0, 1.0, n)
    solver = polled(lambda X: ellipsoid(X - centre, 1e2), [(-5.0, 5.0)] * n, np.full(n, 2.0), budget=30 * (n + 1))
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        model = solver.state.searches.model
        if model is not None:
            size.setdefault(round(np.log10(model.resolution)), solver.state.history.size)
    assert -3 in size and size[-3] - size[-1] < 100


def test_what_calm_models_are() -> None:
    """Errors at the last points far below what the least curvature, 2, makes of a step of length 0.1: 0.125 * 2 * 0.01."""
    S = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
    values = (S**2 @ [1.0, 5.0])[:, None]
    found = interpolate(np.arange(6), S, values, np.zeros(2), np.eye(2), np.eye(2))
    assert found is not None
    judge = Judge(np.ones(1), np.zeros(1, dtype=bool))

    def is_calm(errors: tuple[float, ...], H: np.ndarray = found.H) -> bool:
        model = ModelState(found, np.empty(0, dtype=np.int64), 1.0, 1.0, 0, errors=errors)
        return calm(model, evolve(found, H=H), judge, 0.1)

    assert is_calm((2.4e-3,) * CALM)
    assert not is_calm((0.0,) * (CALM - 1))  # too few points
    assert not is_calm((0.0, 0.0, 2.6e-3))
    assert not is_calm((1e-9,) * CALM, -found.H)  # a maximum
    assert not is_calm((0.0,) * CALM, np.full((1, 2, 2), np.inf))


@pytest.mark.parametrize("check", [False, True])
def test_points_beyond_two_radii_are_renewed(check: bool) -> None:
    free = ModelState(None, np.empty(0, dtype=np.int64), 1.0, 1.0, 0, check=check)
    beside = evolve(free, columns=np.zeros(1, dtype=np.int64))
    assert _Turn._far(free) == FAR_SET
    assert _Turn._far(beside) == (FAR_BESIDE if check else FAR_SET)


def test_curved_valleys_are_followed() -> None:
    solver = run(polled(rosenbrock, [(-5.0, 5.0)] * 3, [-1.2, 1.0, 2.0], budget=500))
    assert best(solver) < 1e-8


def test_constraints_are_met_where_they_are_active() -> None:
    """Minimise x + y on the disc of radius 1: the optimum is -sqrt 2."""
    solver = run(
        polled(
            lambda X: X.sum(axis=1),
            [(-2.0, 2.0)] * 2,
            [0.3, 0.1],
            constraints=[lambda X: (X**2).sum(axis=1) - 1.0],
            budget=120,
        )
    )
    assert best(solver) == pytest.approx(-np.sqrt(2.0), abs=1e-5)


@pytest.mark.parametrize("k", [-60, -3, -1, 1, 2, 40])
def test_powers_of_two_change_no_point(k: int) -> None:
    """The models and their bases know no scale of the objective."""
    plain, other = (
        run(polled(lambda X, s=s: s * rosenbrock(X), [(-3.0, 3.0)] * 3, [-1.0, 0.5, 2.0], budget=150))
        for s in (1.0, 2.0**k)
    )
    a, b = plain.state.history.X, other.state.history.X
    different = np.flatnonzero((a != b).any(axis=1)) if a.shape == b.shape else np.array([-1])
    assert not different.size, different[0]


def test_it_gives_way_to_the_poll_and_ends() -> None:
    """A turn with nothing to propose marks the iteration; below the least resolution the search is over."""
    search = ModelSearch()
    solver = run(polled(sphere, [(-5.0, 5.0)] * 2, [2.0, 1.0], budget=300))
    model = solver.state.searches.model
    assert model is not None and model.resolution <= 1.001e-3
    spent = evolve(model, resolution=RESOLUTION_MIN, rested=-1)
    state = evolve(solver.state, floored=False, searches=evolve(solver.state.searches, model=spent))
    assert not search.ready(solver.setup, state)
    rested = evolve(state, searches=evolve(state.searches, model=evolve(model, rested=state.iteration)))
    assert not search.ready(solver.setup, rested)
    proposal = search.propose(solver.setup, rested, rng(), None)
    assert len(proposal.X) == 0 and proposal.memo is None
    assert search.update(solver.setup, rested, Outcome(None, 0, 0)) is rested


def test_independent_directions() -> None:
    solver = run(polled(sphere, [(-5.0, 5.0)] * 3, [2.0, 1.0, 0.5]), 1)
    frame = Frame(solver.setup, solver.state, solver.state.centre)
    S = np.array(
        [[1.0, 0.0, 0.0], [2.0, 0.0, 1e-3], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, -0.5], [0.0, 3.0, 3.0]]
    )
    chosen, basis = frame.independent(S, 0.1)
    assert chosen == [0, 3, 4]
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-14)
    chosen, basis = frame.independent(np.empty((0, 3)), 0.1)
    assert chosen == [] and basis.shape == (0, 3)


@pytest.mark.parametrize("n", [2, 5])
def test_the_basis_goes_half_the_way_to_equal_curvatures(n: int) -> None:
    axes = np.linalg.qr(rng(n).standard_normal((n, n)))[0]
    curvature = np.logspace(0, 4, n)
    H = (axes * curvature) @ axes.T
    stretch, shrink = shape(H)
    np.testing.assert_allclose(stretch @ shrink, np.eye(n), atol=1e-10)
    assert np.linalg.det(stretch) == pytest.approx(1.0)
    rounder = np.linalg.eigvalsh(stretch.T @ H @ stretch)
    assert rounder.max() / rounder.min() == pytest.approx(1e2, rel=1e-6)
    for round_one in (np.eye(n), np.zeros((n, n)), np.full((n, n), np.nan)):
        for part in shape(round_one):
            assert part.tolist() == np.eye(n).tolist()
    for k in (-301, -1, 1, 3, 250):
        for part, scaled in zip(shape(H), shape(H * 2.0**k), strict=True):
            assert part.tobytes() == scaled.tobytes()


@pytest.mark.parametrize("n", [4, 24])
def test_curvature_is_believed_only_where_points_can_determine_it(n: int) -> None:
    """A full set has the basis of its curvature; of too many variables a set has 2n + 1 points and keeps its basis."""
    solver = polled(ellipsoid, [(-5.0, 5.0)] * n, np.full(n, 2.0), budget=14 * (n + 1))
    run(solver)
    model = solver.state.searches.model
    assert model is not None and model.found is not None
    few, full = 2 * n + 1, (n + 1) * (n + 2) // 2
    assert (full <= POINTS_MAX) == (n == 4)
    assert model.found.size == (full if n == 4 else few)
    assert model.plain == (n == 24)
