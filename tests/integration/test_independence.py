"""Runs do not know of each other: threads, runs within runs, pickles."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from tests.integration.cases import digest, drive, mixed_problem, network_problem, rosenbrock, sphere, sphere_problem

Make = Callable[[], da.Problem]


def test_threads_equal_separate_runs() -> None:
    jobs: list[tuple[Make, int]] = [(network_problem, 1), (mixed_problem, 2), (network_problem, 3), (sphere_problem, 4)]
    alone = [digest(da.solve(make(), budget=90, seed=seed)) for make, seed in jobs]
    together: list[str] = [""] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def work(i: int) -> None:
        make, seed = jobs[i]
        gate.wait(30.0)
        together[i] = digest(da.solve(make(), budget=90, seed=seed))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120.0)
    assert together == alone


def test_one_problem_object_in_two_threads() -> None:
    problem = network_problem()
    alone = digest(da.solve(network_problem(), budget=80, seed=1))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(digest(da.solve(problem, budget=80, seed=1)))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120.0)
    assert found == [alone, alone]


def test_a_run_inside_the_objective_of_another() -> None:
    """Best response to x: the inner minimum of (x - z)^2 + z^2 is x^2 / 2."""

    def inner(x: float) -> float:
        problem = da.Problem(
            objective=lambda z: (x - z[:, 0]) ** 2 + z[:, 0] ** 2, space=[(-3, 3)], x0=[0.4], sense="minimize"
        )
        return float(da.solve(problem, budget=25, seed=1).fun)

    nested = da.Problem(
        objective=lambda y: np.array([inner(float(v)) for v in y[:, 0]]), space=[(-2, 2)], x0=[1.3], sense="minimize"
    )
    table: dict[float, float] = {}
    once = da.solve(nested, budget=25, seed=2)
    for x, f in zip(once.records.x[:, 0], once.records.fun, strict=True):
        table[float(x)] = float(f)
        assert inner(float(x)) == f
    assert digest(da.solve(nested, budget=25, seed=2)) == digest(once)
    assert abs(once.x[0]) < 0.2


def test_two_solvers_in_turn_equal_separate_runs() -> None:
    left, right = Solver(network_problem(), budget=60, seed=1), Solver(mixed_problem(), budget=60, seed=1)
    while len(left.ask()) | len(right.ask()):
        for solver in (left, right):
            if solver.pending is not None:
                solver.tell(solver.evaluate())
    assert digest(left.result()) == digest(drive(Solver(network_problem(), budget=60, seed=1)))
    assert digest(right.result()) == digest(drive(Solver(mixed_problem(), budget=60, seed=1)))


@pytest.mark.parametrize("make", [network_problem, mixed_problem, sphere_problem])
def test_problems_and_results_pickle(make: Make) -> None:
    problem = make()
    fresh = pickle.loads(pickle.dumps(problem))
    result = da.solve(problem, budget=50, seed=1)
    assert digest(da.solve(fresh, budget=50, seed=1)) == digest(result)
    used = pickle.loads(pickle.dumps(problem))
    assert digest(da.solve(used, budget=50, seed=1)) == digest(result)
    copy = pickle.loads(pickle.dumps(result))
    assert digest(copy) == digest(result) and str(copy) == str(result)
    assert copy.certificate.text == result.certificate.text and copy.reason is result.reason


def test_a_solver_pickles_its_state() -> None:
    solver = Solver(mixed_problem(), budget=60, seed=1)
    for _ in range(5):
        solver.ask()
        solver.tell(solver.evaluate())
    state = pickle.loads(pickle.dumps(solver.state))
    other = Solver(mixed_problem(), budget=60, seed=1)
    other.state = state
    other.evaluator.ledger.adopt(state.counters)
    assert digest(drive(other)) == digest(drive(solver))


def test_results_read_like_scipys() -> None:
    problem = da.Problem(objective=rosenbrock, space=[(-2, 2)] * 2, x0=[-1.2, 1.0], sense="minimize")
    result = da.solve(problem, budget=150)
    scipy_result = result.to_scipy()
    assert scipy_result.nfev == result.nfev and scipy_result.x.tobytes() == result.x.tobytes()
    assert scipy_result.success == result.success and scipy_result.njev == result.ngev
    assert sphere(scipy_result.x[None, :]).shape == (1,)
