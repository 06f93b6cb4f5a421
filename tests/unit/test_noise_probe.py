"""What a few values on a line say of the noise, and what follows for differences that nobody has asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.gradient_sources.noise_level import VALUES, noise_level
from dfoattack.schedule import Schedule
from dfoattack.solver import Solver
from dfoattack.steps._estimates import PROBES, SHARE
from dfoattack.steps.attack import Attack
from dfoattack.steps.noise_probe import SPACING, NoiseProbe
from tests.unit.searching import run

T = SPACING * np.arange(VALUES)
SMOOTH = {
    "constant": lambda t: 0.0 * t + 3.0,
    "linear": lambda t: 1.0 - 2.0 * t,
    "quadratic": lambda t: 1e6 * (t - 0.02) ** 2,
    "wave": lambda t: np.sin(3.0 * t) + t,
    "exponential": lambda t: np.exp(5.0 * t),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_have_no_noise_beyond_round_off(name: str) -> None:
    f = SMOOTH[name](T)
    assert noise_level(f) <= 1e-14 * np.abs(f).max()


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("sigma", [1e-5, 1e-2, 1e3])
def test_noise_is_told_to_a_factor(name: str, sigma: float) -> None:
    rng = np.random.default_rng(0)
    levels = [noise_level(SMOOTH[name](T) + sigma * rng.standard_normal(VALUES)) for _ in range(200)]
    seen = np.array([level for level in levels if level > 0.0])
    assert len(seen) > 140 and 0.6 * sigma <= np.median(seen) <= 1.6 * sigma
    assert np.quantile(seen, 0.95) <= 4.0 * sigma


def test_steps_and_failures_say_nothing() -> None:
    assert noise_level(np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])) == 0.0
    assert noise_level(np.array([0.0, 1.0, np.nan, 3.0, 1.0, 2.0, 1.0])) == 0.0


def noisy(sigma: float, n: int) -> da.Problem:
    """A bowl with values that jump about, the same at the same point."""

    def objective(X: np.ndarray) -> np.ndarray:
        jumps = np.sin(1e7 * (X * np.sqrt(1.0 + np.arange(n))).sum(axis=1)) * np.sqrt(2.0)
        return ((X - 1.0) ** 2).sum(axis=1) + sigma * jumps

    x0 = np.linspace(-3.0, 3.0, n).reshape(1, n)
    return da.Problem(objective=objective, space=da.Box([-5] * n, [5] * n), sense="minimize", backend="numpy", x0=x0)


@pytest.mark.parametrize("sigma", [0.0, 1e-6, 1.0])
def test_differences_take_the_step_that_noise_asks_for_or_are_left_alone(sigma: float) -> None:
    n = 24
    solver = run(Solver(noisy(sigma, n), budget=12 * (n + 1), seed=1, may_ask=True))
    noise, X = solver.state.attack.noise, solver.state.history.X
    assert noise <= 1e-14 if sigma == 0.0 else 0.01 * sigma <= noise <= sigma
    step = [solver.schedule.names[code] for code in solver.state.history.step]
    used = step.count("attack")
    if sigma == 1.0:
        assert solver.state.attack.noisy and solver.result().gradient_source == "none"
        assert used <= PROBES * VALUES
        return
    assert used > 2 * n and solver.result().gradient_source == "forward"
    # The first gradient follows the lines, whose middle was known: one variable of the incumbent moves at a time.
    begin = step.index("attack") + solver.state.attack.probes * (VALUES - 1)
    moved = np.array([np.abs(x - X[:begin]).max(axis=1).min() for x in X[begin : begin + n]])
    np.testing.assert_allclose(moved, np.sqrt(max(noise, 1e-10)), rtol=1e-6)


def test_the_line_is_in_the_box_and_asked_once() -> None:
    n = 30
    problem = noisy(0.0, n)
    problem.x0 = np.full((1, n), 5.0)
    solver = Solver(problem, budget=3 * n, seed=0, may_ask=True)
    solver.schedule = Schedule((NoiseProbe(),))
    run(solver)
    X = solver.state.history.X
    assert X.shape[0] == 1 + VALUES and np.abs(X).max() <= 5.0
    spacing = np.linalg.norm(np.diff(X[1:], axis=0), axis=1)
    np.testing.assert_allclose(spacing, SPACING, rtol=1e-6)
    assert NoiseProbe.name == Attack.name


@pytest.mark.parametrize("options", [{"gradient_source": "forward"}, {"gradient_source": "none"}])
def test_nobody_asks_where_differences_are_asked_for_or_not_used(options: dict[str, Any]) -> None:
    solver = run(Solver(noisy(0.0, 24), options, budget=120, seed=0, may_ask=True))
    assert solver.state.attack.probes == 0


def test_the_noise_is_remembered_by_a_run_file(tmp_path: Any) -> None:
    n = 22
    problem = noisy(1e-7, n)
    whole = da.solve(problem, budget=40 * n, seed=3, store=tmp_path / "whole.sqlite")
    da.solve(problem, budget=40 * n, seed=3, store=tmp_path / "part.sqlite", callback=lambda e: e.nfev > 15 * n)
    rest = da.resume(tmp_path / "part.sqlite", problem)
    assert whole.fun == rest.fun and np.array_equal(whole.records.x, rest.records.x)


def test_a_kink_on_the_line_is_no_noise() -> None:
    """One line may cross a kink, in almost no case do all."""
    n = 200

    def objective(X: np.ndarray) -> np.ndarray:
        return np.abs(X - np.linspace(-4.0, 4.0, n)).sum(axis=1)

    def noise_at(x0: np.ndarray, seed: int) -> tuple[float, int]:
        problem = da.Problem(
            objective=objective, space=da.Box([-5] * n, [5] * n), sense="minimize", backend="numpy", x0=x0.reshape(1, n)
        )
        solver = Solver(problem, budget=3 * VALUES, seed=seed, may_ask=True)
        solver.schedule = Schedule((NoiseProbe(),))
        run(solver)
        return solver.state.attack.noise, solver.state.attack.probes

    found = [noise_at(np.random.default_rng(seed).uniform(-5, 5, n), seed) for seed in range(40)]
    assert max(probes for _, probes in found) >= 2  # some have met one
    assert sum(noise <= 1e-12 for noise, _ in found) >= 38


def test_differences_do_not_pay_for_every_basin() -> None:
    """Ackley's function, whose ripples end every polish: half of the evaluations are left to others."""
    n = 24
    optimum = np.linspace(-2.0, 2.0, n)

    def ackley(X: np.ndarray) -> np.ndarray:
        Z = X - optimum
        return (
            20.0
            + np.e
            - 20.0 * np.exp(-0.2 * np.sqrt((Z**2).mean(axis=1)))
            - np.exp(np.cos(2 * np.pi * Z).mean(axis=1))
        )

    x0 = np.random.default_rng(0).uniform(-5, 5, (1, n))
    problem = da.Problem(objective=ackley, space=da.Box([-5] * n, [5] * n), sense="minimize", backend="numpy", x0=x0)
    result = da.solve(problem, budget=120 * n, seed=0)
    asked = da.solve(problem, budget=120 * n, seed=0, options={"gradient_source": "forward"})
    shares = [run.records.step.count("attack") / len(run.records.step) for run in (result, asked)]
    assert shares[0] <= SHARE + 0.05 < shares[1]
