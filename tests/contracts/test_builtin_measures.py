"""The contract of measures over the built-in ones."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack._typing import FloatArray
from dfoattack.testing.trust import MeasureContract
from dfoattack.trust.knn import NearestNeighbours
from dfoattack.trust.mahalanobis import Mahalanobis, Moments
from dfoattack.trust.support import Measure


def inputs() -> FloatArray:
    return np.random.default_rng(0).normal(size=(80, 3)) * np.array([1.0, 20.0, 0.2])


class Builtin(MeasureContract):
    @pytest.fixture
    def points(self) -> FloatArray:
        return np.random.default_rng(1).normal(size=(6, 3)) * np.array([2.0, 40.0, 0.4])


class TestNearestNeighbours(Builtin):
    @pytest.fixture
    def measure(self) -> Measure:
        return NearestNeighbours(inputs(), 3)


class TestPeriodicNeighbours(Builtin):
    @pytest.fixture
    def measure(self) -> Measure:
        space = da.Box([-10.0, -90.0, -9.0], [10.0, 90.0, 9.0], periodic=[1])
        return NearestNeighbours(inputs(), 5, space)


class TestMahalanobis(Builtin):
    @pytest.fixture
    def measure(self) -> Measure:
        return Mahalanobis(inputs())


class TestMoments(Builtin):
    @pytest.fixture
    def measure(self) -> Measure:
        A = np.array([[1.0, 0.1, 0.0], [0.0, 0.05, 2.0]])
        return Moments(np.zeros(2), np.eye(2), features=lambda X: X @ A.T, pullback=lambda X, G: G @ A)
