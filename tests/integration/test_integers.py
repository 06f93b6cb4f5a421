"""Small lattices against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dfoattack as da
from tests.integration.cases import assert_best_is_best, mixed_value


def rugged(seed: int, n: int, size: int) -> da.Problem:
    """Random values on the lattice {0 .. size - 1}^n: nothing but looking everywhere finds the minimum for sure."""
    table = np.random.default_rng(seed).standard_normal((size,) * n)

    def value(y: np.ndarray) -> np.ndarray:
        return table[tuple(y.astype(int).T)]

    return da.Problem(
        objective=value, space=da.Box(np.zeros(n), np.full(n, size - 1.0), integer=True), sense="minimize"
    )


@pytest.mark.parametrize(("n", "size"), [(1, 9), (2, 5), (3, 3), (5, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_a_budget_beyond_the_lattice_ends_with_all_of_it_evaluated(n: int, size: int, seed: int) -> None:
    problem = rugged(seed, n, size)
    result = da.solve(problem, budget=10 * size**n, seed=seed)
    grid = np.array(list(itertools.product(range(size), repeat=n)), dtype=float)
    f, _ = problem.outer(grid, grid)
    assert result.reason == da.StopReason.LATTICE and result.message.startswith("All points of the lattice evaluated;")
    assert result.nfev == size**n
    assert result.fun == f.min() and result.x.tolist() == grid[f.argmin()].tolist()
    assert {tuple(x) for x in result.records.x} == set(map(tuple, grid))
    assert_best_is_best(result, "minimize")


@pytest.mark.parametrize("seed", range(4))
def test_an_exact_certificate_is_true(seed: int) -> None:
    """No lattice point within the radius is better, checked by enumeration."""
    problem = rugged(100 + seed, 2, 12)
    options = {"covering_radius": 3.0, "restarts": False, "covering_quota": 1000}
    result = da.solve(problem, budget=1000, options=options, seed=seed)
    assert result.certificate.exhausted, result
    assert "no better point among all lattice points within radius 3 (exact)" in result.certificate.text
    grid = np.array(list(itertools.product(range(12), repeat=2)), dtype=float)
    f, _ = problem.outer(grid, grid)
    near = ((grid - result.x) ** 2).sum(axis=1) <= 9.0
    assert result.fun <= f[near].min()
    assert result.certificate.points == int(near.sum())


@pytest.mark.parametrize("budget", range(20, 140, 7))
def test_exact_is_never_said_too_early(budget: int) -> None:
    """Whenever the budget ends: if the ball is called exhausted, all of it round *this* point is in the log."""
    for seed in range(2):
        problem = rugged(seed, 2, 12)
        result = da.solve(problem, budget=budget, options={"covering_radius": 2.0}, seed=seed)
        if not result.certificate.exhausted:
            continue
        grid = np.array(list(itertools.product(range(12), repeat=2)), dtype=float)
        known = {tuple(x) for x in result.records.x}
        near = grid[((grid - result.x) ** 2).sum(axis=1) <= 4.0]
        assert all(tuple(x) in known for x in near)


def test_a_mixed_problem_against_enumeration() -> None:
    """One continuous variable: its best value for every combination of the others is known."""
    problem = da.Problem(
        objective=lambda y: mixed_value(np.hstack([y, np.zeros((len(y), 1))])),
        space=da.Box([-2, -5, -1], [2, 5, 1], integer=[1], granularity={2: 0.1}),
        x0=[1.5, -4, 0.8],
        sense="minimize",
    )
    a = np.linspace(-2, 2, 4001)
    best = min(
        float(((a - 0.3) ** 2 + (k - 2.6) ** 2 + abs(g / 10.0 + 0.3) + 0.1 * a * k).min())
        for k in range(-5, 6)
        for g in range(-10, 11)
    )
    for seed in range(3):
        result = da.solve(problem, budget=400, seed=seed)
        assert best - 1e-6 <= result.fun <= best + 1e-3
        assert result.x[1] == 3.0 and result.x[2] == -0.3


@pytest.mark.parametrize("seed", range(3))
def test_constrained_integers(seed: int) -> None:
    """A knapsack of six items, maximised, against all 64 choices."""
    rng = np.random.default_rng(seed)
    value, weight = rng.uniform(1, 9, 6), rng.uniform(1, 5, 6)
    limit = 0.5 * weight.sum()
    problem = da.Problem(
        objective=lambda y: y @ value,
        constraints=[da.Constraint(lambda x, y: x @ weight - limit, name="weight")],
        space=da.Box([0] * 6, [1] * 6, integer=True),
        sense="maximize",
    )
    grid = np.array(list(itertools.product((0.0, 1.0), repeat=6)))
    best = max(float(x @ value) for x in grid if x @ weight <= limit)
    result = da.solve(problem, budget=200, seed=seed)
    assert result.fun == pytest.approx(best, abs=1e-12) and result.maxcv == 0.0
    assert result.reason == da.StopReason.LATTICE and result.nfev == 64


def far_target(y: np.ndarray) -> np.ndarray:
    """Convex, separable; the minimum is far from the start, so that the frame grows and shrinks."""
    d = y - np.array([731.0, -402.0, 55.0])
    return np.abs(d).sum(axis=1) + (d**2).sum(axis=1) / 100.0


def far_problem() -> da.Problem:
    space = da.Box([-1000] * 3, [1000] * 3, integer=True)
    return da.Problem(objective=far_target, space=space, x0=[-900, 900, 0], sense="minimize")


@pytest.mark.parametrize("seed", range(3))
def test_a_large_lattice_is_crossed_fast(seed: int) -> None:
    result = da.solve(far_problem(), budget=600, seed=seed)
    assert result.fun <= 6.0


def test_a_run_does_not_converge_beside_a_better_neighbour() -> None:
    """All lattice neighbours (one coordinate, one step) of a point that is said to be converged were evaluated."""
    for seed in range(8):
        result = da.solve(far_problem(), seed=seed, options={"covering_quota": 20})
        assert result.reason == da.StopReason.FRAME
        known = {tuple(x) for x in result.records.x}
        steps = np.vstack([np.eye(3), -np.eye(3)])
        assert all(tuple(x) in known for x in result.x + steps), (seed, result.x)


def test_a_single_lattice_point() -> None:
    result = da.solve(
        da.Problem(objective=lambda y: y[:, 0], space=da.Box([1.6], [2.4], integer=True), sense="minimize"), budget=10
    )
    assert result.nfev == 1 and result.x.tolist() == [2.0] and result.success
