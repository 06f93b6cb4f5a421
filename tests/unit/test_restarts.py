"""Which kind of local run comes next, where it starts, and when a run is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.cache import History
from dfoattack.restarts import FAR, PATIENCE, POPULATION, SHAKE, SHAKES, YOUNG, hopeless, next_restart, weights_of
from dfoattack.solver import Solver
from dfoattack.state import LocalRun, SolverState
from tests.unit.searching import run, sphere


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def begun(n: int = 2, space: Any = None, x0: Any = None, **options: Any) -> Solver:
    problem = da.Problem(
        objective=sphere, space=space or [(-3.0, 3.0)] * n, x0=np.ones(n) if x0 is None else x0, sense="minimize"
    )
    solver = Solver(problem, options, budget=500, seed=1)
    solver.ask()
    solver.tell(solver.evaluate())
    return solver


def a_run(kind: str, cost: int) -> LocalRun:
    return LocalRun(0, cost, 0, -1, 1e-9, 0, 0, False, kind)


def after(solver: Solver, *runs: LocalRun) -> SolverState:
    return evolve(solver.state, runs=runs)


@pytest.mark.parametrize(("n", "double"), [(2, FAR), (5, POPULATION)])
def test_the_kind_that_has_spent_least_is_next(n: int, double: str) -> None:
    """Weighted: one kind may spend twice as much as each of the others."""
    solver = begun(n)
    weights = weights_of(solver.setup)
    assert weights[double] == 2.0 and sum(weights[k] for k in (POPULATION, FAR, SHAKE)) == 4.0
    runs: list[LocalRun] = [a_run("first", 1000)]
    spent = dict.fromkeys((POPULATION, FAR, SHAKE), 0)
    for i in range(30):
        kind = next_restart(solver.setup, after(solver, *runs), rng(i)).kind
        assert spent[kind] / weights[kind] == min(spent[k] / weights[k] for k in spent)
        cost = int(rng(i).integers(1, 50))
        spent[kind] += cost
        runs.append(a_run(kind, cost))
    shares = [spent[k] / weights[k] for k in spent]
    assert min(shares) > 0.6 * max(shares)


def test_without_a_population_search_there_are_two_kinds() -> None:
    solver = begun(searches=("model",))
    runs: list[LocalRun] = []
    for i in range(6):
        runs.append(a_run(next_restart(solver.setup, after(solver, *runs), rng(i)).kind, 10))
    assert {r.kind for r in runs} == {FAR, SHAKE}


@pytest.mark.parametrize("space", ["levels", "many"])
def test_where_the_population_search_does_not_apply_there_are_two_kinds(space: str) -> None:
    """A run that belonged to a search that never proposes would explore for ever."""
    box, x0 = da.Box([None, -3.0], [None, 3.0], categorical={0: ["a", "b"]}), [0, 1.0]
    if space == "many":
        box, x0 = da.Box([-3.0] * 201, [3.0] * 201), [1.0] * 201
    solver = begun(space=box, x0=x0)
    runs: list[LocalRun] = []
    for i in range(4):
        runs.append(a_run(next_restart(solver.setup, after(solver, *runs), rng(i)).kind, 10))
    assert {r.kind for r in runs} <= {FAR, SHAKE}


def test_shakes_grow_and_begin_again() -> None:
    solver = begun()
    assert solver.state.mesh is not None
    centre, scale = solver.state.history.X[0], solver.state.mesh.scale
    others = [a_run(POPULATION, 10**6), a_run(FAR, 10**6)]
    for k in range(2 * SHAKES):
        restart = next_restart(solver.setup, after(solver, *others, *[a_run(SHAKE, 1)] * k), rng(k))
        assert restart.kind == SHAKE and restart.queue.shape == (1, 2)
        length = float(np.max(np.abs((restart.queue[0] - centre) / scale)))
        assert length <= (1 + k % SHAKES) * (1 + 1e-12)
        inside = (restart.queue[0] > -3.0).all() and (restart.queue[0] < 3.0).all()
        assert not inside or length == pytest.approx(1 + k % SHAKES)


@pytest.mark.parametrize("kind", [POPULATION, FAR, SHAKE])
def test_starts_are_admissible_and_new(kind: str) -> None:
    space = da.Box([-2, -9, -1], [3, 9, 1], integer=[1], granularity={2: 0.1})
    solver = begun(space=space, x0=[1.0, 1.0, 1.0])
    others = [a_run(other, 100) for other in (POPULATION, FAR, SHAKE) if other != kind]
    for seed in range(20):
        restart = next_restart(solver.setup, after(solver, *others), rng(seed))
        again = next_restart(solver.setup, after(solver, *others), rng(seed))
        assert restart.kind == kind and restart.queue.tobytes() == again.queue.tobytes()
        x = restart.queue[0]
        assert space.contains(space.expand(x)) and solver.state.history.find(x) < 0


def test_a_lattice_without_new_points_ends() -> None:
    solver = run(begun(space=da.Box([0], [3], integer=[0]), x0=[1]))
    assert solver.state.history.size == 4
    for runs in ([], [a_run(POPULATION, 5)], [a_run(POPULATION, 5), a_run(FAR, 5)]):
        assert next_restart(solver.setup, after(solver, *runs), rng()).queue.shape == (0, 1)


def told(solver: Solver, first: list[float], second: list[float]) -> SolverState:
    """A state whose second local run has the values `second`, after one with the values `first`."""
    F = np.array(first + second)
    k = len(F)
    zero = np.zeros(k)
    X = rng().uniform(-3.0, 3.0, (k, 2))
    history = History.empty(2).extended(
        X, F, F, zero, zero, np.full(k, -1.0), np.empty((k, 0)), np.zeros(k, np.int8), 1, 1
    )
    start = len(first)
    barrier = evolve(solver.state.barrier, start=start, feas=start + int(np.argmin(second)))
    return evolve(
        solver.state,
        history=history,
        barrier=barrier,
        best_feas=int(np.argmin(F)),
        runs=(evolve(a_run("first", start), feas=0),),
        explore=False,
    )


def test_a_run_is_left_when_it_cannot_catch_up() -> None:
    solver = begun()
    young, n = int(YOUNG * 3), 2
    flat = [10.0] * (2 * young)
    assert hopeless(solver.setup, told(solver, [0.0], flat))
    assert not hopeless(solver.setup, told(solver, [0.0], flat[: young - 1])), "every run has its youth"
    assert hopeless(solver.setup, told(solver, [0.0], flat[:young]))
    assert not hopeless(solver.setup, told(solver, [20.0], flat)), "the leading run is never left"
    falling = [10.0 - 9.5 * i / len(flat) for i in range(len(flat))]
    assert not hopeless(solver.setup, told(solver, [0.0], falling)), "it comes closer fast enough"
    slow = [10.0 - 0.9 / PATIENCE * i / len(flat) for i in range(len(flat))]
    assert hopeless(solver.setup, told(solver, [0.0], slow))
    exploring = evolve(told(solver, [0.0], flat), explore=True)
    assert not hopeless(solver.setup, exploring)
    first = evolve(told(solver, [0.0], flat), runs=())
    assert not hopeless(solver.setup, first)
    assert n == solver.setup.n


def test_kinds_are_recorded_and_take_turns_in_a_run() -> None:
    """A function with many minima: after the first run all kinds have their turn, each reset to a whole local run."""
    problem = da.Problem(
        objective=lambda X: (10.0 + X**2 - 10.0 * np.cos(2.0 * np.pi * X)).sum(axis=1),
        space=[(-5.0, 5.0)] * 2,
        x0=[3.2, -2.1],
        sense="minimize",
    )
    solver = run(Solver(problem, {"covering_quota": 10}, budget=2500, seed=3))
    kinds = [r.kind for r in solver.state.runs]
    assert kinds[0] == "first" and {POPULATION, FAR, SHAKE} <= {*kinds, solver.state.kind}
    ends = [r.end for r in solver.state.runs]
    assert [r.start for r in solver.state.runs] == [0, *ends[:-1]]
    assert solver.state.history.size == 2500
