"""Every reason to stop is reached, says what the counters say, and no budget is ever exceeded."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from tests.integration.cases import (
    Network,
    assert_best_is_best,
    mixed_problem,
    network_problem,
    network_wall,
    sphere,
    sphere_gradient,
    sphere_problem,
)


def failing(y: np.ndarray) -> np.ndarray:
    return np.full(len(y), np.nan)


def interrupted(y: np.ndarray) -> np.ndarray:
    raise KeyboardInterrupt


def reason_budget() -> da.Result:
    return da.solve(sphere_problem(), budget=50)


def reason_target() -> da.Result:
    return da.solve(sphere_problem(), budget=500, f_target=0.5)


def reason_frame() -> da.Result:
    return da.solve(sphere_problem(2), options={"covering_quota": 5})


def reason_lattice() -> da.Result:
    return da.solve(
        da.Problem(objective=sphere, space=da.Box([-1, -1], [1, 1], integer=True), sense="minimize"), budget=99
    )


def reason_time() -> da.Result:
    return da.solve(sphere_problem(), budget=10**6, max_time=1e-9)


def reason_callback() -> da.Result:
    return da.solve(sphere_problem(), budget=50, callback=lambda event: event.nfev >= 20)


def reason_interrupted() -> da.Result:
    return da.solve(sphere_problem(objective=interrupted), budget=50)


def reason_start_failed() -> da.Result:
    return da.solve(sphere_problem(objective=failing), budget=10**4)


def reason_running() -> da.Result:
    solver = Solver(sphere_problem(), budget=50)
    solver.ask()
    solver.tell(solver.evaluate())
    return solver.result()


def reason_error() -> da.Result:
    with pytest.raises(da.EvaluationError) as caught:
        da.solve(sphere_problem(objective=lambda y: {}["no such key"]), budget=50)
    result: da.Result = caught.value.result
    return result


@pytest.mark.parametrize("reason", list(da.StopReason), ids=lambda reason: reason.name)
def test_every_reason_is_reached_and_tells_the_truth(reason: da.StopReason) -> None:
    result: da.Result = globals()[f"reason_{reason.name.lower()}"]()
    assert result.reason == reason
    assert result.status == reason.code
    head = {
        da.StopReason.BUDGET: f"Budget of 50 evaluations used (cost {result.cost:g})",
        da.StopReason.TARGET: "Target 0.5 reached",
        da.StopReason.FRAME: f"Converged: frame size {result.frame_size:.1e} (limit 1.0e-09), covering quota of 5 done",
    }.get(reason, reason.text)
    assert result.message.startswith(head + ";")
    assert result.nfev == len(result.records)
    assert result.cost == result.nfev + (result.cost - result.nfev - 2.0 * result.ngev) + 2.0 * result.ngev
    if math.isfinite(result.fun):
        assert f"best feasible f = {result.fun:.8g} at evaluation {result.best_index + 1};" in result.message
        assert_best_is_best(result, "minimize")
    else:
        assert result.best_index == -1 and not result.success
        assert f"no point could be evaluated ({result.nfev} failed)" in result.message
    expected = reason not in (da.StopReason.ERROR, da.StopReason.START_FAILED, da.StopReason.INTERRUPTED)
    assert result.success == expected
    assert result.message in str(result)


def test_reasons_agree_with_the_counters() -> None:
    assert reason_budget().nfev == 50
    target = reason_target()
    assert target.fun <= 0.5 and target.best_index == target.nfev - 1 and target.nfev < 500
    assert (target.records.fun[:-1] > 0.5).all()
    frame = reason_frame()
    assert frame.frame_size <= 1e-9
    assert reason_time().nfev <= 2
    assert 20 <= reason_callback().nfev < 30, "the callback is asked after every step"
    assert reason_lattice().nfev == 9
    failed = reason_start_failed()
    assert failed.nfev < 100 and (failed.records.status == da.Status.NONFINITE).all()


def test_an_infeasible_end_is_marked() -> None:
    problem = sphere_problem(2, constraints=[da.Constraint(lambda y: 1.0 + y[:, 0] ** 2, name="never")])
    result = da.solve(problem, budget=80)
    assert not result.feasible and not result.success
    assert "NO FEASIBLE POINT found" in result.message and f"{result.maxcv:.3g}" in result.message
    assert "INFEASIBLE" in str(result)
    assert result.certificate.text == "not certified: no feasible point was found"
    assert result.maxcv == result.records.maxcv.min() == result.maxcv_infeasible
    assert result.x.tobytes() == result.x_infeasible.tobytes()


def test_a_target_met_by_an_infeasible_point_does_not_count() -> None:
    wall = da.Constraint(lambda y: 0.5 - y[:, 0], name="wall")
    problem = sphere_problem(2, constraints=[wall], x0=[-1.0, 1.0])
    result = da.solve(problem, budget=300, f_target=0.3)
    assert result.reason == da.StopReason.TARGET
    assert result.feasible and result.fun <= 0.3
    assert (result.records.fun[result.records.maxcv > 0.0] <= 0.3).any()


def test_the_clock_stops_a_slow_objective() -> None:
    def slow(y: np.ndarray) -> np.ndarray:
        time.sleep(0.02)
        return sphere(y)

    began = time.perf_counter()
    result = da.solve(sphere_problem(objective=slow), budget=10**6, max_time=0.3)
    assert result.reason == da.StopReason.TIME
    assert result.seconds["total"] >= 0.3
    assert time.perf_counter() - began < 20.0
    assert result.success and 2 <= result.nfev <= 20


@pytest.mark.parametrize("value", [0, -1.0, math.nan, "soon"])
def test_a_wrong_time_limit_is_refused(value: Any) -> None:
    with pytest.raises(da.OptionError, match="`max_time` must be positive seconds or None, got "):
        da.solve(sphere_problem(), max_time=value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"budget": 0}, "`budget` must be at least 1 evaluation, got 0"),
        ({"budget": -3.0}, "`budget` must be at least 1 evaluation, got -3"),
        ({"budget": math.nan}, "`budget` must be at least 1 evaluation, got nan"),
        ({"f_target": math.nan}, "`f_target` must be a number, got nan"),
        ({"seed": -1}, "`seed`"),
        ({"seed": 1.5}, "`seed`"),
        ({"options": {"poll": "3n"}}, "`poll` must be 'n.1' or '2n', got '3n'"),
        ({"options": {"pol": "2n"}}, "Unknown option `pol`. Did you mean `poll`?"),
        ({"options": {"attacks": ("sgin",)}}, "Unknown attack 'sgin'. Did you mean 'sign'?"),
        ({"options": {"frame_size_init": (0.1, 0.2)}}, "`frame_size_init` must have one value or n = 3"),
        ({"options": 3}, "`options` must be a mapping"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_evaluated(arguments: dict[str, Any], said: str) -> None:
    asked: list[np.ndarray] = []
    problem = sphere_problem(objective=lambda y: asked.append(y) or sphere(y))
    with pytest.raises((da.OptionError, da.ProblemError), match=said):
        da.solve(problem, **{"budget": 20, **arguments})
    assert not asked


# ---------------------------------------------------------------------------------------------- budgets


class Meter(Network):
    """Counts rows sent forwards and backwards."""

    def __init__(self) -> None:
        self.rows = self.vjps = 0

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.rows += len(X)
        return super().predict(X)

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        self.vjps += len(X)
        return super().vjp(X, V)


@pytest.mark.parametrize("gradient_cost", [1.0, 2.0, 0.37])
@pytest.mark.parametrize("budget", [1, 2, 3, 7.5, 20, 61])
def test_the_budget_is_never_exceeded_and_the_counters_are_true(budget: float, gradient_cost: float) -> None:
    for attacks, block, opportunistic in itertools.product(
        [(), ("sign",), ("pgd",), ("sqp", "l2")], [1, 7], [True, False]
    ):
        meter = Meter()
        options = {
            "attacks": attacks,
            "block_size": block,
            "opportunistic": opportunistic,
            "gradient_cost": gradient_cost,
        }
        wall = da.Constraint(network_wall, name="wall")
        problem = network_problem(surrogate=meter, constraints=[wall])
        result = da.solve(problem, budget=budget, options=options, seed=1)
        assert result.reason == da.StopReason.BUDGET
        assert result.nphi == meter.rows and result.ngev == meter.vjps
        assert result.cost == pytest.approx(result.nphi + gradient_cost * result.ngev)
        assert budget - 1.0 < result.cost + (gradient_cost if attacks else 0.0) + 1e-9
        assert result.cost <= budget
        assert result.nfev == len(result.records) <= result.nphi
        assert (result.ngev > 0) <= bool(attacks)


@pytest.mark.parametrize("block", [1, 5, 64])
def test_without_gradients_the_budget_is_used_up_exactly(block: int) -> None:
    for budget in (1, 2, 13, 64, 65):
        for make in (sphere_problem, mixed_problem):
            result = da.solve(make(), budget=budget, options={"block_size": block})
            assert result.nfev == result.nphi == budget and result.ngev == 0


def test_no_point_is_evaluated_twice() -> None:
    for make in (network_problem, mixed_problem, lambda: sphere_problem(2, gradient=True)):
        result = da.solve(make(), budget=200, seed=2)
        keys = {x.tobytes() for x in result.records.x + 0.0}
        assert len(keys) == len(result.records)


def test_the_rest_of_the_budget_goes_to_further_runs() -> None:
    """Two basins: the start leads to the worse one, the restart finds the better one."""

    def basins(y: np.ndarray) -> np.ndarray:
        near, far = y - 2.0, y + 2.0
        return np.minimum((near**2).sum(axis=1), 3.0 * (far**2).sum(axis=1) - 1.0)

    problem = da.Problem(objective=basins, space=[(-4, 4)] * 2, x0=[2.3, 1.6], sense="minimize")
    options = {"covering_quota": 10, "covering_radius": 0.5}
    one = da.solve(problem, budget=1500, options={**options, "restarts": False})
    assert one.reason == da.StopReason.FRAME and one.nfev < 600 and abs(one.fun) < 1e-9 and one.local_runs == 1
    for seed in range(3):
        more = da.solve(problem, budget=1500, options=options, seed=seed)
        assert more.reason == da.StopReason.BUDGET and more.nfev == 1500
        assert more.local_runs > 1 and more.fun < -0.99
        np.testing.assert_allclose(more.x, -2.0, atol=0.1)
        assert_best_is_best(more, "minimize")


def test_without_a_budget_there_are_no_restarts() -> None:
    result = da.solve(sphere_problem(2), options={"covering_quota": 0})
    assert result.reason == da.StopReason.FRAME and result.local_runs == 1


def test_the_certificate_is_about_the_answer() -> None:
    """Also when a later local run ends somewhere worse: whose neighbourhood is meant must be that of x."""
    problem = da.Problem(
        objective=sphere,
        constraints=[da.Constraint(lambda x, y: np.minimum(4.0 - x[:, 0], np.abs(x).max(axis=1) - 1.0))],
        space=[(-9, 9)] * 2,
        x0=[0.4, 0.3],
        sense="minimize",
    )
    result = da.solve(problem, budget=800, options={"covering_quota": 20})
    assert result.feasible and result.local_runs > 1
    assert "no feasible point" not in result.certificate.text
    scale = 1.0  # the first frame: a tenth of the range, rounded down
    inside = (((result.records.x - result.x) / scale) ** 2).sum(axis=1) <= 1.0
    assert result.certificate.points == int(inside.sum())


def test_gradients_of_a_run_without_budget_are_counted() -> None:
    result = da.solve(sphere_problem(2, gradient=True), options={"covering_quota": 0})
    assert result.reason == da.StopReason.FRAME and result.ngev > 0
    assert result.fun < 1e-12 and sphere_gradient(result.x[None, :]).shape == (1, 2)
