"""Solvers under comparison: one adaptor a file, one signature, one counting wrapper.

Every adaptor module holds

    CONFIGURATION : str      bounds, initial step, restarts, constraints: what a reader needs to judge the comparison
    run(problem, budget, seed, gradient_cost) -> Log

and is imported only when asked for, so that a missing solver hinders only itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from benchmarks.log import Log
    from dfoattack.problem import Problem

__all__ = ["SOLVERS", "Solver", "load", "names"]

# name on the command line -> (module here, function in it)
SOLVERS = {
    "dfoattack": ("dfoattack", "run"),
    "nomad": ("nomad", "run"),
    "cma-es": ("cma_es", "run"),
    "cobyqa": ("cobyqa", "run"),
    "slsqp": ("slsqp", "run"),
    "slsqp-differences": ("slsqp", "run_differences"),
    "random": ("random_search", "run"),
}


class Run(Protocol):
    """One run of one solver: from the problem's start, then from random ones until `budget` is spent."""

    def __call__(self, problem: Problem, budget: float, seed: int, gradient_cost: float) -> Log: ...


class Solver(NamedTuple):
    """A loaded adaptor."""

    run: Run
    configuration: str


def load(name: str) -> Solver:
    """The adaptor of that name. Raises ValueError for an unknown name, ImportError where its package is missing."""
    if name not in SOLVERS:
        raise ValueError(f"Unknown solver `{name}`; known: {', '.join(SOLVERS)}.")
    module_name, function = SOLVERS[name]
    module = import_module(f"{__name__}.{module_name}")
    return Solver(getattr(module, function), str(module.CONFIGURATION))


def names(text: str) -> list[str]:
    """Solver names of a comma-separated list; `all` is every one. Raises ValueError on an unknown name."""
    chosen = list(SOLVERS) if text == "all" else [part.strip() for part in text.split(",") if part.strip()]
    for name in chosen:
        if name not in SOLVERS:
            raise ValueError(f"Unknown solver `{name}`; known: {', '.join(SOLVERS)}, all.")
    return chosen
