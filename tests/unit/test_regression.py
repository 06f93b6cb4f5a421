"""Least-squares quadratics: exact where they can be, nearest to the prior where they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack import regression
from dfoattack.regression import Quadratics, coefficients, quadratic_fit


def quadratics(rng: np.random.Generator, n: int, m: int) -> Quadratics:
    H = rng.standard_normal((m, n, n))
    return Quadratics(rng.standard_normal(m), rng.standard_normal((m, n)), H + H.swapaxes(1, 2))


def points(rng: np.random.Generator, p: int, n: int) -> np.ndarray:
    return np.vstack([np.zeros(n), rng.standard_normal((p - 1, n))])


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 3), (9, 1)])
def test_quadratics_are_recovered_whatever_the_weights(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    truth = quadratics(rng, n, m)
    S = points(rng, coefficients(n) + 7, n)
    found = quadratic_fit(S, truth.values(S), 0.1 + rng.random(len(S)))
    assert np.allclose(found.H, truth.H, atol=1e-9) and np.allclose(found.g, truth.g, atol=1e-9)
    assert np.array_equal(found.c, truth.values(S)[0])


def test_one_dimension_by_hand() -> None:
    model = Quadratics(np.array([1.0]), np.array([[2.0]]), np.array([[[6.0]]]))
    assert model.values(np.array([[0.0], [1.0], [-2.0]])).tolist() == [[1.0], [6.0], [9.0]]
    assert coefficients(1) == 3 and coefficients(20) == 231


def test_a_prior_that_is_right_is_kept_where_points_are_few() -> None:
    """Up to the weight that curvature has against slopes, 1e-6."""
    rng = np.random.default_rng(5)
    truth = quadratics(rng, 6, 2)
    S = points(rng, 10, 6)
    found = quadratic_fit(S, truth.values(S), np.ones(10), truth.H)
    assert np.allclose(found.H, truth.H, atol=1e-5) and np.allclose(found.g, truth.g, atol=1e-4)


@pytest.mark.parametrize("p", [8, 14])
def test_few_points_are_interpolated_with_the_least_curvature(p: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(p)
    truth = quadratics(rng, 5, 1)
    S = points(rng, p, 5)
    values = truth.values(S)
    found = quadratic_fit(S, values, np.ones(p))
    assert np.allclose(found.values(S), values, atol=1e-8)
    assert np.linalg.norm(found.H) < np.linalg.norm(truth.H)
    monkeypatch.setattr(regression, "DIMENSION_MAX", 1)  # the other way to the same models
    other = quadratic_fit(S, values, np.ones(p))
    assert np.allclose(other.values(S), values, atol=1e-6)
    assert np.allclose(other.H, found.H, atol=1e-4) and np.allclose(other.g, found.g, atol=1e-4)
