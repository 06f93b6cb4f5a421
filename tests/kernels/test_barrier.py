"""Barrier kernels: twins, tiny and huge violations, infinities and NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfoattack.kernels import barrier
from tests.kernels import naive

any_float = st.floats(allow_nan=True, allow_infinity=True)
levels = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5e-324, math.inf])
values = st.sampled_from([-1.0, 0.0, 1.0, 2.0, math.inf])


def measure(
    C: np.ndarray, tol: np.ndarray, scale: np.ndarray, extreme: np.ndarray, equality: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    out = tuple(np.full(len(C), 7.0) for _ in range(3))
    barrier.violations(C, tol, scale, extreme, np.zeros_like(extreme) if equality is None else equality, *out)
    return out


@st.composite
def constraint_values(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    p = draw(st.integers(0, 5))
    return (
        draw(arrays(float, (4, p), elements=any_float)),
        draw(arrays(float, p, elements=st.floats(0, 10))),
        draw(arrays(float, p, elements=st.floats(1, 1e6))),
        draw(arrays(bool, p)),
        draw(arrays(bool, p)),
    )


@given(constraint_values())
def test_violations(case: tuple[np.ndarray, ...]) -> None:
    h, heb, most = measure(*case)
    twin = naive.violations(*case)
    # atol: every underflowed square counts as 5e-324, also where the exact sum of several is less
    np.testing.assert_allclose(h, twin[0], rtol=1e-14, atol=1e-322)
    np.testing.assert_allclose(heb, twin[1], rtol=1e-14, atol=1e-322)
    np.testing.assert_array_equal(most, twin[2])
    np.testing.assert_array_equal((h > 0) | (heb > 0), most > 0, err_msg="h > 0 iff something is violated")
    finite = np.isfinite(case[0]).all(axis=1)
    assert np.isfinite(h[finite]).all() and np.isfinite(heb[finite]).all()
    assert np.isposinf([h[~finite], heb[~finite], most[~finite]]).all(), "NaN and infinities are failed points"


def test_violations_keep_what_squares_lose() -> None:
    one, none = np.ones(1), np.zeros(1)
    for tiny in (5e-324, 1e-200, 1e-170):
        h, heb, most = measure(np.array([[tiny]]), none, one, np.array([False]))
        assert (h[0], heb[0], most[0]) == (5e-324, 0.0, tiny)
        assert measure(np.array([[tiny]]), none, one, np.array([True]))[1][0] == 5e-324
    h, _, most = measure(np.array([[1e200, 1e200]]), np.zeros(2), np.ones(2), np.zeros(2, dtype=bool))
    assert h[0] == np.finfo(float).max and most[0] == 1e200
    assert measure(np.array([[1e-7]]), none, one, np.array([False]))[0][0] > 0, "1e-14 is a violation"


def test_an_equality_is_violated_on_both_sides() -> None:
    C = np.array([[2.0], [-2.0], [0.5], [-0.5], [-0.75]])
    case = np.array([0.5]), np.array([2.0]), np.array([False])
    h, _, most = measure(C, *case, np.array([True]))
    np.testing.assert_array_equal(most, [1.5, 1.5, 0.0, 0.0, 0.25])
    np.testing.assert_array_equal(h, [0.5625, 0.5625, 0.0, 0.0, 0.015625])
    assert measure(C, *case)[2][1] == -2.5


def test_violations_of_a_satisfied_point() -> None:
    C = np.array([[-1.0, 0.5], [-np.inf, 0.0], [0.0, 0.5]])
    h, heb, most = measure(C, np.array([0.0, 0.5]), np.ones(2), np.array([False, True]))
    np.testing.assert_array_equal(h, [0.0, np.inf, 0.0])
    np.testing.assert_array_equal(heb, [0.0, np.inf, 0.0])
    np.testing.assert_array_equal(most, [0.0, np.inf, 0.0])
    np.testing.assert_array_equal(
        measure(np.empty((2, 0)), np.empty(0), np.empty(0), np.empty(0, dtype=bool))[2], -np.inf
    )


@given(arrays(float, (3, 4), elements=st.floats(-5, 5)), st.permutations(range(4)))
def test_violations_do_not_depend_on_the_order(C: np.ndarray, order: list[int]) -> None:
    tol, scale, extreme = np.array([0, 0.5, 1, 0]), np.array([1.0, 2, 4, 8]), np.array([True, False, True, False])
    first = measure(C, tol, scale, extreme)
    second = measure(C[:, order].copy(), tol[order], scale[order], extreme[order])
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-15)


@given(st.floats(0, allow_infinity=False), st.floats(0, exclude_min=True, allow_infinity=False))
def test_add_square(h: float, violation: float) -> None:
    total = barrier.add_square(h, violation)
    assert total == pytest.approx(naive.add_square(h, violation), rel=1e-15, abs=1e-323)
    assert 0 < total < math.inf
    assert total >= h


@given(any_float, any_float, any_float, any_float, any_float, any_float)
def test_classify_takes_anything(f: float, h: float, f_feas: float, f_inf: float, h_inf: float, h_max: float) -> None:
    assert barrier.classify(f, h, f_feas, f_inf, h_inf, h_max) in (0, 1, 2)
    if not (math.isfinite(f) and math.isfinite(h)):
        assert barrier.classify(f, h, f_feas, f_inf, h_inf, h_max) == 0


@given(values, levels, values, values, levels, levels)
def test_classify(f: float, h: float, f_feas: float, f_inf: float, h_inf: float, h_max: float) -> None:
    if h_inf == 0.0 or math.isinf(h_inf) or math.isinf(f_inf):
        f_inf = h_inf = math.inf
    assert barrier.classify(f, h, f_feas, f_inf, h_inf, h_max) == naive.classify(f, h, f_feas, f_inf, h_inf, h_max)


@pytest.mark.parametrize(
    ("point", "incumbents", "success"),
    [
        ((1.0, 0.0), (math.inf, math.inf, math.inf, math.inf), 2),  # first feasible point
        ((1.0, 0.0), (1.0, math.inf, math.inf, math.inf), 0),  # equal is not better
        ((1.0 - 1e-16, 0.0), (1.0, math.inf, math.inf, math.inf), 2),  # the least decrease counts
        ((1.0, 2.0), (0.0, math.inf, math.inf, math.inf), 1),  # first infeasible point
        ((1.0, 2.0), (0.0, math.inf, math.inf, 1.0), 0),  # above h_max
        ((1.0, 1.0), (0.0, 1.0, 2.0, 2.0), 2),  # equal f, smaller h dominates
        ((0.5, 2.0), (0.0, 1.0, 2.0, 2.0), 2),  # smaller f, equal h dominates
        ((1.0, 2.0), (0.0, 1.0, 2.0, 2.0), 0),  # the incumbent again
        ((3.0, 1.0), (0.0, 1.0, 2.0, 2.0), 1),  # smaller h, worse f
        ((0.5, 3.0), (0.0, 1.0, 2.0, 9.0), 0),  # better f, larger h
        ((math.inf, 0.0), (math.inf, math.inf, math.inf, math.inf), 0),  # failed, although nothing better is known
        ((-math.inf, 0.0), (1.0, math.inf, math.inf, math.inf), 0),  # minus infinity is refused
        ((math.nan, 0.0), (1.0, math.inf, math.inf, math.inf), 0),
    ],
)
def test_success_types(point: tuple[float, float], incumbents: tuple[float, ...], success: int) -> None:
    assert barrier.classify(*point, *incumbents) == success


@given(
    arrays(float, 8, elements=values), arrays(float, 8, elements=levels), st.integers(0, 8), st.integers(0, 8), levels
)
def test_incumbent_and_threshold(F: np.ndarray, H: np.ndarray, start: int, stop: int, h_max: float) -> None:
    index = barrier.infeasible_incumbent(F, H, start, stop, h_max)
    assert index == naive.infeasible_incumbent(F, H, start, stop, h_max)
    smaller = barrier.shrink_h_max(H, F, start, stop, h_max)
    assert smaller == naive.shrink_h_max(H, F, start, stop, h_max)
    assert smaller <= h_max
    if index >= 0:
        assert 0 < H[index] <= h_max
        assert barrier.infeasible_incumbent(F, H, start, stop, H[index]) >= 0, (
            "the incumbent survives its own threshold"
        )


def test_threshold_falls_below_the_old_one() -> None:
    H, F = np.array([3.0, 0.0, 1.0, 2.0, 2.5]), np.array([1.0, 1.0, 1.0, 1.0, np.inf])
    assert barrier.shrink_h_max(H, F, 0, 5, 3.0) == 2.0
    assert barrier.shrink_h_max(H, F, 0, 5, 2.0) == 1.0
    assert barrier.shrink_h_max(H, F, 0, 5, 1.0) == 1.0
    assert barrier.shrink_h_max(H, F, 0, 2, np.inf) == 3.0


def test_incumbent_of_nothing() -> None:
    nan = np.full(3, np.nan)
    assert barrier.infeasible_incumbent(nan, np.ones(3), 0, 3, math.inf) == -1
    assert barrier.infeasible_incumbent(np.ones(3), nan, 0, 3, math.inf) == -1
    assert barrier.shrink_h_max(nan, np.ones(3), 0, 3, 5.0) == 5.0
