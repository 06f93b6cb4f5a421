"""Start points: the user's, a design where there are none or where they fail, and restarts far from everything evaluated."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from dfoattack._typing import FloatArray
from dfoattack.kernels import covering, mesh
from dfoattack.state import Setup

RESTART_CANDIDATES = 256


def design(setup: Setup, rng: np.random.Generator, k: int, around: FloatArray | None = None) -> FloatArray:
    """k scrambled Sobol points in the box, on the lattice, (k, n).

    Variables without two finite bounds are drawn from a normal distribution round `around` (n,) with a width of one unit or a
    tenth of |around|, whichever is larger, and clipped to the bound they have.
    """
    n = setup.n
    seed = int(rng.integers(2**63))
    size = 1 << max(0, int(k - 1).bit_length())
    unit = qmc.Sobol(n, seed=seed).random(size)[:k] if n else np.empty((k, 0))
    finite = np.isfinite(setup.lower) & np.isfinite(setup.upper)
    centre = np.zeros(n) if around is None else around
    width = np.maximum(1.0, 0.1 * np.abs(centre))
    X = centre + width * rng.standard_normal((k, n))
    X[:, finite] = setup.lower[finite] + unit[:, finite] * (setup.upper - setup.lower)[finite]
    out = np.empty_like(X)
    mesh.snap(X, setup.lower, setup.upper, setup.granularity, setup.inverse, out)
    return out


def first_design(setup: Setup, rng: np.random.Generator) -> FloatArray:
    """Start design where no start point is given: the middle of the box and about n + 1 Sobol points, a tenth of the budget at most."""
    count = int(min(setup.n + 1, max(1.0, setup.budget / 10.0)))
    finite = np.isfinite(setup.lower) & np.isfinite(setup.upper)
    middle = np.clip(0.0, setup.lower, setup.upper)
    middle[finite] = 0.5 * (setup.lower[finite] + setup.upper[finite])
    first, out = middle[None, :], np.empty((1, setup.n))
    mesh.snap(first, setup.lower, setup.upper, setup.granularity, setup.inverse, out)
    return np.vstack([out, design(setup, rng, count - 1, middle)]) if count > 1 else out


def restart_point(setup: Setup, rng: np.random.Generator, V: FloatArray, scale: FloatArray) -> FloatArray:
    """Of many Sobol points the one farthest from all evaluated points V (N, n), in the metric of `scale`, (1, n)."""
    candidates = design(setup, rng, RESTART_CANDIDATES, V[0] if V.shape[0] else None)
    d2 = np.empty(candidates.shape[0])
    covering.fill_distance(candidates, np.ascontiguousarray(V), scale, d2)
    best = int(np.argmax(d2))
    return candidates[best : best + 1]
