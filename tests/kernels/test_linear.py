"""Kernels of known linear constraints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfoattack.kernels import linear
from tests.kernels import naive

numbers = st.integers(-4, 4).map(float)


@given(
    arrays(float, (4, 3), elements=numbers), arrays(float, (3, 3), elements=numbers), arrays(float, 3, elements=numbers)
)
def test_linear_inside(X: np.ndarray, A: np.ndarray, b: np.ndarray) -> None:
    out = np.zeros(4, dtype=bool)
    for split in range(4):
        linear.linear_inside(X, A[:split], b[:split], A[split:], b[split:], 1e-13, out)
        np.testing.assert_array_equal(out, naive.linear_inside(X, A[:split], b[:split], A[split:], b[split:], 1e-13))


def test_an_inequality_has_no_tolerance_and_an_equality_that_of_round_off() -> None:
    out = np.zeros(1, dtype=bool)
    none, row = np.empty((0, 1)), np.ones((1, 1))
    for x, expected in ((1.0, True), (np.nextafter(1.0, 2.0), False), (np.nextafter(1.0, 0.0), True)):
        linear.linear_inside(np.array([[x]]), row, np.ones(1), none, np.empty(0), 0.1, out)
        assert out[0] == expected
    for x, expected in ((1.0, True), (1.0 + 1e-15, True), (1.0 + 1e-12, False)):
        linear.linear_inside(np.array([[x]]), none, np.empty(0), row, np.ones(1), 1e-14, out)
        assert out[0] == expected
    linear.linear_inside(np.array([[np.nan]]), row, np.ones(1), none, np.empty(0), 0.1, out)
    assert not out[0]


@given(arrays(float, 3, elements=numbers), arrays(float, (4, 3), elements=numbers), arrays(float, 3, elements=numbers))
def test_longest_step(step: np.ndarray, A: np.ndarray, room: np.ndarray) -> None:
    x, b = np.array([0.5, 0.25, -0.5]), A @ np.array([0.5, 0.25, -0.5]) + np.abs(np.append(room, 1.0))
    lower, upper = x - np.abs(room), np.array([np.inf, 1.0, 0.0])
    t = linear.longest_step(x, step, A, b, lower, upper)
    assert t == pytest.approx(naive.longest_step(x, step, A, b, lower, upper), abs=1e-15)
    end = x + t * step
    assert 0.0 <= t <= 1.0 and np.all(A @ end <= b + 1e-12) and np.all((lower - 1e-12 <= end) & (end <= upper + 1e-12))
