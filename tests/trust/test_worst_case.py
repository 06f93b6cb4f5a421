"""Robust problems: closed forms, gradients, honest counters, and where the optimum goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import OptionError, ProblemError
from dfoattack.surrogate import CallableSurrogate

G = np.array([3.0, -1.0, 0.5])


class Spy:
    """y = (w . x, curved) with counters."""

    def __init__(self) -> None:
        self.passes = self.products = 0

    def predict(self, X: Any) -> Any:
        self.passes += len(X)
        return np.column_stack([X @ G, np.sin(3.0 * X).sum(axis=1)])

    def vjp(self, X: Any, V: Any) -> Any:
        self.products += len(X)
        return V[:, :1] * G + V[:, 1:] * 3.0 * np.cos(3.0 * X)

    def fingerprint(self) -> str:
        return "spy"


def problem(column: int = 0, spy: Spy | None = None, **more: Any) -> da.Problem:
    arguments: dict[str, Any] = {
        "objective": lambda y: y[:, column],
        "surrogate": spy or Spy(),
        "space": da.Box([0.0, -2.0, 0.0], [1.0, 2.0, 10.0]),
        "constraints": [da.Constraint(lambda x, y: x[:, 0] + y[:, 1] - 1.0, name="c")],
        "x0": [0.5, 0.0, 5.0],
        "backend": "numpy",
    }
    return da.Problem(**{**arguments, **more})


REACH = np.array([1.0, 4.0, 10.0])
X = np.array([[0.5, 0.0, 5.0], [0.4, 1.0, 3.0]])


@pytest.mark.parametrize("sense", ["maximize", "minimize"])
def test_an_affine_f_loses_radius_times_the_dual_norm(sense: str) -> None:
    cautious = da.trust.robust(problem(sense=sense), 0.05)
    f, C = cautious.outer(X, cautious.forward(X))
    worse = -1.0 if sense == "maximize" else 1.0
    assert f == pytest.approx(X @ G + worse * 0.05 * np.abs(REACH * G).sum(), rel=1e-12)
    plain = problem()
    assert C == pytest.approx(plain.outer(X, plain.forward(X))[1])  # constraints are those of the design itself


def test_the_box_bounds_the_adversary_and_its_gradient() -> None:
    cautious = da.trust.robust(problem(), 0.05)
    corner = np.array([[0.01, 0.0, 0.2]])  # the worst point has x_0 = 0 and x_2 = 0
    Y = cautious.forward(corner)
    assert cautious.outer(corner, Y)[0][0] == pytest.approx(-0.2)
    assert cautious.vjp(corner, Y, np.ones(1), None) == pytest.approx(np.array([[0.0, -1.0, 0.0]]))


def test_gradients_agree_with_differences() -> None:
    cautious = da.trust.robust(problem(1), 0.01)
    points = np.array([[0.2, 0.3, 4.1], [0.7, -0.9, 2.2]])
    Y = cautious.forward(points)
    _, C = cautious.outer(points, Y)
    wf, W = np.array([1.0, -0.5]), np.full(C.shape, 0.7)
    gradient = cautious.vjp(points, Y, wf, W)

    def weighted(P: Any) -> Any:
        f, c = cautious.outer(P, cautious.forward(P))
        return wf * f + (W * c).sum(axis=1)

    for j in range(3):
        h = np.eye(3)[j] * 1e-6
        expected = (weighted(points + h) - weighted(points - h)) / 2e-6
        assert gradient[:, j] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    J, products = cautious.constraint_jacobian(points[0], Y[0], [0])
    assert products == 1
    assert J[0] == pytest.approx(cautious.vjp(points[:1], Y[:1], np.zeros(1), np.ones((1, 1)))[0])


def test_everything_inside_is_charged_and_the_budget_holds() -> None:
    spy = Spy()
    cautious = da.trust.robust(problem(spy=spy), 0.02, steps=4)
    result = da.solve(cautious, budget=400)
    assert result.cost <= 400.0
    assert result.cost == result.nphi + 2.0 * result.ngev
    assert 0 < result.nfev < 400 / (1 + 5 + 2 * 4) + 1
    assert spy.passes <= result.nphi and spy.products <= result.ngev
    assert spy.products >= 4 * result.nfev  # the price is not made up


def test_a_narrow_peak_is_left_for_a_broad_one() -> None:
    def values(X: Any) -> Any:
        x = X[:, :1]
        return 1.5 * np.exp(-(((x - 0.2) / 0.02) ** 2)) + np.exp(-(((x - 0.7) / 0.2) ** 2))

    def vjp(X: Any, V: Any) -> Any:
        x = X[:, :1]
        a = 1.5 * np.exp(-(((x - 0.2) / 0.02) ** 2)) * -2.0 * (x - 0.2) / 0.02**2
        return V * (a + np.exp(-(((x - 0.7) / 0.2) ** 2)) * -2.0 * (x - 0.7) / 0.2**2)

    peaks = da.Problem(
        objective=lambda y: y[:, 0],
        surrogate=CallableSurrogate(values, vjp),
        space=[(0.0, 1.0)],
        x0=[0.2],
        backend="numpy",
    )
    assert da.solve(peaks, budget=200).x[0] == pytest.approx(0.2, abs=0.01)
    assert da.solve(da.trust.robust(peaks, 0.05), budget=3000).x[0] == pytest.approx(0.7, abs=0.03)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = da.solve(da.trust.robust(problem(1), 0.02), budget=500, seed=2, store=tmp_path / "whole.dfo")
    da.solve(da.trust.robust(problem(1), 0.02), budget=500, seed=2, store=tmp_path / "cut.dfo", callback=stopper(5))
    resumed = da.resume(tmp_path / "cut.dfo", da.trust.robust(problem(1), 0.02))
    assert resumed.x.tolist() == whole.x.tolist() and resumed.cost == whole.cost
    with pytest.raises(da.StoreError):
        da.resume(tmp_path / "cut.dfo", da.trust.robust(problem(1), 0.03))


def stopper(after: int) -> Any:
    calls = iter(range(1000))
    return lambda event: next(calls) >= after


def test_replaced_it_is_robust_again_and_reported_it_is_attacked_plainly() -> None:
    cautious = da.trust.robust(problem(), 0.05).replace(x0=[0.4, 0.0, 5.0])
    assert cautious.inner_cost == (6, 5)
    result = da.solve(cautious, budget=20)
    report = da.trust.report(cautious, result)
    assert report is not None and report.balls[0].loss == pytest.approx(1e-3 * np.abs(REACH * G).sum(), rel=1e-6)


def test_what_cannot_be_robust_is_refused() -> None:
    with pytest.raises(OptionError, match=r"`rho` must be > 0, got 0\.0"):
        da.trust.robust(problem(), 0.0)
    with pytest.raises(OptionError, match="`steps` must be an integer >= 2, got 1"):
        da.trust.robust(problem(), 0.1, steps=1)
    with pytest.raises(ProblemError, match="needs a surrogate with `vjp`"):
        da.trust.robust(problem(surrogate=lambda X: X), 0.1)
    with pytest.raises(ProblemError, match="no stand-ins, got some for objective"):
        da.trust.robust(problem(f_soft=lambda y: y[:, 1]), 0.1)
