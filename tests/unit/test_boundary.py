"""The boundary search: the plane between accepted and refused points, when it has something to say, what its runs reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.attacks.sqp import SQP
from dfoattack.search_states import BoundaryState
from dfoattack.solver import Solver
from dfoattack.steps import _separation
from dfoattack.steps._separation import separating_plane
from dfoattack.steps.base import Outcome
from dfoattack.steps.boundary import GROW, RADIUS_MAX, RADIUS_MIN, SHRINK, Boundary, BoundaryMemo, _current, _refused
from dfoattack.testing.views import FunctionView, target_at
from tests.unit.searching import best, check_points, check_replay, run

CENTRE = np.array([0.3, -0.2, 0.4, 0.1, -0.5])
NORMAL = np.array([1.0, 0.5, -0.3, 0.2, 0.4])


def distance(X: np.ndarray) -> np.ndarray:
    return ((X - CENTRE) ** 2).sum(axis=1)


def half_space(X: np.ndarray) -> np.ndarray:
    """-1/2 where the point is accepted; the nearest such point to `CENTRE` is at distance 1."""
    return np.where((X - CENTRE) @ NORMAL >= np.linalg.norm(NORMAL), -0.5, 0.5)


def outside(X: np.ndarray) -> np.ndarray:
    return np.where(((X - CENTRE - 0.2) ** 2).sum(axis=1) >= 1.0, -0.5, 0.5)


def solver(
    constraint: Any = half_space, budget: int = 250, x0: float = 1.5, objective: Any = distance, **more: Any
) -> Solver:
    options = more.pop("options", {})
    problem = da.Problem(
        objective=objective,
        constraints=None if constraint is None else constraint if isinstance(constraint, list) else [constraint],
        space=more.pop("space", [(-3.0, 3.0)] * 5),
        x0=np.full(5, x0),
        sense="minimize",
        **more,
    )
    return Solver(problem, options, budget=budget, seed=3)


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))


# ---------------------------------------------------------------------- the plane


def naive_plane(U: np.ndarray, refused: np.ndarray) -> tuple[np.ndarray, float]:
    """The same programme in its primal: |w|^2 + beta^2 + cost of the squared slack, by a general solver."""
    side = np.where(refused, 1.0, -1.0)
    far = np.maximum(np.linalg.norm(U, axis=1), _separation.NEAREST)
    rows = side[:, None] * np.column_stack([U, np.full(len(U), _separation.LEVEL)])

    def value(w: np.ndarray) -> tuple[float, np.ndarray]:
        slack = np.maximum(1.0 - rows @ w, 0.0) * _separation.COST / far**2
        return float(0.5 * w @ w + 0.5 * slack @ np.maximum(1.0 - rows @ w, 0.0)), w - rows.T @ slack

    w = minimize(value, np.zeros(rows.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-10}).x
    size = float(np.linalg.norm(w[:-1]))
    return w[:-1] / size, -_separation.LEVEL * w[-1] / size


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 25))
def test_the_plane_is_that_of_the_primal(seed: int, n: int, k: int) -> None:
    r = np.random.default_rng(seed)
    U = r.uniform(-1.0, 1.0, (k, n))
    refused = U @ r.standard_normal(n) + 0.3 * r.standard_normal(k) > 0.1
    refused[:2] = True, False
    found = separating_plane(U, refused)
    assert found is not None
    normal, offset = naive_plane(U, refused)
    assert np.linalg.norm(found.normal) == pytest.approx(1.0)
    np.testing.assert_allclose(found.normal, normal, atol=2e-3)
    assert found.offset == pytest.approx(offset, abs=2e-3)


def test_points_on_two_sides_of_a_plane_are_told_apart() -> None:
    r = np.random.default_rng(1)
    normal = np.array([0.6, 0.0, 0.8])
    U = r.uniform(-1.0, 1.0, (80, 3))
    U = U[np.abs(U @ normal - 0.2) > 0.05]
    refused = U @ normal > 0.2
    found = separating_plane(U, refused)
    assert found is not None and ((U @ found.normal > found.offset) == refused).all()
    assert found.normal @ normal > 0.99


def test_no_plane_where_points_do_not_tell() -> None:
    assert separating_plane(np.zeros((2, 3)), np.array([True, False])) is None


# ---------------------------------------------------------------------- when it has something to say


def at_the_border(**more: Any) -> Solver:
    """A run that has just made a turn of the search."""
    s = solver(**more)
    while len(trials := s.ask()):
        s.tell(s.evaluate())
        if trials.step == "boundary":
            return s
    raise AssertionError("the search had no turn")


def test_it_waits_for_a_refused_point_within_reach() -> None:
    s = at_the_border()
    search, state = Boundary(), s.state
    assert search.ready(s.setup, state) and _refused(state).any()
    for radius, ready in ((RADIUS_MIN, False), (2.0 * RADIUS_MIN, False), (1.0, True)):
        near = evolve(state, searches=evolve(state.searches, boundary=BoundaryState(radius, state.centre)))
        assert search.ready(s.setup, near) is ready
    assert not search.ready(s.setup, evolve(state, floored=True))


@pytest.mark.parametrize(
    "more",
    [
        {"constraint": None},
        {"constraint": [lambda X: 1.0 - X[:, 0]]},  # has values
        {"constraint": [half_space, da.Constraint(lambda X: X[:, 1] - X[:, 2], equality=True, tol=0.5)]},
        {"space": da.Box([-3] * 5, [3] * 5, granularity=[0.0, 0.0, 0.0, 0.0, 0.25])},
        {"options": {"noise": "auto"}},
    ],
    ids=["none", "values", "equality", "granular", "noise"],
)
def test_it_has_nothing_to_say_elsewhere(more: dict[str, Any]) -> None:
    s = run(solver(budget=120, **more))
    assert "boundary" not in s.result().records.step


def test_radius_of_a_turn() -> None:
    s = at_the_border()
    search, state, setup = Boundary(), s.state, s.setup
    size, row = state.history.size, state.centre
    state = evolve(state, searches=evolve(state.searches, boundary=BoundaryState(0.5, row, 3, -1)))

    def after(memo: BoundaryMemo, outcome: Outcome) -> BoundaryState:
        own = search.update(setup, state, outcome).searches.boundary
        assert own is not None
        return own

    gained = after(BoundaryMemo(False, 0.5), Outcome(BoundaryMemo(False, 0.5), row, row + 1, 2, row, 1.0, 1.0, 1.0))
    assert gained == BoundaryState(GROW * 0.5, row, 0, row)
    for along in (True, False):  # nothing new to ask
        memo = BoundaryMemo(along, 0.5)
        assert after(memo, Outcome(memo, size, size)) == BoundaryState(0.5 * SHRINK**0.2, row, 4, -1)
    accepted = int(np.flatnonzero(~_refused(state))[0])
    memo = BoundaryMemo(True, 0.5)  # a point along the border that was accepted says nothing against the radius
    assert after(memo, Outcome(memo, accepted, accepted + 1)).radius == 0.5


def test_the_radius_reaches_back_to_where_others_have_moved_the_incumbent_from() -> None:
    s = at_the_border()
    state = s.state
    rows = np.flatnonzero(state.history.status == 0)
    far = int(rows[np.argmax(np.abs(state.history.X[rows] - state.history.X[state.centre]).max(axis=1))])
    moved = evolve(state, searches=evolve(state.searches, boundary=BoundaryState(1e-3, far, 7, far)))
    own = _current(moved)
    assert 1e-3 < own.radius <= RADIUS_MAX and own.misses == 0 and own.made == far


# ---------------------------------------------------------------------- beside gradients


def polished(con: Any, jac: Any) -> tuple[FunctionView, np.ndarray]:
    """A polish of the distance beside one constraint, and the displacements it wants evaluated."""
    view = FunctionView(5, lambda x: float(((x - CENTRE) ** 2).sum()), lambda x: 2.0 * (x - CENTRE), con, jac)
    x = np.full(5, 1.5)
    found = SQP()(target_at(view, x[None], np.full(5, -3.0), np.full(5, 3.0)), np.array([6.0]), view, rng())
    return view, x + found.D


def test_a_polish_ends_at_a_jump_and_shows_both_sides() -> None:
    """No gradient leads along it: after two or three cuts that lead nowhere the polish has done what it can."""
    view, X = polished(lambda x: half_space(x[None]), lambda x: np.zeros((1, 5)))
    sides = half_space(X)
    assert view.spent < 40 and (sides < 0.0).any() and (sides > 0.0).any()
    gap = np.abs(X[sides < 0.0][0] - X[sides > 0.0][-1]).max()
    assert gap < 0.3


@pytest.mark.parametrize("steepness", [1.0, 1e3])
def test_a_steep_constraint_is_no_jump(steepness: float) -> None:
    size = float(np.linalg.norm(NORMAL))
    _, X = polished(
        lambda x: np.array([steepness * (size - (x - CENTRE) @ NORMAL)]), lambda x: -steepness * NORMAL[None]
    )
    assert min(float(((x - CENTRE) ** 2).sum()) for x in X if (x - CENTRE) @ NORMAL >= size) == pytest.approx(
        1.0, abs=1e-6
    )


def test_no_polish_where_the_border_has_led() -> None:
    """There it would run straight into what no gradient tells of."""
    problem = da.Problem(
        objective=distance,
        objective_grad=lambda X: 2.0 * (X - CENTRE),
        constraints=[da.Constraint(half_space, grad=lambda X, Y, W: (np.zeros_like(X), None))],
        space=[(-3.0, 3.0)] * 5,
        x0=np.full(5, 1.5),
        sense="minimize",
    )
    s, made = Solver(problem, {"attacks": ("sqp",)}, budget=300, seed=0), 0
    while len(trials := s.ask()):
        own = s.state.searches.boundary
        if own is not None and own.made == s.state.centre and s.state.centre >= 0:
            made += 1
            assert trials.step != "attack"
        s.tell(s.evaluate())
    assert made > 10 and best(s) - 1.0 < 1e-2


# ---------------------------------------------------------------------- what it reaches


def test_it_finds_the_nearest_accepted_point() -> None:
    """Behind a flat border at distance 1; without the search at least ten times as much is left."""
    s = run(solver(half_space, 250))
    check_points(s)
    assert best(s) - 1.0 < 2e-3
    without = run(solver(half_space, 250, options={"searches": ("model", "cma", "subspace", "multistart")}))
    assert best(without) - 1.0 > 10.0 * (best(s) - 1.0)


def test_it_follows_a_curved_border() -> None:
    nearest = (1.0 - 0.2 * np.sqrt(5.0)) ** 2
    s = run(solver(outside, 400, options={"searches": ("boundary",), "restarts": False}))
    check_points(s)
    assert best(s) - nearest < 0.1


def test_points_without_a_value_are_refused_points() -> None:
    def objective(X: np.ndarray) -> np.ndarray:
        return np.where(half_space(X) > 0.0, np.nan, distance(X))

    s = run(solver(None, 250, objective=objective))
    assert best(s) - 1.0 < 2e-3 and "boundary" in s.result().records.step


@pytest.mark.parametrize("n", [3, 6])
def test_a_border_that_limits_nothing_is_left_alone(n: int) -> None:
    """The minimum lies inside, half a scale from points without a value: without the rule three quarters of the run went along the border."""
    problem = da.Problem(
        objective=lambda X: np.where(np.abs(X).max(axis=1) > 0.3, np.nan, (X**2).sum(axis=1)),
        space=[(-1.0, 1.0)] * n,
        x0=np.full(n, 0.2),
        sense="minimize",
    )
    s = run(Solver(problem, {}, budget=150, seed=0))
    assert best(s) < 1e-12
    assert np.count_nonzero(np.asarray(s.result().records.step) == "boundary") < 40


def test_other_constraints_bind_too() -> None:
    """A verdict and a constraint with values; the answer lies on both."""
    s = run(solver([half_space, lambda X: X[:, 1] - 0.1], 400))
    expected = minimize(
        lambda x: float(((x - CENTRE) ** 2).sum()),
        np.full(5, 1.0),
        constraints=[
            {"type": "ineq", "fun": lambda x: (x - CENTRE) @ NORMAL - np.linalg.norm(NORMAL)},
            {"type": "ineq", "fun": lambda x: 0.1 - x[1]},
        ],
        method="SLSQP",
    )
    assert best(s) - expected.fun < 5e-3
    by = s.result().records.step
    assert np.count_nonzero(np.asarray(by) == "boundary") > 20


def test_known_linear_constraints_are_kept() -> None:
    """Half of the border lies beyond a plane that is known."""
    row = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    s = run(solver(half_space, 250, linear=[da.Linear(row, 0.7)], x0=0.7))
    check_points(s)
    assert (s.state.history.X @ row <= 0.7).all() and "boundary" in s.result().records.step


def test_replay() -> None:
    check_replay(lambda: solver(outside, 90))


def test_proposals_do_not_depend_on_the_unit_of_the_objective() -> None:
    a = run(solver(outside, 120))
    b = run(solver(outside, 120, objective=lambda X: 2.0**40 * distance(X)))
    assert a.state.history.X.tobytes() == b.state.history.X.tobytes()
