"""The door to cocoex (package coco-experiment), imported when a problem is built and not before."""

from __future__ import annotations

import contextlib
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray


def cocoex() -> ModuleType:
    """The module. Raises ImportError with the cure."""
    try:
        import cocoex as module
    except ImportError as error:
        raise ImportError("The COCO suites need cocoex. Install `dfoattack[bench]`, or `coco-experiment`.") from error
    found: ModuleType = module
    return found


class BareFunction:
    """A function of the suite bbob without COCO's counters: (k, n) -> (k,).

    Held by number, so that it can be pickled; the C object is made anew in the other process.
    """

    def __init__(self, function: int, n: int, instance: int) -> None:
        self.key = (int(function), int(n), int(instance))
        self._bare: Any = cocoex().BareProblem("bbob", *self.key)

    def __call__(self, X: FloatArray) -> FloatArray:
        bare = self._bare
        return np.array([bare(x) for x in np.ascontiguousarray(X)])

    def __reduce__(self) -> tuple[type[BareFunction], tuple[int, int, int]]:
        return BareFunction, self.key

    def best_value(self) -> float:
        """The optimal value, as COCO states it."""
        return float(self._bare.best_value())


class SuiteProblem:
    """A problem of a suite of COCO: `objective` (k, n) -> (k,) and `constraints` (k, n) -> (k, p).

    Held by number, so that it can be pickled.
    """

    def __init__(self, suite: str, function: int, n: int, instance: int) -> None:
        self.key = (suite, int(function), int(n), int(instance))
        owner = _suite(suite, self.key[2], self.key[3])
        self._problem: Any = owner.get_problem_by_function_dimension_instance(*self.key[1:])

    @property
    def integers(self) -> int:
        """The first so many variables are integers."""
        return int(self._problem.number_of_integer_variables)

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper, (n,) each."""
        return np.array(self._problem.lower_bounds), np.array(self._problem.upper_bounds)

    def objective(self, X: FloatArray) -> FloatArray:
        """(k, n) -> (k,)"""
        problem = self._problem
        return np.array([problem(x) for x in np.ascontiguousarray(X)])

    def constraints(self, X: FloatArray) -> FloatArray:
        """(k, n) -> (k, p), feasible where all are <= 0."""
        problem = self._problem
        return np.array([problem.constraint(x) for x in np.ascontiguousarray(X)])

    def __reduce__(self) -> tuple[type[SuiteProblem], tuple[str, int, int, int]]:
        return SuiteProblem, self.key

    def write_optimum(self) -> None:
        """Write the optimum to a file of the working directory: the only way in which COCO tells it."""
        self._problem._best_parameter("print")


@cache
def _suite(name: str, n: int, instance: int) -> Any:
    """Kept for the life of the process: a problem must not outlive its suite."""
    return cocoex().Suite(name, "", f"dimensions: {n} instance_indices: {instance}")


@cache
def optimum(suite: str, function: int, n: int, instance: int) -> tuple[float, FloatArray]:
    """(f, x (n,)) at the optimum that COCO constructed; strictly feasible."""
    problem = SuiteProblem(suite, function, n, instance)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem.write_optimum()
        x = np.loadtxt(Path(folder) / "._bbob_problem_best_parameter.txt", ndmin=1)
    x.flags.writeable = False
    return float(problem.objective(x[None])[0]), x
