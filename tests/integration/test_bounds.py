"""No user code ever sees a point outside the box, off the lattice or with another fixed value, by an ulp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from tests.integration.cases import assert_best_is_best, digest, sphere, spied

BOXES: dict[str, Any] = {
    "0.1 + 0.2": lambda: da.Box([0.1 + 0.2, -(0.1 + 0.2)], [0.7, 1e-4]),
    "tiny": lambda: da.Box([1e-4, -1e-300], [1.0000001e-4, 1e-300]),
    "mixed sizes": lambda: da.Box([-1e12, 1e-9, 1 / 3], [1e12, 1.1e-9, 2 / 3]),
    "half open": lambda: da.Box([0.3, -np.inf, -np.inf], [np.inf, -0.1, np.inf]),
    "granular 0.1": lambda: da.Box([-0.35, 0.1, -0.7], [1.05, 2.5, 0.7], granularity=0.1),
    "granular 0.3": lambda: da.Box([-1.0, 0.1], [1.0, 2.5], granularity={0: 0.3, 1: 0.25}),
    "integers": lambda: da.Box([-7.5, 0, -1e6], [7.2, 1, 1e6], integer=True),
    "binary": lambda: da.Box([0] * 6, [1] * 6, integer=True),
    "fixed": lambda: da.Box([-1, -1, 0.1], [1, 1, 0.1], fixed={1: 0.1 + 0.2}),
    "one": lambda: da.Box([-(0.1 + 0.2)], [1.1]),
    "one integer": lambda: da.Box([-3], [40], integer=[0]),
    "mixed": lambda: da.Box([-2, -9, -1, 0], [2, 9, 1.2, 3], integer=[1], granularity={2: 0.1}, fixed={3: 1.7}),
}


def centre_outside(y: np.ndarray) -> np.ndarray:
    """Pulls towards a corner of the box, so that trials crowd at the bounds."""
    return -(np.arctan(y)).sum(axis=1)


GRANULAR = {"granular 0.1", "granular 0.3", "integers", "binary", "one integer", "mixed"}


@pytest.mark.parametrize("gradient", [False, True], ids=["blind", "attacked"])
@pytest.mark.parametrize("name", BOXES)
def test_every_point_asked_is_admissible(name: str, gradient: bool) -> None:
    space = BOXES[name]()
    for value, grad in (
        (centre_outside, lambda y: -1.0 / (1.0 + y**2)),
        (sphere, lambda y: 2.0 * y),
    ):
        log: list[np.ndarray] = []
        problem = da.Problem(
            objective=spied(value, log),
            objective_grad=grad if gradient else None,
            space=space,
            sense="minimize",
        )
        for options in ({}, {"poll": "2n", "block_size": 4, "opportunistic": False}):
            result = da.solve(problem, budget=90, seed=3, options=options)
            assert_best_is_best(result, "minimize")
            assert result.x.shape == (space.n,)
        assert len(log) > 2
        for x in log:
            assert space.contains(x), x
            assert (x >= space.lower).all() and (x <= space.upper).all()
        X = np.array(log)
        fixed = space.fixed_mask
        assert (X[:, fixed] == space.fixed_values[fixed]).all()


def test_granular_values_are_the_decimals_one_writes() -> None:
    """0.3 is 0.3, not 0.1 + 0.2: exact, because results are read and typed in again."""
    problem = da.Problem(
        objective=lambda y: np.abs(y - 0.3).sum(axis=1),
        space=da.Box([-1.0], [1.0], granularity=0.1),
        x0=[-0.7],
        sense="minimize",
    )
    result = da.solve(problem, budget=40)
    assert result.x[0] == 0.3 and result.fun == 0.0
    decimals = {k / 10.0 for k in range(-10, 11)}
    assert set(result.records.x[:, 0].tolist()) <= decimals


def test_gradients_are_asked_inside_the_box_too() -> None:
    log: list[np.ndarray] = []
    space = da.Box([0.1 + 0.2, -1.0], [0.9, 1.0])

    def grad(y: np.ndarray) -> np.ndarray:
        log.extend(y.copy())
        return -np.ones_like(y)

    problem = da.Problem(objective=lambda y: -y.sum(axis=1), objective_grad=grad, space=space, sense="minimize")
    result = da.solve(problem, budget=200)
    assert log and all(space.contains(x) for x in log)
    assert (result.x == space.upper).all(), "the corner itself is reached"


def test_infeasible_bounds_of_the_user_are_not_widened() -> None:
    """A start within a few ulp of a bound is moved onto it, not beyond."""
    log: list[np.ndarray] = []
    upper = 0.3
    problem = da.Problem(objective=spied(sphere, log), space=da.Box([-1.0], [upper]), x0=[0.1 + 0.2], sense="minimize")
    da.solve(problem, budget=30)
    assert log[0][0] == upper and max(x[0] for x in log) <= upper


@pytest.mark.parametrize("name", sorted(GRANULAR))
def test_what_is_evaluated_lies_on_the_lattice_whatever_attacks_do(name: str) -> None:
    space = BOXES[name]()
    problem = da.Problem(
        objective=sphere, objective_grad=lambda y: 2.0 * y, space=space, x0=None, sense="minimize", name=name
    )
    for operator in ("sign", "l2", "pgd", "sqp"):
        result = da.solve(problem, budget=60, options={"attacks": (operator,)})
        assert all(space.contains(x) for x in result.records.x)


@pytest.mark.parametrize("name", sorted(GRANULAR))
@pytest.mark.parametrize("operator", ["sign", "l2"])
def test_attacks_of_one_step_ask_lattice_points_only(name: str, operator: str) -> None:
    log: list[np.ndarray] = []
    space = BOXES[name]()
    problem = da.Problem(objective=spied(sphere, log), objective_grad=lambda y: 2.0 * y, space=space, sense="minimize")
    da.solve(problem, budget=60, options={"attacks": (operator,)})
    assert log and all(space.contains(x) for x in log)


# ------------------------------------------------------------------------------------------------ edge sizes


@pytest.mark.parametrize("gradient", [False, True])
def test_one_variable(gradient: bool) -> None:
    problem = da.Problem(
        objective=lambda y: (y[:, 0] - 0.123) ** 2,
        objective_grad=(lambda y: 2.0 * (y - 0.123)) if gradient else None,
        space=[(-1, 1)],
        sense="minimize",
    )
    for poll in ("n+1", "2n"):
        result = da.solve(problem, budget=200, options={"poll": poll})
        assert result.x.shape == (1,) and abs(result.x[0] - 0.123) < 1e-4


@pytest.mark.parametrize("budget", [None, 1, 10])
def test_all_variables_fixed(budget: float | None) -> None:
    log: list[np.ndarray] = []
    space = da.Box([0.1 + 0.2, 5], [0.1 + 0.2, 5])
    problem = da.Problem(objective=spied(sphere, log), space=space, sense="minimize")
    result = da.solve(problem, budget=budget)
    assert result.nfev == len(log) == 1
    assert result.x.tolist() == [0.1 + 0.2, 5.0] and result.success
    assert result.reason in (da.StopReason.LATTICE, da.StopReason.BUDGET)
    assert "there are no free variables" in result.certificate.text


def test_all_variables_fixed_and_the_point_fails() -> None:
    problem = da.Problem(objective=lambda y: np.full(len(y), np.nan), space=da.Box([1, 2], [1, 2]), sense="minimize")
    result = da.solve(problem, budget=20)
    assert result.nfev == 1 and not result.success


def test_the_result_has_all_variables_with_fixed_ones_bit_equal() -> None:
    space = da.Box([-1] * 4, [1] * 4, fixed={"b": 0.1 + 0.2, 3: -1.0}, names=["a", "b", "c", "d"])
    problem = da.Problem(objective=sphere, space=space, sense="minimize")
    result = da.solve(problem, budget=60)
    assert result.x.shape == (4,) and result.x[1] == 0.1 + 0.2 and result.x[3] == -1.0
    assert result.records.x.shape == (60, 4)
    assert "b=0.3" in str(result)


def test_zero_is_positive() -> None:
    """No -0.0 reaches user code: 1/x would have another sign."""
    log: list[np.ndarray] = []
    problem = da.Problem(
        objective=spied(lambda y: np.abs(y).sum(axis=1), log),
        space=da.Box([-2, -0.5], [0, 0.5], integer=[0]),
        x0=[-1, 0.25],
        sense="minimize",
    )
    da.solve(problem, budget=80)
    X = np.array(log)
    assert (X == 0.0).any() and not np.signbit(X[X == 0.0]).any()


@pytest.mark.parametrize("n", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_many_variables(n: int) -> None:
    log: list[np.ndarray] = []
    space = da.Box(np.full(n, -1 / 3), np.full(n, 0.1 + 0.2))
    problem = da.Problem(objective=spied(sphere, log), space=space, x0=np.full(n, 0.2), sense="minimize")
    result = da.solve(problem, budget=5 * n)
    assert result.nfev == 5 * n and result.fun < n * 0.04
    assert all(space.contains(x) for x in log)


def test_bounds_far_away_change_nothing_but_the_first_frame() -> None:
    free = da.Problem(objective=sphere, space=da.Box([-np.inf] * 2, [np.inf] * 2), x0=[1.3, 0.4], sense="minimize")
    wide = da.Problem(objective=sphere, space=da.Box([-1e300] * 2, [1e300] * 2), x0=[1.3, 0.4], sense="minimize")
    options = {"frame_size_init": 0.1, "restarts": False}
    left, right = da.solve(free, budget=100, options=options), da.solve(wide, budget=100, options=options)
    assert left.records.x.tobytes() == right.records.x.tobytes()
    assert digest(left) == digest(right)
