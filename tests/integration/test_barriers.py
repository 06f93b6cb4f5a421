"""The progressive barrier in whole runs: thresholds, centres, headlines, tolerances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.barrier import poll_centres
from dfoattack.solver import Solver
from tests.integration.cases import assert_best_is_best, network_problem, sphere, sphere_problem


def disc_problem(**more: Any) -> da.Problem:
    """Minimise x + y in the unit disc: -sqrt 2 at (-1, -1)/sqrt 2. The start is far outside."""
    settings: dict[str, Any] = dict(
        objective=lambda y: y.sum(axis=1),
        constraints=[da.Constraint(lambda x, y: (x**2).sum(axis=1) - 1.0, name="disc")],
        space=[(-3, 3), (-3, 3)],
        x0=[2.3, -1.9],
        sense="minimize",
    )
    return da.Problem(**{**settings, **more})


def waves_problem() -> da.Problem:
    """A feasible set in several pieces, in the way of the objective."""
    return da.Problem(
        objective=lambda y: -2.0 * y[:, 0] - y[:, 1],
        constraints=[
            da.Constraint(lambda x, y: np.sin(3.0 * x[:, 0]) + 0.5 * x[:, 1] - 0.4, name="waves"),
            da.Constraint(lambda x, y: x[:, 0] ** 2 + x[:, 1] ** 2 - 6.0, name="disc"),
            da.Constraint(lambda x, y: -x[:, 1] - 2.0, kind="extreme", name="floor"),
        ],
        space=[(-3, 3), (-3, 3)],
        x0=[-1.0, 2.0],
        sense="minimize",
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [disc_problem, waves_problem, network_problem])
def test_the_threshold_never_increases_and_the_incumbents_keep_it(make: Any, seed: int) -> None:
    solver = Solver(make(), {"restarts": False}, budget=200, seed=seed)
    h_max, moves = math.inf, 0
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        barrier, history = solver.state.barrier, solver.state.history
        assert barrier.h_max <= h_max
        moves += barrier.h_max < h_max
        h_max = barrier.h_max
        if barrier.phase != 2:
            continue
        ok = (history.status == 0) & (history.HE == 0.0)
        feasible = ok & (history.V <= 0.0)
        assert (barrier.feas >= 0) == bool(feasible.any())
        if barrier.feas >= 0:
            assert history.F[barrier.feas] == history.F[feasible].min()
        if barrier.inf >= 0:
            assert ok[barrier.inf] and 0.0 < history.H[barrier.inf]
            # No infeasible point is better in both; none within the threshold has a lower value.
            others = ok & (history.V > 0.0)
            f, h = history.F[barrier.inf], history.H[barrier.inf]
            assert not (others & (history.F <= f) & (history.H <= h) & ((history.F < f) | (history.H < h))).any()
    if make is not network_problem:
        assert moves > 0
    assert_best_is_best(solver.result(), "maximize" if make is network_problem else "minimize")


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_on_the_border_is_found_from_outside(seed: int) -> None:
    result = da.solve(disc_problem(), budget=500, seed=seed)
    assert result.success and result.maxcv == 0.0
    assert -math.sqrt(2.0) <= result.fun < -math.sqrt(2.0) + 2e-2
    assert_best_is_best(result, "minimize")


def test_both_centres_are_polled_and_the_better_one_leads() -> None:
    """The infeasible incumbent leads while it is better by a tenth of the objective's range: each compared with the other."""
    solver = Solver(disc_problem(x0=[0.5, 0.5]), {"covering": False, "restarts": False}, budget=200, seed=0)
    led = {"feasible": 0, "infeasible": 0}
    secondary = 0
    while len(trials := solver.ask()):
        barrier, history = solver.state.barrier, solver.state.history
        margin = solver.options.infeasible_margin * barrier.f_scale
        if trials.step == "poll" and barrier.feas >= 0 and barrier.inf >= 0:
            ahead = history.F[barrier.inf] < history.F[barrier.feas] - margin
            expected = barrier.inf if ahead else barrier.feas
            first, second = poll_centres(barrier, history, solver.options.infeasible_margin)
            assert {first, second} == {barrier.feas, barrier.inf} and first == expected
            assert trials.centre.tobytes() == history.X[expected].tobytes()
            led["infeasible" if ahead else "feasible"] += 1
            pending = solver.state.pending
            assert pending is not None
            secondary += int((pending.origins == history.X[second]).all(axis=1).sum())
        solver.tell(solver.evaluate())
    assert led["infeasible"] > 0 and led["feasible"] > 0 and secondary > 0


