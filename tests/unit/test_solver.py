"""Ask and tell by hand: the order of calls, shapes, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from dfoattack.trials import Counters, Evaluations


def sphere(y: np.ndarray) -> np.ndarray:
    return (y**2).sum(axis=1)


def plain(**more: Any) -> da.Problem:
    return da.Problem(objective=sphere, space=[(-2, 2)] * 2, x0=[1.0, 1.5], sense="minimize", **more)


def walled() -> da.Problem:
    walls = [da.Constraint(lambda x, y: 0.5 - x[:, 0], name="a"), da.Constraint(lambda x, y: x[:, 1] - 1.0, tol=0.1)]
    return plain(constraints=walls)


def test_ask_twice_is_refused_and_leaves_the_solver_usable() -> None:
    solver = Solver(plain(), budget=20)
    first = solver.ask()
    with pytest.raises(da.AskTellError, match="`ask` was called twice without `tell`"):
        solver.ask()
    pending = solver.pending
    assert pending is not None and pending.X.tobytes() == first.X.tobytes()
    solver.tell(solver.evaluate())
    assert len(solver.ask()) > 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.tell([1.0]), "`tell` was called although no trials are pending"),
        (lambda s: s.tell(Evaluations(np.zeros((1, 2)), np.ones(1), np.empty((1, 0)), np.zeros(1, np.int8), Counters())),
         "`tell` was called although no trials are pending"),
        (lambda s: s.evaluate(), "`evaluate` was called although no trials are pending"),
    ],
    ids=["values", "evaluations", "evaluate"],
)  # fmt: skip
def test_tell_and_evaluate_need_trials(call: Callable[[Solver], object], said: str) -> None:
    solver = Solver(plain(), budget=20)
    with pytest.raises(da.AskTellError, match=said):
        call(solver)
    solver.ask()
    solver.tell(solver.evaluate())
    with pytest.raises(da.AskTellError, match=said):
        call(solver)


@pytest.mark.parametrize("values", [[1.0, 2.0], [], 1.0, [[1.0]]])
def test_wrong_numbers_of_values_are_refused(values: Any) -> None:
    solver = Solver(plain(), budget=20)
    solver.ask()
    with pytest.raises(da.AskTellError, match=r"`evaluations` must have shape \(k,\) with k = 1"):
        solver.tell(values)
    assert solver.state.counters.nfev == 0 and solver.evaluator.counters.nfev == 0, "nothing was charged"
    solver.tell([3.25])
    assert solver.state.counters.nfev == 1


def test_wrong_constraints_are_refused() -> None:
    solver = Solver(walled(), budget=20)
    solver.ask()
    for constraints, said in (
        (None, "a column for each of 2 constraints"),
        (np.zeros((2, 2)), r"shape \(k, p\) with k = 1"),
        (np.zeros((1, 3)), "columns"),
        (np.zeros((1, 1, 2)), r"shape \(k, p\)"),
    ):
        with pytest.raises(da.AskTellError, match=said):
            solver.tell([1.0], constraints)
    solver.tell([1.0], [[0.0, 0.0]])
    unconstrained = Solver(plain(), budget=20)
    unconstrained.ask()
    with pytest.raises(da.AskTellError, match="a column for each of 0 constraints"):
        unconstrained.tell([1.0], [[0.0]])


def test_wrong_constraints_charge_nothing() -> None:
    solver = Solver(walled(), budget=20)
    solver.ask()
    with pytest.raises(da.AskTellError):
        solver.tell([1.0], np.zeros((1, 3)))
    assert solver.evaluator.counters.nfev == 0


def test_evaluations_of_another_length_are_refused() -> None:
    solver = Solver(plain(), budget=20)
    solver.ask()
    two = Evaluations(np.zeros((2, 2)), np.ones(2), np.empty((2, 0)), np.zeros(2, np.int8), Counters())
    with pytest.raises(da.AskTellError, match="one row a trial, 1 rows, got 2"):
        solver.tell(two)


@pytest.mark.parametrize("sense", ["minimize", "maximize"])
def test_values_from_outside_drive_the_run(sense: str) -> None:
    """In the user's sense; NaN and infinities mark failed points; the problem's own functions are never called."""

    def never(y: np.ndarray) -> np.ndarray:
        raise AssertionError("called")

    sign = 1.0 if sense == "minimize" else -1.0
    problem = da.Problem(objective=never, space=[(-2, 2)] * 2, x0=[1.0, 1.5], sense=sense)
    solver = Solver(problem, budget=300)
    while len(trials := solver.ask()):
        values = sign * sphere(trials.X)
        values[trials.X[:, 0] > 1.2] = np.nan
        values[trials.X[:, 1] > 1.7] = -sign * np.inf
        solver.tell(values)
    result = solver.result()
    assert abs(result.fun) < 1e-6 and result.reason == da.StopReason.BUDGET
    bad = (result.records.x[:, 0] > 1.2) | (result.records.x[:, 1] > 1.7)
    assert (result.records.status[bad] == da.Status.NONFINITE).all() and (result.records.status[~bad] == 0).all()
    assert result.nfev == len(result.records) >= 300


def test_constraints_from_outside_drive_the_run() -> None:
    problem = walled()
    solver = Solver(problem, budget=250)
    while len(trials := solver.ask()):
        X = trials.X
        solver.tell(sphere(X), np.stack([0.5 - X[:, 0], X[:, 1] - 1.0], axis=1))
    result = solver.result()
    assert result.feasible and 0.25 <= result.fun < 0.26
    assert result.records.constraints.shape == (result.nfev, 2)


def test_one_constraint_may_have_several_columns() -> None:
    solver = Solver(plain(constraints=[da.Constraint(lambda y: y, name="both")]), budget=20)
    solver.ask()
    solver.tell([1.0], [[0.5, -0.5]])
    assert solver.state.barrier.columns is not None and solver.state.barrier.columns.tol.shape == (2,)


def test_trials_are_full_points() -> None:
    space = da.Box([-1, -1, -1], [1, 1, 1], fixed={1: 0.25})
    solver = Solver(da.Problem(objective=sphere, space=space, sense="minimize"), budget=30)
    while len(trials := solver.ask()):
        assert trials.X.shape[1] == 3 and (trials.X[:, 1] == 0.25).all() and trials.centre.shape == (3,)
        solver.tell(sphere(trials.X))
    assert solver.result().x.shape == (3,)


def test_the_end() -> None:
    solver = Solver(plain(), budget=5)
    assert solver.stop is None and solver.result().reason == da.StopReason.RUNNING
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    assert solver.stop == da.StopReason.BUDGET
    for _ in range(3):
        assert len(solver.ask()) == 0 and solver.pending is None
    solver.extend(9)
    assert solver.stop is None
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    assert solver.result().nfev == 9


def test_a_callers_reason_is_reported() -> None:
    solver = Solver(plain(), budget=50)
    solver.ask()
    solver.tell(solver.evaluate())
    result = solver.result(da.StopReason.TIME, {"total": 1.0}, "run.db")
    assert result.reason == da.StopReason.TIME and result.store == "run.db" and result.seconds == {"total": 1.0}


def test_step_names() -> None:
    solver = Solver(plain(), budget=60)
    seen = set()
    while len(trials := solver.ask()):
        assert solver.step_name == trials.step
        seen.add(trials.step)
        solver.tell(solver.evaluate())
    assert {"start", "poll", "covering"} <= seen
    assert set(solver.result().records.step) == seen


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, 2**200])
def test_seeds(seed: Any) -> None:
    if seed == 2**200:
        Solver(plain(), seed=seed)
        return
    with pytest.raises(da.OptionError, match="`seed`"):
        Solver(plain(), seed=seed)


@pytest.mark.parametrize("argument", ["budget", "f_target"])
@pytest.mark.parametrize("value", ["many", True, [3]])
def test_a_limit_that_is_no_number_is_refused(argument: str, value: object) -> None:
    with pytest.raises(da.OptionError, match=f"`{argument}` must be a number or None, got"):
        Solver(plain(), **{argument: value})  # type: ignore[arg-type]
