"""What a certificate says, from states made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.certificate import Certificate, certify
from dfoattack.solver import Solver
from dfoattack.state import SolverState

BETA = 0.01


def certified(solver: Solver, state: SolverState | None = None) -> Certificate:
    return certify(solver.setup, state or solver.state, 0, len(solver.schedule.names) - 1)


def converged(n: int = 2, budget: int = 400, **options: Any) -> Solver:
    problem = da.Problem(
        objective=lambda y: (y**2).sum(axis=1), space=[(-20, 20)] * n, x0=np.zeros(n), sense="minimize"
    )
    settings = {"frame_size_init": 1.0, "restarts": False, "covering_quota": 100, **options}
    solver = Solver(problem, settings, budget=budget, seed=1)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    return solver


@pytest.fixture(scope="module")
def solver() -> Solver:
    return converged()


def test_coverage_is_what_a_search_of_our_own_finds(solver: Solver) -> None:
    """The fill distance is that of random points of the ball, and bounds nearly all of it."""
    certificate = certified(solver)
    state = solver.state
    x, V = state.history.X[state.best_feas], state.history.X
    rng = np.random.default_rng(7)
    D = rng.standard_normal((4000, 2))
    T = x + D / np.sqrt((D**2).sum(axis=1))[:, None] * np.sqrt(rng.random(4000))[:, None]
    nearest = np.sqrt(((T[:, None, :] - V[None, :, :]) ** 2).sum(axis=2)).min(axis=1)
    assert nearest.max() <= 1.05 * certificate.fill_distance
    assert (nearest > certificate.fill_distance).mean() <= 2.0 * certificate.uncovered
    assert certificate.fill_distance <= 1.3 * nearest.max()
    assert certificate.points == int((((V - x) ** 2).sum(axis=1) <= 1.0).sum())
    assert certificate.covered == (certificate.fill_distance <= 0.5)
    assert certificate.uncovered == pytest.approx(1.0 - BETA ** (1.0 / certificate.test_points))


def test_the_volume_statement_follows_the_formula(solver: Solver) -> None:
    certificate = certified(solver)
    j, n = solver.state.cover.window, certificate.trials
    assert n > 20
    assert certificate.improving == pytest.approx(1.0 - (6.0 * BETA / (math.pi**2 * j**2)) ** (1.0 / n))
    later = certified(solver, evolve(solver.state, cover=evolve(solver.state.cover, window=j + 5)))
    assert later.improving > certificate.improving, "looking more often costs confidence"


def test_the_statement_is_repeatable_and_leaves_the_run_alone(solver: Solver) -> None:
    before = solver.to_bytes()
    assert certified(solver) == certified(solver)
    assert solver.to_bytes() == before
    other = certify(solver.setup, solver.state, 1, len(solver.schedule.names) - 1)
    assert other.fill_distance == pytest.approx(certified(solver).fill_distance, rel=0.2)


def test_trials_round_another_point_do_not_count(solver: Solver) -> None:
    cover = evolve(solver.state.cover, window_row=solver.state.cover.window_row + 1)
    certificate = certified(solver, evolve(solver.state, cover=cover, runs=()))
    assert certificate.trials == 0 and math.isnan(certificate.improving)
    assert "volume: not certified (0 uniform trials round this point)" in certificate.text


def test_trials_that_were_not_uniform_do_not_count(solver: Solver) -> None:
    certificate = certified(solver, evolve(solver.state, cover=evolve(solver.state.cover, rejecting=False)))
    assert certificate.trials == 0 and math.isnan(certificate.improving)


def test_exhausted_round_another_point_is_not_exhausted(solver: Solver) -> None:
    cover = evolve(solver.state.cover, window_row=solver.state.cover.window_row + 1, exhausted=True)
    assert not certified(solver, evolve(solver.state, cover=cover, runs=())).exhausted


def test_too_few_points_are_not_called_covered() -> None:
    certificate = certified(converged(budget=12))
    assert not certificate.covered and "coverage: not certified (fill distance " in certificate.text
    assert f"{certificate.points} points" in certificate.text


@pytest.mark.parametrize(
    ("problem", "options", "said"),
    [
        (dict(objective=lambda y: y[:, 0] * np.nan), {}, "no point could be evaluated"),
        (dict(constraints=[da.Constraint(lambda y: y[:, 0] * 0 + 1.0)]), {}, "no feasible point was found"),
        (dict(constraints=[da.Constraint(lambda y: y[:, 0] * 0 + 1.0, kind="extreme")]), {}, "no feasible point"),
        (dict(), {"covering": False}, "the covering step was switched off"),
        (dict(space=da.Box([1, 1], [1, 1]), x0=None), {}, "there are no free variables to vary"),
    ],
    ids=["all failed", "infeasible", "phase one", "no covering", "all fixed"],
)
def test_reasons_to_say_nothing(problem: dict[str, Any], options: dict[str, Any], said: str) -> None:
    settings: dict[str, Any] = dict(
        objective=lambda y: (y**2).sum(axis=1), space=[(-2, 2)] * 2, x0=[1.0, 1.5], sense="minimize"
    )
    certificate = da.solve(da.Problem(**{**settings, **problem}), budget=60, options=options).certificate
    assert certificate.text.startswith("not certified: ") and said in certificate.text
    assert not certificate.covered and not certificate.exhausted and certificate.trials == 0
    assert math.isnan(certificate.improving) and certificate.uncovered == 1.0
    assert str(certificate) == certificate.text and certificate.confidence == 1.0 - BETA


def test_the_work_is_bounded() -> None:
    """Many points, many test points: fewer of the latter are used."""
    solver = converged(n=30, budget=600, certificate_points=10**7)
    certificate = certified(solver)
    assert 100 <= certificate.test_points < 10**6


def test_a_narrow_box_leaves_no_test_points() -> None:
    """n = 40 and a corner: next to nothing of the ball lies in the box; no number is made up."""
    n = 40
    problem = da.Problem(objective=lambda y: y.sum(axis=1), space=[(0, 9)] * n, x0=np.zeros(n), sense="minimize")
    result = da.solve(problem, budget=200, options={"frame_size_init": 1.0, "covering_quota": 20})
    certificate = result.certificate
    assert result.fun == 0.0
    if certificate.test_points == 0:
        assert math.isnan(certificate.fill_distance) and certificate.uncovered == 1.0
    assert not certificate.covered
    assert certificate.trials == 0
