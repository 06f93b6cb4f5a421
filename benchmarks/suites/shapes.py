"""Functions of z, batched (k, n) -> (k,), with minimum 0 at z = 0; suites shift and rotate them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.rows import weighted

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray


def _powers(Z: FloatArray, condition: float) -> FloatArray:
    """(n,) from 1 to `condition`, evenly on the logarithmic scale."""
    n = Z.shape[1]
    return np.asarray(condition ** (np.arange(n) / max(1, n - 1)))


def sphere(Z: FloatArray) -> FloatArray:
    """|z|^2"""
    return np.asarray(np.sum(Z * Z, axis=1))


def ellipsoid(Z: FloatArray) -> FloatArray:
    """Axis-parallel quadratic of condition 1e6."""
    return weighted(Z * Z, _powers(Z, 1e6))


def mild_ellipsoid(Z: FloatArray) -> FloatArray:
    """Axis-parallel quadratic of condition 1e3."""
    return weighted(Z * Z, _powers(Z, 1e3))


def rosenbrock(Z: FloatArray) -> FloatArray:
    """Chained valley in v = z + 1: sum_i 100 (v_(i+1) - v_i^2)^2 + (1 - v_i)^2."""
    V = Z + 1.0
    return np.asarray(np.sum(100.0 * (V[:, 1:] - V[:, :-1] ** 2) ** 2 + Z[:, :-1] ** 2, axis=1))


def rastrigin(Z: FloatArray) -> FloatArray:
    """Grid of local minima. The wave is not 1-periodic: with period 1 every integer would be a minimum of it."""
    return np.asarray(np.sum(Z * Z + 10.0 * (1.0 - np.cos(2.0 * np.pi * Z / 1.7)), axis=1))


def ackley(Z: FloatArray) -> FloatArray:
    """Funnel with ripples."""
    funnel = 20.0 - 20.0 * np.exp(-0.2 * np.sqrt(np.mean(Z * Z, axis=1)))
    ripples = np.e - np.exp(np.mean(np.cos(2.0 * np.pi * Z / 1.7), axis=1))
    return np.asarray(np.maximum(funnel + ripples, 0.0))


def sum_of_absolutes(Z: FloatArray) -> FloatArray:
    """|z|_1"""
    return np.asarray(np.sum(np.abs(Z), axis=1))


def largest(Z: FloatArray) -> FloatArray:
    """|z|_inf"""
    return np.asarray(np.max(np.abs(Z), axis=1))


def stepped_valley(Z: FloatArray) -> FloatArray:
    """`rosenbrock` with a jump of 1 at every quarter of every variable."""
    return np.asarray(rosenbrock(Z) + np.sum(np.floor(4.0 * np.abs(Z)), axis=1))
