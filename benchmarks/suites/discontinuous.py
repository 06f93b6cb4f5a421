"""Discontinuous functions with known minima: where polling alone stops too early, and where models see jumps.

Counterexamples, each with the start from which plain direct search fails (instance 1), and the same elsewhere:

inflection      n = 1: x^3 for x >= -1, its tangent parabola below; C^1, minimum -1.75 at -1.5. From 0.1 with small
                steps a rule of sufficient decrease never crosses 0, which is no minimum
one-sided       n = 1: x^3 for x > 0, x - 1 on [-1, 0], -2 + (x+1)^2 below; f(0) = -1 is less than the limit from the
                right, and the minimum is -2 at -1
cusp-2, cusp-4  n >= 2: -x_1 where 0 < x_1 <= 1 and |(x_2, ...)| < x_1^p, else |x|^2; from 0 descent starts in a cusp
                that is thinner than every cone; minimum -1
ball            |x|^2, and -1 in a ball of radius 1/4 at distance 1/2 from the start

Analytic families with value 0 at a point drawn from the name, random starts:

step-ellipsoid  plateaus of a rotated ellipsoid, with a faint slope
staircase       |z|^2 rounded down to quarters: flat everywhere
stepped-valley  Rosenbrock's valley with steps across it
checkerboard    |z|^2 plus 5 on every second cell
cliff           |z|^2 + |z_1| for z_1 <= 0, that plus 10 beyond: the minimum is on the edge
hidden-wall     the same, without a value (NaN) beyond
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.geometry import Placed, generator, place
from benchmarks.suites.shapes import mild_ellipsoid, sphere, stepped_valley
from dfoattack import Box, Known, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

    Function = Callable[[FloatArray], FloatArray]

NAME = "discontinuous"
INSTANCES = (1, 2, 3)


def inflection(X: FloatArray) -> FloatArray:
    """(k, 1) -> (k,)"""
    x = X[:, 0]
    return np.where(x >= -1.0, x**3, -1.0 + 3.0 * (x + 1.0) + 3.0 * (x + 1.0) ** 2)


def one_sided(X: FloatArray) -> FloatArray:
    """(k, 1) -> (k,)"""
    x = X[:, 0]
    return np.where(x > 0.0, x**3, np.where(x >= -1.0, x - 1.0, -2.0 + (x + 1.0) ** 2))


def _cusp(X: FloatArray, power: float) -> FloatArray:
    first, others = X[:, 0], np.sqrt(np.sum(X[:, 1:] ** 2, axis=1))
    inside = (first > 0.0) & (first <= 1.0) & (others < np.maximum(first, 0.0) ** power)
    return np.where(inside, -first, sphere(X))


def cusp_2(X: FloatArray) -> FloatArray:
    """Parabolic cusp."""
    return _cusp(X, 2.0)


def cusp_4(X: FloatArray) -> FloatArray:
    """Quartic cusp."""
    return _cusp(X, 4.0)


def ball(X: FloatArray) -> FloatArray:
    """The ball's centre is half a unit from 0 along the diagonal."""
    n = X.shape[1]
    return np.where(sphere(X - 0.5 / np.sqrt(n)) < 0.0625, -1.0, sphere(X))


def step_ellipsoid(Z: FloatArray) -> FloatArray:
    """Every |z_i| rounded to halves; 1e-4 |z| tells the plateaus' insides apart."""
    rounded = np.floor(2.0 * np.abs(Z) + 0.5) / 2.0
    return np.asarray(mild_ellipsoid(rounded) + 1e-4 * np.sqrt(sphere(Z)))


def staircase(Z: FloatArray) -> FloatArray:
    """|z|^2 rounded down to quarters."""
    return np.asarray(np.floor(4.0 * sphere(Z)) / 4.0)


def checkerboard(Z: FloatArray) -> FloatArray:
    """Cells of width 1; z = 0 is the corner of a cheap one."""
    return np.asarray(sphere(Z) + 5.0 * (np.sum(np.floor(Z), axis=1) % 2.0))


def cliff(Z: FloatArray) -> FloatArray:
    """z_1 > 0 costs 10 more."""
    return np.asarray(sphere(Z) + np.abs(Z[:, 0]) + np.where(Z[:, 0] > 0.0, 10.0, 0.0))


