"""Full blocks: as many points as there are places, answers handed back step by step, the same run whatever happens in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from dfoattack.trials import NOT_RUN, Evaluations
from tests.integration.cases import (
    Network,
    assert_best_is_best,
    assert_same_run,
    digest,
    drive,
    mixed_problem,
    network_problem,
    rosenbrock,
    sphere_problem,
)
from tests.integration.test_save_load import (
    PROBLEMS,
    Make,
    converging_problem,
    extreme_problem,
    failing_problem,
    no_start_problem,
    saved_and_loaded,
)

SIZE = 16


def valley_problem(**more: Any) -> da.Problem:
    settings: dict[str, Any] = dict(
        objective=rosenbrock, space=da.Box([-2, -2], [2, 2]), x0=[-1.2, 1.0], sense="minimize"
    )
    return da.Problem(**{**settings, **more})


MAKES = [network_problem, mixed_problem, extreme_problem, failing_problem, no_start_problem, valley_problem]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("opportunistic", [True, False])
def test_blocks_are_full_and_hold_no_point_twice(make: Make, opportunistic: bool) -> None:
    options = {"block_size": SIZE, "opportunistic": opportunistic}
    solver = Solver(make(), options, budget=20 * SIZE, seed=3)
    space, seen, sizes = solver.problem.space, set(), []
    while trials := solver.ask():
        sizes.append(len(trials))
        for x in trials.X:
            assert space.contains(x)
            assert x.tobytes() not in seen
        evaluations = solver.evaluate()
        seen |= {x.tobytes() for x in trials.X[evaluations.run]}
        pending = solver.state.pending
        assert pending is not None
        if pending.parts:
            rows = np.sort(np.concatenate([part.rows for part in pending.parts]))
            assert rows.tolist() == list(range(len(trials))), "every row belongs to one part"
        solver.tell(evaluations)
    assert all(size % SIZE == 0 for size in sizes[:-1])
    assert_best_is_best(solver.result(), solver.problem.sense)


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("size", [2, 7, 64])
def test_counters_are_exact_and_the_budget_holds(make: Make, size: int) -> None:
    for budget in (1, size, 3 * size + 1, 150):
        options = {"block_size": size, "attacks": ()}
        solver = Solver(make(), options, budget=budget, seed=1)
        while len(solver.ask()):
            before = solver.state.history.size
            evaluations = solver.evaluate()
            solver.tell(evaluations)
            assert solver.state.history.size - before == np.count_nonzero(evaluations.run)
            assert solver.state.counters == evaluations.counters
            assert solver.state.counters.nfev == solver.state.history.size
        result = solver.result()
        assert result.nfev == result.nphi == len(result.records) <= budget
        if result.reason == da.StopReason.BUDGET:
            assert result.nfev == budget


@pytest.mark.parametrize(("make", "budget"), PROBLEMS)
@pytest.mark.parametrize("options", [{}, {"poll": "2n", "opportunistic": False}, {"searches": ("cma", "nelder-mead")}])
def test_saving_and_loading_at_every_call_changes_nothing(make: Make, budget: int, options: dict[str, Any]) -> None:
    full = {**options, "block_size": SIZE}
    plain = drive(Solver(make(), full, budget=3 * budget, seed=3))
    assert digest(plain) == digest(saved_and_loaded(make, 3 * budget, full, True))
    if make is not converging_problem:
        assert "fill" in plain.records.step


@pytest.mark.parametrize("make", [network_problem, mixed_problem, valley_problem])
def test_a_run_file_goes_on_where_the_run_was_stopped(make: Make, tmp_path: Path) -> None:
    options = {"block_size": SIZE, "attacks": ("sign", "l2")}  # a polish would use the budget up before the third call
    plain = da.solve(make(), budget=160, seed=5, options=options)
    calls = []

    def stop(event: object) -> bool:
        calls.append(event)
        return len(calls) == 3

    first = da.solve(make(), budget=160, seed=5, options=options, store=tmp_path / "run.db", callback=stop)
    assert first.reason == da.StopReason.CALLBACK and first.nfev < plain.nfev
    assert_same_run(plain, da.resume(tmp_path / "run.db", make()))


class Metered(Network):
    """Counts the rows it is asked."""

    rows = 0

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.rows += len(X)
        return super().predict(X)


def test_nothing_stored_is_asked_again(tmp_path: Path) -> None:
    options = {"block_size": SIZE}
    plain = da.solve(network_problem(), budget=160, seed=5, options=options)
    first = da.solve(network_problem(), budget=90, seed=5, options=options, store=tmp_path / "run.db")
    meter = Metered()
    again = da.resume(tmp_path / "run.db", network_problem(surrogate=meter), budget=160)
    assert meter.rows == again.nphi - first.nphi > 0
    assert again.cost <= 160 and plain.cost <= 160


@pytest.mark.parametrize("make", [network_problem, mixed_problem, valley_problem, failing_problem])
@pytest.mark.parametrize("cut", [1, 3, 16])
def test_complete_evaluation_does_not_depend_on_how_blocks_are_cut(make: Make, cut: int) -> None:
    """The evaluator may send the rows of a block in as many calls as it likes."""
    options = {"block_size": SIZE, "opportunistic": False}
    plain = drive(Solver(make(), options, budget=8 * SIZE, seed=2))
    solver = Solver(make(), options, budget=8 * SIZE, seed=2)
    while len(solver.ask()):
        pending = solver.state.pending
        assert pending is not None
        trials = replace(pending.trials, block=cut)
        solver.tell(solver.evaluator.run(trials, lambda part: True))
    assert_same_run(plain, solver.result())


@pytest.mark.parametrize("make", [valley_problem, mixed_problem, no_start_problem])
def test_rows_may_stay_unevaluated(make: Make) -> None:
    """A processor that has nothing more to give is no reason to stop."""
    solver = Solver(make(), {"block_size": SIZE}, budget=300, seed=4)
    rng, told = np.random.default_rng(0), 0
    for _ in range(25):
        trials = solver.ask()
        if not len(trials):
            break
        full = solver.evaluate()
        left = rng.random(len(full)) < 0.3
        status = np.where(left, NOT_RUN, full.status).astype(np.int8)
        F = np.where(left, np.inf, full.F)
        solver.tell(Evaluations(full.X, F, np.where(left[:, None], np.nan, full.C), status, full.counters))
        told += int(np.count_nonzero(status != NOT_RUN))
        assert solver.state.history.size == told
    assert np.isfinite(solver.result().fun)


def test_the_size_of_a_block_may_change_from_round_to_round() -> None:
    solver = Solver(sphere_problem(), {"block_size": 4}, budget=200, seed=1)
    for size in (9, 1, 30, 12):
        trials = solver.ask(size)
        assert len(trials) == size or size == 1
        solver.tell((trials.X**2).sum(axis=1))
    assert len(solver.ask()) % 4 == 0
    with pytest.raises(da.OptionError, match="`block_size` must be an integer >= 1"):
        Solver(sphere_problem(), budget=10).ask(0)


def test_without_filling_a_block_is_what_one_step_proposes() -> None:
    runs = [
        da.solve(
            sphere_problem(),
            budget=150,
            seed=1,
            options={"opportunistic": False, "block_size": size, "fill_blocks": False},
        )
        for size in (1, 3, 50)
    ]
    assert "fill" not in runs[0].records.step
    for other in runs[1:]:
        assert_same_run(runs[0], other)


def test_the_first_point_of_an_ordered_block_is_the_most_promising_one() -> None:
    """On a quadratic the models are exact once they have points enough: the order is the order of the values."""
    solver = Solver(sphere_problem(4), {"block_size": 20, "searches": ("model",)}, budget=200, seed=1)
    for _ in range(2):
        solver.ask()
        solver.tell(solver.evaluate())
    trials = solver.ask()
    values = (trials.X**2).sum(axis=1)
    assert np.all(np.diff(values) >= -1e-9 * values.max())


def rounds(n: int, size: int, seed: int, condition: float) -> int:
    """Calls of user code until a rotated ellipsoid is reduced to a millionth."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    weights, calls = condition ** (np.arange(n) / (n - 1)), []

    def objective(y: np.ndarray) -> np.ndarray:
        calls.append(len(y))
        return np.asarray((weights * ((y - 0.3) @ Q.T) ** 2).sum(axis=1))

    x0 = rng.uniform(-4, 4, n)
    first = float((weights * ((x0 - 0.3) @ Q.T) ** 2).sum())
    problem = da.Problem(objective=objective, space=da.Box(np.full(n, -5.0), np.full(n, 5.0)), x0=x0, sense="minimize")
    result = da.solve(problem, budget=200 * size, seed=seed, options={"block_size": size}, f_target=1e-6 * first)
    assert result.reason == da.StopReason.TARGET
    return len(calls)


@pytest.mark.parametrize(("n", "most"), [(5, 4), (10, 5), (20, 8)])
@pytest.mark.parametrize("condition", [1e2, 1e4])
def test_few_rounds_are_enough_for_a_quadratic(n: int, most: int, condition: float) -> None:
    """(n + 1)(n + 2) / 2 values determine it: two rounds beyond those that collect them may pass."""
    assert max(rounds(n, 64, seed, condition) for seed in (0, 1)) <= most


def test_constraints_are_modelled_too() -> None:
    """The corner of two disks: many rounds without models, few with them."""

    def disks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.column_stack([(x**2).sum(axis=1) - 1.0, ((x - 0.5) ** 2).sum(axis=1) - 1.0])

    problem = da.Problem(
        objective=lambda y: y.sum(axis=1) + y[:, 0] ** 2,
        constraints=[da.Constraint(disks, name="disks")],
        space=da.Box(np.full(4, -2.0), np.full(4, 2.0)),
        x0=[0.3, 0.2, 0.1, 0.0],
        sense="minimize",
    )
    few = da.solve(problem, budget=12 * 64, options={"block_size": 64})
    many = da.solve(problem, budget=3000)
    assert few.feasible and many.feasible
    assert few.fun <= many.fun + 1e-6
