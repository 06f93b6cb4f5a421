"""Positive spanning: three twins (linear programming, whole numbers, SciPy) and the invariants of the decision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfoattack.kernels import cone
from tests.kernels import naive

seeds = st.integers(0, 2**32 - 1)


@st.composite
def whole_numbers(draw: st.DrawFn, largest: int = 3) -> np.ndarray:
    n = draw(st.integers(1, 4))
    k = draw(st.integers(1, 2 * n + 1))
    return draw(arrays(float, (k, n), elements=st.integers(-largest, largest)))


@given(whole_numbers())
def test_equilibrate(Z: np.ndarray) -> None:
    A = np.zeros(Z.shape)
    count = cone.equilibrate(Z, A)
    twin = naive.equilibrate(Z)
    if twin is None:
        assert count == -1
    else:
        np.testing.assert_allclose(A[:count], twin, rtol=1e-15, atol=0)


def test_equilibrate_refuses_what_is_not_finite() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        assert cone.equilibrate(np.array([[1.0, 2.0], [bad, 1.0]]), np.zeros((2, 2))) == -1


@given(whole_numbers())
def test_numerical_rank(Z: np.ndarray) -> None:
    before = Z.copy()
    assert cone.numerical_rank(Z, 1e-10) == naive.numerical_rank(Z)
    np.testing.assert_array_equal(Z, before)


@given(seeds, st.integers(1, 6), st.integers(1, 12))
def test_nonnegative_least_squares(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((k, n))
    A[rng.random(k) < 0.2] = A[0]
    b = rng.standard_normal(n)
    x = np.empty(k)
    residual = cone.nonnegative_least_squares(A, b, x)
    assert residual == pytest.approx(naive.nonnegative_least_squares(A, b)[1], abs=1e-11)
    assert (x >= 0).all()
    assert np.count_nonzero(x) <= n
    gradient = A @ (b - A.T @ x)
    assert (gradient <= 1e-9).all(), "optimality: no row points along the residual"
    assert np.abs(gradient[x > 0]).max(initial=0.0) <= 1e-9


def test_nonnegative_least_squares_inside_the_cone() -> None:
    x = np.empty(3)
    assert cone.nonnegative_least_squares(np.eye(3), np.array([1.0, 2.0, 0.0]), x) == 0.0
    np.testing.assert_array_equal(x, [1.0, 2.0, 0.0])
    assert cone.nonnegative_least_squares(np.eye(3), np.zeros(3), x) == 0.0
    assert cone.nonnegative_least_squares(np.eye(3), -np.ones(3), x) == pytest.approx(np.sqrt(3.0))


@given(whole_numbers())
def test_status_is_the_exact_answer(Z: np.ndarray) -> None:
    assert cone.positive_basis_status(Z) == naive.positive_basis_status_exactly(Z)


def test_status_is_the_exact_answer_often() -> None:
    # Hypothesis shrinks towards zeros; these draws are denser, and about half of them span.
    rng = np.random.default_rng(5)
    spanning = 0
    for _ in range(300):
        n = int(rng.integers(1, 4))
        Z = rng.integers(-2, 3, (int(rng.integers(n, 2 * n + 2)), n)).astype(float)
        status = cone.positive_basis_status(Z)
        assert status == naive.positive_basis_status_exactly(Z), Z
        assert status == naive.positive_basis_status(Z), Z
        spanning += status
    assert 60 < spanning < 240


@given(seeds, st.integers(1, 8))
def test_status_against_linear_programming(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(n + 1, 2 * n + 2))
    Z = np.rint(rng.choice([1.0, 3.0, 100.0]) * rng.standard_normal((k, n)))
    if rng.random() < 0.5:
        Z[-1] = -Z[:-1].sum(axis=0)
    assert cone.positive_basis_status(Z) == naive.positive_basis_status(Z)


@given(whole_numbers(), seeds)
def test_status_ignores_order_lengths_and_units(Z: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, n = Z.shape
    changed = Z[rng.permutation(k)] * 2.0 ** rng.integers(-20, 20, (k, 1)) * 2.0 ** rng.integers(-20, 20, n)
    changed = np.vstack([changed, np.zeros(n)])[:, rng.permutation(n)].copy()
    assert cone.positive_basis_status(changed) == cone.positive_basis_status(Z)


def test_status_of_textbook_sets() -> None:
    for n in (1, 2, 5):
        unit = np.eye(n)
        assert cone.positive_basis_status(np.vstack([unit, -unit])) == 1
        assert cone.positive_basis_status(np.vstack([unit, -np.ones(n)])) == 1
        assert cone.positive_basis_status(unit) == 0
        assert cone.positive_basis_status(np.vstack([unit, unit])) == 0
        assert cone.positive_basis_status(np.zeros((2 * n, n))) == 0
    # rank 2 and a zero positive combination, but not of all rows: the half-plane x >= 0 is left uncovered on one side
    assert cone.positive_basis_status(np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])) == 0
    assert cone.positive_basis_status(np.array([[np.nan, 1.0], [1.0, 0.0], [0.0, 1.0]])) == 0


def test_status_on_a_very_anisotropic_frame() -> None:
    rho = np.array([1.0, 1e3, 1e7])
    Z = np.vstack([np.diag(rho), -rho])
    assert cone.positive_basis_status(Z) == 1
    Z[3, 0] = 0.0
    assert cone.positive_basis_status(Z) == 0
