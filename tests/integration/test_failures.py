"""User code that raises, answers nonsense, is late or never comes back: the run goes on, says so, and counts it."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.solver import Solver
from tests.integration.cases import assert_best_is_best, network_problem, sphere, sphere_problem

OK, FAILED, NONFINITE, TIMEOUT = 0, 1, 2, 3


class SimulationCrash(Exception):
    """A user's own exception."""


def hostile(answer: Callable[[], Any], where: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """|x|^2, but `answer` (raised if it is an exception) where `where` (k, n) -> (k,) says so."""

    def value(y: np.ndarray) -> np.ndarray:
        f, bad = sphere(y), where(y)
        if bad.any():
            what = answer()
            if isinstance(what, BaseException):
                raise what
            f[bad] = what
        return f

    return value


def left(y: np.ndarray) -> np.ndarray:
    return y[:, 0] < 0.3


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda: da.EvaluationFailed("did not converge"), FAILED),
        (lambda: ZeroDivisionError("1/0"), FAILED),
        (lambda: FloatingPointError("overflow"), FAILED),
        (lambda: np.linalg.LinAlgError("singular"), FAILED),
        (lambda: SimulationCrash("declared"), FAILED),
        (lambda: np.nan, NONFINITE),
        (lambda: np.inf, NONFINITE),
        (lambda: -np.inf, NONFINITE),
    ],
    ids=["failed", "zero division", "floating point", "linalg", "declared", "nan", "inf", "-inf"],
)
@pytest.mark.parametrize("block", [1, 6])
def test_a_hidden_constraint_is_respected(answer: Callable[[], Any], status: int, block: int) -> None:
    """The best usable value is 0.09 at the border of the bad region, and the run gets close to it."""
    problem = sphere_problem(2, objective=hostile(answer, left), failures=SimulationCrash)
    result = da.solve(problem, budget=500, options={"block_size": block}, seed=1)
    bad = left(result.records.x)
    assert bad.any() and (result.records.status[bad] == status).all()
    # Where the budget ends inside a block that raised, its last rows share the fate of the block.
    good = ~bad if block == 1 else ~bad[: -2 * block]
    assert (result.records.status[: good.size][good] == OK).all()
    assert np.isnan(result.records.fun[bad]).all() and np.isposinf(result.records.maxcv[bad]).all()
    assert result.success and 0.09 <= result.fun < 0.12
    assert_best_is_best(result, "minimize")
    assert result.nfev == len(result.records) and result.cost <= 500


def test_an_undeclared_exception_ends_the_run_with_the_point() -> None:
    problem = sphere_problem(2, objective=hostile(lambda: SimulationCrash("boom"), left))
    with pytest.raises(da.EvaluationError, match="User code raised SimulationCrash: boom at x = ") as caught:
        da.solve(problem, budget=500, seed=1)
    error = caught.value
    assert isinstance(error.__cause__, SimulationCrash)
    assert error.x is not None and error.x[0] < 0.3
    result = error.result
    assert isinstance(result, da.Result) and result.reason == da.StopReason.ERROR
    assert not result.success and result.feasible and result.fun == np.nanmin(result.records.fun)
    assert result.records.x[-1].tobytes() == error.x.tobytes()
    assert result.records.status[-1] == FAILED and result.nfev == len(result.records)
    assert pickle.loads(pickle.dumps(error)).result.nfev == result.nfev


def test_minus_infinity_is_no_optimum_when_maximising_either() -> None:
    for sense, value in (("minimize", -np.inf), ("maximize", np.inf)):
        sign = 1.0 if sense == "minimize" else -1.0
        problem = sphere_problem(
            2, objective=lambda y, v=value, s=sign: np.where(y[:, 0] < 0.0, v, s * sphere(y)), sense=sense
        )
        result = da.solve(problem, budget=200)
        assert np.isfinite(result.fun) and result.x[0] >= 0.0


def test_non_finite_constraints_are_failures() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        wall = da.Constraint(lambda y, b=bad: np.where(y[:, 0] < 0.3, b, -1.0))
        result = da.solve(sphere_problem(2, constraints=[wall]), budget=200)
        low = result.records.x[:, 0] < 0.3
        assert low.any() and (result.records.status[low] == NONFINITE).all()
        assert result.success and result.x[0] >= 0.3


