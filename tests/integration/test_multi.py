"""Several objectives: fronts that are reached, runs that resume, points that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from benchmarks.front_problems import PROBLEMS, true_volume, volume_of
from dfoattack.errors import EvaluationError

# name, budget, share of the true volume that every seed must reach
REACH = [
    ("schaffer", 150, 0.99),
    ("fonseca", 500, 0.97),
    ("kursawe", 500, 0.90),
    ("zdt1-10", 600, 0.95),
    ("zdt2-10", 600, 0.95),
    ("zdt3-10", 600, 0.75),
    ("viennet", 300, 0.98),
    ("dtlz2-3", 600, 0.80),
    ("bnh", 300, 0.98),
    ("tnk", 600, 0.85),
    ("plan-integer", 300, 0.97),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "budget", "share"), REACH, ids=[case[0] for case in REACH])
@pytest.mark.parametrize("seed", [0, 1])
def test_reach(name: str, budget: int, share: float, seed: int) -> None:
    problem = PROBLEMS[name]
    result = da.solve_multi(problem.problem(), budget=budget, seed=seed)
    assert result.nfev <= budget
    assert volume_of(result.F, problem.reference) >= share * true_volume(name)
    if problem.constraints is not None:
        assert np.all(problem.constraints(result.X) <= 0.0)
    if problem.integer:
        assert np.array_equal(result.X, np.rint(result.X))


def two(y: np.ndarray) -> np.ndarray:
    return np.stack([(y**2).sum(1), ((y - 1) ** 2).sum(1)], axis=1)


def mixed_problem() -> da.MultiProblem:
    """One variable of each kind, one objective to be maximised, a progressive and an extreme constraint, a start."""
    return da.MultiProblem(
        objective=lambda y: np.stack([(y**2).sum(1), -((y - 1.3) ** 2).sum(1)], axis=1),
        sense=("minimize", "maximize"),
        space=da.Box([-2, -2, 0, 0.5], [2, 2, 4, 0.5], integer=[2], granularity=[0, 0.25, 0, 0]),
        constraints=[
            da.Constraint(lambda x, y: 0.5 - x[:, 0] - x[:, 1], name="a"),
            da.Constraint(lambda x, y: x[:, 0] - 1.5, kind="extreme", name="b"),
        ],
        x0=[-1.0, 0.25, 3, 0.5],
    )


def failing_problem() -> da.MultiProblem:
    def value(y: np.ndarray) -> np.ndarray:
        out = two(y)
        out[np.sin(7.0 * y[:, 0]) + np.cos(5.0 * y[:, 1]) > 0.7, 1] = np.nan
        return out

    return da.MultiProblem(objective=value, sense=("minimize", "minimize"), space=[(-3, 3)] * 2, x0=[0.2, 0.0])


def three_problem() -> da.MultiProblem:
    return da.MultiProblem(
        objective=lambda y: np.hstack([two(y), 0.1 * (y[:, :1] - 2.0) ** 2]),
        sense=("minimize",) * 3,
        space=[(-2, 2)] * 2,
    )


MAKERS = [mixed_problem, failing_problem, three_problem]


def same(a: da.FrontResult, b: da.FrontResult) -> None:
    assert np.array_equal(a.records.x, b.records.x)
    assert np.array_equal(a.records.fun, b.records.fun, equal_nan=True)
    assert a.records.step == b.records.step
    assert np.array_equal(a.X, b.X) and np.array_equal(a.F, b.F)
    assert np.array_equal(a.certificate.frame_size, b.certificate.frame_size)
    assert (a.nfev, a.nit, a.reason, a.message) == (b.nfev, b.nit, b.reason, b.message)


@pytest.mark.parametrize("make", MAKERS)
def test_save_and_load_at_every_call(make: Any) -> None:
    straight, budget = da.MultiSolver(make(), budget=90, seed=3), 90
    while len(straight.ask()):
        straight.tell(straight.evaluate())
    data = da.MultiSolver(make(), budget=budget, seed=3).to_bytes()
    while True:
        fresh = da.MultiSolver(make(), budget=budget, seed=3)
        fresh.restore(data)
        if fresh.pending is None:
            if not len(fresh.ask()):
                break
        else:
            fresh.tell(fresh.evaluate())
        data = fresh.to_bytes()
    same(straight.result(), fresh.result())


@pytest.mark.parametrize("make", MAKERS)
def test_run_file_resumes_after_an_interrupt(make: Any, tmp_path: Path) -> None:
    straight = da.solve_multi(make(), budget=90, seed=2)
    count = 0

    def interrupt(event: da.FrontEvent) -> None:
        nonlocal count
        count += 1
        if count == 25:
            raise KeyboardInterrupt

    path = tmp_path / "run.db"
    broken = da.solve_multi(make(), budget=90, seed=2, store=path, callback=interrupt)
    assert broken.reason == da.StopReason.INTERRUPTED and broken.nfev < straight.nfev
    same(da.resume_multi(path, make()), straight)
    longer = da.resume_multi(path, make(), budget=120)
    assert longer.nfev == 120 and np.array_equal(longer.records.x[:90], straight.records.x)
    with pytest.raises(da.StoreError, match="resume_multi"):
        da.resume(path, da.Problem(objective=lambda y: y[:, 0], space=[(0, 1)]))
    with pytest.raises(da.OptionError, match="at least the stored one, 120, got 100"):
        da.resume_multi(path, make(), budget=100)
    with pytest.raises(da.StoreError, match="belongs to another run"):
        da.resume_multi(path, three_problem() if make is not three_problem else failing_problem())


def test_values_from_outside_give_the_same_run() -> None:
    problem = mixed_problem()
    by_hand = da.MultiSolver(problem, {"opportunistic": False}, budget=80, seed=5)
    while len(trials := by_hand.ask()):
        room = int(80 - by_hand.state.counters.nfev)
        F, C = problem.values(trials.X)
        assert len(trials) <= room or room > 0
        by_hand.tell(F, C)
    inside = da.solve_multi(mixed_problem(), budget=80, seed=5, options={"opportunistic": False})
    assert np.array_equal(by_hand.result().records.x[:80], inside.records.x)


def test_wrong_answers_are_refused() -> None:
    solver = da.MultiSolver(mixed_problem(), budget=20)
    with pytest.raises(da.AskTellError, match="no trials are pending"):
        solver.tell(np.zeros((1, 2)), np.zeros((1, 2)))
    k = len(solver.ask())
    with pytest.raises(da.AskTellError, match="called twice"):
        solver.ask()
    with pytest.raises(da.AskTellError, match=r"shape \(k, q\)"):
        solver.tell(np.zeros(k), np.zeros((k, 2)))
    with pytest.raises(da.AskTellError, match="a column for each of 2 constraints"):
        solver.tell(np.zeros((k, 2)))


def test_senses_are_only_signs() -> None:
    plain = da.MultiProblem(objective=two, sense=("minimize", "minimize"), space=[(-2, 2)] * 2)
    turned = da.MultiProblem(
        objective=lambda y: two(y) * [1.0, -1.0], sense=("minimize", "maximize"), space=[(-2, 2)] * 2
    )
    a, b = da.solve_multi(plain, budget=120, seed=4), da.solve_multi(turned, budget=120, seed=4)
    assert np.array_equal(a.records.x, b.records.x) and np.array_equal(a.F, b.F * [1.0, -1.0])
    assert a.hypervolume == b.hypervolume and np.array_equal(a.reference, b.reference * [1.0, -1.0])


def test_powers_of_two_change_nothing() -> None:
    """Objectives of very different scale: every decision is taken in ranges."""
    plain = da.MultiProblem(objective=two, sense=("minimize", "minimize"), space=[(-2, 2)] * 2)
    scaled = da.MultiProblem(
        objective=lambda y: two(y) * [2.0**30, 2.0**-20], sense=("minimize",) * 2, space=[(-2, 2)] * 2
    )
    a, b = da.solve_multi(plain, budget=120, seed=4), da.solve_multi(scaled, budget=120, seed=4)
    assert np.array_equal(a.records.x, b.records.x)


def test_objectives_that_agree_have_one_best_point() -> None:
    """The reduction to one objective: the front of (f, f) is the minimiser of f."""
    same_twice = da.MultiProblem(
        objective=lambda y: np.repeat(((y - 0.3) ** 2).sum(1)[:, None], 2, axis=1),
        sense=("minimize",) * 2,
        space=[(-2, 2)] * 3,
    )
    result = da.solve_multi(same_twice, budget=200, seed=0)
    assert len(result) == 1 and result.F[0, 0] < 1e-6


def test_failing_points_are_counted_and_left_out() -> None:
    result = da.solve_multi(failing_problem(), budget=250, seed=0)
    failed = result.records.status != da.Status.OK
    assert 0 < failed.sum() < 250 and result.success
    assert np.isnan(result.records.fun[failed]).all() and np.isfinite(result.F).all()
    assert result.hypervolume_at([2.5, 2.5]) > 3.0


def test_everything_fails() -> None:
    nothing = da.MultiProblem(
        objective=lambda y: np.full((len(y), 2), np.nan), sense=("minimize", "minimize"), space=[(-3, 3)] * 2
    )
    result = da.solve_multi(nothing, budget=500, seed=0)
    assert result.reason == da.StopReason.START_FAILED and not result.success and len(result) == 0
    assert result.hypervolume == 0.0 and np.isnan(result.reference).all()
    assert "no point could be evaluated" in result.message


def test_no_feasible_point() -> None:
    impossible = da.MultiProblem(
        objective=two, sense=("minimize", "minimize"), space=[(-2, 2)] * 2,
        constraints=lambda y: (y**2).sum(1) + 1.0,
    )  # fmt: skip
    result = da.solve_multi(impossible, budget=150, seed=0)
    assert not result.success and len(result) == 0 and "NO FEASIBLE POINT" in result.message
    assert result.x_infeasible is not None and result.maxcv_infeasible < 1.05


def test_undeclared_exception_keeps_what_was_paid_for() -> None:
    calls = 0

    def value(y: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 30:
            raise RuntimeError("broken")
        return two(y)

    broken = da.MultiProblem(objective=value, sense=("minimize", "minimize"), space=[(-2, 2)] * 2)
    with pytest.raises(EvaluationError, match="broken") as caught:
        da.solve_multi(broken, budget=100)
    assert caught.value.result.reason == da.StopReason.ERROR and len(caught.value.result) > 0


def test_lattice_is_exhausted_and_the_front_is_exact() -> None:
    def value(y: np.ndarray) -> np.ndarray:
        return np.stack([(y**2).sum(1), ((y - 3) ** 2).sum(1)], axis=1)

    grid = da.MultiProblem(objective=value, sense=("minimize",) * 2, space=da.Box([0, 0], [4, 4], integer=[0, 1]))
    result = da.solve_multi(grid, budget=400, seed=0)
    assert result.reason in (da.StopReason.LATTICE, da.StopReason.FRAME) and result.nfev <= 25
    all_points = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    values = value(all_points)
    best = {tuple(f) for f in values if not any(np.all(g <= f) and np.any(g < f) for g in values)}
    assert {tuple(f) for f in result.F} == best


def test_converges_without_a_budget() -> None:
    result = da.solve_multi(
        da.MultiProblem(objective=two, sense=("minimize",) * 2, space=da.Box([0, 0], [3, 3], integer=[0, 1])), seed=0
    )
    assert result.reason in (da.StopReason.LATTICE, da.StopReason.FRAME) and len(result) == 3


def test_callback_stops_the_run() -> None:
    seen: list[da.FrontEvent] = []

    def stop(event: da.FrontEvent) -> bool:
        seen.append(event)
        return event.F.shape[0] >= 10

    problem = da.MultiProblem(objective=two, sense=("minimize", "minimize"), space=[(-2, 2)] * 2)
    result = da.solve_multi(problem, budget=300, callback=stop)
    assert result.reason == da.StopReason.CALLBACK and len(result) >= 10
    assert np.array_equal(two(seen[-1].X), seen[-1].F) and "nondominated" in seen[-1].best
