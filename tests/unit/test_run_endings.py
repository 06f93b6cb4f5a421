"""How local runs end: where the models have converged, where another one has ended, and no polish along its own path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dfoattack as da
from dfoattack import starts
from dfoattack._values import evolve
from dfoattack.restarts import AGAIN, hopeless
from dfoattack.solver import Solver
from dfoattack.state import LocalRun, OperatorCredit, SolverState
from dfoattack.steps._model_rules import FINE, FLAT_RESOLUTION, settled
from dfoattack.steps._target import done_at
from dfoattack.steps.attack import Attack, AttackMemo
from dfoattack.steps.base import Outcome
from tests.unit.searching import ellipsoid, rosenbrock, run, sphere


def waves(X: np.ndarray) -> np.ndarray:
    return (10.0 + X**2 - 10.0 * np.cos(2.0 * np.pi * X)).sum(axis=1)


def stairs(X: np.ndarray) -> np.ndarray:
    return np.floor(4.0 * np.abs(X)).sum(axis=1) + 1.0


def solver_of(objective, n=2, budget=300, seed=1, x0=None, **options) -> Solver:
    start = np.full(n, 1.3) if x0 is None else x0
    problem = da.Problem(objective=objective, space=[(-5.0, 5.0)] * n, x0=start, sense="minimize")
    return Solver(problem, options, budget=budget, seed=seed)


# ------------------------------------------------------------------------------------------------ where models converge


def bowl(X: np.ndarray) -> np.ndarray:
    """Smooth, not quadratic, and large: round-off ends the gains early."""
    return np.cosh(2.0 * (X - 0.31)).sum(axis=1) + 0.1 * X[:, 0] * X[:, 1] + 1e3


@pytest.mark.parametrize("objective", [rosenbrock, waves, bowl, lambda X: np.cosh(X - 0.3).sum(axis=1)])
def test_after_the_models_have_converged_the_smallest_frame_is_next(objective):
    """A frame that shrinks then goes to its end at once, and populations have no turn in this run any more."""
    solver = solver_of(objective)
    converged = shrinks = 0
    while True:
        before = solver.state
        trials, after = solver.ask(), solver.state
        if not len(trials) or after.runs:
            break
        if before.mesh is not None and settled(solver.setup, before):
            converged += 1
            assert trials.step != "cma"
            if after.mesh.size < before.mesh.size:
                shrinks += 1
                assert after.mesh.size <= solver.setup.options.frame_size_min
        solver.tell(solver.evaluate())
    assert converged and shrinks and len(solver.state.runs) == 1


def test_a_plateau_is_no_convergence():
    """All values of the set are equal there: only the poll can tell what is beyond."""
    solver = solver_of(stairs, budget=400)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        model = solver.state.searches.model
        if not solver.state.runs and model is not None and model.resolution > 1e-7:
            assert not settled(solver.setup, solver.state)
    assert solver.state.history.F.min() == 1.0


@pytest.mark.parametrize(("options", "budget"), [({"restarts": False}, 300), ({}, None)])
def test_where_no_other_run_follows_nothing_is_cut_short(options, budget):
    solver = solver_of(ellipsoid, budget=budget, **options)
    while len(solver.ask()) and solver.state.history.size < 200:
        solver.tell(solver.evaluate())
        assert not settled(solver.setup, solver.state)


@pytest.mark.parametrize("more", [{"integer": [1]}, {"granularity": [0.0, 0.5]}])
def test_discrete_variables_keep_their_polls(more):
    """Models tell nothing of other lattice points."""
    problem = da.Problem(objective=bowl, space=da.Box([-5.0] * 2, [5.0] * 2, **more), x0=[1.3, 2.0], sense="minimize")
    solver = Solver(problem, budget=200, seed=1)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        assert not settled(solver.setup, solver.state)
    assert solver.state.runs, "it was never in the way of an end"


def test_round_off_tells_a_converged_set_from_a_wide_one():
    """At a value of 1000 gains end at a resolution far above the last one."""
    solver = solver_of(bowl)
    while not settled(solver.setup, solver.state):
        assert len(solver.ask())
        solver.tell(solver.evaluate())
    model = solver.state.searches.model
    assert FINE < model.resolution <= FLAT_RESOLUTION
    wide = evolve(solver.state, searches=evolve(solver.state.searches, model=evolve(model, barren=0)))
    assert not settled(solver.setup, wide)


# ------------------------------------------------------------------------------------------------ where runs have ended


def second_run(distance: float, worse: float) -> tuple[Solver, SolverState]:
    """A second run whose incumbent is so far from the end of the first one, in frames, and so much worse."""
    solver = solver_of(sphere, x0=np.array([0.5, -0.25]))
    solver.ask()
    solver.tell(solver.evaluate())
    state = solver.state
    X = np.vstack([state.history.X[0], state.history.X[0] + np.array([distance, 0.0]) * state.mesh.scale])
    F, zero = np.array([1.0, 1.0 + worse]), np.zeros(2)
    history = type(state.history).empty(2)
    history = history.extended(X, F, F, zero, zero, np.full(2, -1.0), np.empty((2, 0)), np.zeros(2, np.int8), 1, 1)
    first = LocalRun(0, 1, 0, -1, 1e-9, 0, 0, False, "first")
    barrier = evolve(state.barrier, start=1, feas=1)
    best = int(np.argmin(F))
    return solver, evolve(state, history=history, barrier=barrier, best_feas=best, runs=(first,), explore=False)


def test_a_run_that_comes_to_the_end_of_another_one_is_left():
    for distance, worse, left in [
        (0.9 * AGAIN, 0.1, True),
        (0.9 * AGAIN, 0.0, True),
        (1.1 * AGAIN, 0.1, False),
        (0.9 * AGAIN, -0.1, False),
    ]:
        solver, state = second_run(distance, worse)
        assert hopeless(solver.setup, evolve(state, best_feas=0 if worse >= 0.0 else 1)) == left, (distance, worse)


def test_no_minimum_of_few_is_descended_to_twice():
    """Two basins: after both are known, runs end where they meet their ends, long before they have converged."""
    wells = lambda X: np.minimum(sphere(X - 2.0), sphere(X + 2.0) + 0.5)  # noqa: E731
    solver = run(solver_of(wells, budget=600, covering_quota=5))
    again = [r.end - r.start for r in solver.state.runs[2:] if r.kind == "far"]
    first = solver.state.runs[0]
    assert len(again) >= 3 and np.median(again) < 0.7 * (first.end - first.start)


# ------------------------------------------------------------------------------------------------ paths of polishes


def test_a_polish_has_been_where_it_has_come_by():
    _, state = second_run(1.0, 0.5)
    credit = OperatorCredit(left=3, path=(5, 9))
    assert [row for row in range(11) if done_at(solver_rows(state, 11), credit, row)] == [3, 5, 6, 7, 8]
    assert not any(done_at(state, OperatorCredit(), row) for row in (0, 1))


def solver_rows(state: SolverState, k: int) -> SolverState:
    """The state with k different rows."""
    history, F, zero = type(state.history).empty(2), np.arange(k, dtype=float), np.zeros(k)
    X = np.column_stack([F, F])
    return evolve(
        state,
        history=history.extended(X, F, F, zero, zero, np.full(k, -1.0), np.empty((k, 0)), np.zeros(k, np.int8), 1, 1),
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_polish_starts_on_the_path_of_the_one_before(seed, monkeypatch):
    """Differences beside an infeasible point with a better value: that point leads the polls, but is not polished from again."""
    made: list[tuple[int, int, int]] = []
    update = Attack.update

    def recorded(self, setup, state, outcome: Outcome):
        if isinstance(outcome.memo, AttackMemo) and self.operators[outcome.memo.operator].whole_box:
            made.append((outcome.memo.row, outcome.first, outcome.last))
        return update(self, setup, state, outcome)

    monkeypatch.setattr(Attack, "update", recorded)
    n = 8
    limit = da.Constraint(
        lambda x, y: np.column_stack([x[:, :2].sum(axis=1) - 6.0, x[:, 2:].sum(axis=1) - 9.0]), name="limit"
    )
    problem = da.Problem(
        objective=lambda X: X.sum(axis=1) - (X**2).sum(axis=1),
        space=[(0.0, 8.0)] * n,
        x0=np.full(n, 7.0),
        constraints=[limit],
        sense="minimize",
    )
    run(Solver(problem, {"gradient_source": "forward"}, budget=1200, seed=seed))
    assert len(made) >= 2
    for (_, first, last), (row, *_) in itertools.pairwise(made):
        assert not first <= row < last


# ------------------------------------------------------------------------------------------------ without bounds


def test_restarts_without_bounds_reach_ten_times_as_far_as_the_design():
    problem = da.Problem(
        objective=sphere, space=da.Box([-np.inf, -1.0], [np.inf, 1.0]), x0=[50.0, 0.0], sense="minimize"
    )
    solver = Solver(problem, budget=100, seed=0)
    solver.ask()
    solver.tell(solver.evaluate())
    generator, state = np.random.Generator(np.random.PCG64(0)), solver.state
    points = np.vstack(
        [starts.restart_point(solver.setup, generator, state.history, state.mesh.scale) for _ in range(60)]
    )
    away = np.abs(points[:, 0] - 50.0)
    assert away.max() <= 50.0 and np.median(away) > 25.0, "half widths of ten deviations, a tenth of |x0| each"
    assert np.abs(points[:, 1]).max() <= 1.0