@pytest.mark.parametrize("seed", range(3))
def test_a_third_of_all_points_fails_at_random(seed: int) -> None:
    """Random in x, so that a repeated point gives the same answer; also huge numbers."""

    def value(y: np.ndarray) -> np.ndarray:
        hashed = np.abs(np.sin(1e6 * y @ np.arange(1.0, y.shape[1] + 1.0)))
        f = sphere(y)
        f[hashed < 0.3] = np.nan
        f[(hashed >= 0.3) & (hashed < 0.33)] = 1e300
        return f

    for gradient in (False, True):
        problem = sphere_problem(
            3, objective=value, objective_grad=(lambda y: np.where(y > 2.0, np.nan, 2.0 * y)) if gradient else None
        )
        result = da.solve(problem, budget=400, seed=seed)
        share = (result.records.status == NONFINITE).mean()
        assert 0.05 < share < 0.45
        assert result.fun < 0.02
        assert_best_is_best(result, "minimize")


def test_noise_is_survived() -> None:
    """Not deterministic: no promise but that nothing breaks and the answer is what was seen."""
    rng = np.random.default_rng(0)
    result = da.solve(sphere_problem(3, objective=lambda y: sphere(y) + rng.standard_normal(len(y))), budget=300)
    assert result.nfev == 300
    assert_best_is_best(result, "minimize")


# ------------------------------------------------------------------------------------------------ starts


def test_a_failing_start_is_replaced_by_a_design() -> None:
    problem = sphere_problem(2, x0=[2.5, 2.5], objective=lambda y: np.where(y.min(axis=1) > 2.0, np.nan, sphere(y)))
    result = da.solve(problem, budget=250)
    assert result.records.status[0] == NONFINITE and set(result.records.step[:2]) == {"start"}
    assert result.success and result.fun < 1e-4


def test_all_of_several_starts_are_evaluated_first() -> None:
    starts = np.array([[2.5, 2.5], [1.0, -1.0], [-0.5, 0.25]])
    result = da.solve(sphere_problem(2, x0=starts), budget=40)
    assert result.records.x[:3].tobytes() == starts.tobytes()
    assert result.records.step[:4] == ("start",) * 3 + (result.records.step[3],) and result.records.step[3] != "start"


