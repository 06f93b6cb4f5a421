"""Benchmark suites: lists of named problems with known optima, the same for every solver.

>>> from benchmarks import suites
>>> suite = suites.load("more-wild")
>>> instance = suite.instances(n=[2], only=["rosenbrock"])[0]
>>> instance.title, instance.start(seed=0).tolist(), suite.budget(instance.n)
('more-wild/07-rosenbrock-n2', [-1.2, 1.0], 150)
>>> problem = instance.problem()
>>> problem.known.value
0.0

and, to compare two settings of the solver quickly:

    import dfoattack as da
    from benchmarks import suites

    suite = suites.load("bbob")
    for instance in suite.instances(n=[5], only=["*-i1"]):
        problem = instance.problem(seed=0)  # its x0 is instance.start(seed=0)
        result = da.solve(problem, budget=suite.budget(instance.n), seed=0)
        print(instance.name, result.fun - problem.known.value)

Suites whose problems come from another package import it when a problem is built, not before.
"""

from __future__ import annotations

from importlib import import_module

from benchmarks.suites.base import Instance, Suite

__all__ = ["SUITES", "Instance", "Suite", "load"]

# name -> module here; the module holds `SUITES`, a dictionary from name to Suite
SUITES = {
    "bbob": "bbob",
    "bbob-constrained": "bbob_constrained",
    "scalable": "scalable",
    "textbook": "textbook",
    "mixed-integer": "mixed_integer",
    "bbob-mixint": "bbob_mixint",
    "discontinuous": "discontinuous",
    "noisy": "noisy",
    "networks": "networks",
    "networks-blackbox": "networks",
    "more-wild": "more_wild",
    "more-wild-noisy": "more_wild",
    "more-wild-nonsmooth": "more_wild",
    "s2mpj": "s2mpj",
}


def load(name: str) -> Suite:
    """The suite of that name. Raises ValueError for an unknown name."""
    if name not in SUITES:
        raise ValueError(f"Unknown suite `{name}`; known: {', '.join(SUITES)}.")
    suite: Suite = import_module(f"{__name__}.{SUITES[name]}").SUITES[name]
    return suite
