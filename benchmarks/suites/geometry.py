"""Shifts and rotations drawn from a problem's name: where an optimum lies no grid and no axis points to it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.rows import weighted

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

REFLECTIONS = 3


def generator(*key: object) -> np.random.Generator:
    """Random numbers that depend on the printed key alone."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, key)).encode()))


@dataclass(frozen=True, eq=False)
class Placement:
    """z = Q (x - optimum), Q a product of Householder reflections: O(n) a point instead of O(n^2).

    optimum : float64 (n,);  axes : float64 (r, n), unit rows; r = 0: no rotation
    """

    optimum: FloatArray
    axes: FloatArray

    def __call__(self, X: FloatArray) -> FloatArray:
        """(k, n) -> (k, n)"""
        Z = X - self.optimum
        for axis in self.axes:
            Z -= np.outer(2.0 * weighted(Z, axis), axis)
        return Z


def place(n: int, reach: float, *key: object, rotated: bool = True) -> Placement:
    """An optimum uniform in [-reach, reach]^n, and a rotation unless `rotated` is false, both from the key."""
    rng = generator(*key, n)
    optimum = rng.uniform(-reach, reach, n)
    axes = rng.standard_normal((REFLECTIONS if rotated and n > 1 else 0, n))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return Placement(optimum, axes)


@dataclass(frozen=True, eq=False)
class Placed:
    """X (k, n) -> (k,): a function of z (k, n), shifted and rotated."""

    function: Callable[[FloatArray], FloatArray]
    placement: Placement

    def __call__(self, X: FloatArray) -> FloatArray:
        return self.function(self.placement(X))
