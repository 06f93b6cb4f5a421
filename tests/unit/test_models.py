"""Quadratic models and the search that minimises them."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack.multi.models import quadratic_models
from dfoattack.solver import Solver


def quadratics(n: int, m: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    H = rng.standard_normal((m, n, n))
    return rng.standard_normal(m), rng.standard_normal((m, n)), H + H.transpose(0, 2, 1)


def values_of(c: np.ndarray, g: np.ndarray, H: np.ndarray, S: np.ndarray) -> np.ndarray:
    return c + S @ g.T + 0.5 * np.einsum("ki,mij,kj->km", S, H, S)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_regression_recovers_quadratics(n: int) -> None:
    c, g, H = quadratics(n, 3, n)
    S = np.random.default_rng(1).uniform(-1, 1, ((n + 1) * (n + 2) // 2 + 5, n))
    models = quadratic_models(S, values_of(c, g, H, S), np.ones(S.shape[0]))
    assert models is not None
    np.testing.assert_allclose(models.H, H, atol=1e-7)
    s = np.full(n, 0.3)
    np.testing.assert_allclose(models.value(s), values_of(c, g, H, s[None])[0], atol=1e-8)
    np.testing.assert_allclose(models.gradient(s), g + H @ s, atol=1e-7)


def test_few_points_are_interpolated_with_the_smallest_hessian() -> None:
    n = 6
    c, g, H = quadratics(n, 2, 0)
    S = np.random.default_rng(2).uniform(-1, 1, (2 * n + 1, n))
    values = values_of(c, g, H, S)
    models = quadratic_models(S, values, np.ones(S.shape[0]))
    assert models is not None
    np.testing.assert_allclose(values_of(models.c, models.g, models.H, S), values, atol=1e-9)
    assert np.all(np.linalg.norm(models.H, axis=(1, 2)) < np.linalg.norm(H, axis=(1, 2)))
    linear = quadratic_models(S, S @ g.T, np.ones(S.shape[0]))
    assert linear is not None
    np.testing.assert_allclose(linear.H, 0.0, atol=1e-9)  # an affine function needs no curvature


def test_too_few_or_degenerate_points_give_no_model() -> None:
    assert quadratic_models(np.zeros((3, 3)), np.zeros((3, 1)), np.ones(3)) is None
    line = np.outer(np.linspace(-1, 1, 5), [1.0, 1.0, 1.0])
    values = np.array([[0.0], [5.0], [-3.0], [2.0], [1.0]])
    assert quadratic_models(np.vstack([line, line[:1]]), np.vstack([values, [[9.0]]]), np.ones(6)) is None


def _plane(c: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    S = np.random.default_rng(3).uniform(-1, 1, (12, 2))
    return S, c + S @ g.T


def test_models_solve_a_smooth_constrained_problem() -> None:
    problem = da.Problem(
        objective=lambda y: y[:, 0] + y[:, 1],
        constraints=[da.Constraint(lambda x, y: (x**2).sum(1) - 1.0, name="disc")],
        space=da.Box([-2, -2], [2, 2]),
        x0=[0.0, 0.0],
    )
    with_models = [da.solve(problem, budget=150, seed=seed) for seed in range(3)]
    assert all(r.maxcv == 0.0 and abs(r.fun - 2**0.5) < 1e-6 for r in with_models)
    assert "model" in with_models[0].records.step
    without = da.solve(problem, budget=150, seed=0, options={"searches": ()})
    assert "model" not in without.records.step


def test_failed_points_never_reach_a_model() -> None:
    calls = np.random.default_rng(0)

    def objective(y: np.ndarray) -> np.ndarray:
        f = ((y - 0.4) ** 2).sum(1)
        f[calls.random(f.shape[0]) < 0.3] = np.nan
        return f

    problem = da.Problem(objective=objective, space=da.Box([-1] * 3, [1] * 3), x0=[0.9, -0.9, 0.5], sense="minimize")
    solver = Solver(problem, budget=200)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    assert solver.result().fun < 1e-6
