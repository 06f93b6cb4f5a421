"""Lattices of granular variables: multiples of g anchored at 0, and what counts as the user's own round-off.

The values are those of the kernel `snap`: k / inverse where 1/g is the whole number `inverse`, k * g otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray

__all__ = ["few_ulp", "lattice_value", "nearest_lattice", "next_lattice", "whole_inverse"]

_ULPS = 4.0  # how far outside the box or off the lattice counts as the user's own round-off
_LATTICE_LIMIT = 2.0**52  # beyond it neighbouring lattice indices are no longer distinct floats


def few_ulp(X: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return the excess that counts as round-off: 4 ulp of the largest finite magnitude among x, l and u,
    elementwise."""
    size = np.abs(X)
    for bound in (lower, upper):
        size = np.maximum(size, np.where(np.isfinite(bound), np.abs(bound), 0.0))
    return _ULPS * np.spacing(size)


def whole_inverse(g: FloatArray) -> FloatArray:
    """Return 1/g where that is a whole number up to round-off, else 0: k/10 is the correctly rounded multiple of 0.1,
    k*0.1 is not."""
    inverse = np.zeros_like(g)
    granular = g > 0
    reciprocal = 1.0 / g[granular]
    whole = np.rint(reciprocal)
    inverse[granular] = np.where(np.abs(reciprocal - whole) < 1e-9 * reciprocal, whole, 0.0)
    return inverse


def lattice_value(k: float, g: float, inverse: float) -> float:
    return float(k / inverse if inverse > 0 else k * g) + 0.0


def nearest_lattice(v: float, g: float, inverse: float) -> float:
    return lattice_value(float(np.rint(v * inverse if inverse > 0 else v / g)), g, inverse)


def next_lattice(bound: float, g: float, inverse: float, side: int) -> float:
    """Return the lattice value nearest to a finite bound on its inner side (side = +1: upwards from a lower bound, -1:
    downwards)."""
    k = float(np.rint(bound * inverse if inverse > 0 else bound / g))
    if abs(k) >= _LATTICE_LIMIT:
        return bound
    value = lattice_value(k, g, inverse)
    if g != math.floor(g) and abs(value - bound) <= _ULPS * np.spacing(abs(bound)):
        return bound  # the user's own round-off; snapping clips to it, so no point is ever outside by an ulp
    if (value - bound) * side < 0:
        value = lattice_value(k + side, g, inverse)
    return value
