"""Starting points: the problem's own first, then random ones, the same for every solver of a seed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem


def generator(problem: Problem, seed: int, k: int) -> np.random.Generator:
    """Random numbers of restart k; depends on the problem's name, not on the solver."""
    return np.random.default_rng([zlib.crc32(problem.name.encode()), seed, k])


def reach(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """(n_free,) corners of the box random starts come from; an infinite side is ten times the start's size away."""
    box = problem.space
    centre = np.zeros(box.n_free) if problem.x0 is None else box.reduce(problem.x0[0])
    far = 10.0 * np.maximum(1.0, np.abs(centre))
    lower = np.where(np.isfinite(box.free_lower), box.free_lower, centre - far)
    upper = np.where(np.isfinite(box.free_upper), box.free_upper, centre + far)
    return lower, upper


def uniform(problem: Problem, rng: np.random.Generator, count: int) -> FloatArray:
    """(count, n_free) points of the box, see `reach`."""
    lower, upper = reach(problem)
    points = lower + (upper - lower) * rng.random((count, lower.shape[0]))
    return problem.space.snap(np.minimum(points, upper))


def start(problem: Problem, seed: int, k: int) -> FloatArray:
    """(n_free,) start of restart k: the problem's x0 (each of its rows in turn), then uniform points of the box."""
    if problem.x0 is not None and k < problem.x0.shape[0]:
        return problem.space.reduce(problem.x0[k])
    point: FloatArray = uniform(problem, generator(problem, seed, k), 1)[0]
    return point
