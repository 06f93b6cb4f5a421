"""The inverse of the interpolation system, point by point, against twins and against inverting the whole system anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.kernels import interpolation
from tests.kernels import naive

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)


def points(n: int, p: int, seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """A generator, p points (p, n) that begin with a simplex, and the inverse of their system."""
    rng = np.random.default_rng(seed)
    S = np.vstack([np.zeros(n), np.eye(n), -np.eye(n), rng.uniform(-1.5, 1.5, (max(0, p - 2 * n - 1), n))])[:p]
    S = S + 0.1 * rng.standard_normal(S.shape)
    return rng, S, np.linalg.inv(naive.system(S))


def count(n: int, seed: int) -> int:
    """Points of a set: from n + 1 to one less than a full quadratic has, where appending one is still possible."""
    return n + 1 + seed % max(1, (n + 1) * (n + 2) // 2 - n - 1)


def weights(S: np.ndarray, inverse: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    q, p = len(inverse), len(S)
    w, Hw, sigma = np.empty(q), np.empty(q), np.empty(p)
    interpolation.system_row(S, s, w)
    beta = interpolation.replacement_weights(inverse, w, float(s @ s), p, Hw, sigma)
    return w, Hw, sigma, beta


def close(found: np.ndarray, wanted: np.ndarray, condition: float = 1.0) -> None:
    size = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * size * condition)


@given(sizes, seeds)
def test_the_row_of_a_point(n: int, seed: int) -> None:
    rng, S, _ = points(n, count(n, seed), seed)
    s, w = rng.standard_normal(n), np.empty(len(S) + 1 + n)
    interpolation.system_row(S, s, w)
    close(w, naive.system_row(S, s))
    for i, point in enumerate(S):  # the row of a point of the set is a row of W
        interpolation.system_row(S, point, w)
        close(w[: len(S)], naive.system(S)[i, : len(S)])


@given(sizes, seeds)
def test_weights_of_a_new_point(n: int, seed: int) -> None:
    rng, S, inverse = points(n, count(n, seed), seed)
    s = rng.uniform(-1.5, 1.5, n)
    w, Hw, sigma, beta = weights(S, inverse, s)
    wanted = naive.replacement_weights(inverse, w, float(s @ s), len(S))
    size = max(1.0, float(np.abs(inverse).max()))
    close(Hw, wanted[0], size)
    close(sigma, wanted[1], size**2)
    assert abs(beta - wanted[2]) <= 1e-10 * size
    assert abs(Hw[: len(S)].sum() - 1.0) <= 1e-8 * size, "Lagrange functions sum to one"


@given(sizes, seeds)
def test_denominators_are_quotients_of_determinants(n: int, seed: int) -> None:
    rng, S, inverse = points(n, count(n, seed), seed)
    s = rng.uniform(-1.5, 1.5, n)
    _, _, sigma, beta = weights(S, inverse, s)
    before = np.linalg.det(naive.system(S))
    size = max(1.0, float(np.abs(inverse).max()))
    for t in range(len(S)):
        other = S.copy()
        other[t] = s
        assert abs(np.linalg.det(naive.system(other)) / before - sigma[t]) <= 1e-7 * size**2
    more = np.linalg.det(naive.system(np.vstack([S, s]))) / before
    assert abs(more - beta) <= 1e-7 * size**2, "the Schur complement of one more point"


@given(sizes, seeds)
def test_a_point_of_the_set_has_unit_weights(n: int, seed: int) -> None:
    _, S, inverse = points(n, count(n, seed), seed)
    size = max(1.0, float(np.abs(inverse).max()))
    for t, s in enumerate(S):
        _, Hw, _, beta = weights(S, inverse, s)
        close(Hw, np.eye(len(inverse))[t], size)
        assert abs(beta) <= 1e-8 * size


@given(sizes, seeds)
def test_replacing_a_point(n: int, seed: int) -> None:
    rng, S, inverse = points(n, count(n, seed), seed)
    s = rng.uniform(-1.5, 1.5, n)
    _, Hw, sigma, beta = weights(S, inverse, s)
    t = int(np.argmax(np.abs(sigma)))
    wanted = naive.replace_inverse(inverse, Hw, beta, t)
    moved, updated = S.copy(), inverse.copy()
    moved[t] = s
    interpolation.replace_inverse(updated, Hw.copy(), beta, t)
    whole = np.linalg.inv(naive.system(moved))
    size = max(1.0, float(np.abs(inverse).max()), float(np.abs(whole).max()))
    close(updated, wanted, size**2)
    close(updated, whole, size**2)
    np.testing.assert_array_equal(updated, updated.T)


@given(st.integers(2, 6), seeds)
def test_appending_a_point(n: int, seed: int) -> None:
    rng, S, inverse = points(n, count(n, seed), seed)
    s = rng.uniform(-1.5, 1.5, n)
    _, Hw, _, beta = weights(S, inverse, s)
    updated = np.empty((len(inverse) + 1,) * 2)
    interpolation.append_inverse(inverse, Hw, beta, len(S), updated)
    whole = np.linalg.inv(naive.system(np.vstack([S, s])))
    size = max(1.0, float(np.abs(inverse).max()), float(np.abs(whole).max()))
    close(updated, naive.append_inverse(inverse, Hw, beta, len(S)), size**2)
    close(updated, whole, size**2)
    np.testing.assert_array_equal(updated, updated.T)


@given(st.integers(2, 5), seeds)
def test_long_sequences_stay_inverses(n: int, seed: int) -> None:
    """Well chosen replacements, as the search makes them: round-off does not pile up."""
    rng, S, inverse = points(n, 2 * n + 1, seed)
    for _ in range(60):
        s = rng.uniform(-1.0, 1.0, n)
        _, Hw, sigma, beta = weights(S, inverse, s)
        t = int(np.argmax(np.abs(sigma)))
        if abs(sigma[t]) < 0.5:
            continue
        interpolation.replace_inverse(inverse, Hw, beta, t)
        S[t] = s
    wrong = inverse @ naive.system(S) - np.eye(len(inverse))
    assert np.abs(wrong).max() <= 1e-9 * max(1.0, float(np.abs(inverse).max())) ** 2


@given(sizes, st.integers(1, 4), seeds)
def test_values_of_models(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    c, g, H = rng.standard_normal(m), rng.standard_normal((m, n)), rng.standard_normal((m, n, n))
    H = H + H.swapaxes(1, 2)
    s, out = rng.standard_normal(n), np.empty(m)
    interpolation.model_values(c, g, H, s, out)
    close(out, naive.model_values(c, g, H, s), 10.0 * n)


@given(sizes, st.integers(1, 4), seeds)
def test_updated_models_take_the_value_and_keep_the_others(n: int, m: int, seed: int) -> None:
    rng, S, inverse = points(n, count(n, seed), seed)
    c, g, H = rng.standard_normal(m), rng.standard_normal((m, n)), rng.standard_normal((m, n, n))
    H = H + H.swapaxes(1, 2)
    residual, t = rng.standard_normal(m), seed % len(S)
    column = np.ascontiguousarray(inverse[:, t])
    wanted = naive.update_models(column, residual, S, c, g, H)
    size = max(1.0, float(np.abs(inverse).max()))
    before = np.array([naive.model_values(c, g, H, s) for s in S])
    interpolation.update_models(column, residual, S, c, g, H)
    for part, twin in zip((c, g, H), wanted, strict=True):
        close(part, twin, size)
    after = np.array([naive.model_values(c, g, H, s) for s in S])
    before[t] += residual
    close(after, before, 10.0 * size)
    np.testing.assert_array_equal(H, H.swapaxes(1, 2))
