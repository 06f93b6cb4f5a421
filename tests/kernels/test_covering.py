"""Covering kernels: twins, exactness of the pool, and the distribution of ball points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.kernels import covering
from tests.kernels import naive

seeds = st.integers(0, 2**32 - 1)
dimensions = st.integers(1, 9)


def setting(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Candidates, history, centre, scale, generator."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-3, 4, n)
    Y, V = rng.standard_normal((9, n)) * scale, rng.standard_normal((15, n)) * scale * rng.choice([0.3, 1.0, 4.0])
    V[3] = Y[2]
    return Y, V, rng.standard_normal(n) * scale * 0.3, scale, rng


@given(seeds, dimensions)
def test_distances(seed: int, n: int) -> None:
    Y, V, _, scale, _ = setting(seed, n)
    weight = covering.reciprocals(scale)
    np.testing.assert_array_equal(weight, naive.reciprocals(scale))
    exact = naive.bounded_distance(Y, 0, V, 1, weight)
    assert covering.bounded_distance(Y, 0, V, 1, weight, math.inf) == pytest.approx(exact, rel=1e-14)
    assert covering.bounded_distance(Y, 0, V, 1, weight, exact * 0.5) > exact * 0.5
    assert covering.bounded_distance(Y, 2, V, 3, weight, math.inf) == 0.0


@given(seeds, dimensions)
def test_pool_update(seed: int, n: int) -> None:
    Y, V, _, scale, rng = setting(seed, n)
    d2 = np.where(rng.random(9) < 0.5, np.inf, rng.random(9))
    twin = naive.pool_update(Y, d2, V, scale)
    one_by_one = d2.copy()
    covering.pool_update(Y, d2, V, scale)
    np.testing.assert_allclose(d2, twin, rtol=1e-14)
    for v in V[::-1]:
        covering.pool_update(Y, one_by_one, v[None, :].copy(), scale)
    np.testing.assert_array_equal(one_by_one, d2, err_msg="neither order nor blocks matter")
    assert d2[2] == 0.0
    before = d2.copy()
    covering.pool_update(Y, d2, np.empty((0, n)), scale)
    np.testing.assert_array_equal(d2, before, err_msg="no new points, no change")


@given(seeds, dimensions, st.sampled_from([1e-3, 0.5, 1.0, 3.0, math.inf]), st.booleans())
def test_pool_refresh(seed: int, n: int, radius: float, centre_evaluated: bool) -> None:
    # Exact for candidates outside the ball and for a centre that was not evaluated, too.
    Y, V, centre, scale, rng = setting(seed, n)
    if centre_evaluated:
        V[0] = centre
    d2 = rng.random(9)
    rows = rng.permutation(9)[:5]
    n_history = int(rng.integers(0, 16))
    twin = naive.pool_refresh(Y, d2, rows, V, n_history, scale)
    updated = np.full(9, np.inf)
    covering.pool_update(Y, updated, V[:n_history].copy(), scale)
    covering.pool_refresh(Y, d2, rows, V, n_history, centre, radius, scale)
    np.testing.assert_allclose(d2, twin, rtol=1e-14)
    np.testing.assert_array_equal(d2[rows], updated[rows], err_msg="a scan and the running update agree to the bit")


def test_pool_refresh_looks_beyond_the_ball() -> None:
    # The nearest point of a candidate at 0.9 may lie at 1.1, outside the ball of radius 1.
    V, d2 = np.array([[0.0], [1.125], [2.5]]), np.zeros(1)
    covering.pool_refresh(np.array([[0.875]]), d2, np.array([0]), V, 3, np.zeros(1), 1.0, np.ones(1))
    assert d2[0] == 0.0625


@given(seeds, dimensions, st.sampled_from([1e-3, 0.7, 50.0]))
def test_ball_points(seed: int, n: int, radius: float) -> None:
    _, _, centre, scale, rng = setting(seed, n)
    lower, upper = centre - 0.3 * scale, np.where(rng.random(n) < 0.5, np.inf, centre + 0.2 * scale)
    normals, uniforms = rng.standard_normal((40, n)), rng.random(40)
    X = np.empty((40, n))
    count = covering.ball_points(centre, radius, scale, lower, upper, normals, uniforms, X)
    twin = naive.ball_points(centre, radius, scale, lower, upper, normals, uniforms)
    assert count == len(twin)
    np.testing.assert_allclose(X[:count], twin, rtol=1e-12, atol=1e-12 * scale.max())
    assert (X[:count] >= lower).all() and (X[:count] <= upper).all()
    assert (np.linalg.norm((X[:count] - centre) / scale, axis=1) <= radius * (1 + 1e-12) + 1e-15 / scale.min()).all()


def test_ball_points_without_a_direction() -> None:
    X = np.full((2, 2), 7.0)
    normals = np.array([[0.0, 0.0], [3.0, 4.0]])
    free = np.full(2, np.inf)
    assert covering.ball_points(np.zeros(2), 1.0, np.ones(2), -free, free, normals, np.array([0.5, 0.25]), X) == 1
    np.testing.assert_allclose(X[0], [0.3, 0.4], rtol=1e-15)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("radius", [1e-3, 1.0])
def test_ball_points_are_uniform(n: int, radius: float) -> None:
    # (distance / radius)^n is uniform whatever the radius; the largest gap of 4000 draws stays below 0.03 (p < 0.002).
    rng = np.random.default_rng(n)
    X, free = np.empty((4000, n)), np.full(n, np.inf)
    scale = 10.0 ** rng.integers(-2, 3, n)
    count = covering.ball_points(
        np.zeros(n), radius, scale, -free, free, rng.standard_normal((4000, n)), rng.random(4000), X
    )
    assert count == 4000
    volume = np.sort((np.linalg.norm(X / scale, axis=1) / radius) ** n)
    assert np.abs(volume - (np.arange(4000) + 0.5) / 4000).max() < 0.03
    assert np.abs((X / scale / radius).mean(axis=0)).max() < 0.06, "no preferred side"


@given(seeds, dimensions, st.sampled_from([1e-6, 0.5, 1.0, 3.0, math.inf]))
def test_farthest(seed: int, n: int, radius: float) -> None:
    Y, _, centre, scale, rng = setting(seed, n)
    d2 = rng.integers(0, 4, 9) * 0.25
    assert covering.farthest(Y, d2, centre, radius, scale) == naive.farthest(Y, d2, centre, radius, scale)
    d2[rng.integers(9)] = np.inf
    assert covering.farthest(Y, d2, centre, radius, scale) == naive.farthest(Y, d2, centre, radius, scale)


def test_farthest_has_its_edges() -> None:
    Y, one = np.array([[0.0], [0.5], [0.5], [2.0]]), np.ones(1)
    assert covering.farthest(Y, np.array([0.0, 1.0, 1.0, 9.0]), np.zeros(1), 1.0, one) == 1, "lowest index, inside"
    assert covering.farthest(Y, np.array([0.0, 0.0, -1.0, 9.0]), np.zeros(1), 1.0, one) == -1, "nothing left to visit"
    assert covering.farthest(Y, np.array([np.nan, 0.0, 1.0, 9.0]), np.zeros(1), 1.0, one) == 2
    assert covering.farthest(Y[:0], np.empty(0), np.zeros(1), 1.0, one) == -1


@given(seeds, dimensions)
def test_fill_distance(seed: int, n: int) -> None:
    Y, V, _, scale, _ = setting(seed, n)
    out = np.empty(9)
    covering.fill_distance(Y, V, scale, out)
    np.testing.assert_allclose(out, naive.fill_distance(Y, V, scale), rtol=1e-14)
    covering.fill_distance(Y, V[:0], scale, out)
    np.testing.assert_array_equal(out, np.full(9, np.inf))
