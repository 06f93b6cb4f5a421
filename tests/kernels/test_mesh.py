"""Mesh kernels: twins, the tables of the granular mesh, and points that never leave the box by one ulp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfoattack.kernels import mesh
from tests.kernels import naive

seeds = st.integers(0, 2**32 - 1)
exponents = st.integers(-12, 12)
mantissas = st.sampled_from([1, 2, 5])
granularities = st.sampled_from([0.0, 0.0, 1.0, 0.1, 0.25, 3.0, 0.7])


def whole_inverse(g: float) -> float:
    return float(round(1.0 / g)) if g > 0 and abs(1.0 / g - round(1.0 / g)) < 1e-9 / g else 0.0


def request_to_size(request: float, g: float = 0.0) -> float:
    a, b = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    mesh.frame_from_request(np.array([request]), np.array([g]), a, b)
    return (g or 1.0) * mesh.decimal(a[0], b[0])


def sizes(a, b, b0, g=0.0, x=0.0, scale=1.0):
    """(delta, Delta) of one variable."""
    delta, Delta = np.empty(1), np.empty(1)
    whole = [np.array([value], dtype=np.int64) for value in (a, b, b0)]
    mesh.mesh_sizes(*whole, np.array([g]), np.array([x]), np.array([scale]), delta, Delta)
    return delta[0], Delta[0]


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(st.integers(-400, 400))
def test_pow10(k: int) -> None:
    assert mesh.pow10(k) == naive.pow10(k)


@given(mantissas, st.integers(-22, 22))
def test_decimal(a: int, b: int) -> None:
    assert mesh.decimal(a, b) == naive.decimal(a, b)


@given(mantissas, st.integers(-300, 300))
def test_decimal_far_out(a: int, b: int) -> None:
    assert mesh.decimal(a, b) == pytest.approx(naive.decimal(a, b), rel=4e-16)


@given(st.floats(1e-300, 1e300) | st.integers(-323, 308).map(lambda k: float(f"1e{k}")))
def test_floor_exponent(q: float) -> None:
    assert mesh.floor_exponent(q) == naive.floor_exponent(q)
    assert mesh.floor_exponent(np.nextafter(q, 0.0)) == naive.floor_exponent(np.nextafter(q, 0.0))


def test_floor_table() -> None:
    for request, size in ((0.3, 0.2), (0.02, 0.02), (0.09, 0.05), (0.5, 0.5), (9.99, 5.0), (4.9999, 2.0), (1.999, 1.0)):
        assert request_to_size(request) == size
    for k in range(-12, 13):
        for a in (1, 2, 5):
            assert request_to_size(float(f"{a}e{k}")) == float(f"{a}e{k}")
        assert request_to_size(10.0**k) == float(f"1e{k}"), "10.0**k may be an ulp off"
    assert request_to_size(1.2 - 1.0) == 0.2, "0.19999999999999996 is meant to be 0.2"


@given(st.floats(1e-250, 1e250), granularities)
def test_frame_from_request(request: float, g: float) -> None:
    a, b = integers(0), integers(0)
    mesh.frame_from_request(np.array([request]), np.array([g]), a, b)
    twin_a, twin_b = naive.frame_from_request([request], [g])
    assert (a[0], b[0]) == (twin_a[0], twin_b[0])
    size = request_to_size(request, g)
    assert size <= max(request, g) * (1 + 1e-14), "never above the request"
    assert size * 2.5 > request * (1 - 1e-14), "the largest such size"
    assert g == 0.0 or size >= g


@pytest.mark.parametrize("request_", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_frame_from_request_without_a_size(request_: float) -> None:
    assert request_to_size(request_) == 1.0
    assert request_to_size(request_, 0.25) == 0.25


def test_mesh_table() -> None:
    # b0 = 0: the mesh size falls like the square of the frame size below the start and stays above it
    for (a, b), (delta, Delta) in {
        (1, 0): (1.0, 1.0),
        (5, -1): (0.01, 0.5),
        (2, -1): (0.01, 0.2),
        (1, -1): (0.01, 0.1),
        (5, -2): (1e-4, 0.05),
        (2, 1): (1.0, 20.0),
        (5, 3): (1.0, 5000.0),
    }.items():
        assert sizes(a, b, 0) == (delta, Delta)


def test_granular_mesh_table() -> None:
    assert sizes(5, 2, 2, g=1.0) == (100.0, 500.0)
    assert sizes(5, 1, 2, g=1.0) == (1.0, 50.0)
    assert sizes(1, 0, 2, g=1.0) == (1.0, 1.0)
    assert sizes(2, 3, 2, g=0.25) == (25.0, 500.0)


def test_floating_point_floor() -> None:
    assert sizes(1, -9, 0) == (1e-13, 1e-9)
    assert sizes(1, -9, 0, x=-1e6) == (1e-7, 1e-9), "there the frame falls below the mesh"
    assert sizes(1, -9, 0, scale=1e-6) == (1e-18, 1e-9), "the floor is relative to x and scale"


@given(mantissas, exponents, exponents, granularities, st.floats(-1e9, 1e9), st.integers(-6, 6))
def test_mesh_sizes(a: int, b: int, b0: int, g: float, x: float, k: int) -> None:
    if g > 0:
        b, b0 = abs(b), abs(b0)
    scale = 3.0 * 10.0**k
    delta, Delta = sizes(a, b, b0, g, x, scale)
    twin = naive.mesh_sizes([a], [b], [b0], [g], [x], [scale])
    assert (delta, Delta) == (twin[0][0], twin[1][0])
    if g > 0:
        assert delta >= g and Delta >= delta * (1 - 1e-15)
    else:
        assert x + delta != x and x - delta != x, "one mesh step always moves the point"


@given(mantissas, st.integers(-300, 300), st.booleans())
def test_one_notch(a: int, b: int, granular: bool) -> None:
    b = abs(b) if granular else b
    assert mesh.enlarge_one(a, b) == naive.enlarge_one(a, b)
    assert mesh.refine_one(a, b, granular) == naive.refine_one(a, b, granular)
    if (a, b) != (5, 300):
        assert mesh.refine_one(*mesh.enlarge_one(a, b), granular) == (a, b)


def test_the_ladder() -> None:
    a, b, seen = 5, 1, []
    for _ in range(8):
        seen.append(mesh.decimal(a, b))
        a, b = mesh.refine_one(a, b, False)
    assert seen == [50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2]
    assert mesh.refine_one(1, 0, True) == (1, 0)


@given(seeds, st.integers(1, 6))
def test_enlarge_and_refine(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    g = rng.choice([0.0, 0.0, 1.0, 0.1], n)
    a = rng.choice(integers(1, 2, 5), n)
    b = np.where(g > 0, rng.integers(0, 5, n), rng.integers(-5, 5, n))
    b0 = np.where(g > 0, rng.integers(0, 5, n), rng.integers(-5, 5, n))
    Delta = np.where(g > 0, g, 1.0) * a * 10.0**b
    step = Delta * rng.choice([0.0, 0.05, 0.1, 0.3, -1.0], n)
    out_a, out_b = np.zeros_like(a), np.zeros_like(b)
    mesh.enlarge(a, b, b0, g, step, Delta, 0.1, out_a, out_b)
    twin = naive.enlarge(a, b, b0, g, step, Delta, 0.1)
    np.testing.assert_array_equal((out_a, out_b), twin)
    assert (naive.enlarge(a, b, b0, g, step, Delta, 0.1)[1] <= b + 1).all(), "at most one notch"
    mesh.refine(a, b, g, out_a, out_b)
    np.testing.assert_array_equal((out_a, out_b), naive.refine(a, b, g))
    mesh.refine(a, b, g, a, b)
    np.testing.assert_array_equal((a, b), (out_a, out_b))


def test_enlarge_by_the_length_of_the_step() -> None:
    a, b = integers(1, 1, 5), integers(0, 0, 0)
    out_a, out_b = integers(0, 0, 0), integers(0, 0, 0)
    # 0.5 is exactly a tenth of the last frame: "more than a tenth" leaves it
    mesh.enlarge(a, b, b, np.zeros(3), np.array([0.2, 0.05, 0.5]), np.array([1.0, 1.0, 5.0]), 0.1, out_a, out_b)
    np.testing.assert_array_equal(out_a, [2, 1, 5])
    np.testing.assert_array_equal(out_b, [0, 0, 0])


def test_enlarge_what_has_fallen_behind() -> None:
    # rho = 10, 100, 1000 and the square of the least is 100: only the last is behind, and a granular one never is
    a, b, b0 = integers(1, 1, 1, 1), integers(-1, -2, -3, 0), integers(0, 0, 0, 4)
    out_a, out_b = np.zeros_like(a), np.zeros_like(a)
    mesh.enlarge(a, b, b0, np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(4), np.ones(4), 0.1, out_a, out_b)
    np.testing.assert_array_equal(out_a, [1, 1, 2, 1])
    # all at exponents whose squared ratio exceeds every float64
    far = integers(-200, -299)
    mesh.enlarge(a[:2], far, b0[:2], np.zeros(2), np.zeros(2), np.ones(2), 0.1, out_a[:2], out_b[:2])
    np.testing.assert_array_equal(out_b[:2], far)


@given(seeds, st.integers(1, 6))
def test_round_steps(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    delta = 10.0 ** rng.integers(-6, 3, n)
    D = rng.standard_normal((6, n)) * delta * rng.choice([0.0, 1e-3, 0.3, 1.0, 50.0], (6, 1))
    Z = np.empty(D.shape)
    lifted = mesh.round_steps(D, delta, Z)
    twin, twin_lifted = naive.round_steps(D, delta)
    np.testing.assert_array_equal(Z, twin)
    assert lifted == twin_lifted
    assert Z.any(axis=1).all(), "never all zero"
    np.testing.assert_array_equal(Z, np.rint(Z))
    assert not np.signbit(Z[Z == 0.0]).any()
    moved = D.any(axis=1)
    opposite = np.empty(D.shape)
    assert mesh.round_steps(-D, delta, opposite) == lifted
    np.testing.assert_array_equal(opposite[moved], -Z[moved] + 0.0)


def test_round_steps_lifts_the_largest() -> None:
    Z = np.empty((4, 3))
    D = np.array([[0.1, -0.4, 0.4], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.5, 2.5, -0.5]])
    assert mesh.round_steps(D, np.ones(3), Z) == 3
    np.testing.assert_array_equal(Z, [[0, -1, 0], [1, 0, 0], [1, 0, 0], [2, 2, 0]])


@given(st.integers(-(10**6), 10**6), st.floats(-0.3, 0.3), granularities)
def test_snap_one(k: int, off: float, g: float) -> None:
    assume(g > 0)
    inverse = whole_inverse(g)
    on = k / inverse if inverse else k * g
    assert mesh.snap_one(on + off * g, -np.inf, np.inf, g, inverse) == on
    assert mesh.snap_one(on, -np.inf, np.inf, g, inverse) == on, "lattice points stay"
    assert mesh.snap_one(on + off * g, -np.inf, np.inf, g, inverse) == naive.snap_one(
        on + off * g, -np.inf, np.inf, g, inverse
    )
    assert not np.signbit(mesh.snap_one(-0.2 * g, -np.inf, np.inf, g, inverse))


def test_snap_gives_decimals() -> None:
    assert mesh.snap_one(0.31, 0.0, 1.0, 0.1, 10.0) == 0.3
    assert mesh.snap_one(5.0, 0.0, 0.7, 0.1, 10.0) == 0.7


@given(seeds, st.integers(1, 5))
def test_mesh_points_and_snap(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    g = rng.choice([0.0, 0.0, 1.0, 0.1, 0.7], n)
    inverse = np.array([whole_inverse(value) for value in g])
    unit = np.where(g > 0, g, 0.0)
    lower = np.where(rng.random(n) < 0.2, -np.inf, -rng.integers(0, 9, n) * unit - (g == 0) * rng.random(n))
    upper = np.where(rng.random(n) < 0.2, np.inf, rng.integers(0, 9, n) * unit + (g == 0) * rng.random(n))
    lattice = np.vstack([lower, np.zeros(n), upper])
    bounded = naive.snap(
        np.nan_to_num(lattice, posinf=1e300, neginf=-1e300), np.full(n, -1e300), np.full(n, 1e300), g, inverse
    )
    lower, x, upper = np.where(np.isfinite(lattice), bounded, lattice)
    delta = np.where(g > 0, g, 10.0 ** rng.integers(-4, 1, n))
    Z = np.rint(rng.standard_normal((7, n)) * 4.0)
    X = np.empty(Z.shape)
    mesh.mesh_points(x, Z, delta, lower, upper, g, inverse, X)
    np.testing.assert_array_equal(X, naive.mesh_points(x, Z, delta, lower, upper, g, inverse))
    assert (lower <= X).all() and (upper >= X).all(), "not by one ulp"
    outside = (x + delta * Z < lower) & (g == 0)
    np.testing.assert_array_equal(X[outside], np.broadcast_to(lower, X.shape)[outside])
    np.testing.assert_array_equal(X[Z == 0], np.broadcast_to(x, X.shape)[Z == 0])
    again = np.empty(X.shape)
    mesh.snap(X, lower, upper, g, inverse, again)
    np.testing.assert_array_equal(again, X)
    free = rng.standard_normal((7, n)) * 5.0
    mesh.snap(free, lower, upper, g, inverse, again)
    np.testing.assert_array_equal(again, naive.snap(free, lower, upper, g, inverse))
    assert (lower <= again).all() and (upper >= again).all()
    mesh.snap(free, lower, upper, g, inverse, free)
    np.testing.assert_array_equal(free, again, err_msg="in place")


def test_not_outside_by_one_ulp() -> None:
    # 0.1 + 0.2 = 0.30000000000000004
    X, none = np.empty((2, 1)), np.zeros(1)
    steps, delta, bound = np.array([[2.0], [1.0]]), np.array([0.1]), np.array([0.3])
    mesh.mesh_points(np.array([0.1]), steps, delta, -bound, bound, none, none, X)
    np.testing.assert_array_equal(X, [[0.3], [0.2]])
    mesh.mesh_points(np.array([-0.1]), -steps, delta, -bound, bound, none, none, X)
    np.testing.assert_array_equal(X, [[-0.3], [-0.2]])


@given(arrays(float, 3, elements=st.integers(-50, 50)), seeds)
def test_a_walk_stays_on_the_mesh(start: np.ndarray, seed: int) -> None:
    # Translation by mesh multiples: trial points and displacements move together.
    rng = np.random.default_rng(seed)
    delta = np.array([0.25, 1.0, 0.5])
    free, none = np.full(3, np.inf), np.zeros(3)
    Z = np.rint(rng.standard_normal((4, 3)) * 9.0)
    X, moved = np.empty((4, 3)), np.empty((4, 3))
    mesh.mesh_points(np.zeros(3), Z, delta, -free, free, none, none, X)
    mesh.mesh_points(start * delta, Z, delta, -free, free, none, none, moved)
    np.testing.assert_array_equal(moved, X + start * delta)
