"""Mixed-integer problems with known optima: shifted analytic functions, and published designs and programs.

The analytic ones (ellipsoid, rosenbrock, rastrigin, ackley) have value 0 at a point drawn from the name whose integer
part is a lattice point; half of the variables are integers in [-10, 10], the others lie in [-5, 5]. In the variants
`rotated-` integers and continuous variables interact; `integer-` ones have integers only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites import design_functions as d
from benchmarks.suites import g_functions as g
from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.geometry import Placed, Placement, place
from benchmarks.suites.shapes import ackley, mild_ellipsoid, rastrigin, rosenbrock
from benchmarks.suites.written import Written, dimensions_of, listing
from dfoattack import Box, Known, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

NAME = "mixed-integer"
INSTANCES = (1, 2)
SIZES = (4, 10, 20)

PROBLEMS: dict[str, Written] = {
    "vessel": Written(
        objective=d.vessel,
        constraints=d.vessel_constraints,
        lower=(0.0625, 0.0625, 10, 10),
        upper=(6.1875, 6.1875, 200, 200),
        published="6059.714335",
        x=(0.8125, 0.4375, 42.0984455958549, 176.63659584244),
        granularity=((0, 0.0625), (1, 0.0625)),
    ),
    "reducer": Written(
        objective=d.reducer,
        constraints=d.reducer_constraints,
        lower=(2.6, 0.7, 17, 7.3, 7.3, 2.9, 5.0),
        upper=(3.6, 0.8, 28, 8.3, 8.3, 3.9, 5.5),
        published="2994.471066",
        x=(3.5, 0.7, 17, 7.3, 7.71531991147834, 3.35021466609646, 5.28665446498024),
        integer=(2,),
    ),
    "gears": Written(
        objective=d.gears,
        constraints=None,
        lower=(12,) * 4,
        upper=(60,) * 4,
        published="0.0000000000027009",
        x=(16, 19, 43, 49),
        integer=(0, 1, 2, 3),
        exact=True,
    ),
    "spring": Written(
        objective=d.spring,
        constraints=d.spring_constraints,
        lower=(1, 0, 0.6),
        upper=(70, len(d.WIRES) - 1, 3),
        published="2.658559",
        x=(9, 35, 1.22304100996381),
        integer=(0, 1),
    ),
    "kocis-1": Written(
        objective=d.kocis_1,
        constraints=d.kocis_1_constraints,
        lower=(0, 0),
        upper=(1.6, 1),
        published="2",
        x=(0.5, 1),
        integer=(1,),
        exact=True,
    ),
    "kocis-2": Written(
        objective=d.kocis_2,
        constraints=d.kocis_2_constraints,
        lower=(0.5, 0),
        upper=(1.4, 1),
        published="2.124",
        x=(1.37482252818363, 1),
        integer=(1,),
        exact=True,
    ),
    "floudas": Written(
        objective=d.floudas,
        constraints=d.floudas_constraints,
        lower=(0.2, -2.22554, 0),
        upper=(1, -1, 1),
        published="1.07654",
        x=(0.941937344729379, -2.1, 1),
        integer=(2,),
        exact=True,
    ),
    "yuan": Written(
        objective=d.yuan,
        constraints=d.yuan_constraints,
        lower=(0,) * 7,
        upper=(1.2, 1.8, 2.5, 1, 1, 1, 1),
        published="4.579582",
        x=(0.199999999999999, 0.799999999999999, 1.90787840283389, 1, 1, 0, 1),
        integer=(3, 4, 5, 6),
        exact=True,
    ),
    # Prints say 38499.8. For every choice of units the problem is convex in logarithms; the best of the 27 is this.
    "batch-plant": Written(
        objective=d.batch_plant,
        constraints=d.batch_plant_constraints,
        lower=(1, 1, 1, 250, 250, 250, 20 / 3, 16 / 3, 400 / 9, 160 / 9),
        upper=(3, 3, 3, 2500, 2500, 2500, 20, 16, 625, 312.5),
        published="38499.47",
        x=(1, 1, 1, 480, 720, 960, 20, 16, 240, 120),
        integer=(0, 1, 2),
        exact=True,
    ),
    # The optimum of g04 has whole numbers in its first two variables, so it stays the optimum.
    "himmelblau": Written(
        objective=g.g04,
        constraints=g.c04,
        lower=(78, 33, 27, 27, 27),
        upper=(102, 45, 45, 45, 45),
        published="-30665.5386718",
        x=(78, 33, 29.9952560256816, 45, 36.7758129057882),
        integer=(0, 1),
    ),
}

# name -> (function of z with minimum 0 at z = 0, rotated, all variables integer)
FAMILIES: dict[str, tuple[Callable[[FloatArray], FloatArray], bool, bool]] = {
    "ellipsoid": (mild_ellipsoid, False, False),
    "rosenbrock": (rosenbrock, False, False),
    "rastrigin": (rastrigin, False, False),
    "ackley": (ackley, False, False),
    "rotated-ellipsoid": (mild_ellipsoid, True, False),
    "rotated-rastrigin": (rastrigin, True, False),
    "integer-ellipsoid": (mild_ellipsoid, True, True),
    "integer-rosenbrock": (rosenbrock, False, True),
}


def build_analytic(title: str, family: str, n: int, instance: int) -> Problem:
    """One analytic family in n >= 2 variables; the first n/2 are integers, or all."""
    function, rotated, pure = FAMILIES[family]
    drawn = place(n, 1.0, NAME, family, instance, rotated=rotated)
    whole = n if pure else n // 2
    half_width = np.where(np.arange(n) < whole, 10.0, 5.0)
    optimum = 0.8 * half_width * drawn.optimum
    optimum[:whole] = np.rint(optimum[:whole])
    return Problem(
        objective=Placed(function, Placement(optimum, drawn.axes)),
        space=Box(-half_width, half_width, integer=list(range(whole))),
        sense="minimize",
        name=title,
        known=Known(value=0.0, x=optimum.copy(), kind="exact", how="by construction"),
        backend="numpy",
    )


def build_written(title: str, name: str) -> Problem:
    """A published problem."""
    return PROBLEMS[name].problem(title)


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """The published ones, then the analytic ones by dimension, family, instance."""
    yield from listing(NAME, PROBLEMS, build_written, dimensions)
    for n in dimensions:
        if n in SIZES:
            for family in FAMILIES:
                for i in INSTANCES:
                    yield Instance(NAME, f"{family}-n{n}-i{i}", family, n, build_analytic, (family, n, i))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="10 published designs and programs, and 8 analytic families with integer variables",
        unit="n",
        multiple=200,
        dimensions=tuple(sorted({*dimensions_of(PROBLEMS), *SIZES})),
        make=instances,
    )
}
