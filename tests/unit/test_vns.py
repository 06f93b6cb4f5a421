"""Variable neighbourhood search: when it shakes, how far, how it descends, invariants along runs, and what it finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.schedule import Schedule
from dfoattack.search_states import VnsState
from dfoattack.solver import Solver
from dfoattack.steps.base import Outcome
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.vns import LAST_FRAME, PATIENCE, POINTS_A_VARIABLE, VNS, XI_MAX, advanced
from tests.unit.searching import alone, best, check_points, check_replay, rastrigin, run, sphere

BOX = [(-5.0, 5.0)] * 3


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def stuck(objective: Any = sphere, x0: Any = (0.0, 0.0, 0.0), **more: Any) -> Solver:
    """A solver at an incumbent that nothing will improve, just after so many failed iterations that a shake is due."""
    solver = run(alone(VNS(), objective, BOX, x0, **more), 1)
    solver.state = evolve(solver.state, iteration=PATIENCE + 1)
    return solver


def own(solver: Solver) -> VnsState:
    state = solver.state.searches.vns
    assert state is not None
    return state


def test_it_waits_for_failures() -> None:
    solver = run(alone(VNS(), sphere, BOX, [0.0] * 3), 1)
    state = solver.state
    assert not VNS().ready(solver.setup, evolve(state, iteration=PATIENCE))
    assert len(VNS().propose(solver.setup, evolve(state, iteration=PATIENCE), rng(), None).X) == 0
    assert VNS().ready(solver.setup, evolve(state, iteration=PATIENCE + 1))
    assert VNS().ready(solver.setup, evolve(state, floored=True)), "the local run has converged"


@pytest.mark.parametrize("xi", [1, 2, 4])
def test_the_shake_is_as_long_as_promised(xi: int) -> None:
    solver = stuck()
    state, mesh = solver.state, solver.state.mesh
    assert mesh is not None
    searches = evolve(state.searches, vns=VnsState(xi, state.centre, -1, 0.0, np.empty((0, 3))))
    for seed in range(5):
        proposal = VNS().propose(solver.setup, evolve(state, searches=searches), rng(seed), None)
        step = (proposal.X[0] - state.history.X[state.centre]) / mesh.scale
        assert proposal.X.shape == (1, 3) and np.abs(step).max() == pytest.approx(xi)


def test_shakes_grow_until_there_is_a_new_incumbent() -> None:
    solver = stuck(budget=10**5)
    lengths = [1]
    for _ in range(4000):
        run(solver, 1)
        if own(solver).xi != lengths[-1]:
            lengths.append(own(solver).xi)
            assert own(solver).around == solver.state.centre == 0
    assert lengths[: XI_MAX + 2] == [*range(1, XI_MAX + 1), 1, 2]
    state = solver.state
    history = state.history.extended(
        np.full((1, 3), 0.01), *(np.full(1, -1.0),) * 2, np.zeros(1), np.zeros(1), np.full(1, -np.inf),
        np.empty((1, 0)), np.zeros(1, np.int8), 1, state.iteration,
    )  # fmt: skip
    moved = evolve(state, history=history, barrier=evolve(state.barrier, feas=history.size - 1), floored=False)
    assert not VNS().ready(solver.setup, moved), "the new incumbent has its own patience"
    later = evolve(moved, iteration=state.iteration + PATIENCE + 1)
    memo = VNS().propose(solver.setup, later, rng(), None).memo
    assert memo.run.xi == 1 and memo.run.around == history.size - 1


def test_the_descent_doubles_along_a_success_and_halves_after_a_failed_poll() -> None:
    solver = stuck()
    run(solver, 1)
    state, history = solver.state, solver.state.history
    base = own(solver).base
    assert base == 1 and own(solver).active and own(solver).along is None
    shaken = own(solver)
    good = advanced(solver.setup, state, evolve(shaken, tried=4), 0)
    assert good.base == 0 and good.tried == 0 and good.along is not None
    np.testing.assert_allclose(good.along, history.X[0] - history.X[1])
    worse = advanced(solver.setup, state, evolve(good, base=0), 1)
    assert worse.along is None and worse.base == 0 and worse.tried == 0
    failed = advanced(solver.setup, state, worse, 1)
    assert failed.tried == 1 and failed.next == worse.next + 1
    searches = evolve(state.searches, vns=evolve(shaken, tried=6))
    memo = VNS().propose(solver.setup, evolve(state, searches=searches), rng(), None).memo
    assert memo.run.frame == 0.5 * shaken.frame and memo.run.H.tobytes() != shaken.H.tobytes()


def test_a_descent_has_an_end() -> None:
    solver = stuck()
    run(solver, 2)
    run_ = own(solver)
    for changed in (evolve(run_, spent=POINTS_A_VARIABLE * 3), evolve(run_, frame=0.5 * LAST_FRAME)):
        state = evolve(solver.state, searches=evolve(solver.state.searches, vns=changed))
        proposal = VNS().propose(solver.setup, state, rng(), None)
        assert len(proposal.X) == 0
        size = state.history.size
        after = VNS().update(solver.setup, state, Outcome(proposal.memo, size, size))
        assert after.searches.vns is not None and not after.searches.vns.active and after.searches.vns.xi == 2
        assert not VNS().continues(solver.setup, after, Outcome(None, size, size))


def test_the_descent_ends_once_it_has_passed_the_incumbent() -> None:
    def lower_elsewhere(X: np.ndarray) -> np.ndarray:
        return np.where((X == 0.0).all(axis=1), 0.0, -1.0 + 1e-3 * sphere(X))

    solver = stuck(lower_elsewhere)
    run(solver, 1)
    assert solver.state.centre == 1 and not own(solver).active and own(solver).xi == 1


def half_failing(X: np.ndarray) -> np.ndarray:
    return np.where(X[:, 0] > 0.5, np.nan, sphere(X))


@pytest.mark.parametrize(
    ("objective", "space", "x0"),
    [
        (rastrigin, BOX, [1.0, 2.0, -3.0]),
        (half_failing, BOX, [0.0, 4.0, 4.0]),
        (lambda X: np.zeros(len(X)), BOX, [0.0, 5.0, -5.0]),
        (sphere, da.Box([-4.0, -3.0, 0.0], [6.0, 3.0, 0.7], granularity=[1.0, 0.0, 0.1]), [6.0, -3.0, 0.7]),
        (sphere, da.Box([-2, -2], [2, 2], integer=True), [2, 2]),
        (sphere, da.Box([0.0], [np.inf]), [2.0]),
    ],
)
def test_points_and_replay(objective: Any, space: Any, x0: list[float]) -> None:
    def make() -> Solver:
        return alone(VNS(), objective, space, x0, budget=150)

    check_points(run(make()))
    check_replay(make)


def test_draws_depend_on_the_state_alone() -> None:
    solver = run(stuck(rastrigin, [1.0, 2.0, -3.0]), 12)
    first, second = (VNS().propose(solver.setup, solver.state, rng(), None) for _ in range(2))
    assert first.X.tobytes() == second.X.tobytes() and len(first.X) == 1


def test_constraints_are_ordered() -> None:
    """From a feasible local minimum the descent finds the better one beyond the constraint, and stays feasible there."""

    def waves(X: np.ndarray) -> np.ndarray:
        return np.cos(3.0 * X[:, 0]) + 0.1 * X[:, 0] + X[:, 1] ** 2

    solver = alone(
        VNS(), waves, [(0.0, 10.0), (-2.0, 2.0)], [7.3, 0.0],
        constraints=[da.Constraint(lambda Y: 2.0 - Y[:, 0])], budget=800,
    )  # fmt: skip
    run(solver)
    x = solver.state.history.X[solver.state.best_feas]
    assert 2.0 <= x[0] < 4.0 and best(solver) < -0.6


def test_it_leaves_a_local_minimum() -> None:
    with_vns, without = [], []
    for seed in range(5):
        x0 = np.random.default_rng(seed).uniform(-4.0, 4.0, 2)
        for steps, values in (((VNS(),) * 30, with_vns), ((), without)):
            solver = alone(VNS(), rastrigin, [(-5.12, 5.12)] * 2, x0, budget=1500, seed=seed)
            solver.schedule = Schedule((*steps, Poll(), PollCompletion()))
            values.append(best(run(solver)))
    assert np.median(with_vns) < 1e-3
    assert np.median(without) > 0.5
