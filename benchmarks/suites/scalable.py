"""Functions for any n, meant for 50 to 500 variables; box [-5, 5]^n, optimal value 0 at a point drawn from the name.

ellipsoid       sum_i 10^(6 (i-1)/(n-1)) z_i^2, rotated
rosenbrock      sum_i 100 (z_(i+1) - z_i^2)^2 + (1 - z_i)^2, shifted; random starts, so the second local minimum that
                the classical start leads to is met only by chance
l1              sum_i |x_i - x*_i|
max-linear      max_i |z_i|, rotated
sum-linear      sum_i |z_i|, rotated: l1 whose edges are no coordinate directions
steps           rosenbrock + sum_i floor(4 |z_i - 1|): a curved valley with steps across it, discontinuous

z = Q(x - x*), plus 1 in every component for the two valleys; Q is a product of three random reflections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.geometry import Placed, place
from benchmarks.suites.shapes import ellipsoid, largest, rosenbrock, stepped_valley, sum_of_absolutes
from dfoattack import Box, Known, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

INSTANCES = (1, 2, 3)
HALF_WIDTH = 5.0


# name -> (function of z with minimum 0 at z = 0, the optimum lies in [-reach, reach]^n, rotated)
FAMILIES: dict[str, tuple[Callable[[FloatArray], FloatArray], float, bool]] = {
    "ellipsoid": (ellipsoid, 4.0, True),
    "rosenbrock": (rosenbrock, 2.0, False),
    "l1": (sum_of_absolutes, 4.0, False),
    "max-linear": (largest, 4.0, True),
    "sum-linear": (sum_of_absolutes, 4.0, True),
    "steps": (stepped_valley, 2.0, False),
}


def build(title: str, family: str, n: int, instance: int) -> Problem:
    """One family in n >= 2 variables."""
    function, reach, rotated = FAMILIES[family]
    placement = place(n, reach, "scalable", family, instance, rotated=rotated)
    return Problem(
        objective=Placed(function, placement),
        space=Box([-HALF_WIDTH] * n, [HALF_WIDTH] * n),
        sense="minimize",
        name=title,
        known=Known(value=0.0, x=placement.optimum.copy(), kind="exact", how="by construction"),
        backend="numpy",
    )


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By dimension, family, instance; any n >= 2."""
    for n in dimensions:
        for family in FAMILIES if n >= 2 else ():
            for i in INSTANCES:
                yield Instance("scalable", f"{family}-n{n}-i{i}", family, n, build, (family, n, i))


SUITES = {
    "scalable": Suite(
        name="scalable",
        description="6 functions for any n (smooth, piecewise linear, discontinuous), shifted and rotated",
        unit="n",
        multiple=50,
        dimensions=(50, 100, 200, 500),
        make=instances,
    )
}
