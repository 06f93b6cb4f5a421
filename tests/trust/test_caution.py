"""Cautious objectives and constraints over ensembles: closed forms, gradients, both languages, the spread in the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import OptionError
from dfoattack.surrogate import CallableSurrogate
from dfoattack.trust.caution import spread_of

A = np.array([[1.0, 0.0, 3.0], [0.5, -1.0, 2.0]])  # three members x -> A[:, j] . x


def problem(mode: Any, k: float = 1.0, sense: str = "maximize") -> da.Problem:
    caution = da.trust.Caution(3, mode, k)
    return da.Problem(
        surrogate=CallableSurrogate(lambda X: X @ A, lambda X, V: V @ A.T),
        objective=caution.objective(lambda y: y[:, 0], sense=sense),
        constraints=[da.Constraint(caution.constraint(lambda x, y: y[:, 0] - x[:, 0]), name="c")],
        space=da.Box([-1.0, -1.0], [1.0, 1.0]),
        x0=[0.3, -0.2],
        sense=sense,
        backend="numpy",
    )


X = np.random.default_rng(0).uniform(-1.0, 1.0, (6, 2))


@pytest.mark.parametrize("sense", ["maximize", "minimize"])
def test_mean_and_standard_deviations_are_the_closed_form(sense: str) -> None:
    p = problem("std", 2.0, sense)
    f, C = p.outer(X, p.forward(X))
    worse = -1.0 if sense == "maximize" else 1.0
    Y = X @ A
    assert f == pytest.approx(Y.mean(axis=1) + worse * 2.0 * Y.std(axis=1))
    gaps = Y - X[:, :1]
    assert C[:, 0] == pytest.approx(gaps.mean(axis=1) + 2.0 * gaps.std(axis=1))  # larger is worse, whatever the sense
    assert spread_of(p, X, Y) == pytest.approx(Y.std(axis=1))


@pytest.mark.parametrize("sense", ["maximize", "minimize"])
def test_the_worst_member_is_the_worst(sense: str) -> None:
    p = problem("worst", sense=sense)
    f, C = p.outer(X, p.forward(X))
    expected = (X @ A).min(axis=1) if sense == "maximize" else (X @ A).max(axis=1)
    assert f.tolist() == expected.tolist()
    assert C[:, 0].tolist() == (X @ A - X[:, :1]).max(axis=1).tolist()


def test_gradients_agree_with_differences() -> None:
    p = problem("std", 1.5)
    p.outer(X, p.forward(X))
    G = p.vjp(X, p.forward(X), np.ones(6), None)
    for j in range(2):
        h = np.eye(2)[j] * 1e-6
        high, low = (p.outer(X + s * h, p.forward(X + s * h))[0] for s in (1.0, -1.0))
        assert G[:, j] == pytest.approx((high - low) / 2e-6, rel=1e-4, abs=1e-6)


def test_members_that_agree_have_no_spread_and_a_finite_gradient() -> None:
    caution = da.trust.Caution(2, "std", 1.0)
    p = da.Problem(
        surrogate=CallableSurrogate(lambda X: np.hstack([X, X]), lambda X, V: V[:, :1] + V[:, 1:]),
        objective=caution.objective(lambda y: y[:, 0]),
        space=[(0.0, 1.0)],
        backend="numpy",
    )
    point = np.array([[0.5]])
    assert p.outer(point, p.forward(point))[0] == pytest.approx(0.5, abs=1e-9)
    assert np.isfinite(p.vjp(point, p.forward(point), np.ones(1), None)).all()


def test_the_cheap_report_knows_the_spread_without_a_pass() -> None:
    p = problem("std")
    result = da.solve(p, budget=60)
    assert result.trust is not None
    assert result.trust.spread == pytest.approx(float((result.x @ A).std()))
    assert "spread" not in result.trust.unknown
    full = da.trust.report(p, result)
    assert full is not None and full.spread == pytest.approx(result.trust.spread) and "ensemble spread" in full.text


def test_written_in_torch() -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(2, 3).double()
    caution = da.trust.Caution(3, "std", 1.0)
    p = da.Problem(
        surrogate=net,
        objective=caution.objective(lambda y: torch.tanh(y[:, 0])),
        space=da.Box([-1.0, -1.0], [1.0, 1.0]),
        x0=[0.0, 0.0],
    )
    Y = p.forward(X)
    expected = np.tanh(Y).mean(axis=1) - np.tanh(Y).std(axis=1)
    assert p.outer(X, Y)[0] == pytest.approx(expected, rel=1e-9)
    spread = spread_of(p, X, Y)
    assert spread is not None and spread == pytest.approx(np.tanh(Y).std(axis=1), rel=1e-9)
    G = p.vjp(X, Y, np.ones(6), None)
    h = np.array([1e-6, 0.0])
    high, low = (p.outer(X + s * h, p.forward(X + s * h))[0] for s in (1.0, -1.0))
    assert G[:, 0] == pytest.approx((high - low) / 2e-6, rel=1e-4, abs=1e-6)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(OptionError, match="`members` must be an integer >= 1, got 0"):
        da.trust.Caution(0)
    with pytest.raises(OptionError, match="`mode` must be"):
        da.trust.Caution(2, "median")
    with pytest.raises(OptionError, match="`k` must be"):
        da.trust.Caution(2, k=-1.0)
    with pytest.raises(OptionError, match="multiple of 2 columns, got 3"):
        da.trust.Caution(2).objective(lambda y: y[:, 0])(X, np.zeros((6, 3)))
