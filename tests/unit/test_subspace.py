"""Polls in random subspaces: their directions and step size, invariants along runs, and what they reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.search_states import SubspaceState
from dfoattack.solver import Solver
from dfoattack.steps.base import Outcome
from dfoattack.steps.subspace import STEP_MAX, STEP_MIN, VARIABLES_MIN, Subspace
from tests.unit.searching import alone, best, check_points, check_replay, ellipsoid, rosenbrock, run, sphere

N = 40


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def begun(turns: int = 1, dimension: int = 3, **more: Any) -> Solver:
    return run(
        alone(Subspace(dimension, minimum=30), sphere, [(-5.0, 5.0)] * N, rng().uniform(-3.0, 3.0, N), **more), turns
    )


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_orthogonal_pairs_of_the_step_size(dimension: int) -> None:
    solver = begun(dimension=dimension)
    own = SubspaceState(0.25)
    state = evolve(solver.state, searches=evolve(solver.state.searches, subspace=own))
    proposal = Subspace(dimension, minimum=30).propose(solver.setup, state, rng(), None)
    D = proposal.X - proposal.origins
    assert D.shape == (2 * dimension, N) and not proposal.on_mesh.any()
    np.testing.assert_allclose(D[::2] @ D[::2].T, 0.25**2 * np.eye(dimension), atol=1e-10)
    np.testing.assert_allclose(D[1::2], -D[::2], atol=1e-12)


def test_directions_are_uniform() -> None:
    """The components of a uniform direction have mean 0 and variance 1/n."""
    solver = begun(dimension=2)
    rows = [Subspace(2, minimum=30).propose(solver.setup, solver.state, rng(s), None).memo.P[::2] for s in range(200)]
    P = np.vstack(rows)
    assert abs(P.mean()) < 4.0 / np.sqrt(P.size * N) and np.abs(P.var(axis=0) * N - 1.0).max() < 0.5


def test_the_side_of_the_last_success_comes_first() -> None:
    solver = begun()
    last = rng(5).standard_normal(N)
    own = SubspaceState(0.1, last / np.linalg.norm(last))
    state = evolve(solver.state, searches=evolve(solver.state.searches, subspace=own))
    P = Subspace(3, minimum=30).propose(solver.setup, state, rng(), None).memo.P
    assert (P[::2] @ last >= 0.0).all() and (P[1::2] @ last <= 0.0).all()


def test_success_doubles_and_failure_halves() -> None:
    solver = begun()
    search, setup, state = Subspace(3, minimum=30), solver.setup, solver.state
    memo = search.propose(setup, state, rng(), None).memo
    size = state.history.size
    failed = search.update(setup, state, Outcome(memo, size, size)).searches.subspace
    assert failed is not None and failed.step == 0.5 * memo.step and failed.fails == 1 and failed.last is None
    F = np.zeros(1)
    history = state.history.extended(
        memo.X[2:3], F, F, F, F, np.full(1, -np.inf), np.empty((1, 0)), np.zeros(1, np.int8), 1, 1
    )
    better = evolve(state, history=history)
    outcome = Outcome(memo, size, size + 1, 2, size, 1.0, 1.0, 1.0)
    after = search.update(setup, better, outcome).searches.subspace
    assert after is not None and after.step == 2.0 * memo.step and after.fails == 0
    assert after.last is not None and after.last.tobytes() == memo.P[2].tobytes()
    assert search.continues(setup, better, outcome) and not search.continues(setup, state, Outcome(memo, size, size))
    for step, improved in ((STEP_MIN, False), (STEP_MAX, True)):
        edge = search.update(setup, better, outcome if improved else Outcome(memo, size, size))
        assert edge.searches.subspace is not None
        end = evolve(memo, step=step)
        kept = search.update(setup, better, evolve(outcome, memo=end) if improved else Outcome(end, size, size))
        assert kept.searches.subspace is not None and kept.searches.subspace.step == step


def test_it_is_for_many_variables() -> None:
    few = run(alone(Subspace(minimum=30), sphere, [(-5.0, 5.0)] * 5, [1.0] * 5), 1)
    assert VARIABLES_MIN > 5 and not Subspace(minimum=30).ready(few.setup, few.state)
    assert len(Subspace(minimum=30).propose(few.setup, few.state, rng(), None).X) == 0
    assert Subspace(1, minimum=5).ready(few.setup, few.state)
    assert not Subspace().ready(begun().setup, begun().state) and begun().setup.n < VARIABLES_MIN


def failing(X: np.ndarray) -> np.ndarray:
    return np.where(X[:, 0] > 1.0, np.nan, sphere(X))


@pytest.mark.parametrize("objective", [sphere, failing])
@pytest.mark.parametrize("granularity", [0.0, 0.5])
def test_points_and_replay(objective: Any, granularity: float) -> None:
    space = da.Box(np.full(N, -5.0), np.full(N, 5.0), granularity=np.full(N, granularity))

    def make() -> Solver:
        return alone(Subspace(2, minimum=30), objective, space, np.full(N, 0.5), budget=150)

    check_points(run(make()))
    check_replay(make, every=11)


def test_draws_depend_on_the_state_alone() -> None:
    solver = begun(turns=5)
    ends = []
    for own in (None, SubspaceState(1e-3, np.ones(N) / np.sqrt(N))):
        generator = rng()
        state = evolve(solver.state, searches=evolve(solver.state.searches, subspace=own))
        Subspace(3, minimum=30).propose(solver.setup, state, generator, None)
        ends.append(generator.random())
    expected = rng()
    expected.standard_normal((N, 3))
    assert ends == [expected.random()] * 2


@pytest.mark.parametrize(
    ("objective", "share"),
    [(lambda X: ellipsoid(X, 1e2), 5e-3), (rosenbrock, 5e-3), (lambda X: np.abs(X).sum(axis=1), 0.3)],
)
def test_it_descends_in_many_variables(objective: Any, share: float) -> None:
    x0 = rng(3).uniform(-4.0, 4.0, N)
    # Nothing but this search: its failures must not end the run at the smallest frame.
    options = {"frame_size_min": 1e-290}
    solver = run(alone(Subspace(minimum=30), objective, [(-5.0, 5.0)] * N, x0, budget=60 * N, options=options))
    assert best(solver) < share * float(objective(x0[None])[0])