def test_an_infeasible_incumbent_far_below_the_feasible_one_leads() -> None:
    """The rule reads two different incumbents; comparing one with itself would never let the infeasible one lead."""
    wall = da.Constraint(lambda x, y: x[:, 0] - 0.9, name="wall")
    starts = np.array([[0.0, 0.0], [1.0, 0.0]])
    problem = da.Problem(
        objective=lambda y: -1000.0 * y[:, 0] + sphere(y),
        constraints=[wall],
        space=[(-3, 3)] * 2,
        x0=starts,
        sense="minimize",
    )
    solver = Solver(problem, {"covering": False, "searches": ()}, budget=50)
    solver.ask()
    solver.tell(solver.evaluate())
    trials = solver.ask()
    assert trials.step == "poll" and trials.centre.tolist() == [1.0, 0.0]
    while len(trials):
        solver.tell(solver.evaluate())
        trials = solver.ask()
    result = solver.result()
    assert result.feasible and result.x[0] <= 0.9 and result.maxcv == 0.0, "the headline is feasible all the same"
    assert result.fun_infeasible < result.fun or result.maxcv_infeasible > 0.0


def test_a_speculative_step_starts_at_the_incumbent_that_moved() -> None:
    """Where the infeasible incumbent leads, its step is not tried again from the feasible one."""
    solver = Solver(
        disc_problem(x0=[0.5, 0.5]), {"covering": False, "restarts": False, "searches": ()}, budget=200, seed=5
    )
    led = 0
    while len(trials := solver.ask()):
        barrier, history = solver.state.barrier, solver.state.history
        if trials.step == "speculative":
            first, _ = poll_centres(barrier, history, solver.options.infeasible_margin)
            assert trials.centre.tobytes() == history.X[first].tobytes()
            led += first == barrier.inf
        solver.tell(solver.evaluate())
    assert led > 0


def test_a_violation_of_one_ulp_is_a_violation() -> None:
    """tol = 0 means c <= 0, not a small sum of squares: squares of 1e-170 underflow, of 1e-7 look like nothing."""
    for excess in (5e-324, 1e-170, 1e-9, 3e-7):
        wall = da.Constraint(lambda x, y, e=excess: np.where(x[:, 0] < 0.5, e, -1.0), name="wall")
        result = da.solve(sphere_problem(2, constraints=[wall]), budget=150)
        low = result.records.x[:, 0] < 0.5
        assert low.any() and (result.records.maxcv[low] == excess).all()
        assert result.feasible and result.x[0] >= 0.5 and result.maxcv == 0.0
        assert result.x_infeasible is not None and result.maxcv_infeasible == excess


def test_an_unreachable_excess_is_reported_infeasible() -> None:
    wall = da.Constraint(lambda x, y: np.full(len(x), 1e-12), name="wall")
    result = da.solve(sphere_problem(2, constraints=[wall]), budget=60)
    assert not result.feasible and not result.success and result.maxcv == 1e-12
    tolerant = da.Constraint(lambda x, y: np.full(len(x), 1e-12), name="wall", tol=1e-12)
    result = da.solve(sphere_problem(2, constraints=[tolerant]), budget=60)
    assert result.feasible and result.maxcv == 0.0


def test_the_tolerance_is_in_the_users_units() -> None:
    tol = 0.25
    wall = da.Constraint(lambda x, y: 1000.0 * (0.5 - x[:, 0]), tol=1000.0 * tol)
    result = da.solve(sphere_problem(2, constraints=[wall], x0=[0.7, 0.2]), budget=300)
    assert result.x[0] >= 0.25 - 1e-12 and result.fun < 0.0625 + 1e-3
    assert result.maxcv == 0.0 and 1000.0 * (0.5 - result.x[0]) > 200.0


@pytest.mark.parametrize("kind", ["progressive", "extreme"])
def test_scales_of_constraints_differ_by_far(kind: str) -> None:
    walls = [
        da.Constraint(lambda x, y: 1e9 * (0.5 - x[:, 0]), kind=kind),
        da.Constraint(lambda x, y: 1e-9 * (0.5 - x[:, 1]), kind=kind),
    ]
    result = da.solve(sphere_problem(2, constraints=walls, x0=[-1.2, -1.3]), budget=600)
    assert result.success and 0.5 <= result.fun < 0.502


def test_an_empty_list_of_constraints_is_none() -> None:
    a = da.solve(sphere_problem(2, constraints=[]), budget=60)
    b = da.solve(sphere_problem(2), budget=60)
    assert a.records.x.tobytes() == b.records.x.tobytes()
    assert a.records.constraints.shape == (60, 0) and a.maxcv == 0.0


def test_an_equality_is_a_narrow_band_about_which_little_is_claimed() -> None:
    band = da.Constraint(lambda x, y: np.abs(x[:, 0] + x[:, 1] - 1.0), tol=1e-6, name="sum")
    result = da.solve(
        da.Problem(objective=sphere, constraints=[band], space=[(-2, 2)] * 2, x0=[0.25, 0.75], sense="minimize"),
        budget=600,
    )
    assert result.feasible and abs(result.x.sum() - 1.0) <= 1e-6
    assert "not certified" in result.certificate.text or result.certificate.improving > 0.9
