"""Quadratic models on an interpolation set that changes point by point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfoattack import codec
from dfoattack.interpolation import Interpolation, interpolate, leaving, rebased, system_inverse, with_point

seeds = st.integers(0, 2**32 - 1)


def functions(X: np.ndarray) -> np.ndarray:
    """Two functions that are no quadratics, (k, n) -> (k, 2); the first with a large constant."""
    return np.column_stack([1e3 + np.exp(0.5 * X).sum(axis=1), np.sin(X).sum(axis=1) + X[:, 0] ** 2])


def started(rng: np.random.Generator, n: int, p: int, radius: float = 1.0) -> tuple[Interpolation, np.ndarray]:
    """A set of p points round a random base, and its points in user units."""
    S = np.vstack([np.zeros(n), np.eye(n), -np.eye(n), rng.uniform(-1.5, 1.5, (max(0, p - 2 * n - 1), n))])[:p]
    base, unit = rng.standard_normal(n), radius * 10.0 ** rng.uniform(-1, 1, n)
    X = base + S * unit
    found = interpolate(np.arange(p), S, functions(X), base, np.diag(unit), np.diag(1.0 / unit))
    assert found is not None
    return found, X


def errors(found: Interpolation, X: np.ndarray) -> float:
    """Largest error at the points of the set relative to the terms of the models; X (k, n) being all points by row."""
    wanted = functions(X[found.rows]) - found.offset
    size = 1.0 + float(np.abs(found.H).max()) * float((found.S**2).sum(axis=1).max())
    return float(np.abs(np.array([found.values(s) for s in found.S]) - wanted).max()) / size


def kkt(S: np.ndarray, values: np.ndarray, H: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The quadratic through the values whose Hessian is nearest to H, from the optimality conditions in all entries at once."""
    p, n = S.shape
    entries = [(i, j) for i in range(n) for j in range(i + 1)]
    weight = np.array([1.0 if i == j else 2.0 for i, j in entries])
    rows = np.array([[s[i] * s[j] * (0.5 if i == j else 1.0) for i, j in entries] for s in S])
    A = np.column_stack([np.ones(p), S, rows])
    quadratic = np.zeros((A.shape[1],) * 2)
    quadratic[n + 1 :, n + 1 :] = np.diag(weight)
    old = np.concatenate([np.zeros(n + 1), [H[i, j] for i, j in entries]])
    whole = np.block([[quadratic, A.T], [A, np.zeros((p, p))]])
    solution = np.linalg.solve(whole, np.concatenate([quadratic @ old, values]))
    new = np.zeros((n, n))
    for (i, j), value in zip(entries, solution[n + 1 :], strict=False):
        new[i, j] = new[j, i] = value
    return float(solution[0]), solution[1 : n + 1], new


@given(st.integers(1, 5), seeds)
@settings(max_examples=30)
def test_values_are_reproduced_after_any_sequence_of_changes(n: int, seed: int) -> None:
    """Appended, replaced, seen anew: all models go through all points of the set."""
    rng = np.random.default_rng(seed)
    found, X = started(rng, n, n + 1)
    most = (n + 1) * (n + 2) // 2
    for turn in range(40):
        x = found.point(rng.uniform(-1.5, 1.5, n))
        s, row = found.place(x), len(X)
        _, sigma, beta = found.weights(s)
        t = found.size if found.size < most and beta > 0.05 else int(np.argmax(np.abs(sigma)))
        if t < found.size and abs(sigma[t]) < 0.3:
            continue
        X = np.vstack([X, x])
        found = with_point(found, row, s, functions(x[None, :])[0], t)
        assert (found.rows == row).sum() == 1 and len(set(found.rows.tolist())) == found.size
        if turn % 11 == 10:
            Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
            factor = rng.uniform(0.7, 1.4, n)
            fresh = rebased(found, found.S[-1], (Q * factor) @ Q.T, (Q / factor) @ Q.T, functions(X[found.rows]))
            assert fresh is not None
            np.testing.assert_allclose(
                np.array([fresh.point(s) for s in fresh.S]), X[fresh.rows], rtol=1e-12, atol=1e-11
            )
            found = fresh
        assert errors(found, X) <= 1e-8 * (1.0 + float(np.abs(found.inverse).max()))
        np.testing.assert_array_equal(found.H, found.H.swapaxes(1, 2))
    np.testing.assert_allclose(found.place(X[found.rows]), found.S, rtol=0, atol=1e-10)


