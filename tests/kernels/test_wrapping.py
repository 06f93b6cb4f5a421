"""Kernels of periodic and categorical variables: twins, the seam, and what must not depend on which image is taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.kernels import covering, wrapping
from tests.kernels import naive

seeds = st.integers(0, 2**32 - 1)
dimensions = st.integers(1, 7)


def box(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """lower, upper, period, g, inverse, generator: plain, periodic, granular and periodic granular variables."""
    rng = np.random.default_rng(seed)
    g = rng.choice([0.0, 0.1, 1.0, 15.0], n)
    inverse = np.where(g == 0.1, 10.0, np.where(g == 1.0, 1.0, 0.0))
    unit = np.where(g > 0.0, g, 1.0)
    lower = unit * rng.integers(-20, 20, n)
    upper = lower + unit * rng.integers(1, 30, n)
    snap = np.where(inverse > 0.0, np.rint(lower * inverse) / np.where(inverse > 0.0, inverse, 1.0), lower)
    lower = np.where(g > 0.0, snap, lower * math.pi)
    top = np.where(inverse > 0.0, np.rint(upper * inverse) / np.where(inverse > 0.0, inverse, 1.0), upper)
    upper = np.where(g > 0.0, top, upper * math.pi)
    period = np.where(rng.random(n) < 0.6, upper - lower, 0.0)
    return lower + 0.0, upper + 0.0, period, g, inverse, rng


@given(seeds)
def test_wrap_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lower = float(rng.normal() * 10.0)
    period = float(10.0 ** rng.uniform(-3, 3))
    upper = lower + period
    period = upper - lower
    value = lower + float(rng.normal()) * period * 10.0
    wrapped = wrapping.wrap_one(value, lower, upper, period)
    twin = naive.wrap_one(value, lower, upper, period)
    assert lower <= wrapped < upper
    gap = abs(wrapped - twin)
    assert min(gap, abs(gap - period)) <= 1e-13 * (abs(value) + abs(lower) + period)
    assert wrapping.wrap_one(value, lower, upper, 0.0) == value
    assert wrapping.wrap_one(upper, lower, upper, period) == lower
    assert wrapping.wrap_one(wrapped, lower, upper, period) == wrapped
    assert wrapping.wrap_one(1e300, lower, upper, period) >= lower


@given(seeds, dimensions)
def test_points_are_wrapped_inside_the_box_and_on_the_lattice(seed: int, n: int) -> None:
    lower, upper, period, g, inverse, rng = box(seed, n)
    X = lower + (upper - lower) * rng.uniform(-3, 4, (6, n))
    out = np.empty_like(X)
    wrapping.snap_wrapped(X, lower, upper, period, g, inverse, out)
    np.testing.assert_allclose(out, naive.snap_wrapped(X, lower, upper, period, g, inverse), rtol=1e-12, atol=1e-12)
    assert (out >= lower).all() and (out <= upper).all()
    assert (out < upper)[:, period > 0.0].all(), "upper is written as lower"
    again = np.empty_like(X)
    wrapping.snap_wrapped(out, lower, upper, period, g, inverse, again)
    np.testing.assert_array_equal(again, out)
    for i in np.flatnonzero(g > 0.0):
        k = out[:, i] * inverse[i] if inverse[i] else out[:, i] / g[i]
        np.testing.assert_allclose(k, np.rint(k), atol=1e-9)
    one = wrapping.snap_periodic(float(X[0, 0]), lower[0], upper[0], period[0], g[0], inverse[0])
    assert one == out[0, 0]


@given(seeds, dimensions)
def test_mesh_points(seed: int, n: int) -> None:
    lower, upper, period, g, inverse, rng = box(seed, n)
    start = lower + (upper - lower) * rng.random((1, n))
    x = np.empty_like(start)
    wrapping.snap_wrapped(start, lower, upper, period, g, inverse, x)
    delta = np.where(g > 0.0, g, (upper - lower) / 100.0)
    Z = rng.integers(-40, 41, (5, n)).astype(float)
    out = np.empty_like(Z)
    wrapping.mesh_points_wrapped(x[0], Z, delta, lower, upper, period, g, inverse, out)
    twin = naive.mesh_points_wrapped(x[0], Z, delta, lower, upper, period, g, inverse)
    gap = np.abs(out - twin)
    assert np.minimum(gap, np.abs(gap - np.where(period > 0.0, period, np.inf))).max() <= 1e-9 * (upper - lower).max()
    # A whole turn more is the same point: the mesh closes on itself.
    turn = np.where(period > 0.0, np.rint(period / delta), 0.0)
    whole = np.abs(turn * delta - period) <= 1e-9 * np.maximum(period, 1.0)
    further = np.empty_like(Z)
    wrapping.mesh_points_wrapped(x[0], Z + np.where(whole, turn, 0.0), delta, lower, upper, period, g, inverse, further)
    gap = np.abs(further - out)
    assert np.minimum(gap, np.abs(gap - np.where(period > 0.0, period, np.inf))).max() <= 1e-9 * (upper - lower).max()


def points(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Candidates, history, scale, metric."""
    rng = np.random.default_rng(seed)
    metric = rng.choice([0.0, 1.0, -np.inf, -1.0], n)
    Y, V = rng.random((7, n)), rng.random((12, n))
    codes = metric < 0.0
    Y[:, codes], V[:, codes] = np.rint(Y[:, codes]), np.rint(V[:, codes])
    return Y, V, 10.0 ** rng.uniform(-1, 1, n), metric, rng


@given(seeds, dimensions)
def test_distances(seed: int, n: int) -> None:
    Y, V, scale, metric, _ = points(seed, n)
    weight = 1.0 / scale
    exact = naive.wrapped_distance(Y, 1, V, 2, weight, metric)
    assert wrapping.wrapped_distance(Y, 1, V, 2, weight, metric, math.inf) == pytest.approx(exact, rel=1e-9, abs=1e-15)
    if 0.0 < exact < math.inf:
        assert wrapping.wrapped_distance(Y, 1, V, 2, weight, metric, 0.5 * exact) > 0.5 * exact
    turned = Y + 3.0 * (metric > 0.0)
    assert wrapping.wrapped_distance(turned, 1, V, 2, weight, metric, math.inf) == pytest.approx(exact, abs=1e-9)
    plain = np.zeros(n)
    usual = covering.bounded_distance(Y, 1, V, 2, weight, math.inf)
    assert wrapping.wrapped_distance(Y, 1, V, 2, weight, plain, math.inf) == pytest.approx(usual, rel=1e-14)


@given(seeds, dimensions)
def test_pools(seed: int, n: int) -> None:
    Y, V, scale, metric, rng = points(seed, n)
    d2 = np.where(rng.random(7) < 0.5, np.inf, rng.random(7))
    twin = naive.pool_update_wrapped(Y, d2, V, scale, metric)
    wrapping.pool_update_wrapped(Y, d2, V, scale, metric)
    np.testing.assert_allclose(d2, twin, rtol=1e-9)
    rows = np.array([0, 3, 6])
    twin = naive.pool_refresh_wrapped(Y, d2, rows, V, 8, scale, metric)
    wrapping.pool_refresh_wrapped(Y, d2, rows, V, 8, scale, metric)
    np.testing.assert_allclose(d2, twin, rtol=1e-9)
    fill = np.empty(7)
    wrapping.fill_distance_wrapped(Y, V, scale, metric, fill)
    np.testing.assert_allclose(fill, naive.fill_distance_wrapped(Y, V, scale, metric), rtol=1e-9)
    wrapping.fill_distance_wrapped(Y, V[:0], scale, metric, fill)
    assert np.isinf(fill).all()
