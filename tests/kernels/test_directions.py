"""Poll directions: twins, invariants, and positive spanning after rounding for n = 1..64."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import nnls

from dfoattack.kernels import cone, directions
from tests.kernels import naive

RATIOS = (1.0, 2.0, 5.0, 10.0, 100.0)
# The interpreter needs seconds for one elimination at n = 64.
DIMENSIONS = range(1, 65) if not numba.config.DISABLE_JIT else (1, 2, 3, 4, 7, 12)

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
ratios = st.sampled_from((*RATIOS, 1e6))


def frame(n: int, seed: int = 0) -> np.ndarray:
    H = np.empty((n, n))
    directions.householder(np.random.default_rng([n, seed]).standard_normal(n), H)
    return H


def rounded(H: np.ndarray, rho: np.ndarray) -> np.ndarray:
    Z = np.empty(H.shape)
    directions.scale_directions(H, rho, Z)
    return Z


def simplex(H: np.ndarray) -> np.ndarray:
    """n + 1 unit vectors with pairwise products -1/n, as rows."""
    n = len(H)
    first = -H.sum(axis=0) / np.sqrt(n)
    return np.vstack([first, (np.sqrt(n + 1) * H + (np.sqrt(n + 1) - 1) / np.sqrt(n) * first) / np.sqrt(n)])


def spans(Z: np.ndarray) -> bool:
    """The answer of SciPy's non-negative least squares and NumPy's rank, both independent of the kernels."""
    A = naive.equilibrate(Z)
    if A is None or np.linalg.matrix_rank(A) < Z.shape[1]:
        return False
    return bool(nnls(A.T, -A.sum(axis=0))[1] < 1e-9)


@given(arrays(float, sizes, elements=st.floats(-1e3, 1e3)), st.sampled_from([1e-300, 1e-160, 1.0, 1e160, 1e300]))
def test_householder(v: np.ndarray, size: float) -> None:
    H = np.empty((len(v), len(v)))
    directions.householder(v * size, H)
    np.testing.assert_allclose(H, naive.householder(v * size), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(H, H.T)
    np.testing.assert_allclose(H @ H, np.eye(len(v)), rtol=0, atol=1e-13)


def test_householder_of_zero_is_the_identity() -> None:
    H = np.empty((3, 3))
    directions.householder(np.zeros(3), H)
    np.testing.assert_array_equal(H, np.eye(3))


@given(sizes, seeds, ratios)
def test_scale_directions(n: int, seed: int, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((5, n)) * 10.0 ** rng.integers(-9, 9, (5, 1))
    D[3] = 0.0
    rho = ratio * 10.0 ** rng.integers(0, 4, n)
    Z = rounded(D, rho)
    np.testing.assert_array_equal(Z, naive.scale_directions(D, rho))
    np.testing.assert_array_equal(Z, np.rint(Z))
    assert (np.abs(Z) <= rho).all()
    assert (np.abs(Z[[0, 1, 2, 4]]) == rho).any(axis=1).all(), "every row reaches the border of the frame"
    assert not Z[3].any()
    assert not np.signbit(Z[Z == 0.0]).any()
    np.testing.assert_array_equal(rounded(-D, rho), -Z + 0.0)


def test_scale_directions_below_ratio_one() -> None:
    np.testing.assert_array_equal(rounded(np.array([[0.1, -1.0]]), np.array([0.01, 0.01])), [[0.0, -1.0]])


@given(sizes, seeds, ratios)
def test_complete_negative(n: int, seed: int, ratio: float) -> None:
    rho = np.full(n, ratio)
    K = rounded(frame(n, seed), rho)
    z = np.empty(n)
    directions.complete_negative(K, rho, z)
    np.testing.assert_array_equal(z, naive.complete_negative(K, rho))
    assert (np.abs(z) <= rho).all()
    assert not np.signbit(z[z == 0.0]).any()


@given(arrays(float, (4, 4), elements=st.integers(-3, 3)), arrays(float, 4, elements=st.integers(-3, 3)), sizes)
def test_completes(K: np.ndarray, z: np.ndarray, n: int) -> None:
    n = min(n, 4)
    K, z = K[:n, :n].copy(), z[:n].copy()
    assert directions.completes(K, z) == naive.completes(K, z)


@given(sizes, seeds, st.sampled_from([1.0, 2.0, 5.0, 1000.0]))
def test_completes_after_negative(n: int, seed: int, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    rho = ratio * 10.0 ** rng.integers(0, 6, n)
    K = rounded(frame(n, seed), rho)
    z = np.empty(n)
    directions.complete_negative(K, rho, z)
    assert directions.completes(K, z) == naive.completes(K, z)
    assert directions.completes(K, z) <= cone.positive_basis_status(np.vstack([K, z]))
    assert not directions.completes(K, K[0]), "a kept direction is not the missing one"
    assert not directions.completes(K, np.zeros(n))


def test_completes_with_rank_lost() -> None:
    assert not directions.completes(np.ones((2, 2)), -np.ones(2))
    assert not directions.completes(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([-1.0, 0.0]))


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_construction_spans_after_rounding(ratio: float) -> None:
    # Rounding spoils many of these sets; what counts is that the test sees it and that the fallback never fails.
    lost = dict.fromkeys(("pairs", "negative", "simplex"), 0)
    for n in DIMENSIONS:
        rho = np.full(n, ratio)
        H = frame(n)
        K = rounded(H, rho)
        z_last = np.empty(n)
        directions.complete_negative(K, rho, z_last)
        sets = {"pairs": np.vstack([K, -K]), "negative": np.vstack([K, z_last]), "simplex": rounded(simplex(H), rho)}
        fallback = np.vstack([np.diag(rho), -np.diag(rho)])
        assert cone.positive_basis_status(fallback) == 1
        assert spans(fallback)
        for name, Z in sets.items():
            ok = cone.positive_basis_status(Z) == 1
            assert ok == spans(Z), (n, name)
            if name == "negative":
                assert directions.completes(K, z_last) == ok, n
            lost[name] += not ok
    if ratio == 100.0:
        assert not any(lost.values()), "enough mesh directions: nothing to repair"
    if ratio == 1.0:
        assert lost["negative"] > len(DIMENSIONS) // 4, "the case the rule exists for must occur"


def test_overlapping_rotations_do_not_span() -> None:
    # n + 1 directions from overlapping 2 x 2 blocks have rank floor(n / 2) + 1: they must be refused from n = 3 on.
    for n in (3, 4, 8, 16):
        K = np.zeros((n, n))
        for i in range(n - 1):
            K[i, i : i + 2] = [1.0, 1.0] if i % 2 else [1.0, -1.0]
        K[n - 1] = K[0]
        assert cone.positive_basis_status(np.vstack([K, -K.sum(axis=0)])) == 0
