"""The least-squares fit of the regression step: exact on quadratics, and refused where a quadratic does not explain the values."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack.steps.regression import Fit, _explains, _least_squares, _minimiser, _quadratic


@pytest.mark.parametrize("full", [True, False])
def test_a_quadratic_is_found_exactly(full: bool) -> None:
    rng = np.random.default_rng(0)
    n = 3
    A = rng.standard_normal((n, n))
    H, g = (A @ A.T if full else np.diag([1.0, 2.0, 5.0])), rng.standard_normal(n)
    S = rng.uniform(-1.0, 1.0, (40, n))
    values = 7.0 + S @ g + 0.5 * np.einsum("ki,ij,kj->k", S, H, S)
    found = _least_squares(S, values, rng.uniform(1.0, 2.0, 40), full)
    assert found is not None
    c, slope, curvature = _quadratic(found[0], n, full)
    assert c == pytest.approx(7.0) and slope == pytest.approx(g) and curvature == pytest.approx(H)
    assert np.abs(found[1]).max() < 1e-9


def test_points_that_do_not_determine_a_fit_give_none() -> None:
    S = np.linspace(-1.0, 1.0, 20)[:, None] * np.ones(2)
    assert _least_squares(S, S[:, 0], np.ones(20), True) is None


def test_noise_is_explained_bias_at_the_centre_is_not() -> None:
    rest = np.random.default_rng(1).standard_normal(200)
    assert _explains(rest, 6, 0.0)
    biased = rest.copy()
    biased[:16] += 1.5
    assert not _explains(biased, 6, 0.0)
    assert not _explains(2.0 * rest, 6, 0.0)


def test_the_minimiser_keeps_bounds_ball_and_constraints() -> None:
    g, H = np.array([[-4.0, 0.0]]), np.eye(2)[None]
    one = _minimiser(Fit(np.zeros(1), g, H, 1.0, 9), np.full(2, -5.0), np.array([0.3, 5.0]))
    assert one == pytest.approx([0.3, 0.0])
    wall = Fit(np.array([0.0, -0.2]), np.vstack([g, [[1.0, 0.0]]]), np.concatenate([H, 0.0 * H]), 1.0, 9)
    two = _minimiser(wall, np.full(2, -5.0), np.full(2, 5.0))
    assert two[0] <= 0.2 and two == pytest.approx([0.2, 0.0], abs=1e-3)
