"""Dominance and hypervolume: twins, known sets, invariances."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfoattack.kernels import hypervolume as kernels
from tests.kernels import naive

coarse = st.integers(0, 6).map(float)


@st.composite
def vectors(draw: st.DrawFn) -> np.ndarray:
    q = draw(st.integers(2, 4))
    return draw(arrays(float, (draw(st.integers(0, 7)), q), elements=coarse))


def mask(F: np.ndarray) -> np.ndarray:
    out = np.zeros(len(F), dtype=bool)
    assert kernels.nondominated(F, out) == out.sum()
    return out


@given(vectors())
def test_nondominated(F: np.ndarray) -> None:
    assert mask(F).tolist() == naive.nondominated(F).tolist()


@given(vectors(), st.floats(0.5, 6.5))
def test_hypervolume(F: np.ndarray, ref: float) -> None:
    reference = np.full(F.shape[1], ref)
    assert kernels.hypervolume(F, reference) == pytest.approx(naive.hypervolume(F, reference), rel=1e-12, abs=1e-12)


@given(vectors())
def test_only_nondominated_rows_count(F: np.ndarray) -> None:
    reference = np.full(F.shape[1], 7.0)
    kept = np.ascontiguousarray(F[mask(F)])
    assert kernels.hypervolume(kept, reference) == pytest.approx(kernels.hypervolume(F, reference), rel=1e-12)


@given(vectors(), st.randoms(use_true_random=False))
def test_neither_order_of_rows_nor_of_objectives_matters(F: np.ndarray, random: object) -> None:
    reference = np.full(F.shape[1], 5.5)
    volume = kernels.hypervolume(F, reference)
    for columns in itertools.permutations(range(F.shape[1])):
        turned = np.ascontiguousarray(F[::-1][:, columns])
        assert kernels.hypervolume(turned, reference) == pytest.approx(volume, rel=1e-12, abs=1e-12)


@given(arrays(float, (8, 2), elements=coarse), st.integers(0, 8))
def test_staircase(F: np.ndarray, count: int) -> None:
    sx, sy, size = np.zeros(9), np.zeros(9), 0
    for x, y in F[:count]:
        expected = naive.add_to_stairs(x, y, size, sx, sy)
        size = kernels.add_to_stairs(x, y, size, sx, sy)
        assert list(zip(sx[:size].tolist(), sy[:size].tolist(), strict=True)) == expected
    area = kernels.stairs_area(8.0, 7.0, size, sx, sy)
    assert area == pytest.approx(naive.stairs_area(8.0, 7.0, size, sx, sy))


@given(arrays(float, (6, 3), elements=coarse))
def test_sorted_rows_and_sweep(F: np.ndarray) -> None:
    order = np.zeros(6, dtype=np.int64)
    for row in range(6):
        expected = naive.insert_sorted(F, 2, row, row, order)
        kernels.insert_sorted(F, 2, row, row, order)
        assert order[: row + 1].tolist() == expected
    ref, sx, sy = np.array([7.0, 6.5, 8.0]), np.zeros(6), np.zeros(6)
    assert kernels.sweep(F, order, 6, ref, sx, sy) == pytest.approx(naive.sweep(F, order, 6, ref, sx, sy))


def test_known_sets() -> None:
    assert kernels.hypervolume(np.array([[0.0, 0.0]]), np.ones(2)) == 1.0
    assert kernels.hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]), np.ones(2)) == 0.75
    assert kernels.hypervolume(np.array([[0.0, 0.0, 0.5], [0.5, 0.5, 0.0]]), np.ones(3)) == 0.625
    assert kernels.hypervolume(np.array([[0.5] * 4, [0.0, 0.5, 0.5, 0.5]]), np.ones(4)) == 0.125
    assert kernels.hypervolume(np.empty((0, 3)), np.ones(3)) == 0.0
    assert kernels.hypervolume(np.array([[math.inf, 0.0]]), np.ones(2)) == 0.0
    assert kernels.hypervolume(np.zeros((1, 5)), np.ones(5)) == -1.0
    t = np.linspace(0.0, 1.0, 20001)  # a straight front below (1, 1): half of the square
    line = np.column_stack([t, 1.0 - t])
    assert kernels.hypervolume(line, np.ones(2)) == pytest.approx(0.5, abs=1e-4)


def test_eighth_of_a_sphere() -> None:
    """DTLZ2's front with three objectives: the cube less an eighth of the unit ball."""
    a, b = np.meshgrid(np.linspace(0, math.pi / 2, 60), np.linspace(0, math.pi / 2, 60))
    F = np.column_stack([(np.cos(a) * np.cos(b)).ravel(), (np.cos(a) * np.sin(b)).ravel(), np.sin(a).ravel()])
    assert kernels.hypervolume(F, np.ones(3)) == pytest.approx(1.0 - math.pi / 6.0, rel=0.06)
