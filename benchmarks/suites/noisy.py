"""Smooth functions under Gaussian noise: (1 + f(z)) (1 + sigma xi), xi ~ N(0, 1), box [-5, 5]^n.

Without noise the minimum is 1, so the noise does not vanish there. Score with the value without noise, which is
`problem.verify(x)`; `problem.known` states its minimum. The k-th evaluation of a point always draws the same number,
whatever else was evaluated before: runs can be repeated and resumed, and a solver that evaluates a point again sees
fresh noise.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.geometry import Placed, place
from benchmarks.suites.shapes import mild_ellipsoid, rosenbrock, sphere
from dfoattack import Box, Known, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

NAME = "noisy"
INSTANCES = (1, 2, 3)
SIZES = (2, 5, 10)

# name -> (function of z with minimum 0 at z = 0, the optimum lies in [-reach, reach]^n, rotated)
FAMILIES: dict[str, tuple[Callable[[FloatArray], FloatArray], float, bool]] = {
    "sphere": (sphere, 4.0, False),
    "ellipsoid": (mild_ellipsoid, 4.0, True),
    "rosenbrock": (rosenbrock, 2.0, False),
}
LEVELS = {"low": 1e-4, "high": 1e-2}


class Noise:
    """X (k, n) -> (k,): `exact` times 1 + sigma xi.

    Parameters
    ----------
    exact : callable, X (k, n) -> (k,)
    sigma : float >= 0
    key : str           another key, other noise
    """

    def __init__(self, exact: Callable[[FloatArray], FloatArray], sigma: float, key: str) -> None:
        self.exact = exact
        self.sigma = float(sigma)
        self.key = key
        self.seen: dict[bytes, int] = {}

    def __call__(self, X: FloatArray) -> FloatArray:
        return self.exact(X) * (1.0 + self.sigma * np.array([self._draw(x) for x in np.ascontiguousarray(X)]))

    def _draw(self, x: FloatArray) -> float:
        point = (x + 0.0).tobytes()  # -0.0 and 0.0 are the same point
        count = self.seen.get(point, 0)
        self.seen[point] = count + 1
        digest = hashlib.blake2b(point, digest_size=16, salt=count.to_bytes(16, "little"), key=self.key.encode()[:64])
        a, b = (int.from_bytes(part, "little") for part in (digest.digest()[:8], digest.digest()[8:]))
        # Box and Muller; 1 - u lies in (0, 1].
        return math.sqrt(-2.0 * math.log(1.0 - (a >> 11) * 2.0**-53)) * math.cos(2.0 * math.pi * (b >> 11) * 2.0**-53)


class Raised:
    """X (k, n) -> (k,): 1 + f; called with one point (n,) it returns a float."""

    def __init__(self, function: Callable[[FloatArray], FloatArray]) -> None:
        self.function = function

    def __call__(self, X: FloatArray) -> FloatArray:
        return 1.0 + self.function(X)

    def at(self, x: FloatArray) -> float:
        """(n,) -> the value without noise."""
        return float(self(np.atleast_2d(x))[0])


def build(title: str, family: str, level: str, n: int, instance: int) -> Problem:
    """One family at one level of noise."""
    function, reach, rotated = FAMILIES[family]
    placement = place(n, reach, NAME, family, instance, rotated=rotated)
    exact = Raised(Placed(function, placement))
    return Problem(
        objective=Noise(exact, LEVELS[level], title),
        space=Box([-5.0] * n, [5.0] * n),
        sense="minimize",
        name=title,
        known=Known(value=1.0, x=placement.optimum.copy(), kind="exact", how="by construction, without noise"),
        verify=exact.at,
        backend="numpy",
    )


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By dimension, family, level, instance."""
    for n in dimensions:
        for family in FAMILIES if n in SIZES else ():
            for level in LEVELS:
                for i in INSTANCES:
                    group = f"{family}-{level}"
                    yield Instance(NAME, f"{group}-n{n}-i{i}", group, n, build, (family, level, n, i))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="3 smooth functions under relative Gaussian noise 1e-4 and 1e-2",
        unit="n",
        multiple=200,
        dimensions=SIZES,
        make=instances,
    )
}