@given(st.integers(1, 6), seeds)
@settings(max_examples=30)
def test_quadratics_are_recovered_from_a_full_set(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = (n + 1) * (n + 2) // 2
    corners = [np.eye(n)[i] + np.eye(n)[j] for i in range(n) for j in range(i)]
    S = np.vstack([np.zeros(n), np.eye(n), -np.eye(n), *corners])[rng.permutation(p)]
    A, b, c = rng.standard_normal((n, n)), rng.standard_normal(n), float(rng.standard_normal())
    A = A + A.T
    values = c + S @ b + 0.5 * np.einsum("ki,ij,kj->k", S, A, S)
    found = interpolate(np.arange(p), S, values[:, None], np.zeros(n), np.eye(n), np.eye(n))
    assert found is not None
    np.testing.assert_allclose(found.H[0], A, atol=1e-9)
    np.testing.assert_allclose(found.g[0], b, atol=1e-9)
    assert found.c[0] + found.offset[0] == pytest.approx(c, abs=1e-9)
    _, _, beta = found.weights(rng.uniform(-1.0, 1.0, n))
    assert abs(beta) < 1e-9, "nothing is left to learn from another point"


@given(st.integers(2, 5), seeds)
@settings(max_examples=30)
def test_least_change(n: int, seed: int) -> None:
    """Both ways to a model, at once and by a change of one value, agree with the optimality conditions."""
    rng = np.random.default_rng(seed)
    p = n + 1 + seed % (n * (n + 1) // 2)
    found, X = started(rng, n, p)
    values = functions(X)
    for k in range(2):
        c, g, H = kkt(found.S, values[:, k] - found.offset[k], np.zeros((n, n)))
        np.testing.assert_allclose(found.H[k], H, atol=1e-7)
        np.testing.assert_allclose(found.g[k], g, atol=1e-7)
        assert found.c[k] == pytest.approx(c, abs=1e-7)
    s = rng.uniform(-1.0, 1.0, n)
    _, sigma, _ = found.weights(s)
    t = int(np.argmax(np.abs(sigma)))
    x = found.point(s)
    after = with_point(found, p, s, functions(x[None, :])[0], t)
    values = functions(np.vstack([X, x])[after.rows])
    for k in range(2):
        c, g, H = kkt(after.S, values[:, k] - after.offset[k], found.H[k])
        np.testing.assert_allclose(after.H[k], H, atol=1e-6)
        np.testing.assert_allclose(after.g[k], g, atol=1e-6)


def test_lagrange_functions_are_one_at_their_point_and_zero_elsewhere() -> None:
    found, _ = started(np.random.default_rng(3), 3, 8)
    for t in range(found.size):
        g, H = found.lagrange(t, np.zeros(3))
        values = found.inverse[found.size, t] + found.S @ g + 0.5 * np.einsum("ki,ij,kj->k", found.S, H, found.S)
        np.testing.assert_allclose(values, np.eye(found.size)[t], atol=1e-9)
        there = found.S[1]
        np.testing.assert_allclose(found.lagrange(t, there)[0], g + H @ there, atol=1e-12)


def test_points_without_a_unique_model_are_refused() -> None:
    flat = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [-1.0, -1.0]])
    assert system_inverse(flat) is None
    assert system_inverse(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])) is None
    assert system_inverse(np.array([[0.0, np.nan], [1.0, 0.0], [0.0, 1.0]])) is None
    assert interpolate(np.arange(4), flat, np.ones((4, 1)), np.zeros(2), np.eye(2), np.eye(2)) is None


def test_changes_do_not_touch_the_set_they_start_from() -> None:
    found, X = started(np.random.default_rng(4), 2, 5)
    before = codec.to_bytes(found)
    s = np.array([0.4, -0.7])
    with_point(found, 9, s, np.ones(2), 1)
    with_point(found, 9, s, np.ones(2), found.size)
    rebased(found, s, 2.0 * np.eye(2), 0.5 * np.eye(2), functions(X))
    assert codec.to_bytes(found) == before
    assert codec.to_bytes(codec.from_bytes(before)) == before


def test_a_large_constant_is_no_loss() -> None:
    """Values near 1e10 with differences of order one: the models see the differences."""
    rng = np.random.default_rng(5)
    S = np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    plain = rng.integers(-8, 9, (7, 1)).astype(float)
    one = interpolate(np.arange(7), S, plain, np.zeros(3), np.eye(3), np.eye(3))
    two = interpolate(np.arange(7), S, plain + 1e10, np.zeros(3), np.eye(3), np.eye(3))
    assert one is not None and two is not None
    assert one.g.tobytes() == two.g.tobytes() and one.H.tobytes() == two.H.tobytes()


def test_which_point_leaves() -> None:
    sigma, distance = np.array([0.5, 2.0, -1.5, 0.1]), np.array([0.0, 1.0, 1.0, 3.0])
    assert leaving(sigma, distance, 10.0, -1) == (1, 2.0)
    assert leaving(sigma, distance, 10.0, 1) == (2, 1.5)
    t, score = leaving(sigma, distance, 1.0, 0)
    assert t == 3 and score == pytest.approx(0.1 * 3.0**6), "far points go first"
