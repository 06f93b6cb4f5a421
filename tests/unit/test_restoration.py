"""The way back to feasible points by averaged first-order steps."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack.attacks._local import Local
from dfoattack.attacks._restoration import restore
from dfoattack.attacks.sqp import SQP
from dfoattack.testing.views import FunctionView, target_at

N = 20
A = np.random.default_rng(0).standard_normal((300, N))
GOAL = np.random.default_rng(1).uniform(-0.5, 0.5, N)
LEVEL = 0.15


def kinked(z: np.ndarray) -> np.ndarray:
    """Hundreds of kinks lie between the start and the small set where this is not positive."""
    return np.array([np.abs(A @ (z - GOAL)).mean() - LEVEL])


def slope(z: np.ndarray) -> np.ndarray:
    return (np.sign(A @ (z - GOAL)) @ A / len(A))[None]


def view_of(con, jac, **more) -> FunctionView:  # type: ignore[no-untyped-def]
    return FunctionView(N, lambda z: float(z @ z), lambda z: 2.0 * z, con, jac, **more)


def local_at(view: FunctionView, start: np.ndarray) -> Local:
    target = target_at(view, start[None], -2.0, 2.0)
    return Local(target, 0, 4.0, view)


def test_a_feasible_point_is_found_across_hundreds_of_kinks_and_every_visit_remembered() -> None:
    view = view_of(kinked, slope)
    local = local_at(view, np.full(N, 1.0))
    found = restore(local, local.centre)
    assert found is not None and kinked(np.full(N, 1.0) + found.d)[0] <= 0.0
    assert len(local.visited) == view.vjps, "a product and a pass a step"
    assert view.vjps < 300


def test_where_there_is_none_it_gives_up_after_a_few_patient_rounds() -> None:
    view = view_of(lambda z: np.array([1.0 + z @ z]), lambda z: 2.0 * z[None])
    local = local_at(view, np.full(N, 0.001))
    assert restore(local, local.centre) is None
    assert view.vjps <= 150


@pytest.mark.parametrize("budget", [0.0, 2.0, 10.0])
def test_the_budget_holds(budget: float) -> None:
    view = view_of(kinked, slope)
    start = np.full(N, 1.0)
    local = local_at(view, start)
    view._budget = view.spent + budget
    assert restore(local, local.centre) is None
    assert view.vjps == int(budget // 3)


def test_a_gradient_that_is_not_finite_ends_it() -> None:
    view = view_of(kinked, slope, hostile=True)
    local = local_at(view, np.full(N, 1.0))
    assert restore(local, local.centre) is None and view.vjps <= 100


def test_a_polish_that_got_lost_comes_back_and_goes_on() -> None:
    """A level so low that models of the constraint help only over steps that lead nowhere."""

    def strict(z: np.ndarray) -> np.ndarray:
        return kinked(z) + LEVEL - 0.02

    view = view_of(strict, slope)
    start = np.full(N, 1.0)
    target = target_at(view, start[None], -2.0, 2.0)
    found = SQP(iterations=5)(target, np.array([4.0]), view, np.random.default_rng(0))
    assert min(strict(start + d)[0] for d in found.D) <= 0.0


def verdict(z: np.ndarray) -> np.ndarray:
    """Yes where the first variable is at least 1.5: -1/2, else no: 1/2."""
    return np.array([-0.5 if z[0] >= 1.5 else 0.5])


def silence(z: np.ndarray) -> np.ndarray:
    return np.zeros((1, N))


def test_no_gradient_no_way_back() -> None:
    view = view_of(verdict, silence)
    local = local_at(view, np.full(N, 1.0))
    assert restore(local, local.centre) is None
    assert view.vjps == 1 and len(local.visited) == 0


def test_a_polish_ends_at_once_where_no_gradient_tells_the_way_back() -> None:
    """It costs the gradient of F and the row that turned out to be zero, not hundreds of steps."""
    view = view_of(verdict, silence)
    start = np.full(N, 1.0)
    assert (
        SQP()(target_at(view, start[None], -2.0, 2.0), np.array([4.0]), view, np.random.default_rng(0)).D.shape[0] == 0
    )
    assert view.vjps <= 3 and view.spent <= 10.0