def test_when_no_start_works_the_run_gives_up_early() -> None:
    asked = 0

    def value(y: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(y)
        raise da.EvaluationFailed("never")

    result = da.solve(sphere_problem(2, objective=value), budget=10**5)
    assert result.reason == da.StopReason.START_FAILED
    assert result.message == f"No start point could be evaluated; no point could be evaluated ({result.nfev} failed)."
    assert result.nfev == len(result.records) == 49, "the start and 16 design points a variable, counted with one more"
    assert asked == 49 and not result.success and np.isnan(result.x).all() and np.isnan(result.fun)
    assert "not certified" in result.certificate.text and "not certified" in str(result)


def test_an_all_nan_block_is_nothing_special() -> None:
    """Everything away from the start fails, whole polls and covering blocks included."""
    start = np.array([0.5, -0.25])
    problem = sphere_problem(
        2, x0=start, objective=lambda y: np.where((y == start).all(axis=1), 1.0, np.nan), constraints=()
    )
    result = da.solve(problem, budget=4000, options={"block_size": 8, "restarts": False})
    assert result.fun == 1.0 and result.best_index == 0
    assert (result.records.status[1:] == NONFINITE).all() and result.nfev > 60
    assert result.reason == da.StopReason.FRAME


@pytest.mark.parametrize("size", [1e150, 1e300])
def test_huge_values_do_no_harm(size: float) -> None:
    problem = sphere_problem(2, objective=lambda y: np.where(y.min(axis=1) > 0.5, size, size * 1e-3 * sphere(y)))
    assert da.solve(problem, budget=200).fun < size * 1e-8


def test_values_that_span_all_numbers_do_no_harm() -> None:
    problem = sphere_problem(2, objective=lambda y: np.where(y.min(axis=1) > 0.5, 1e308, -1e308 + 1e300 * sphere(y)))
    assert da.solve(problem, budget=120).success


# ------------------------------------------------------------------------------------------------ time


def test_late_points_are_failures() -> None:
    slow = threading.Event()

    def value(y: np.ndarray) -> np.ndarray:
        if (y[:, 0] < 0.0).any():
            slow.wait(1.0)
        return sphere(y)

    problem = sphere_problem(2, objective=value, x0=[0.4, 0.3])
    result = da.solve(problem, budget=25, options={"timeout": 0.1}, seed=1)
    slow.set()
    late = result.records.x[:, 0] < 0.0
    assert late.any() and (result.records.status[late] == TIMEOUT).all()
    assert (result.records.status[~late] == OK).all()
    assert result.nfev == 25 and result.x[0] >= 0.0


def test_a_hanging_objective_does_not_hang_the_run() -> None:
    never = threading.Event()

    def value(y: np.ndarray) -> np.ndarray:
        never.wait()
        return sphere(y)

    began = time.perf_counter()
    result = da.solve(sphere_problem(1, objective=value), budget=4, options={"timeout": 0.05})
    never.set()
    assert time.perf_counter() - began < 20.0
    assert result.reason == da.StopReason.BUDGET
    assert (result.records.status == TIMEOUT).all() and result.nfev == 4


def test_the_timeout_changes_nothing_for_a_fast_objective() -> None:
    plain = da.solve(network_problem(), budget=60, seed=1)
    timed = da.solve(network_problem(), budget=60, seed=1, options={"timeout": 30.0})
    assert plain.records.x.tobytes() == timed.records.x.tobytes()


# ------------------------------------------------------------------------------------------------ extreme barrier


@pytest.mark.parametrize("seed", range(3))
def test_phase_one_finds_the_region_then_the_optimum(seed: int) -> None:
    """Two extreme constraints, both violated at the start; the optimum of f lies on the border."""
    walls = [
        da.Constraint(lambda x, y: 1.0 - x[:, 0] - x[:, 1], kind="extreme", name="a"),
        da.Constraint(lambda x, y: x[:, 0] - 2.0 * x[:, 1] - 0.2, kind="extreme", name="b"),
    ]
    problem = sphere_problem(2, x0=[-2.1, -1.7], constraints=walls)
    solver = Solver(problem, budget=400, seed=seed)
    phases = []
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        phases.append(solver.state.barrier.phase)
        barrier, history = solver.state.barrier, solver.state.history
        if barrier.phase == 2 and barrier.feas >= 0:
            assert history.HE[barrier.feas] == 0.0 and history.H[barrier.feas] == 0.0
        elif barrier.phase == 1 and not solver.state.runs:
            assert history.HE[barrier.feas] == history.HE.min() > 0.0
    assert phases[0] == 1 and 2 in phases
    result = solver.result()
    assert result.feasible and result.maxcv == 0.0
    assert 0.5 - 1e-12 <= result.fun < 0.53
    assert_best_is_best(result, "minimize")


def test_the_objective_never_leads_where_an_extreme_constraint_is_violated() -> None:
    wall = da.Constraint(lambda x, y: 0.5 - x[:, 0], kind="extreme")
    solver = Solver(sphere_problem(2, x0=[0.6, 0.3], constraints=[wall]), {"restarts": False}, budget=150)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        state = solver.state
        assert state.history.X[state.centre][0] >= 0.5
    assert (solver.result().records.x[:, 0] < 0.5).any()
    assert solver.result().fun == pytest.approx(0.25, abs=1e-3)


# ------------------------------------------------------------------------------------------------ operators


class Broken(AttackOperator):
    """Breaks the promise about its radius."""

    name = "broken"

    def _propose(self, target: Target, radii: np.ndarray, view: View, rng: np.random.Generator) -> Displacements:
        n = target.X.shape[1]
        return Displacements(np.full((1, n), 3.0 * radii[0]), np.zeros(1, dtype=np.int64), radii[:1])


class Wild(AttackOperator):
    """Uphill, nowhere, and out of the box: useless but within its promise."""

    name = "wild"

    def _propose(self, target: Target, radii: np.ndarray, view: View, rng: np.random.Generator) -> Displacements:
        n, r = target.X.shape[1], float(radii[0])
        D = np.array([np.full(n, np.nan), np.zeros(n), r * target.weights, -r * target.weights])
        return Displacements(D, np.zeros(4, dtype=np.int64), np.full(4, r), view.grad(target.X) * np.nan)


def test_a_broken_operator_is_named() -> None:
    with pytest.raises(da.DfoattackError, match="Attack operator 'broken' broke its promise"):
        da.solve(sphere_problem(2, gradient=True), budget=50, options={"attacks": (Broken(),)})


def test_a_useless_operator_costs_its_trials_only() -> None:
    problem = sphere_problem(2, gradient=True)
    with_it = da.solve(problem, budget=300, options={"attacks": (Wild(),), "restarts": False})
    without = da.solve(problem, budget=300, options={"attacks": (), "restarts": False})
    assert with_it.fun < 1e-6 and without.fun < 1e-6
    assert with_it.ngev < 40, "it sleeps longer and longer"


def test_nan_gradients_are_survived() -> None:
    problem = sphere_problem(2, objective_grad=lambda y: np.full(y.shape, np.nan))
    assert da.solve(problem, budget=300).fun < 1e-6
