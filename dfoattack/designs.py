"""Designs of points that fill the box: scrambled Sobol points and Latin hypercubes.

After Owen (1998), "Scrambling Sobol' and Niederreiter-Xing points", and McKay, Beckman & Conover (1979), "A comparison of three methods
for selecting values of input variables in the analysis of output from a computer code".
"""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from dfoattack._typing import FloatArray
from dfoattack.state import Setup

__all__ = ["latin_hypercube", "sobol"]


def sobol(
    setup: Setup, rng: np.random.Generator, k: int, around: FloatArray | None = None, reach: float = 0.0
) -> FloatArray:
    """k scrambled Sobol points in the box, on the lattice, every level of a categorical variable equally often, (k, n).

    Parameters
    ----------
    k : int >= 0                   the first k of a block whose length is a power of two
    around : float64 (n,)          centre for variables without two finite bounds (default: zero); they are drawn from a normal
                                   distribution with a deviation of one unit or a tenth of |around|, whichever is larger, and clipped
                                   to the bound they have
    reach : float >= 0             if positive, these variables are spread evenly over that many deviations on each side instead

    Notes
    -----
    Draws one integer and k * n normals. On a lattice points may coincide.
    """
    seed = int(rng.integers(2**63))
    size = 1 << max(0, int(k - 1).bit_length())
    unit = qmc.Sobol(setup.n, seed=seed).random(size)[:k] if setup.n else np.empty((k, 0))
    return _placed(setup, rng, unit, around, reach)


def latin_hypercube(
    setup: Setup, rng: np.random.Generator, k: int, around: FloatArray | None = None, reach: float = 0.0
) -> FloatArray:
    """k points in the box, on the lattice, one in each of k equal slices of every bounded variable (also of its levels), (k, n).

    Parameters
    ----------
    k : int >= 0
    around, reach                  as for `sobol`

    Notes
    -----
    Draws k * n uniform numbers, n permutations and k * n normals. On a lattice points may coincide.
    """
    n = setup.n
    unit = rng.random((k, n))
    for i in range(n):
        unit[:, i] = (rng.permutation(k) + unit[:, i]) / k
    return _placed(setup, rng, unit, around, reach)


def _placed(
    setup: Setup, rng: np.random.Generator, unit: FloatArray, around: FloatArray | None, reach: float
) -> FloatArray:
    """Points of the unit cube (k, n) spread over the box and rounded to the lattice."""
    finite = np.isfinite(setup.lower) & np.isfinite(setup.upper)
    centre = np.zeros(setup.n) if around is None else around
    width = np.maximum(1.0, 0.1 * np.abs(centre))
    normal = rng.standard_normal(unit.shape)
    X = centre + width * (reach * (2.0 * unit - 1.0) if reach else normal)
    X[:, finite] = setup.lower[finite] + unit[:, finite] * (setup.upper - setup.lower)[finite]
    levels = setup.geometry.categorical
    X[:, levels] = np.floor(unit[:, levels] * (setup.upper + 1.0)[levels])
    return setup.geometry.snapped(X)
