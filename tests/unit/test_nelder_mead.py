"""Nelder-Mead search: its simplex, its moves, its invariants along runs, and what it reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.schedule import Schedule
from dfoattack.search_states import NelderMeadState
from dfoattack.solver import Solver
from dfoattack.steps.base import Outcome
from dfoattack.steps.nelder_mead import (
    EXPAND,
    INSIDE,
    OUTSIDE,
    POINTS_A_VARIABLE,
    REFLECT,
    NelderMead,
    advanced,
    simplex,
)
from dfoattack.steps.poll import Poll, PollCompletion
from tests.unit.searching import alone, best, check_points, check_replay, rosenbrock, run, sphere


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def starts(n: int, seed: int = 0, k: int | None = None) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1.0, 3.0, (k or n + 3, n))


def begun(objective: Any = sphere, n: int = 2, turns: int = 1, **more: Any) -> Solver:
    return run(alone(NelderMead(), objective, [(-5.0, 5.0)] * n, starts(n), **more), turns)


def own(solver: Solver) -> NelderMeadState:
    state = solver.state.searches.nelder_mead
    assert state is not None
    return state


def test_the_simplex_is_of_good_independent_near_points() -> None:
    X = np.array([[1.0, 1.0], [1.2, 1.0], [1.4, 1.001], [1.0, 1.5], [4.9, 4.9], [-4.9, 1.0]])
    solver = run(alone(NelderMead(), sphere, [(-5.0, 5.0)] * 2, X, options={"frame_size_init": 0.1}), 1)
    state = solver.state
    assert state.mesh is not None
    rows = simplex(state.history, solver.setup.geometry, state.centre, state.mesh)
    assert rows.tolist() == [0, 1, 3], "row 2 lies on the line of 0 and 1, rows 4 and 5 are too far"
    two = run(alone(NelderMead(), sphere, [(-5.0, 5.0)] * 2, X[:3], options={"frame_size_init": 0.1}), 1).state
    assert two.mesh is not None and simplex(two.history, solver.setup.geometry, two.centre, two.mesh).shape == (0,)


def test_failed_points_are_no_vertices() -> None:
    def failing(X: np.ndarray) -> np.ndarray:
        return np.where(X[:, 0] > 2.0, np.nan, sphere(X))

    X = np.array([[1.0, 1.0], [2.5, 1.0], [1.0, 1.5], [1.5, 1.2]])
    solver = run(alone(NelderMead(), failing, [(-5.0, 5.0)] * 2, X), 1)
    state = solver.state
    assert state.mesh is not None
    assert simplex(state.history, solver.setup.geometry, state.centre, state.mesh).tolist() == [0, 2, 3]


def test_the_moves_of_nelder_and_mead() -> None:
    """Values 0, 1, 2 at the simplex; what follows on a trial point of a given value."""
    solver = begun(lambda X: X[:, 0], n=2, turns=1)
    F = np.array([0.0, 1.0, 2.0, -1.0, -2.0, 0.5, 1.5, 3.0])
    k = len(F)
    history = solver.state.history.extended(
        rng().random((k, 2)),
        F,
        F,
        np.zeros(k),
        np.zeros(k),
        np.full(k, -np.inf),
        np.empty((k, 0)),
        np.zeros(k, np.int8),
        1,
        1,
    )
    zero, one, two, below, lowest, middle, poor, worst = range(history.size - k, history.size)
    plain = NelderMeadState(np.array([zero, one, two]))
    assert advanced(history, plain, below) == evolve(plain, move=EXPAND, reflected=below)
    assert advanced(history, plain, middle).rows.tolist() == [zero, middle, one]
    assert advanced(history, plain, poor) == evolve(plain, move=OUTSIDE, reflected=poor)
    assert advanced(history, plain, worst) == evolve(plain, move=INSIDE, reflected=worst)
    expanding = evolve(plain, move=EXPAND, reflected=below)
    assert advanced(history, expanding, lowest).rows.tolist() == [lowest, zero, one]
    assert advanced(history, expanding, worst).rows.tolist() == [below, zero, one]
    outside = evolve(plain, move=OUTSIDE, reflected=poor)
    assert advanced(history, outside, middle).rows.tolist() == [zero, middle, one]
    assert not advanced(history, outside, worst).active, "a shrink ends the run"
    inside = evolve(plain, move=INSIDE, reflected=worst)
    assert advanced(history, inside, poor).rows.tolist() == [zero, one, poor]
    assert not advanced(history, inside, worst).active
    assert not advanced(history, plain, zero).active or advanced(history, plain, zero).move != REFLECT


def test_the_first_trial_point_is_the_reflection() -> None:
    solver = begun(n=3, turns=1)
    state = solver.state
    proposal = NelderMead().propose(solver.setup, state, rng(), None)
    X = state.history.X[proposal.memo.run.rows]
    middle = X[:-1].mean(axis=0)
    np.testing.assert_allclose(proposal.X[0], 2.0 * middle - X[-1], rtol=1e-12)
    assert proposal.X.shape == (1, 3) and not proposal.on_mesh.any()


def test_a_run_goes_on_until_it_ends_and_is_not_repeated_in_vain() -> None:
    search = NelderMead()
    solver = run(alone(search, sphere, [(-5.0, 5.0)] * 2, starts(2), budget=2000), 3)
    assert own(solver).active and search.continues(solver.setup, solver.state, Outcome(None, 0, 0))
    flat = run(alone(search, lambda X: np.zeros(len(X)), [(-5.0, 5.0)] * 2, starts(2), budget=2000))
    state, ended = flat.state, own(flat)
    assert not ended.active and ended.tried_row == state.centre and ended.tried_size == state.history.size == 7
    assert not search.continues(flat.setup, state, Outcome(None, 0, 0))
    fresh = evolve(state, floored=False)
    assert not search.ready(flat.setup, fresh)
    assert search.ready(flat.setup, evolve(fresh, barrier=evolve(fresh.barrier, feas=1)))


def test_a_run_has_an_end() -> None:
    solver = begun(n=2, turns=3)
    limit = POINTS_A_VARIABLE * 2
    for spent, points in ((limit - 1, 1), (limit, 0)):
        searches = evolve(solver.state.searches, nelder_mead=evolve(own(solver), spent=spent))
        state = evolve(solver.state, searches=searches)
        proposal = NelderMead().propose(solver.setup, state, rng(), None)
        assert proposal.X.shape[0] == points
    size = state.history.size
    after = NelderMead().update(solver.setup, state, Outcome(proposal.memo, size, size)).searches.nelder_mead
    assert after is not None and not after.active


def test_a_better_incumbent_from_elsewhere_begins_a_new_simplex() -> None:
    solver = begun(n=2, turns=4)
    state = solver.state
    assert own(solver).active
    history = state.history.extended(
        np.full((1, 2), 0.01), *(np.full(1, 2e-4),) * 2, np.zeros(1), np.zeros(1), np.full(1, -np.inf),
        np.empty((1, 0)), np.zeros(1, np.int8), 1, 1,
    )  # fmt: skip
    moved = evolve(state, history=history, barrier=evolve(state.barrier, feas=history.size - 1))
    proposal = NelderMead().propose(solver.setup, moved, rng(), None)
    assert proposal.memo.run.rows[0] == history.size - 1 and proposal.memo.run.spent == 0


def test_draws_nothing() -> None:
    solver = begun(n=2, turns=4)
    generator, expected = rng(), rng()
    NelderMead().propose(solver.setup, solver.state, generator, None)
    assert generator.random() == expected.random()


def test_a_point_that_was_not_run_ends_the_run() -> None:
    solver = begun(n=2, turns=3)
    proposal = NelderMead().propose(solver.setup, solver.state, rng(), None)
    size = solver.state.history.size
    after = NelderMead().update(solver.setup, solver.state, Outcome(proposal.memo, size, size)).searches.nelder_mead
    assert after is not None and not after.active and after.tried_size == size


@pytest.mark.parametrize(
    ("objective", "space"),
    [
        (rosenbrock, [(-5.0, 5.0)] * 2),
        (lambda X: X.sum(axis=1), [(1.0, 3.0)] * 2),
        (sphere, da.Box([-4, -4.0], [4, 4.0], granularity=[1.0, 0.0])),
        (lambda X: np.where(X.sum(axis=1) < 1.0, np.nan, sphere(X)), [(-5.0, 5.0)] * 2),
        (lambda X: np.zeros(len(X)), [(-5.0, 5.0)] * 2),
    ],
)
def test_points_and_replay(objective: Any, space: Any) -> None:
    X = starts(2, k=8)
    if isinstance(space, da.Box):
        X = np.column_stack([np.rint(X[:, 0]), X[:, 1]])

    def make() -> Solver:
        return alone(NelderMead(), objective, space, X, budget=120)

    check_points(run(make()))
    check_replay(make)


def test_constraints_are_ordered() -> None:
    solver = alone(
        NelderMead(),
        lambda Y: Y.sum(axis=1),
        [(0.1, 10.0)] * 2,
        starts(2) + 1.0,
        constraints=[da.Constraint(lambda Y: 1.0 - Y[:, 0] * Y[:, 1])],
        budget=300,
    )
    first = sphere(starts(2) + 1.0).min()
    assert 2.0 <= best(run(solver)) < min(2.5, first)
    assert (solver.state.history.H > 0.0).any()


@pytest.mark.parametrize(("objective", "target"), [(sphere, 1e-8), (rosenbrock, 1e-3)])
def test_it_descends(objective: Any, target: float) -> None:
    # Nothing but this search: its failures must not end the run at the smallest frame.
    settings: dict[str, Any] = dict(budget=200, options={"frame_size_min": 1e-290})
    reached = [
        best(run(alone(NelderMead(), objective, [(-5.0, 5.0)] * 2, starts(2, s), seed=s, **settings))) for s in range(5)
    ]
    assert np.median(reached) < target


def test_it_helps_the_poll() -> None:
    reached = []
    for steps in ((NelderMead(),) * 20, ()):
        values = []
        for seed in range(5):
            x0 = np.random.default_rng(seed).uniform(-3.0, 3.0, 4)
            solver = alone(NelderMead(), rosenbrock, [(-5.0, 5.0)] * 4, x0, budget=600, seed=seed)
            solver.schedule = Schedule((*steps, Poll(), PollCompletion()))
            values.append(best(run(solver)))
        reached.append(np.median(values))
    assert reached[0] < 0.3 * reached[1]
