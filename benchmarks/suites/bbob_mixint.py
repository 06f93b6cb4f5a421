"""The suite bbob-mixint of COCO: 24 functions, four fifths of the variables integer with 2, 4, 8, 16 (or more) values.

Source: Tušar, Brockhoff and Hansen, "Mixed-integer benchmark problems for single- and bi-objective optimization",
GECCO 2019. The functions themselves are cocoex's.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.coco import SuiteProblem, optimum
from dfoattack import Box, Known, Problem

NAME = "bbob-mixint"
DIMENSIONS = (5, 10, 20, 40)
FUNCTIONS = range(1, 25)
INSTANCES = (1, 2, 3)


def build(title: str, function: int, n: int, instance: int) -> Problem:
    """Function 1-24 in n variables."""
    coco = SuiteProblem(NAME, function, n, instance)
    value, x = optimum(NAME, function, n, instance)
    return Problem(
        objective=coco.objective,
        space=Box(*coco.bounds, integer=list(range(coco.integers))),
        sense="minimize",
        name=title,
        known=Known(value=value, x=x.copy(), kind="exact", how="constructed by COCO"),
        backend="numpy",
    )


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By dimension, function, instance."""
    for n in dimensions:
        if n in DIMENSIONS:
            for function in FUNCTIONS:
                for i in INSTANCES:
                    yield Instance(NAME, f"f{function:02d}-n{n}-i{i}", f"f{function:02d}", n, build, (function, n, i))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="24 functions of COCO with four fifths of the variables integer, instances 1-3",
        unit="n",
        multiple=200,
        dimensions=(5, 10),
        make=instances,
    )
}
