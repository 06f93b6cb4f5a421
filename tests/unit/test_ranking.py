"""Models that rank points: the fit against its definition, leave-one-out by leaving one out, where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from dfoattack.steps import _ranking


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize(("n", "k", "d"), [(1, 3, 2), (3, 5, 4), (3, 8, 7), (3, 11, 10), (5, 42, 21), (20, 200, 41)])
def test_every_point_is_predicted_by_a_model_of_the_others(n: int, k: int, d: int) -> None:
    U = rng(k).standard_normal((k, n))
    F = np.exp(U.sum(axis=1)) + 100.0
    model = _ranking.fitted(U, F)
    assert model is not None and model.coefficients.shape == (d,), "the largest model that the points determine"
    A, weights = _ranking.features(U, d), np.empty(k)
    weights[np.argsort(F)] = np.linspace(_ranking.BEST_WEIGHT, 1.0, k)
    for i in (0, k // 2, k - 1):
        rest = np.arange(k) != i
        c = np.linalg.lstsq(A[rest] * weights[rest, None], F[rest] * weights[rest], rcond=None)[0]
        assert model.left_out[i] == pytest.approx(A[i] @ c - F.min(), rel=1e-6, abs=1e-6)
    c = np.linalg.lstsq(A * weights[:, None], F * weights, rcond=None)[0]
    np.testing.assert_allclose(model.values(U), A @ c - F.min(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_a_quadratic_is_recovered(n: int) -> None:
    draw = rng(n)
    H, g = draw.standard_normal((n, n)), draw.standard_normal(n)
    U, new = (draw.standard_normal((_ranking.points_max(n), n)) for _ in range(2))
    F, truth = ((np.einsum("ki,ij,kj->k", P, H, P) + P @ g - 7.0) for P in (U, new))
    model = _ranking.fitted(U, F)
    assert model is not None
    np.testing.assert_allclose(model.values(new) + F.min(), truth, atol=1e-8)
    assert _ranking.kendall(model.left_out, F) == 1.0


def test_noise_is_not_believed() -> None:
    """A fit to hardly more points than coefficients reproduces anything; left out, the points tell."""
    U, F = rng(1).standard_normal((24, 5)), rng(2).standard_normal(24)
    model = _ranking.fitted(U, F)
    assert model is not None
    assert _ranking.kendall(model.values(U), F) > 0.6 and abs(_ranking.kendall(model.left_out, F)) < 0.3


def test_where_there_is_no_model() -> None:
    U = rng().standard_normal((30, 3))
    assert _ranking.fitted(U[:4], np.arange(4.0)) is None, "too few points"
    assert _ranking.fitted(np.ones((30, 3)), np.arange(30.0)) is None, "one place"
    assert _ranking.fitted(U, np.where(np.arange(30) % 2, -1.7e308, 1.7e308)) is None, "overflow"
    assert _ranking.points_max(_ranking.TERMS_MAX) == 0


def test_kendall() -> None:
    a, b = rng(3).standard_normal((2, 20))
    assert _ranking.kendall(a, b) == pytest.approx(kendalltau(a, b).statistic)
    assert _ranking.kendall(a, a) == 1.0 == -_ranking.kendall(a, -a) and _ranking.kendall(a[:1], b[:1]) == 0.0
