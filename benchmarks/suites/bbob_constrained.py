"""The suite bbob-constrained of COCO, f1-f24: four functions, each under six numbers of constraints, in [-5, 5]^n.

Source: Dufossé, Hansen, Brockhoff, Sampaio, Atamna and Auger, "Building scalable test problems for benchmarking
constrained optimizers", COCO documentation. The functions themselves are cocoex's. Its own starts are not used: they
are feasible, which a solver cannot expect in general; ours are uniform in the box.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.coco import SuiteProblem, optimum
from dfoattack import Box, Constraint, Known, Problem

NAME = "bbob-constrained"
DIMENSIONS = (2, 3, 5, 10, 20, 40)
INSTANCES = (1, 2, 3)
FAMILIES = ("sphere", "ellipsoid", "linear-slope", "rotated-ellipsoid")
LEVELS = 6
"""Numbers of constraints a family comes with: 1, 3, 9, 9 + 3n/4, 9 + 3n/2 and 9 + 9n/2 (rounded down)."""


def build(title: str, function: int, n: int, instance: int) -> Problem:
    """Function 1-24 of the suite in n variables."""
    coco = SuiteProblem(NAME, function, n, instance)
    value, x = optimum(NAME, function, n, instance)
    return Problem(
        objective=coco.objective,
        constraints=Constraint(coco.constraints, name="c"),
        space=Box([-5.0] * n, [5.0] * n),
        sense="minimize",
        name=title,
        known=Known(value=value, x=x.copy(), kind="exact", how="constructed by COCO"),
        backend="numpy",
    )


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By dimension, function, instance; grouped by family."""
    for n in dimensions:
        if n in DIMENSIONS:
            for function in range(1, LEVELS * len(FAMILIES) + 1):
                group = FAMILIES[(function - 1) // LEVELS]
                for i in INSTANCES:
                    name = f"f{function:02d}-n{n}-i{i}"
                    yield Instance(NAME, name, group, n, build, (function, n, i))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="4 functions of COCO under 6 numbers of constraints each, instances 1-3, box [-5, 5]^n",
        unit="n",
        multiple=200,
        dimensions=(2, 5, 10),
        make=instances,
    )
}
