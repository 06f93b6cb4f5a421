"""The shipped problems with a trained network inside; each brings its own start, space and known optimum.

Unlike the other suites they keep their own sense (they maximise), and their surrogate can be attacked.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.suites.base import Instance, Suite
from dfoattack import Problem, registry

NAME = "networks"
# name -> number of variables that are optimised, so that listing the suite loads no network
PLUGINS = {"biodiesel": 2, "biodiesel-schedule": 10, "airfoil": 18}


def build(title: str, name: str) -> Problem:
    """The plug-in of that name at its defaults; it keeps its own name."""
    problem: Problem = registry.load(registry.PROBLEMS, name)()
    return problem


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """One a plug-in."""
    for name, n in PLUGINS.items():
        if n in dimensions:
            yield Instance(NAME, name, name, n, build, (name,))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="the shipped problems with a trained network inside",
        unit="n",
        multiple=100,
        dimensions=tuple(sorted(set(PLUGINS.values()))),
        make=instances,
    )
}