def hidden_wall(Z: FloatArray) -> FloatArray:
    """z_1 > 0 has no value."""
    return np.asarray(np.where(Z[:, 0] > 0.0, np.nan, sphere(Z) + np.abs(Z[:, 0])))


@dataclass(frozen=True)
class Counterexample:
    """Function, minimum, where it is (in one variable; else along the first axis or the diagonal), start, n."""

    function: Function
    value: float
    optimum: Callable[[int], FloatArray]
    start: float
    sizes: tuple[int, ...]


def _first(value: float) -> Callable[[int], FloatArray]:
    return lambda n: np.where(np.arange(n) == 0, value, 0.0)


COUNTEREXAMPLES = {
    "inflection": Counterexample(inflection, -1.75, _first(-1.5), 0.1, (1,)),
    "one-sided": Counterexample(one_sided, -2.0, _first(-1.0), 0.1, (1,)),
    "cusp-2": Counterexample(cusp_2, -1.0, _first(1.0), 0.0, (2, 3)),
    "cusp-4": Counterexample(cusp_4, -1.0, _first(1.0), 0.0, (2, 3)),
    "ball": Counterexample(ball, -1.0, lambda n: np.full(n, 0.5 / np.sqrt(n)), 0.0, (2, 3, 5)),
}

# name -> (function of z with minimum 0 at z = 0, rotated)
FAMILIES: dict[str, tuple[Function, bool]] = {
    "step-ellipsoid": (step_ellipsoid, True),
    "staircase": (staircase, False),
    "stepped-valley": (stepped_valley, False),
    "checkerboard": (checkerboard, True),
    "cliff": (cliff, True),
    "hidden-wall": (hidden_wall, True),
}
SIZES = (2, 5, 10)


@dataclass(frozen=True, eq=False)
class Moved:
    """X (k, n) -> (k,): the function at x - shift."""

    function: Function
    shift: FloatArray

    def __call__(self, X: FloatArray) -> FloatArray:
        return self.function(X - self.shift)


def build_counterexample(title: str, name: str, n: int, instance: int) -> Problem:
    """Instance 1 is the counterexample as stated; the others are moved as a whole, start and box included."""
    entry = COUNTEREXAMPLES[name]
    shift = np.zeros(n)
    if instance > 1:
        # In multiples of 2^-20 nothing is rounded when it is taken off again: the jumps stay where they are.
        shift = np.rint(generator(NAME, name, n, instance).uniform(-1.0, 1.0, n) * 2.0**20) / 2.0**20
    half_width = 10.0 if n == 1 else 2.0
    return Problem(
        objective=Moved(entry.function, shift),
        space=Box(shift - half_width, shift + half_width),
        x0=_first(entry.start)(n) + shift,
        sense="minimize",
        name=title,
        known=Known(value=entry.value, x=entry.optimum(n) + shift, kind="exact", how="derived"),
        backend="numpy",
    )


def build_family(title: str, family: str, n: int, instance: int) -> Problem:
    """One family in n >= 2 variables, box [-5, 5]^n."""
    function, rotated = FAMILIES[family]
    placement = place(n, 3.0, NAME, family, instance, rotated=rotated)
    return Problem(
        objective=Placed(function, placement),
        space=Box([-5.0] * n, [5.0] * n),
        sense="minimize",
        name=title,
        known=Known(value=0.0, x=placement.optimum.copy(), kind="exact", how="by construction"),
        backend="numpy",
    )


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By dimension: counterexamples, then families."""
    for n in dimensions:
        for name, entry in COUNTEREXAMPLES.items():
            for i in INSTANCES if n in entry.sizes else ():
                yield Instance(NAME, f"{name}-n{n}-i{i}", name, n, build_counterexample, (name, n, i))
        for family in FAMILIES if n in SIZES else ():
            for i in INSTANCES:
                yield Instance(NAME, f"{family}-n{n}-i{i}", family, n, build_family, (family, n, i))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="counterexamples to polling alone, and functions with jumps or without values",
        unit="n",
        multiple=200,
        dimensions=(1, 2, 3, 5, 10),
        make=instances,
    )
}
