"""A run that is saved, thrown away and loaded into a fresh solver at every call is the same run, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from tests.integration.cases import (
    assert_same_run,
    digest,
    drive,
    mixed_problem,
    network_problem,
    sphere,
    sphere_problem,
)

Make = Callable[[], da.Problem]
STEPS: dict[str, dict[str, Any]] = {
    "default": {},
    "2n": {"poll": "2n", "block_size": 3},
    "complete": {"opportunistic": False, "block_size": 4},
}


def extreme_problem() -> da.Problem:
    """Starts where an extreme constraint is violated: phase one."""
    wall = da.Constraint(lambda x, y: 1.0 - x[:, 0] - x[:, 1], kind="extreme")
    return da.Problem(objective=sphere, constraints=[wall], space=[(-3, 3)] * 2, x0=[-2.1, -1.3], sense="minimize")


def failing_problem() -> da.Problem:
    """The start fails, and so does a third of the box."""

    def value(y: np.ndarray) -> np.ndarray:
        return np.where(np.sin(7.0 * y[:, 0]) + np.cos(5.0 * y[:, 1]) > 0.7, np.nan, sphere(y))

    return da.Problem(objective=value, space=[(-3, 3)] * 2, x0=[0.2, 0.0], sense="minimize")


def no_start_problem() -> da.Problem:
    return da.Problem(objective=sphere, space=[(-3, 2)] * 3, sense="minimize")


def converging_problem() -> da.Problem:
    """Converges and begins again within the budget."""
    return sphere_problem(1)


PROBLEMS: list[tuple[Make, int]] = [
    (network_problem, 120),
    (mixed_problem, 120),
    (extreme_problem, 120),
    (failing_problem, 100),
    (no_start_problem, 60),
    (converging_problem, 500),
]


def saved_and_loaded(
    make: Make, budget: int, options: dict[str, Any], before_tell: bool, new_problem: bool = False
) -> da.Result:
    """After every ask (or only after every tell) the solver dies, and another one goes on from its bytes."""
    problem = make()

    def fresh(data: bytes) -> Solver:
        solver = Solver(make() if new_problem else problem, options, budget=budget, seed=3)
        solver.restore(data)
        assert solver.to_bytes() == data
        return solver

    solver = Solver(make(), options, budget=budget, seed=3)
    solver = fresh(solver.to_bytes())
    while len(trials := solver.ask()):
        if before_tell:
            solver = fresh(solver.to_bytes())
            pending = solver.pending
            assert pending is not None and pending.X.tobytes() == trials.X.tobytes()
        solver.tell(solver.evaluate())
        solver = fresh(solver.to_bytes())
    assert len(solver.ask()) == 0
    return solver.result()


@pytest.mark.parametrize(
    ("make", "budget", "before_tell"),
    [
        pytest.param(make, budget, before_tell, id=f"{make.__name__}-{'ask+tell' if before_tell else 'tell'}")
        for make, budget in PROBLEMS
        for before_tell in (False, True)
    ],
)
def test_saving_and_loading_at_every_call_changes_nothing(make: Make, budget: int, before_tell: bool) -> None:
    plain = drive(Solver(make(), budget=budget, seed=3))
    again = saved_and_loaded(make, budget, {}, before_tell)
    assert_same_run(plain, again)
    assert digest(plain) == digest(again)
    if make is converging_problem:
        assert plain.local_runs > 1


@pytest.mark.parametrize("make", [network_problem, mixed_problem, extreme_problem])
def test_saving_and_loading_with_a_new_problem_object(make: Make) -> None:
    """As in another process, where nothing was evaluated yet."""
    plain = drive(Solver(make(), budget=80, seed=3))
    assert digest(plain) == digest(saved_and_loaded(make, 80, {}, True, new_problem=True))


@pytest.mark.parametrize("options", [STEPS["2n"], STEPS["complete"]], ids=["2n", "complete"])
@pytest.mark.parametrize("make", [network_problem, mixed_problem])
def test_saving_and_loading_with_blocks(make: Make, options: dict[str, Any]) -> None:
    plain = drive(Solver(make(), options, budget=100, seed=3))
    assert digest(plain) == digest(saved_and_loaded(make, 100, options, True))


@pytest.mark.parametrize("operator", ["sign", "l2", "pgd", "sqp"])
@pytest.mark.parametrize("budget", [37, 38])
def test_what_an_attack_has_spent_is_saved_before_the_tell(operator: str, budget: int) -> None:
    """Gradients are paid inside `ask`; a solver loaded then must not spend them twice, at the end of the budget least of all."""
    options = {"attacks": (operator,)}
    plain = drive(Solver(network_problem(), options, budget=budget, seed=3))
    again = saved_and_loaded(network_problem, budget, options, True)
    assert plain.ngev > 0
    assert (plain.nfev, plain.ngev, plain.cost) == (again.nfev, again.ngev, again.cost)
    assert plain.cost <= budget
    assert digest(plain) == digest(again)


def test_states_are_values() -> None:
    """Going on from one state twice gives the same answers; the first branch leaves no trace in the second."""
    solver = Solver(network_problem(), budget=150, seed=1)
    for _ in range(4):
        solver.ask()
        solver.tell(solver.evaluate())
    data = solver.to_bytes()
    left, right = Solver(network_problem(), budget=150, seed=1), Solver(network_problem(), budget=150, seed=1)
    left.restore(data)
    first = drive(left)
    right.restore(data)
    assert digest(first) == digest(drive(right)) == digest(drive(solver))


def test_the_state_does_not_alias_what_the_user_holds() -> None:
    """Scribbling on trials, evaluations or results changes no later answer."""
    plain = drive(Solver(mixed_problem(), budget=80, seed=2))
    solver = Solver(mixed_problem(), budget=80, seed=2)
    while len(trials := solver.ask()):
        evaluations = solver.evaluate()
        pending = solver.pending
        assert pending is not None
        solver.tell(evaluations)
        for array in (trials.X, pending.X, evaluations.F, evaluations.X):
            if array.flags.writeable and array is not solver.state.history.buffer.X:
                array[...] = np.nan
        result = solver.result()
        result.x[...] = np.nan
        result.records.x[...] = np.nan
        result.records.fun[...] = np.nan
    assert digest(drive(solver)) == digest(plain)


def test_plain_values_told_are_the_same_run() -> None:
    """`tell` with values computed elsewhere gives what `evaluate` gives where every trial of a block is evaluated."""
    problem = sphere_problem(2)
    options = {"attacks": (), "opportunistic": False}
    left = drive(Solver(problem, options, budget=120, seed=5))
    solver = Solver(problem, options, budget=120, seed=5)
    while len(trials := solver.ask()):
        solver.tell(sphere(trials.X))
    right = solver.result()
    m = len(left.records)
    assert right.records.x[:m].tobytes() == left.records.x.tobytes()
    assert right.fun <= left.fun
