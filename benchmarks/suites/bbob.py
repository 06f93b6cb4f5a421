"""The suite bbob of COCO: 24 functions without constraints in [-5, 5]^n.

Source: Hansen, Finck, Ros and Auger, "Real-parameter black-box optimization benchmarking 2009: noiseless functions
definitions", INRIA RR-6829; Hansen et al., "COCO: a platform for comparing continuous optimizers in a black-box
setting", Optim. Methods Softw. 36 (2021). The functions themselves are cocoex's.

Never start at 0: the optima have few decimals, which a decimal mesh around 0 hits exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.suites.base import Instance, Suite
from benchmarks.suites.coco import BareFunction
from dfoattack import Box, Known, Problem

DIMENSIONS = (2, 3, 5, 10, 20, 40)
FUNCTIONS = range(1, 25)
INSTANCES = range(1, 6)


def build(title: str, function: int, n: int, instance: int) -> Problem:
    """Function 1-24 of COCO in n variables."""
    bare = BareFunction(function, n, instance)
    known = Known(value=bare.best_value(), kind="exact", how="stated by COCO")
    box = Box([-5.0] * n, [5.0] * n)
    return Problem(objective=bare, space=box, sense="minimize", name=title, known=known, backend="numpy")


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By dimension, function, instance."""
    for n in dimensions:
        if n in DIMENSIONS:
            for function in FUNCTIONS:
                for i in INSTANCES:
                    name = f"f{function:02d}-n{n}-i{i}"
                    yield Instance("bbob", name, f"f{function:02d}", n, build, (function, n, i))


SUITES = {
    "bbob": Suite(
        name="bbob",
        description="24 functions of COCO without constraints, instances 1-5, box [-5, 5]^n",
        unit="n",
        multiple=200,
        dimensions=(2, 5, 10),
        make=instances,
    )
}
