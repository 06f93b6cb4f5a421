"""What the defaults must reach on the two network problems, gradients counted."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import dfoattack as da
from dfoattack_problems.airfoil.problem import make_problem as make_airfoil
from dfoattack_problems.biodiesel.problem import make_problem as make_biodiesel

pytestmark = pytest.mark.slow


def test_biodiesel_from_the_published_start() -> None:
    """Every one of 20 seeds within 1e-3 of the best known feasible value in 200 evaluations, a gradient point counted as one."""
    problem = make_biodiesel()
    assert problem.known is not None
    for seed in range(20):
        result = da.solve(problem, budget=200, seed=seed, options={"gradient_cost": 1.0})
        assert result.cost <= 200 and result.maxcv == 0.0
        assert result.fun > problem.known.value - 1e-3, (seed, result.fun)


def test_airfoil_is_feasible_and_near_the_best_known() -> None:
    problem = make_airfoil()
    assert problem.known is not None
    for seed in range(10):
        result = da.solve(problem, budget=1000, seed=seed)
        assert result.cost <= 1000 and result.maxcv == 0.0
        assert result.fun > problem.known.value - 1e-2, (seed, result.fun)
