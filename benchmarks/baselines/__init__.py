"""Solvers under comparison: one adaptor a file, one signature, one counting wrapper.

Every adaptor module holds

    CONFIGURATION : str      bounds, initial step, restarts, constraints: what a reader needs to judge the comparison
    run(problem, budget, seed, gradient_cost) -> Log
    check(options)           only where `run` takes `options` as well: raises for what it does not know

and is imported only when asked for, so that a missing solver hinders only itself.
"""

from __future__ import annotations

import ast
import re
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from benchmarks.log import Log
    from dfoattack.problem import Problem

__all__ = [
    "ALONE",
    "NEED_GRADIENTS",
    "PACKAGES",
    "SOLVERS",
    "Solver",
    "alone",
    "installed",
    "load",
    "names",
    "split_names",
    "split_options",
]

# name on the command line -> (module here, function in it)
SOLVERS = {
    "dfoattack": ("dfoattack", "run"),
    "nomad": ("nomad", "run"),
    "nomad-nomodels": ("nomad", "run_without_models"),
    "cma-es": ("cma_es", "run"),
    "cobyqa": ("cobyqa", "run"),
    "pybobyqa": ("pybobyqa", "run"),
    "cobyla": ("cobyla", "run"),
    "nlopt-bobyqa": ("nlopt_solvers", "run_bobyqa"),
    "nlopt-sbplx": ("nlopt_solvers", "run_sbplx"),
    "subspace": ("subspace", "run"),
    "de": ("evolution", "run"),
    "direct": ("direct", "run"),
    "lbfgsb": ("lbfgsb", "run"),
    "lbfgsb-fd": ("lbfgsb", "run_differences"),
    "slsqp": ("slsqp", "run"),
    "slsqp-differences": ("slsqp", "run_differences"),
    "adam": ("adam", "run"),
    "ipopt": ("ipopt", "run"),
    "nevergrad": ("nevergrad_shiwa", "run"),
    "optuna": ("optuna_tpe", "run"),
    "omads": ("omads", "run"),
    "random": ("random_search", "run"),
    "study-line-search": ("study", "run_line_search"),
    "study-cdsm": ("study", "run_cdsm"),
    "study-attacks": ("study", "run_attacks"),
    "study-hybrid": ("study", "run_hybrid"),
}
# name -> the package that must be importable, where it is not a dependency of dfoattack
PACKAGES = {
    "nomad": "PyNomad",
    "nomad-nomodels": "PyNomad",
    "cma-es": "cma",
    "cobyqa": "cobyqa",
    "pybobyqa": "pybobyqa",
    "nlopt-bobyqa": "nlopt",
    "nlopt-sbplx": "nlopt",
    "subspace": "directsearch",
    "ipopt": "cyipopt",
    "nevergrad": "nevergrad",
    "optuna": "optuna",
    "omads": "OMADS",
}
# Packages of other extras than `bench`.
EXTRAS = {"ipopt": "ipopt", "nevergrad": "bench-more", "optuna": "bench-more", "omads": "bench-more"}
# Solvers that can take their process down with them: every run in a fresh one.
ALONE = frozenset({"nomad", "nomad-nomodels", "ipopt", "omads"})
# Solvers that refuse a problem without gradients.
NEED_GRADIENTS = frozenset({"adam", "lbfgsb", "study-attacks", "study-hybrid"})


class Run(Protocol):
    """One run of one solver: from the problem's start, then from random ones until `budget` is spent."""

    def __call__(self, problem: Problem, budget: float, seed: int, gradient_cost: float) -> Log: ...


class Solver(NamedTuple):
    """A loaded adaptor."""

    run: Run
    configuration: str
    needs_gradients: bool = False


def load(name: str) -> Solver:
    """The adaptor of that name, or a function of another package given as `package.module.function`.

    Options follow a colon: `dfoattack:covering=False,poll=2n`. Raises ValueError for an unknown name or options where none
    are taken, what the adaptor's own check raises for wrong ones, ImportError where a package is missing.
    """
    base, options = split_options(name)
    if base in SOLVERS:
        module_name, function = SOLVERS[base]
        package = PACKAGES.get(base)
        if package is not None and find_spec(package) is None:
            extra = EXTRAS.get(base, "bench")
            raise ImportError(f"Solver `{base}` needs {package}. Install `dfoattack[{extra}]`.")
        module = import_module(f"{__name__}.{module_name}")
    elif "." in base:
        module_name, _, function = base.rpartition(".")
        module = import_module(module_name)
    else:
        raise ValueError(f"Unknown solver `{base}`; known: {', '.join(SOLVERS)}, or package.module.function.")
    run: Any = getattr(module, function)
    configuration = str(module.CONFIGURATION)
    if options:
        if not hasattr(module, "check"):
            raise ValueError(f"Solver `{base}` takes no options, got {name!r}.")
        module.check(options)
        run = partial(run, options=options)
        configuration += " but for " + ", ".join(f"{key}={value!r}" for key, value in options.items())
    return Solver(run, configuration, base in NEED_GRADIENTS)


def installed() -> list[str]:
    """Names of the solvers whose package is there."""
    return [name for name in SOLVERS if name not in PACKAGES or find_spec(PACKAGES[name]) is not None]


def alone(name: str) -> bool:
    """True iff every run of this solver must have a process of its own."""
    base = name.partition(":")[0]
    return base in ALONE or base not in SOLVERS


def names(text: str) -> list[str]:
    """Solver names of a comma-separated list; `all` is every one. Raises ValueError on an unknown name."""
    chosen = list(SOLVERS) if text == "all" else split_names(text)
    for name in chosen:
        base = name.partition(":")[0]
        if base not in SOLVERS and "." not in base:
            raise ValueError(f"Unknown solver `{base}`; known: {', '.join(SOLVERS)}, all.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"Solvers must be named once each, got {text!r}.")
    return chosen


def split_names(text: str) -> list[str]:
    """Names of a comma-separated list; options hold commas too: `a:x=1,y=(2,3),b` is `a:x=1,y=(2,3)` and `b`."""
    found: list[str] = []
    depth = 0
    for part in text.split(","):
        option = "=" in part and ":" not in part.partition("=")[0]
        if found and (depth > 0 or option):
            found[-1] += "," + part.strip()
        elif part.strip():
            found.append(part.strip())
        depth += sum(part.count(b) for b in "([") - sum(part.count(b) for b in ")]")
    return found


def split_options(name: str) -> tuple[str, dict[str, Any]]:
    """`base:key=value,...` -> base name and options; values are Python literals, anything else is a string.

    Raises ValueError where a part is not `key=value`.
    """
    base, _, text = name.partition(":")
    options: dict[str, Any] = {}
    for part in re.split(r",(?=\s*\w+\s*=)", text) if text else []:
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"Options of a solver read `key=value,...`, got {part!r} in {name!r}.")
        try:
            options[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            options[key.strip()] = value.strip()
    return base.strip(), options
