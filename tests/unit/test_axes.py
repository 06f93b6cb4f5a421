"""Where gradients mislead: a look along every variable to the ends of the box."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack.attacks import _polish
from dfoattack.attacks._axes import along_axes
from dfoattack.attacks._local import Local
from dfoattack.attacks.sqp import SQP
from dfoattack.testing.views import FunctionView, target_at

N, FAR = 6, 4
U = np.where(np.arange(N) == FAR, -1.0, 1.0) / np.sqrt(N)


def edge(z: np.ndarray) -> float:
    """Near 1 where the variable FAR is at its upper end, next to nothing elsewhere."""
    return float(1.0 / (1.0 + np.exp(-40.0 * (z[FAR] - 0.8))))


def dented(z: np.ndarray) -> float:
    """A steep narrow dent on the side of a bowl, and a distant edge that its gradient leads away from."""
    s = float(z @ U)
    return float(-0.01 * np.tanh(s / 0.002) + 0.1 * s * s) - edge(z)


def slope(z: np.ndarray) -> np.ndarray:
    s, e = float(z @ U), edge(z)
    g = (-5.0 / np.cosh(min(abs(s) / 0.002, 300.0)) ** 2 + 0.2 * s) * U
    g[FAR] -= 40.0 * e * (1.0 - e)
    return g


def view_of(**more) -> FunctionView:  # type: ignore[no-untyped-def]
    return FunctionView(N, dented, slope, **more)


def local_at(view: FunctionView, lower: float = -1.0, upper: float = 1.0) -> Local:
    return Local(target_at(view, np.zeros((1, N)), lower, upper), 0, np.inf, view)


def test_a_polish_from_a_dent_finds_the_edge_along_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def least() -> float:
        view = view_of()
        target = target_at(view, np.zeros((1, N)), -1.0, 1.0)
        found = SQP()(target, np.array([2.0]), view, np.random.default_rng(0))
        return min(dented(d) for d in found.D)

    assert least() < -0.9
    monkeypatch.setattr(_polish, "along_axes", lambda *args: None)
    assert least() > -0.1, "gradients alone do not see it"


def test_the_first_good_point_ends_the_look_and_the_most_promising_come_first() -> None:
    view = view_of()
    local = local_at(view)
    g = np.zeros(N)
    g[[0, FAR]] = 1.0, -0.5
    found = along_axes(local, local.centre, g, -0.5)
    assert found is not None and found.d.tolist() == np.eye(N)[FAR].tolist()
    assert [point.d.tolist() for point in local.visited] == [(-np.eye(N)[0]).tolist(), np.eye(N)[FAR].tolist()]


def test_all_ends_are_seen_where_none_is_good_enough() -> None:
    local = local_at(view_of())
    found = along_axes(local, local.centre, np.ones(N), -5.0)
    assert found is min(local.visited, key=lambda point: point.F)
    assert len({tuple(point.d) for point in local.visited}) == 2 * N


def test_points_outside_the_constraints_are_not_good() -> None:
    view = view_of(con=lambda z: z[FAR : FAR + 1] - 0.5, jac=lambda z: np.eye(N)[FAR : FAR + 1])
    local = local_at(view)
    found = along_axes(local, local.centre, np.ones(N), -0.5)
    assert found is not None and found.d[FAR] <= 0.0


def test_variables_without_an_end_go_a_unit_of_the_scaling() -> None:
    local = local_at(view_of(), -np.inf, np.inf)
    along_axes(local, local.centre, np.ones(N), -5.0)
    steps = np.array([point.d for point in local.visited]) / local.scale
    np.testing.assert_array_equal(np.abs(steps).sum(axis=1), 1.0)


@pytest.mark.parametrize("budget", [0, 3])
def test_the_budget_holds(budget: int) -> None:
    view = view_of()
    local = local_at(view)
    view._budget = view.spent + budget
    along_axes(local, local.centre, np.ones(N), -5.0)
    assert len(local.visited) == budget
