"""Problems with a network inside: the shipped plug-ins, and fresh random instances of families.

family (variants)                      n              f and c
biodiesel, schedule                    2, 20          plug-ins: reactor at constant power; under 20 powers
airfoil-cd, airfoil-ld                 18             plug-ins: least drag; most lift over drag
airfoil-robust (kinked)                18             least drag, the worse of two networks
airfoil-multipoint                     20             one shape, three lifts: least mean drag
tanh-box, relu-box (kinked)            10, 100, 1000  output of a random network over [-1, 1]^n
tanh-polytope, relu-polytope (kinked)  10, 100, 1000  the same inside random half-spaces
approximation-tanh, -relu (kinked)     6              networks trained on two random quadratics: f s.t. g = median
digits-tanh, digits-relu (kinked)      64             least change of an image that a classifier takes for another digit
digits-label (discontinuous)           64             the same, seeing nothing of the classifier but its answer, yes or no
treatment (discontinuous)              9              cheapest change that a trained network calls good, yes or no
the other plug-ins by their names      1 to 64        map and image counterfactuals, merging, rotation, ...

Every problem exists twice: in `networks`, where solvers that use gradients get exact ones, and in `networks-blackbox`,
where nobody gets any. Families come in instances i1, i2, ...: other weights, other data, other half-spaces.

Plug-ins keep their own sense (they maximise) and names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.suites.base import Instance, Suite
from dfoattack import registry

if TYPE_CHECKING:
    from dfoattack import Problem
    from dfoattack._typing import FloatArray

__all__ = ["SUITES", "NetworkInstance"]

NAME, BLACK_BOX = "networks", "networks-blackbox"
INSTANCES = (1, 2, 3)
WIDE = (10, 100, 1000)


@dataclass(frozen=True)
class Family:
    """Where a family is built: module here, function in it, arguments before n and the instance; which n.

    single : bool   one problem that takes neither n nor an instance
    """

    name: str
    sizes: tuple[int, ...]
    module: str
    function: str
    arguments: tuple[Any, ...] = ()
    single: bool = False


def _plugin(name: str, size: int, plugin: str, **options: Any) -> Family:
    return Family(name, (size,), "plugins", "shipped", (plugin, tuple(options.items())), single=True)


FAMILIES = (
    _plugin("biodiesel", 2, "biodiesel"),
    _plugin("schedule", 20, "biodiesel-schedule", n=20),
    _plugin("airfoil-cd", 18, "airfoil"),
    _plugin("airfoil-ld", 18, "airfoil", goal="ld"),
    _plugin("airfoil-robust", 18, "airfoil", robust=True),
    _plugin("airfoil-multipoint", 20, "airfoil-multipoint"),
    Family("tanh-box", WIDE, "random_nets", "build", ("tanh", False)),
    Family("relu-box", WIDE, "random_nets", "build", ("relu", False)),
    Family("tanh-polytope", WIDE, "random_nets", "build", ("tanh", True)),
    Family("relu-polytope", WIDE, "random_nets", "build", ("relu", True)),
    Family("approximation-tanh", (6,), "approximation", "build", ("tanh",)),
    Family("approximation-relu", (6,), "approximation", "build", ("relu",)),
    Family("digits-tanh", (64,), "digits", "build", ("tanh", False)),
    Family("digits-relu", (64,), "digits", "build", ("relu", False)),
    Family("digits-label", (64,), "digits", "build", ("relu", True)),
    Family("treatment", (9,), "treatment", "build"),
)
# The other plug-ins, where they are registered: name -> n, so that listing the suite loads no network.
OTHERS = {
    "counterfactual-map": 64,
    "counterfactual-map-path": 64,
    "ik-fk": 12,
    "ik-net": 3,
    "image-blend": 26,
    "linear-merge": 4,
    "merge-global": 1,
    "merge-layer": 20,
    "merge-task": 4,
    "negate": 1,
    "negate-multi": 4,
    "pose-attack": 6,
    "rot-cut-1d": 1,
    "rot-fit": 6,
    "rot-worst": 6,
    "similarity-fit": 10,
    "so-n": 12,
    "stiefel": 10,
    "xi-max": 2,
}


@dataclass(frozen=True)
class NetworkInstance(Instance):
    """An instance whose own start, if it has one, is that of seed 0; other seeds start at random in the box."""

    def start(self, seed: int) -> FloatArray:
        """(n,) start; problems with several starts of their own take them in turn."""
        own = self.problem().x0
        if own is not None and (own.shape[0] > 1 or seed == 0):
            return np.array(own[seed % own.shape[0]])
        return self.random_start(seed)


def build(title: str, module: str, function: str, hidden: bool, *arguments: Any) -> Problem:
    """The problem; without gradients if `hidden`. Torch is imported here and not before."""
    problem: Problem = getattr(import_module(f"{__name__}.{module}"), function)(title, *arguments)
    return import_module(f"{__name__}.hidden").hide(problem) if hidden else problem


def instances(suite: str, dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By family, n and instance."""
    registered = registry.names(registry.PROBLEMS)
    families = (*FAMILIES, *(_plugin(name, n, name) for name, n in OTHERS.items() if name in registered))
    for family in families:
        for n in (n for n in family.sizes if n in dimensions):
            group = family.name + (f"-n{n}" if len(family.sizes) > 1 else "")
            for i in (None,) if family.single else INSTANCES:
                yield NetworkInstance(
                    suite,
                    group if i is None else f"{group}-i{i}",
                    group,
                    n,
                    build,
                    (
                        family.module,
                        family.function,
                        suite == BLACK_BOX,
                        *family.arguments,
                        *(() if i is None else (n, i)),
                    ),
                )


def _suite(name: str, description: str) -> Suite:
    return Suite(
        name=name,
        description=description,
        unit="1",
        multiple=1000,
        dimensions=tuple(sorted({n for family in FAMILIES for n in family.sizes} | set(OTHERS.values()))),
        make=partial(instances, name),
    )


SUITES = {
    NAME: _suite(NAME, "a trained or random network inside, exact gradients for those who use them"),
    BLACK_BOX: _suite(BLACK_BOX, "the same problems without gradients"),
}
